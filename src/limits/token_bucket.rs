//! A rate with some room for bursts.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// So many tokens per second. What was not taken is saved up for a second.
///
/// It is one point in time: when all that was taken will have been paid for at the rate.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    per_second: NonZeroU32,
    paid_at: Instant,
}

/// How much may be taken at once, as the time in which it is paid for. Devices wake at full seconds
/// and send all they have: so a second's worth, and one whole token at any rate.
const BURST: Duration = Duration::from_secs(1);

impl TokenBucket {
    /// A full one at `now`.
    #[must_use]
    pub fn new(per_second: NonZeroU32, now: Instant) -> Self {
        Self {
            per_second,
            paid_at: now,
        }
    }

    /// Takes one token if it is there; returns whether it was.
    pub fn take_if_there(&mut self, now: Instant) -> bool {
        let paid_at = self.after(1, now);
        let is_there = paid_at.saturating_duration_since(now) <= BURST;
        if is_there {
            self.paid_at = paid_at;
        }
        is_there
    }

    /// Takes `count` tokens, whether they are there or not. Returns how long it takes until none is
    /// owed.
    pub fn take(&mut self, count: u64, now: Instant) -> Duration {
        self.paid_at = self.after(count, now);
        self.paid_at
            .saturating_duration_since(now)
            .saturating_sub(BURST)
    }

    /// Whether nothing of what was taken is missing any more: a new one would be the same.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.paid_at <= now
    }

    fn after(&self, count: u64, now: Instant) -> Instant {
        let nanos = count.saturating_mul(1_000_000_000) / u64::from(self.per_second.get());
        let start = self.paid_at.max(now);
        // Beyond what a clock can say is as good as never, and that is nobody's debt.
        start
            .checked_add(Duration::from_nanos(nanos))
            .unwrap_or(start)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn bucket(per_second: u32) -> (TokenBucket, Instant) {
        let now = Instant::now();
        (
            TokenBucket::new(NonZeroU32::new(per_second).unwrap(), now),
            now,
        )
    }

    #[test]
    fn gives_a_second_of_tokens_at_once_and_then_the_rate() {
        let (mut bucket, start) = bucket(4);
        let taken_at = |bucket: &mut TokenBucket, ms| {
            let now = start + Duration::from_millis(ms);
            (0..100).filter(|_| bucket.take_if_there(now)).count()
        };
        assert_eq!(taken_at(&mut bucket, 0), 4);
        assert_eq!(taken_at(&mut bucket, 249), 0);
        assert_eq!(taken_at(&mut bucket, 250), 1);
        assert_eq!(taken_at(&mut bucket, 1_000), 3);
        // Nothing beyond a second is saved up.
        assert_eq!(taken_at(&mut bucket, 60_000), 4);
    }

    #[test]
    fn says_how_long_what_is_owed_takes() {
        let (mut bucket, start) = bucket(10);
        assert_eq!(bucket.take(10, start), Duration::ZERO);
        assert_eq!(bucket.take(5, start), Duration::from_millis(500));
        assert!(!bucket.is_full(start + Duration::from_millis(1_499)));
        assert!(bucket.is_full(start + Duration::from_millis(1_500)));
    }

    #[test]
    fn outlives_absurd_counts() {
        let (mut bucket, start) = bucket(1);
        for _ in 0..10 {
            bucket.take(u64::MAX, start);
        }
        assert!(bucket.take(0, start) > Duration::from_secs(1));
    }
}
