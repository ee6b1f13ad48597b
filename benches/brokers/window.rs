//! How many messages of one publisher may be under way.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

/// Bounds the messages that one publisher has sent and that were not delivered, so that no broker
/// has to drop any. Subscribers count deliveries here; the publisher waits here for room.
///
/// Aligned so that two publishers' counters do not share a cache line.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Window {
    /// Messages that may be under way; `None` leaves it to TCP.
    max: Option<u64>,
    /// Deliveries per message.
    fan_out: u64,
    delivered: AtomicU64,
    /// The count of deliveries that the publisher waits for; [`NOBODY_WAITS`] otherwise.
    wanted: AtomicU64,
    publisher: OnceLock<Thread>,
}

const NOBODY_WAITS: u64 = u64::MAX;

/// A publisher that waits looks this often whether the run has ended.
const STOP_CHECK: Duration = Duration::from_millis(50);

impl Window {
    /// Room for `max` messages, each of which is delivered `fan_out` times.
    pub(crate) fn new(max: Option<u64>, fan_out: u64) -> Self {
        Self {
            max,
            fan_out,
            delivered: AtomicU64::new(0),
            wanted: AtomicU64::new(NOBODY_WAITS),
            publisher: OnceLock::new(),
        }
    }

    /// Deliveries so far.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::SeqCst)
    }

    /// Deliveries that `sent` messages make.
    pub(crate) fn deliveries_of(&self, sent: u64) -> u64 {
        sent * self.fan_out
    }

    /// Called by subscribers after each read.
    pub(crate) fn add_delivered(&self, count: u64) {
        let delivered = self.delivered.fetch_add(count, Ordering::SeqCst) + count;
        if delivered >= self.wanted.load(Ordering::SeqCst)
            && let Some(publisher) = self.publisher.get()
        {
            publisher.unpark();
        }
    }

    /// Whether `more` messages have room behind the `sent` that were sent.
    pub(crate) fn has_room(&self, sent: u64, more: u64) -> bool {
        self.max.is_none_or(|max| {
            let must_be_done = (sent + more).saturating_sub(max);
            self.delivered() >= self.deliveries_of(must_be_done)
        })
    }

    /// Waits, on the publisher's thread, until half of the window is free, so that it is woken
    /// rarely and then has much to send. Returns early when `stop` is set.
    pub(crate) fn wait_for_room(&self, sent: u64, stop: &AtomicBool) {
        let Some(max) = self.max else {
            return;
        };
        self.publisher.get_or_init(thread::current);
        let wanted = self.deliveries_of(sent.saturating_sub(max / 2));
        self.wanted.store(wanted, Ordering::SeqCst);
        while self.delivered() < wanted && !stop.load(Ordering::Relaxed) {
            thread::park_timeout(STOP_CHECK);
        }
        self.wanted.store(NOBODY_WAITS, Ordering::SeqCst);
    }
}
