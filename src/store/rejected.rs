//! Keeping the points aside that InfluxDB rejects, so that none is lost and somebody hears of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use log::warn;

use super::points::topic;
use super::sift::RejectedLine;
use super::{NOT_SENT, StoreError};
use crate::lock::lock;
use crate::state::{NewRejected, State, StateError};

/// The rejected points of the state file, and the limit that they keep to.
#[derive(Debug)]
pub(super) struct Rejected {
    state: Arc<Mutex<State>>,
    /// Most bytes of lines and answers.
    bytes_max: u64,
    room: Mutex<Room>,
    reports: Mutex<HashMap<String, Report>>,
}

/// How much is kept, as far as is known: a subcommand may have made room since.
#[derive(Debug)]
struct Room {
    bytes: u64,
    /// When SQLite was asked, which then reads every row.
    asked: Instant,
}

/// What the log has about one reason.
#[derive(Debug)]
struct Report {
    last: Instant,
    /// Points since then.
    untold: usize,
}

/// One reason is logged so often at most: a client whose points are all wrong would fill the log.
const REPORT_PAUSE: Duration = Duration::from_secs(10);

/// How long nobody asks again whether a subcommand has made room.
const ROOM_PAUSE: Duration = Duration::from_secs(1);

/// Reasons that are told apart. InfluxDB has about a dozen.
const REASONS_MAX: usize = 50;

impl Rejected {
    /// The rejected points in `state`, with what an earlier process left there.
    pub(super) fn open(state: Arc<Mutex<State>>, bytes_max: u64) -> Result<Self, StateError> {
        let room = Room {
            bytes: lock(&state).rejected_totals()?.bytes,
            asked: Instant::now(),
        };
        Ok(Self {
            state,
            bytes_max,
            room: Mutex::new(room),
            reports: Mutex::default(),
        })
    }

    /// Keeps `lines`. When it returns, they survive a power failure.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] when there is no room for them; then none is kept.
    pub(super) fn keep(&self, lines: &[RejectedLine<'_>]) -> Result<(), StoreError> {
        let points = to_keep(lines);
        let kept = self.insert(&points);
        if let Err(why) = kept {
            let (status, answer) = lines
                .first()
                .map_or((0, ""), |line| (line.status, line.answer.as_str()));
            return Err(StoreError::Rejected {
                status,
                answer: format!("{answer}; and it cannot be kept aside: {why}"),
            });
        }
        self.note(&points);
        Ok(())
    }

    fn insert(&self, points: &[NewRejected]) -> Result<(), String> {
        let new: u64 = points.iter().map(NewRejected::bytes).sum();
        let said = |error: StateError| error.to_string();
        let mut state = lock(&self.state);
        let mut room = lock(&self.room);
        if room.bytes + new > self.bytes_max && room.asked.elapsed() > ROOM_PAUSE {
            room.bytes = state.rejected_totals().map_err(said)?.bytes;
            room.asked = Instant::now();
        }
        let bytes = room.bytes + new;
        drop(room);
        if bytes > self.bytes_max {
            return Err(format!(
                "there would be {bytes} bytes of rejected points, and --rejected-max-size is {} \
                 (mqtt-server rejected drop makes room)",
                self.bytes_max
            ));
        }
        state.keep_rejected(points).map_err(said)
    }

    /// Counts and logs points that are kept now.
    pub(super) fn note(&self, points: &[NewRejected]) {
        lock(&self.room).bytes += points.iter().map(NewRejected::bytes).sum::<u64>();
        self.report(points);
    }

    /// Logs points that are kept: one line for each reason, and seldom.
    fn report(&self, points: &[NewRejected]) {
        let mut fresh: HashMap<&str, (usize, &NewRejected)> = HashMap::new();
        for point in points {
            fresh.entry(reason(&point.answer)).or_insert((0, point)).0 += 1;
        }
        let now = Instant::now();
        for (reason, (count, example)) in fresh {
            let Some(count) = self.due(reason, count, now) else {
                continue;
            };
            let who = match example.status {
                NOT_SENT => "the rules reject",
                _ => "InfluxDB rejects",
            };
            warn!(
                "[REJECTED] {who} {count} of the points, which are kept aside: \
                 topic={:?} status={}: {} (see mqtt-server rejected list)",
                example.topic.as_deref().unwrap_or_default(),
                example.status,
                example.answer
            );
        }
    }

    /// How many points of this reason are to be logged now, if any.
    fn due(&self, reason: &str, count: usize, now: Instant) -> Option<usize> {
        let mut reports = lock(&self.reports);
        if let Some(report) = reports.get_mut(reason) {
            report.untold += count;
            if now.duration_since(report.last) < REPORT_PAUSE {
                return None;
            }
            report.last = now;
            return Some(std::mem::take(&mut report.untold));
        }
        if reports.len() >= REASONS_MAX {
            reports.clear();
        }
        let report = Report {
            last: now,
            untold: 0,
        };
        reports.insert(reason.to_owned(), report);
        Some(count)
    }
}

/// Rejected lines as they are kept.
pub(super) fn to_keep(lines: &[RejectedLine<'_>]) -> Vec<NewRejected> {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let rejected_ns = i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX);
    let keep = |rejected: &RejectedLine<'_>| NewRejected {
        rejected_ns,
        status: rejected.status,
        answer: rejected.answer.clone(),
        topic: topic(rejected.line),
        line: rejected.line.to_vec(),
    };
    lines.iter().map(keep).collect()
}

/// What an answer says in general, without the names and numbers of one case.
fn reason(answer: &str) -> &str {
    let text = answer.strip_prefix("partial write: ").unwrap_or(answer);
    let particular = |c: char| matches!(c, '"' | '\'' | '(' | '=') || c.is_ascii_digit();
    text.split(particular).next().unwrap_or(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn rejected(bytes_max: u64) -> (tempfile::TempDir, Rejected) {
        let folder = tempfile::tempdir().unwrap();
        let state = Arc::new(Mutex::new(State::open(folder.path()).unwrap()));
        (folder, Rejected::open(state, bytes_max).unwrap())
    }

    fn line(line: &[u8]) -> RejectedLine<'_> {
        RejectedLine {
            line,
            status: 400,
            answer: "field type conflict".to_owned(),
        }
    }

    #[test]
    fn is_bounded() {
        let (_folder, rejected) = rejected(60);
        assert_eq!(rejected.keep(&[line(b"m,topic=a a=1 1")]), Ok(()));
        let full = rejected.keep(&[line(b"m,topic=a a=2 2")]).unwrap_err();
        assert!(full.to_string().contains("--rejected-max-size"), "{full}");
        let kept = lock(&rejected.state).rejected_after(0, 10).unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].point.topic.as_deref(), Some("a"));
        assert_eq!(kept[0].point.line, b"m,topic=a a=1 1");
    }

    #[test]
    fn tells_reasons_apart_and_not_their_cases() {
        let conflict = "partial write: field type conflict: input field \"a\" on measurement \"m\" is type string";
        let other = "partial write: field type conflict: input field \"b\" on measurement \"m\" is type string";
        let limit = "partial write: max-values-per-tag limit exceeded (100000/100000): measurement=\"mqtt\"";
        assert_eq!(reason(conflict), reason(other));
        assert_ne!(reason(conflict), reason(limit));
    }

    #[test]
    fn reports_a_reason_once_in_a_while_with_all_that_came() {
        let (_folder, rejected) = rejected(0);
        let start = Instant::now();
        assert_eq!(rejected.due("a", 1, start), Some(1));
        assert_eq!(rejected.due("a", 2, start + REPORT_PAUSE / 2), None);
        assert_eq!(rejected.due("b", 1, start + REPORT_PAUSE / 2), Some(1));
        assert_eq!(rejected.due("a", 3, start + REPORT_PAUSE), Some(5));
    }
}
