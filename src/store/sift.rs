//! Finding the points that InfluxDB does not want among those that it does.

use super::StoreError;
use super::points::split;

/// A line that InfluxDB rejects.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RejectedLine<'a> {
    /// The line, without its newline.
    pub(super) line: &'a [u8],
    /// The HTTP status.
    pub(super) status: u16,
    /// InfluxDB's own words.
    pub(super) answer: String,
}

/// Up to so many lines that are rejected together are asked about one by one, so that each has the
/// reason of its own. More share one answer, which names the reason of one of them: a client whose
/// points are all wrong must not cost two requests each.
const OWN_REASON_MAX: usize = 8;

/// Posts `lines` and returns those that InfluxDB rejects; it has all others.
///
/// Its answers do not name every bad line, and one that is malformed can hide behind another. So
/// what was rejected is sent again in halves, until the bad lines stand alone: a point that is
/// written twice is still one point.
///
/// # Errors
/// When InfluxDB is away or refuses, also half-way. Then nothing is known of any line.
pub(super) fn post<'a>(
    lines: &'a [u8],
    post: &impl Fn(&[u8]) -> Result<(), StoreError>,
) -> Result<Vec<RejectedLine<'a>>, StoreError> {
    let mut rejected = Vec::new();
    if let Err(error) = post(lines) {
        let split: Vec<&[u8]> = split(lines).collect();
        narrow(&split, error, post, &mut rejected)?;
    }
    Ok(rejected)
}

/// Goes on with lines that were posted together, which ended in `error`.
fn narrow<'a>(
    lines: &[&'a [u8]],
    error: StoreError,
    post: &impl Fn(&[u8]) -> Result<(), StoreError>,
    rejected: &mut Vec<RejectedLine<'a>>,
) -> Result<(), StoreError> {
    let StoreError::Rejected { status, answer } = error else {
        return Err(error);
    };
    let all_alike = lines.len() > OWN_REASON_MAX && dropped(&answer) == Some(lines.len());
    if lines.len() <= 1 || all_alike {
        rejected.extend(lines.iter().map(|&line| RejectedLine {
            line,
            status,
            answer: answer.clone(),
        }));
        return Ok(());
    }
    let (first, second) = lines.split_at(lines.len() / 2);
    for half in [first, second] {
        let mut body = half.join(&b'\n');
        body.push(b'\n');
        if let Err(error) = post(&body) {
            narrow(half, error, post, rejected)?;
        }
    }
    Ok(())
}

/// How many points InfluxDB says that it dropped of a write. It may have dropped more.
fn dropped(answer: &str) -> Option<usize> {
    let (_, count) = answer
        .strip_prefix("partial write: ")?
        .rsplit_once(" dropped=")?;
    count.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn rejection(answer: &str) -> StoreError {
        StoreError::Rejected {
            status: 400,
            answer: answer.to_owned(),
        }
    }

    /// Answers as InfluxDB does: the lines with `conflict` are counted, and hide the malformed.
    fn influx(body: &[u8]) -> Result<(), StoreError> {
        let text = str::from_utf8(body).unwrap();
        assert!(text.ends_with('\n'), "{text:?}");
        let count = text
            .lines()
            .filter(|line| line.contains("conflict"))
            .count();
        if count > 0 {
            return Err(rejection(&format!(
                "partial write: conflict dropped={count}"
            )));
        }
        match text.lines().find(|line| line.contains("malformed")) {
            Some(line) => Err(rejection(&format!("unable to parse '{line}'"))),
            None => Ok(()),
        }
    }

    fn line(number: usize, what: &str) -> String {
        format!("m,topic=a {what}{number}=1 1\n")
    }

    #[test]
    fn finds_exactly_the_bad_lines() {
        let bad = |number| match number {
            0 | 17 | 998 => "conflict",
            16 | 500 | 999 => "malformed",
            _ => "good",
        };
        let body: String = (0..1_000).map(|number| line(number, bad(number))).collect();
        let posts = Cell::new(0);
        let counting = |body: &[u8]| {
            posts.set(posts.get() + 1);
            influx(body)
        };
        let rejected = post(body.as_bytes(), &counting).unwrap();
        let expected = [0, 16, 17, 500, 998, 999].map(|number| line(number, bad(number)));
        let found = rejected
            .iter()
            .map(|rejected| [rejected.line, b"\n"].concat());
        assert!(found.eq(expected.iter().map(String::as_bytes)));
        for rejected in &rejected {
            let line = str::from_utf8(rejected.line).unwrap();
            assert_eq!(
                line.contains("malformed"),
                rejected.answer.starts_with("unable"),
                "{rejected:?}"
            );
        }
        assert!(posts.get() < 120, "{} requests", posts.get());
    }

    #[test]
    fn asks_once_when_all_are_bad_in_the_same_way() {
        let body: String = (0..1_000).map(|number| line(number, "conflict")).collect();
        let posts = Cell::new(0);
        let rejected = post(body.as_bytes(), &|body: &[u8]| {
            posts.set(posts.get() + 1);
            influx(body)
        });
        assert_eq!(rejected.unwrap().len(), 1_000);
        assert_eq!(posts.get(), 1);
    }

    #[test]
    fn gives_up_when_influxdb_leaves_half_way() {
        let body: String = ["conflict", "good", "conflict", "good"]
            .iter()
            .map(|what| line(0, what))
            .collect();
        let away = StoreError::Unavailable {
            reason: "gone".to_owned(),
        };
        let posts = Cell::new(0);
        let leaving = |body: &[u8]| {
            posts.set(posts.get() + 1);
            match posts.get() {
                4 => Err(away.clone()),
                _ => influx(body),
            }
        };
        assert_eq!(post(body.as_bytes(), &leaving), Err(away.clone()));
    }
}
