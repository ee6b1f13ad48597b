//! What is to happen later: sessions expire, wills become due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Condvar, Mutex, Weak};
use std::time::Instant;

use super::Session;
use crate::lock::{lock, wait, wait_timeout};

/// Sessions to look at again, by when. One thread does that, see [`Timers::next_due`].
#[derive(Debug, Default)]
pub struct Timers {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    by_time: BinaryHeap<Reverse<Timer>>,
    /// How many there may be before those are looked for that became void.
    len_max: usize,
    /// Tells timers of the same instant apart.
    set: u64,
}

#[derive(Debug)]
struct Timer {
    at: Instant,
    number: u64,
    due: Due,
}

/// A session to look at. It counts only if the client has not connected again since.
#[derive(Debug)]
pub struct Due {
    /// Whose; it may be over by then.
    pub session: Weak<Session>,
    /// The attachment after which the timer was set.
    pub attachment: u64,
    /// What is due.
    pub what: WhatIsDue,
}

/// What a timer was set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhatIsDue {
    /// The will delay is over [MQTT-3.1.3-9].
    Will,
    /// The session expires.
    Expiry,
}

impl Timers {
    /// Sets a timer.
    pub fn set(&self, at: Instant, due: Due) {
        let mut waiting = lock(&self.waiting);
        waiting.set += 1;
        let number = waiting.set;
        if waiting.by_time.len() > waiting.len_max {
            // A client that comes and goes leaves one each time, and some are set for years.
            waiting
                .by_time
                .retain(|Reverse(timer)| timer.due.is_valid());
            waiting.len_max = 2 * waiting.by_time.len() + VOID_KEPT_MAX;
        }
        waiting.by_time.push(Reverse(Timer { at, number, due }));
        self.changed.notify_one();
    }

    /// Waits for the next that is due.
    pub fn next_due(&self) -> Due {
        let mut waiting = lock(&self.waiting);
        loop {
            let now = Instant::now();
            waiting = match waiting.by_time.peek() {
                None => wait(&self.changed, waiting),
                Some(Reverse(timer)) if timer.at > now => {
                    let left = timer.at - now;
                    wait_timeout(&self.changed, waiting, left)
                }
                Some(_) => {
                    if let Some(Reverse(timer)) = waiting.by_time.pop() {
                        return timer.due;
                    }
                    waiting
                }
            }
        }
    }
}

/// Void timers that may gather in any case.
const VOID_KEPT_MAX: usize = 1024;

impl Due {
    /// Whether the session is there, and its client has not connected again since.
    fn is_valid(&self) -> bool {
        let session = self.session.upgrade();
        session.is_some_and(|session| session.is_still_detached_after(self.attachment))
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
