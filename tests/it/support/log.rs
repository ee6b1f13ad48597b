//! The lines that a process prints, readable while it runs.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::DEADLINE;

/// Standard output and standard error of one process, line by line, in the order of arrival.
#[derive(Clone, Default)]
pub(crate) struct Log {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    /// Streams that are still open. None left means that the process has ended.
    open: usize,
}

impl Log {
    /// Reads `stream` on a thread of its own until it ends.
    pub(crate) fn follow(&self, stream: impl Read + Send + 'static) {
        self.lock().open += 1;
        let log = self.clone();
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(stream.read_until(b'\n', &mut line), Ok(1..)) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                log.lock().lines.push(text);
                log.shared.changed.notify_all();
                line.clear();
            }
            log.lock().open -= 1;
            log.shared.changed.notify_all();
        });
    }

    /// Everything printed so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// How many lines so far contain `text`.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.lock()
            .lines
            .iter()
            .filter(|line| line.contains(text))
            .count()
    }

    /// Waits for a line with `text` and returns the first.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.wait_for_match(text, |line| line.contains(text))
    }

    /// Waits for a line that `matches` and returns the first; `what` describes it when it does not come.
    pub(crate) fn wait_for_match(&self, what: &str, matches: impl Fn(&str) -> bool) -> String {
        self.wait(|state| state.lines.iter().find(|line| matches(line)).cloned())
            .unwrap_or_else(|| panic!("no such line: {what}\ngot:\n{}", self.lines().join("\n")))
    }

    /// Waits until the process has closed its output; false when it does not by the deadline.
    pub(crate) fn wait_for_end(&self) -> bool {
        self.wait(|state| (state.open == 0).then_some(())).is_some()
    }

    /// Waits until `find` finds; `None` at the deadline, or when nothing more can come.
    fn wait<T>(&self, find: impl Fn(&State) -> Option<T>) -> Option<T> {
        let end = Instant::now() + DEADLINE;
        let mut state = self.lock();
        loop {
            let found = find(&state);
            if found.is_some() || state.open == 0 {
                return found;
            }
            let left = end.checked_duration_since(Instant::now())?;
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
