//! When a small write waits for others to join it.
//!
//! A thousand sensors that each send a message a second are a thousand writes a second if each goes
//! at once: they rarely come while another is under way. The request, not the point, is what costs
//! InfluxDB then. So this is the one case in which a timer delays a write: many small writes in a
//! short time, each of a client that was quiet before. Then the first one waits, a few milliseconds
//! at most, and those who come meanwhile share its request.
//!
//! Nothing waits
//! - while there are few writes: a message alone has the latency of its write, no more;
//! - that is large: the request costs little beside its points;
//! - of a client that has just written. Who sends the next message when the last one is
//!   acknowledged, or sends without a pause, would be slowed down by every wait.
//!
//! Measured with 1,000 publishers of a message a second, on two cores: 30 µs of influxd's CPU for a
//! point, against 300 without the wait and 370 with one write per message; the median latency of
//! these publishers' messages is 17 ms with it and 0.5 ms without.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::points::Points;

/// Says how long a write waits for others. It has no clock of its own.
#[derive(Debug)]
pub(super) struct Pace {
    wait_max: Duration,
    /// Points that are worth a request of their own.
    enough_points: usize,
    /// When the last small writes of clients that were quiet began, the oldest first; at most
    /// [`CROWD`].
    recent: VecDeque<Instant>,
}

/// The longest that a write waits. At 1,000 messages/s, 30 others join meanwhile. Half as long would
/// cost InfluxDB twice as much: so far apart, it is requests that cost, nearly 1 ms of CPU each.
pub(super) const WAIT_MAX: Duration = Duration::from_millis(30);

/// So many points do not wait for more of them: at 2,000 messages/s they are together in [`WAIT_MAX`],
/// and at higher rates sooner.
pub(super) const ENOUGH_POINTS: usize = 64;

/// So are so many bytes of lines, which are not copied together either.
const ENOUGH_BYTES: usize = 64 * 1024;

/// So many writes within [`CROWD_TIME`], 320 a second, make it worth while to wait: about ten share
/// a request then. Below that, and for the first ones of a burst, nothing waits.
const CROWD: usize = 16;
const CROWD_TIME: Duration = Duration::from_millis(50);

/// A client is quiet that wrote nothing for so long after its last write was done. Waiting adds at
/// most a third to such a pause.
const QUIET_MIN: Duration = Duration::from_millis(100);

impl Pace {
    /// Waits are of `wait_max`; a write of `enough_points` goes at once.
    pub(super) fn new(wait_max: Duration, enough_points: usize) -> Self {
        Self {
            wait_max,
            enough_points,
            recent: VecDeque::with_capacity(CROWD + 1),
        }
    }

    /// How long a write that begins `now` waits for others at most; `None` if it goes at once.
    /// `quiet` is for how long its client had no write under way.
    pub(super) fn wait(
        &mut self,
        now: Instant,
        quiet: Duration,
        points: &Points<'_>,
    ) -> Option<Duration> {
        if quiet < QUIET_MIN || self.is_enough(points.count, points.lines.len()) {
            return None;
        }
        self.recent.push_back(now);
        if self.recent.len() <= CROWD {
            return None;
        }
        let oldest = self.recent.pop_front()?;
        (now.saturating_duration_since(oldest) <= CROWD_TIME).then_some(self.wait_max)
    }

    /// Whether so many points, in so many bytes of lines, need no others to join them.
    pub(super) fn is_enough(&self, points: usize, bytes: usize) -> bool {
        points >= self.enough_points || bytes >= ENOUGH_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1);

    fn points(count: usize, lines: &[u8]) -> Points<'_> {
        Points {
            lines,
            count,
            first_ns: 0,
            last_ns: 0,
        }
    }

    /// What becomes of each of `count` writes, `interval` apart, of clients that were quiet.
    fn waits(pace: &mut Pace, begin: Instant, interval: Duration, count: u32) -> Vec<bool> {
        (0..count)
            .map(|number| begin + interval * number)
            .map(|now| pace.wait(now, LONG, &points(1, b"a\n")).is_some())
            .collect()
    }

    fn pace() -> Pace {
        Pace::new(WAIT_MAX, ENOUGH_POINTS)
    }

    #[test]
    fn delays_nothing_while_writes_are_few() {
        for interval_ms in [10, 4] {
            let interval = Duration::from_millis(interval_ms);
            let waits = waits(&mut pace(), Instant::now(), interval, 1_000);
            assert!(!waits.contains(&true), "{interval_ms} ms");
        }
    }

    #[test]
    fn waits_in_a_crowd_and_no_longer_once_it_has_gone() {
        let (mut pace, begin) = (pace(), Instant::now());
        let interval = Duration::from_millis(1);
        let in_crowd = waits(&mut pace, begin, interval, 1_000);
        let (first, others) = in_crowd.split_at(CROWD);
        assert!(!first.contains(&true) && !others.contains(&false));

        let later = begin + interval * 1_000 + CROWD_TIME;
        let interval = Duration::from_millis(10);
        assert!(!waits(&mut pace, later, interval, 100).contains(&true));
    }

    #[test]
    fn waits_for_a_bounded_time() {
        let (mut pace, now) = (pace(), Instant::now());
        waits(&mut pace, now, Duration::ZERO, 1_000);
        assert_eq!(pace.wait(now, LONG, &points(1, b"a\n")), Some(WAIT_MAX));
    }

    #[test]
    fn large_writes_neither_wait_nor_make_a_crowd() {
        let (mut pace, now) = (pace(), Instant::now());
        let large = [
            points(ENOUGH_POINTS, b"a\n"),
            points(1, &[b'a'; ENOUGH_BYTES]),
        ];
        for points in large.iter().cycle().take(100) {
            assert_eq!(pace.wait(now, LONG, points), None);
        }
        assert!(!waits(&mut pace, now, Duration::ZERO, 16).contains(&true));
        for points in &large {
            assert_eq!(pace.wait(now, LONG, points), None, "in a crowd");
        }
    }

    #[test]
    fn busy_clients_neither_wait_nor_make_a_crowd() {
        let (mut pace, now) = (pace(), Instant::now());
        let busy = QUIET_MIN - Duration::from_millis(1);
        for _ in 0..100 {
            assert_eq!(pace.wait(now, busy, &points(1, b"a\n")), None);
        }
        assert!(!waits(&mut pace, now, Duration::ZERO, 16).contains(&true));
        assert_eq!(pace.wait(now, busy, &points(1, b"a\n")), None, "in a crowd");
    }
}
