//! How many passwords are checked at the same time.

use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Instant;

use crate::lock::{lock, wait_timeout};

/// Lets a few threads through and makes the others wait.
///
/// To check a password takes milliseconds of a core, and anybody who reaches the port can ask for
/// it. A storm of such clients gets these cores and no more, so that the others are served.
#[derive(Debug)]
pub(super) struct Gate {
    free: Mutex<usize>,
    changed: Condvar,
}

/// Held by a thread that was let through; to drop it lets the next one in.
#[derive(Debug)]
pub(super) struct Pass<'g> {
    gate: &'g Gate,
}

impl Gate {
    /// A gate for all cores but one, and for one at least.
    pub(super) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::for_threads(cores.saturating_sub(1).max(1))
    }

    fn for_threads(count: usize) -> Self {
        Self {
            free: Mutex::new(count),
            changed: Condvar::new(),
        }
    }

    /// Waits to be let through, `None` if that does not happen until `deadline`.
    pub(super) fn enter(&self, deadline: Instant) -> Option<Pass<'_>> {
        let mut free = lock(&self.free);
        loop {
            if let Some(rest) = free.checked_sub(1) {
                *free = rest;
                return Some(Pass { gate: self });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            free = wait_timeout(&self.changed, free, left);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *lock(&self.gate.free) += 1;
        self.gate.changed.notify_one();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lets_so_many_through_and_the_next_when_one_leaves() {
        let gate = Gate::for_threads(2);
        let now = Instant::now();
        let first = gate.enter(now).unwrap();
        let _second = gate.enter(now).unwrap();
        assert!(gate.enter(now).is_none());
        thread::scope(|scope| {
            let third = scope.spawn(|| {
                gate.enter(Instant::now() + Duration::from_secs(30))
                    .is_some()
            });
            drop(first);
            assert!(third.join().unwrap());
        });
    }
}
