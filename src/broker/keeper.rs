//! Keeps sessions and retained messages on disk.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use log::error;

use crate::lock::{lock, wait};
use crate::state::{Change, State, StateError};

/// Brings changes to disk, those of many threads in one commit.
///
/// Changes are committed in the order in which they were handed over. A thread that must know them
/// on disk waits, and the first that waits while nobody is committing commits for all. What nobody
/// waits for is committed a little later by a thread of its own, and again where that fails: later
/// changes build on it.
///
/// Lock order: `queue` is the last, as others note changes under locks of their own; the state file
/// is locked without it.
#[derive(Debug)]
pub struct Keeper {
    state: Arc<Mutex<State>>,
    queue: Mutex<Queue>,
    /// A commit has ended, or there is something that nobody waits for.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    open: Group,
    /// The number of the open group.
    number: u64,
    is_committing: bool,
    /// Groups whose commit failed, until all who wait for them have been told.
    failed: Vec<Failed>,
}

/// Changes that are committed together.
#[derive(Debug, Default)]
struct Group {
    changes: Vec<Change>,
    /// Which of `changes` nobody waits for, by rising index.
    noted: Vec<usize>,
    waiting: usize,
}

#[derive(Debug)]
struct Failed {
    number: u64,
    error: Arc<StateError>,
    to_be_told: usize,
}

/// How long changes that nobody waits for may gather.
const UNHURRIED: Duration = Duration::from_millis(50);

/// How long they wait after a failure. Most often the disk is full.
const PAUSE: Duration = Duration::from_millis(200);

impl Keeper {
    /// A keeper of `state`, and its thread for what nobody waits for.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(state: Arc<Mutex<State>>) -> std::io::Result<Arc<Self>> {
        let keeper = Arc::new(Self {
            state,
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let unhurried = Arc::clone(&keeper);
        thread::Builder::new()
            .name("keeper".into())
            .spawn(move || unhurried.commit_for_nobody())?;
        Ok(keeper)
    }

    /// Hands over changes that nobody waits for: after a crash, the last of them may be missing. A
    /// commit that fails is tried again.
    pub fn note(&self, changes: impl IntoIterator<Item = Change>) {
        let mut queue = lock(&self.queue);
        let was_empty = queue.open.changes.is_empty();
        queue.open.note(changes);
        if was_empty && !queue.open.changes.is_empty() {
            self.changed.notify_all();
        }
    }

    /// Hands over changes and waits until they, and all before them, are on disk.
    ///
    /// # Errors
    /// When that failed, as on a full disk. Then none of these changes is there.
    pub fn keep(&self, changes: impl IntoIterator<Item = Change>) -> Result<(), Arc<StateError>> {
        let mut queue = lock(&self.queue);
        queue.open.changes.extend(changes);
        queue.open.waiting += 1;
        let number = queue.number;
        while queue.number == number && queue.is_committing {
            queue = wait(&self.changed, queue);
        }
        if queue.number == number {
            return self.commit_open(queue).map(|_| ());
        }
        // Somebody else has taken it: it is done when nobody commits it any more.
        while queue.number == number + 1 && queue.is_committing {
            queue = wait(&self.changed, queue);
        }
        let Some(index) = queue
            .failed
            .iter()
            .position(|failed| failed.number == number)
        else {
            return Ok(());
        };
        let failed = &mut queue.failed[index];
        failed.to_be_told -= 1;
        let error = Arc::clone(&failed.error);
        if failed.to_be_told == 0 {
            queue.failed.swap_remove(index);
        }
        Err(error)
    }

    /// Commits the open group on this thread, which is counted among those that wait for it.
    fn commit_open(
        &self,
        mut queue: std::sync::MutexGuard<'_, Queue>,
    ) -> Result<u64, Arc<StateError>> {
        let group = std::mem::take(&mut queue.open);
        let number = queue.number;
        queue.number += 1;
        queue.is_committing = true;
        drop(queue);
        // Also where the commit panics, the others must not wait for ever.
        let mut ended = CommitEnded {
            keeper: self,
            number,
            others: group.waiting.saturating_sub(1),
            error: None,
            again: Vec::new(),
        };
        let outcome = lock(&self.state).apply(&group.changes).map_err(Arc::new);
        if let Err(error) = &outcome {
            ended.error = Some(Arc::clone(error));
            ended.again = group.into_noted();
        }
        outcome.map(|()| number)
    }

    fn commit_for_nobody(&self) {
        // One line for the first failure of many alike.
        let mut is_failing = false;
        loop {
            let mut queue = lock(&self.queue);
            while queue.open.changes.is_empty() {
                queue = wait(&self.changed, queue);
            }
            drop(queue);
            thread::sleep(if is_failing { PAUSE } else { UNHURRIED });
            let outcome = self.keep(None);
            if let Err(error) = &outcome
                && !is_failing
            {
                error!("cannot keep sessions on disk: {error}: trying again until it succeeds");
            }
            is_failing = outcome.is_err();
        }
    }
}

impl Group {
    fn note(&mut self, changes: impl IntoIterator<Item = Change>) {
        let first = self.changes.len();
        self.changes.extend(changes);
        self.noted.extend(first..self.changes.len());
    }

    /// What is to be tried again after a failure. Of the retained messages of one topic only the
    /// last counts: there may be any number of them.
    fn into_noted(self) -> Vec<Change> {
        let mut topics = HashSet::new();
        let mut indices = self.noted;
        let mut again: Vec<Change> = self
            .changes
            .into_iter()
            .enumerate()
            .rev()
            .filter(|(index, _)| indices.pop_if(|last| *last == *index).is_some())
            .map(|(_, change)| change)
            .filter(|change| match change {
                Change::Retain(message) => topics.insert(Arc::clone(&message.topic)),
                _ => true,
            })
            .collect();
        again.reverse();
        again
    }

    /// Puts changes that nobody waits for before all others.
    fn note_first(&mut self, changes: Vec<Change>) {
        let count = changes.len();
        self.changes.splice(0..0, changes);
        self.noted.iter_mut().for_each(|index| *index += count);
        self.noted.splice(0..0, 0..count);
    }
}

/// Ends a commit, whatever became of it.
struct CommitEnded<'a> {
    keeper: &'a Keeper,
    number: u64,
    others: usize,
    error: Option<Arc<StateError>>,
    /// Goes into the group that is open by now.
    again: Vec<Change>,
}

impl Drop for CommitEnded<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.keeper.queue);
        queue.is_committing = false;
        queue.open.note_first(std::mem::take(&mut self.again));
        if let Some(error) = self.error.take()
            && self.others > 0
        {
            queue.failed.push(Failed {
                number: self.number,
                error,
                to_be_told: self.others,
            });
        }
        self.keeper.changed.notify_all();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::codec::{PacketId, PublishProperties, QoS};
    use crate::message::Message;

    fn keeper(dir: &tempfile::TempDir) -> (Arc<Keeper>, Arc<Mutex<State>>) {
        let state = Arc::new(Mutex::new(State::open(dir.path()).unwrap()));
        (Keeper::start(Arc::clone(&state)).unwrap(), state)
    }

    fn attach(number: u64) -> Change {
        Change::Attach(crate::state::KeptSession {
            number,
            client_id: number.to_string().into(),
            expiry_s: 1,
            detached_at: None,
            will: None,
            will_delay_s: 0,
        })
    }

    fn retain(payload: &str) -> Change {
        let (payload, properties) = (payload.as_bytes(), PublishProperties::default());
        let message = Message::new("a".into(), payload, QoS::AtMostOnce, true, &properties);
        Change::Retain(Arc::new(message))
    }

    fn receive(session: u64, id: u16) -> Change {
        Change::Receive(session, PacketId::new(id).unwrap(), 1)
    }

    #[test]
    fn keeps_the_changes_of_many_threads() {
        let dir = tempfile::tempdir().unwrap();
        let (keeper, state) = keeper(&dir);
        thread::scope(|scope| {
            for session in 1..=8 {
                let keeper = &keeper;
                scope.spawn(move || {
                    keeper.note([attach(session)]);
                    for id in 1..=50 {
                        keeper.keep([receive(session, id)]).unwrap();
                    }
                });
            }
        });
        let restored = lock(&state).sessions().unwrap();
        assert_eq!(restored.len(), 8);
        assert!(restored.iter().all(|session| session.received.len() == 50));
    }

    #[test]
    fn keeps_what_nobody_waits_for() {
        let dir = tempfile::tempdir().unwrap();
        let (keeper, state) = keeper(&dir);
        keeper.note([attach(1)]);
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while lock(&state).sessions().unwrap().is_empty() {
            assert!(std::time::Instant::now() < deadline);
            thread::yield_now();
        }
    }

    #[test]
    fn tries_again_what_nobody_waits_for() {
        let dir = tempfile::tempdir().unwrap();
        let (keeper, state) = keeper(&dir);
        lock(&state).break_sessions();
        keeper.note([attach(1), attach(2), retain("old"), retain("new")]);
        assert!(keeper.keep([receive(1, 7)]).is_err());
        lock(&state).mend_sessions();
        keeper.keep([receive(2, 8)]).unwrap();
        let restored = lock(&state).sessions().unwrap();
        let received: Vec<usize> = restored.iter().map(|it| it.received.len()).collect();
        assert_eq!(received, [0, 1], "who waited was told that it is not there");
        let retained = lock(&state).retained().unwrap();
        assert_eq!(retained.len(), 1);
        assert_eq!(*retained[0].payload, *b"new");
    }

    #[test]
    fn tells_all_who_wait_that_it_failed() {
        let dir = tempfile::tempdir().unwrap();
        let (keeper, state) = keeper(&dir);
        let mut held = lock(&state);
        held.break_sessions();
        thread::scope(|scope| {
            let waiting: Vec<_> = (1..=4)
                .map(|session| {
                    scope.spawn({
                        let keeper = &keeper;
                        move || keeper.keep([attach(session)])
                    })
                })
                .collect();
            // One commits, and waits for the state; the others are a group, or will be.
            while lock(&keeper.queue).number == 0 {
                thread::yield_now();
            }
            drop(held);
            assert!(
                waiting
                    .into_iter()
                    .all(|thread| thread.join().unwrap().is_err())
            );
        });
        assert!(lock(&keeper.queue).failed.is_empty());
    }
}
