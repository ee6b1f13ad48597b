//! How fast one client may send.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::{Limit, TokenBucket};

/// How fast each client may send; 0 is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct PaceLimits {
    /// PUBLISH packets per second.
    pub messages_per_second: u32,
    /// Bytes per second, of MQTT and not of what lies beneath.
    pub bytes_per_second: u32,
}

/// Counts what one client sends, and says how long it is not to be read. Nothing is lost: what it
/// has sent waits in its socket, and when that is full in its own.
#[derive(Debug)]
pub struct Pace {
    messages: Option<TokenBucket>,
    bytes: Option<TokenBucket>,
    limits: PaceLimits,
    /// What came since [`Pace::owed`] was asked.
    new_messages: u64,
    new_bytes: u64,
}

/// The fewest bytes of a PUBLISH: its fixed header and a topic of one character.
const PUBLISH_LEN_MIN: usize = 5;

/// Fewer bytes are not worth a read, unless bytes are what is limited: a large packet of a client
/// that may send few messages would be thousands of reads.
const READ_LEN_MIN: usize = 256;

impl Pace {
    /// That of a client that connects at `now`.
    #[must_use]
    pub fn new(limits: PaceLimits, now: Instant) -> Self {
        let bucket = |rate| NonZeroU32::new(rate).map(|rate| TokenBucket::new(rate, now));
        Self {
            messages: bucket(limits.messages_per_second),
            bytes: bucket(limits.bytes_per_second),
            limits,
            new_messages: 0,
            new_bytes: 0,
        }
    }

    /// Counts a message.
    pub fn note_message(&mut self) {
        self.new_messages += 1;
    }

    /// Counts bytes that were read.
    pub fn note_bytes(&mut self, count: usize) {
        self.new_bytes += count as u64;
    }

    /// How long nothing more is to be read, and for which limit; `None` when the client is within
    /// all of them.
    pub fn owed(&mut self, now: Instant) -> Option<(Limit, Duration)> {
        let messages = std::mem::take(&mut self.new_messages);
        let bytes = std::mem::take(&mut self.new_bytes);
        let owed = |bucket: &mut Option<TokenBucket>, count| {
            bucket
                .as_mut()
                .map_or(Duration::ZERO, |bucket| bucket.take(count, now))
        };
        let by_messages = owed(&mut self.messages, messages);
        let by_bytes = owed(&mut self.bytes, bytes);
        let longest = match by_messages >= by_bytes {
            true => (Limit::MessageRate, by_messages),
            false => (Limit::ByteRate, by_bytes),
        };
        Some(longest).filter(|(_, wait)| !wait.is_zero())
    }

    /// Whether there is any limit.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.messages.is_some() || self.bytes.is_some()
    }

    /// How many bytes are worth reading at a time: about what is paid for within a second. More
    /// would make a client wait for long, and its PINGREQ as well.
    #[must_use]
    pub fn read_len_max(&self) -> usize {
        let bytes = |rate: u32, size: usize| match usize::try_from(rate) {
            Ok(rate @ 1..) => rate.saturating_mul(size),
            Ok(0) | Err(_) => usize::MAX,
        };
        bytes(self.limits.messages_per_second, PUBLISH_LEN_MIN)
            .max(READ_LEN_MIN)
            .min(bytes(self.limits.bytes_per_second, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(messages_per_second: u32, bytes_per_second: u32) -> (Pace, Instant) {
        let limits = PaceLimits {
            messages_per_second,
            bytes_per_second,
        };
        let now = Instant::now();
        (Pace::new(limits, now), now)
    }

    #[test]
    fn owes_for_the_limit_that_is_exceeded_most() {
        let (mut pace, start) = pace(10, 100);
        (0..20).for_each(|_| pace.note_message());
        pace.note_bytes(150);
        let owed = pace.owed(start);
        assert_eq!(owed, Some((Limit::MessageRate, Duration::from_secs(1))));
        pace.note_bytes(150);
        let owed = pace.owed(start);
        assert_eq!(owed, Some((Limit::ByteRate, Duration::from_secs(2))));
        assert_eq!(pace.owed(start + Duration::from_secs(2)), None);
    }

    #[test]
    fn never_owes_without_a_limit() {
        let (mut pace, start) = pace(0, 0);
        (0..1_000).for_each(|_| pace.note_message());
        pace.note_bytes(usize::MAX);
        assert_eq!(pace.owed(start), None);
        assert_eq!(pace.read_len_max(), usize::MAX);
    }

    #[test]
    fn reads_about_a_second_at_a_time() {
        assert_eq!(pace(1_000, 0).0.read_len_max(), 5_000);
        assert_eq!(pace(10, 0).0.read_len_max(), READ_LEN_MIN);
        assert_eq!(pace(0, 10).0.read_len_max(), 10);
        assert_eq!(pace(1_000, 300).0.read_len_max(), 300);
    }
}
