//! How often each limit was reached.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use log::warn;

use crate::lock::lock;

/// A limit that clients can reach by the thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// Connections in all.
    Connections,
    /// Connections of one address.
    ConnectionsPerAddress,
    /// Connections of one user.
    ConnectionsPerUser,
    /// CONNECTs per second of one address.
    ConnectRate,
    /// Messages per second of one client.
    MessageRate,
    /// Bytes per second of one client.
    ByteRate,
    /// Sessions in all.
    Sessions,
    /// Retained messages in all.
    Retained,
}

/// Counts how often the limits bite, and logs it: who is refused a thousand times a second must not
/// be able to fill the log as well.
#[derive(Debug, Default)]
pub struct Bites {
    counts: Mutex<BTreeMap<Limit, Count>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    total: u64,
    /// Of those, how many no line has told of yet.
    unreported: u64,
    reported: Option<Instant>,
}

/// How often a limit that goes on biting is logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

impl Bites {
    /// Counts one, and logs it if the last line about this limit is not recent. `who` is for the
    /// log, and has no control characters but those that the log escapes.
    pub fn note(&self, limit: Limit, who: &str) {
        if let Some(unreported) = self.count(limit, Instant::now()) {
            warn!(
                "{limit} is reached: {unreported} {}, last {who}",
                limit.effect()
            );
        }
    }

    /// The limits that were reached, each with how often; in one text, or `None` if none was.
    #[must_use]
    pub fn summary(&self) -> Option<String> {
        let counts = lock(&self.counts);
        let parts: Vec<String> = counts
            .iter()
            .map(|(limit, count)| format!("{limit}: {} {}", count.total, limit.effect()))
            .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// Returns what a line has to tell, if there is to be one.
    fn count(&self, limit: Limit, now: Instant) -> Option<u64> {
        let mut counts = lock(&self.counts);
        let count = counts.entry(limit).or_default();
        count.total += 1;
        count.unreported += 1;
        let is_recent = count
            .reported
            .is_some_and(|then| now.saturating_duration_since(then) < REPORT_INTERVAL);
        if is_recent {
            return None;
        }
        count.reported = Some(now);
        Some(std::mem::take(&mut count.unreported))
    }
}

impl Limit {
    fn effect(self) -> &'static str {
        match self {
            Self::Connections | Self::ConnectionsPerAddress => "connections closed unanswered",
            Self::ConnectionsPerUser | Self::ConnectRate | Self::Sessions => "CONNECTs refused",
            Self::MessageRate | Self::ByteRate => "times a client was held back",
            Self::Retained => "messages not retained",
        }
    }
}

/// The setting.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connections => "--max-connections",
            Self::ConnectionsPerAddress => "--max-connections-per-address",
            Self::ConnectionsPerUser => "--max-connections-per-user",
            Self::ConnectRate => "--max-connect-rate",
            Self::MessageRate => "--max-message-rate",
            Self::ByteRate => "--max-byte-rate",
            Self::Sessions => "--max-sessions",
            Self::Retained => "--max-retained",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_of_many_in_one_line() {
        let bites = Bites::default();
        let start = Instant::now();
        assert_eq!(bites.count(Limit::ConnectRate, start), Some(1));
        for _ in 0..41 {
            assert_eq!(bites.count(Limit::ConnectRate, start), None);
        }
        // Another limit has a line of its own.
        assert_eq!(bites.count(Limit::ByteRate, start), Some(1));
        let later = start + REPORT_INTERVAL;
        assert_eq!(bites.count(Limit::ConnectRate, later), Some(42));
        assert_eq!(bites.count(Limit::ConnectRate, later), None);
        let summary = bites.summary().unwrap_or_default();
        assert!(
            summary.contains("--max-connect-rate: 44 CONNECTs refused"),
            "{summary}"
        );
    }
}
