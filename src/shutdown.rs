//! Stopping without losing anything that was accepted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::broker::Link;
use crate::close_reason::EndedBy;
use crate::lock::{lock, wait_timeout};

/// Brings the clients' threads to an end together.
///
/// A server that stops ends all reading. Each thread finishes the batch it has, publishes its
/// client's will, and then waits here until all others have done the same, so that no will misses
/// a subscriber that is still connected. Then all send what waits, and leave.
#[derive(Debug, Default)]
pub(crate) struct Shutdown {
    stopping: AtomicBool,
    counts: Mutex<Counts>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Counts {
    /// Threads of connected clients.
    serving: usize,
    /// Of those, how many wait for the others.
    waiting: usize,
}

/// How long the threads wait for one another: InfluxDB may be slow, but a stop must come to an end.
const WAIT_MAX: Duration = Duration::from_secs(10);

impl Shutdown {
    /// Whether the server stops.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// A client is connected, and its thread begins to serve it.
    pub(crate) fn enter(&self, link: &Link) {
        lock(&self.counts).serving += 1;
        // Otherwise it came after the list of those to stop was made, and nobody would stop it.
        if self.is_stopping() {
            link.end(EndedBy::Shutdown);
        }
    }

    /// The thread has ended.
    pub(crate) fn leave(&self) {
        lock(&self.counts).serving -= 1;
        self.changed.notify_all();
    }

    /// Waits until every other thread has come here too or has ended.
    pub(crate) fn await_the_others(&self) {
        let mut counts = lock(&self.counts);
        counts.waiting += 1;
        self.changed.notify_all();
        let deadline = Instant::now() + WAIT_MAX;
        while counts.waiting < counts.serving && Instant::now() < deadline {
            counts = wait_timeout(&self.changed, counts, deadline - Instant::now());
        }
        // It goes on to leave, and the others must still count it as one that came.
    }

    /// Ends the reading of all clients. Those that connect from now on are ended by
    /// [`Shutdown::enter`].
    pub(crate) fn stop(&self, connected: impl FnOnce() -> Vec<Arc<Link>>) {
        self.stopping.store(true, Ordering::SeqCst);
        connected()
            .iter()
            .for_each(|link| link.end(EndedBy::Shutdown));
    }

    /// Waits until all clients' threads have ended; gives up after a while.
    pub(crate) fn await_the_end(&self) {
        let deadline = Instant::now() + 2 * WAIT_MAX;
        let mut counts = lock(&self.counts);
        while counts.serving > 0 && Instant::now() < deadline {
            counts = wait_timeout(&self.changed, counts, deadline - Instant::now());
        }
    }
}
