//! The one clock that gives every message its timestamp.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use log::{error, warn};

use crate::lock::lock;
use crate::state::State;

/// A strictly increasing clock, in nanoseconds since 1970 UTC.
///
/// InfluxDB silently keeps only the later of two points with the same series and timestamp, so no
/// timestamp is ever given out twice: not within a nanosecond, not when the wall clock jumps back,
/// and not by the next process, for which a bound that no given timestamp exceeds stands on disk.
#[derive(Debug)]
pub(super) struct Clock {
    /// The last timestamp given out.
    last: AtomicI64,
    /// No timestamp beyond this is given out before a higher bound is on disk.
    bound: AtomicI64,
    /// Held by the thread that raises the bound, so that only one waits for the disk.
    raising: Mutex<()>,
    state: Arc<Mutex<State>>,
}

/// How far the bound on disk is moved ahead. After a crash the clock goes on from the bound, so it
/// may run ahead of the true time by this much, for as long.
const RESERVE_NS: i64 = 2_000_000_000;

/// A jump back that is worth a warning, not just the reserve of a process that crashed.
const JUMP_NS: i64 = 2 * RESERVE_NS;

impl Clock {
    /// Goes on from the bound that an earlier process left in `state`.
    pub(super) fn start(state: Arc<Mutex<State>>) -> Result<Self, crate::state::StateError> {
        let bound = lock(&state).clock_bound()?;
        let now = now_ns();
        if bound - now > JUMP_NS {
            warn!(
                "the system's clock is {} s behind the timestamps already given: new ones go on from those",
                (bound - now) / 1_000_000_000
            );
        }
        Ok(Self {
            last: AtomicI64::new(bound),
            bound: AtomicI64::new(bound),
            raising: Mutex::default(),
            state,
        })
    }

    /// Takes `count` timestamps in a row and returns the first: now, or later where those up to now
    /// are taken.
    pub(super) fn take(&self, count: usize) -> i64 {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let now = now_ns();
        let first_after = |last: i64| now.max(last.saturating_add(1));
        let mut last = self.last.load(Ordering::Relaxed);
        let (first, new_last) = loop {
            let first = first_after(last);
            let new_last = first.saturating_add(count - 1);
            match self.last.compare_exchange_weak(
                last,
                new_last,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => break (first, new_last),
                Err(changed) => last = changed,
            }
        };
        let bound = self.bound.load(Ordering::Acquire);
        if new_last > bound {
            let _raising = lock(&self.raising);
            self.raise_bound(new_last);
        } else if new_last > bound - RESERVE_NS / 2
            && let Ok(_raising) = self.raising.try_lock()
        {
            // In good time, by whoever comes first; nobody else waits for the disk.
            self.raise_bound(new_last);
        }
        first
    }

    fn raise_bound(&self, last: i64) {
        let bound = last.saturating_add(RESERVE_NS);
        // Another thread may have been quicker.
        if self.bound.load(Ordering::Acquire) > last + RESERVE_NS / 2 {
            return;
        }
        // Without the disk the timestamps are still unique until the next start, and after it too
        // unless the wall clock has been set back; messages are not refused for that.
        let kept = lock(&self.state).set_clock_bound(bound);
        if let Err(error) = kept {
            error!("cannot keep the clock's bound on disk: {error}");
        }
        self.bound.store(bound, Ordering::Release);
    }
}

fn now_ns() -> i64 {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::thread;

    use super::*;

    fn clock(dir: &tempfile::TempDir) -> Clock {
        let state = State::open(dir.path()).unwrap();
        Clock::start(Arc::new(Mutex::new(state))).unwrap()
    }

    #[test]
    fn never_gives_a_timestamp_twice() {
        let dir = tempfile::tempdir().unwrap();
        let clock = clock(&dir);
        let mut taken: Vec<(i64, usize)> = thread::scope(|scope| {
            let take = || {
                (1..2000)
                    .map(|i| (clock.take(1 + i % 7), 1 + i % 7))
                    .collect::<Vec<_>>()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        taken.sort_unstable();
        for pair in taken.windows(2) {
            let ((first, count), (next, _)) = (pair[0], pair[1]);
            assert!(first + i64::try_from(count).unwrap() <= next);
        }
    }

    #[test]
    fn is_the_time_of_day() {
        let dir = tempfile::tempdir().unwrap();
        let before = now_ns();
        let taken = clock(&dir).take(1);
        assert!((before..=now_ns()).contains(&taken));
    }

    #[test]
    fn goes_on_after_a_restart_with_the_wall_clock_set_back() {
        let dir = tempfile::tempdir().unwrap();
        let future = now_ns() + 3_600_000_000_000;
        State::open(dir.path())
            .unwrap()
            .set_clock_bound(future)
            .unwrap();
        let first = clock(&dir);
        let last = first.take(10) + 9;
        assert!(last > future);
        drop(first);
        assert!(clock(&dir).take(1) > last);
    }

    #[test]
    fn keeps_the_bound_on_disk_ahead_of_what_it_gives_out() {
        let dir = tempfile::tempdir().unwrap();
        let clock = clock(&dir);
        for _ in 0..3 {
            let first = clock.take(1_500_000_000);
            assert!(lock(&clock.state).clock_bound().unwrap() >= first + 1_499_999_999);
        }
    }
}
