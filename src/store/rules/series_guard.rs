//! A bound on the series that a rule makes: InfluxDB keeps each in its index.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::fast::RandomState;
use log::warn;

use crate::config::rule::Rule;
use crate::lock::lock;

/// The series that a rule has made since the server was started.
///
/// It knows their hashes only: of a million series two have the same one with a probability of
/// 1 to 37 million, and then one series too many gets through.
#[derive(Debug)]
pub(super) struct SeriesGuard {
    max: usize,
    hasher: RandomState,
    seen: Mutex<HashSet<u64>>,
    has_warned: AtomicBool,
}

impl SeriesGuard {
    /// A guard that lets `max` series through.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            hasher: RandomState::default(),
            seen: Mutex::default(),
            has_warned: AtomicBool::new(false),
        }
    }

    /// Whether a point of the series `key` may be written. Warns when the first may not.
    pub(super) fn admits(&self, key: &[u8], rule: &Rule) -> bool {
        let hash = self.hasher.hash_one(key);
        let mut seen = lock(&self.seen);
        if seen.contains(&hash) {
            return true;
        }
        if seen.len() < self.max {
            return seen.insert(hash);
        }
        drop(seen);
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            warn!(
                "[RULES] rule {} ({}) has made {} series, its max-series: points of others are \
                 kept aside (see mqtt-server rejected list)",
                rule.number,
                rule.filter.as_str(),
                self.max
            );
        }
        false
    }
}
