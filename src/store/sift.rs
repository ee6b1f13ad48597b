//! Finding the points that InfluxDB does not want among those that it does.

use super::StoreError;
use super::influx::{Failure, NamedLine};
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
/// InfluxDB 3 names the bad lines. The answers of 1.x and 2.x do not name every one, and a line that
/// is malformed can hide behind another. So what was rejected is sent again in halves, until the bad
/// lines stand alone: a point that is written twice is still one point.
///
/// # Errors
/// When InfluxDB is away or refuses, also half-way. Then nothing is known of any line.
pub(super) fn post<'a>(
    lines: &'a [u8],
    post: &impl Fn(&[u8]) -> Result<(), Failure>,
) -> Result<Vec<RejectedLine<'a>>, StoreError> {
    let mut rejected = Vec::new();
    if let Err(failure) = post(lines) {
        let split: Vec<&[u8]> = split(lines).collect();
        match take_named(&split, &failure, &mut rejected) {
            // That InfluxDB has what it does not name is seen by sending it again.
            Some(rest) => {
                if let Err(failure) = post_lines(&rest, post) {
                    narrow(&rest, failure, post, &mut rejected)?;
                }
            }
            None => narrow(&split, failure, post, &mut rejected)?,
        }
    }
    Ok(rejected)
}

/// Takes those of `lines` that InfluxDB names as rejected, and returns the others. `None` if it
/// names none, or what it names is not what was sent: a good line must not be taken for a bad one.
fn take_named<'a>(
    lines: &[&'a [u8]],
    failure: &Failure,
    rejected: &mut Vec<RejectedLine<'a>>,
) -> Option<Vec<&'a [u8]>> {
    let StoreError::Rejected { status, .. } = failure.error else {
        return None;
    };
    let mut named: Vec<&NamedLine> = failure.named.iter().collect();
    named.sort_by_key(|it| it.index);
    named.dedup_by_key(|it| it.index);
    let is_known = |it: &NamedLine| {
        let beginning = it.original.trim_end().trim_end_matches('.').as_bytes();
        let line = lines.get(it.index);
        !beginning.is_empty() && line.is_some_and(|line| line.starts_with(beginning))
    };
    if named.is_empty() || !named.iter().all(|it| is_known(it)) {
        return None;
    }
    let mut named = named.into_iter().peekable();
    let mut rest = Vec::new();
    for (index, &line) in lines.iter().enumerate() {
        match named.next_if(|it| it.index == index) {
            Some(it) => rejected.push(RejectedLine {
                line,
                status,
                answer: it.answer.clone(),
            }),
            None => rest.push(line),
        }
    }
    Some(rest)
}

/// Posts lines that were taken apart; none need no request.
fn post_lines(
    lines: &[&[u8]],
    post: &impl Fn(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut body = lines.join(&b'\n');
    body.push(b'\n');
    post(&body)
}

/// Goes on with lines that were posted together, which ended in `failure`.
fn narrow<'a>(
    lines: &[&'a [u8]],
    failure: Failure,
    post: &impl Fn(&[u8]) -> Result<(), Failure>,
    rejected: &mut Vec<RejectedLine<'a>>,
) -> Result<(), StoreError> {
    let StoreError::Rejected { status, answer } = failure.error else {
        return Err(failure.error);
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
        if let Err(failure) = post_lines(half, post) {
            narrow(half, failure, post, rejected)?;
        }
    }
    Ok(())
}

/// How many points InfluxDB says that it dropped of a write. It may have dropped more. Version 2.x
/// has words before and after what 1.x says.
fn dropped(answer: &str) -> Option<usize> {
    let (_, reason) = answer.split_once("partial write: ")?;
    let (_, count) = reason.rsplit_once(" dropped=")?;
    count.split(' ').next()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn rejection(answer: &str) -> Failure {
        let answer = answer.to_owned();
        StoreError::Rejected {
            status: 400,
            answer,
        }
        .into()
    }

    /// Answers as InfluxDB does: the lines with `conflict` are counted, and hide the malformed.
    fn influx(body: &[u8]) -> Result<(), Failure> {
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
                4 => Err(away.clone().into()),
                _ => influx(body),
            }
        };
        assert_eq!(post(body.as_bytes(), &leaving), Err(away.clone()));
    }

    /// Answers as InfluxDB 3 does, which names the lines with `clash`; and `shift` lines later.
    fn influx_3(body: &[u8], shift: usize) -> Result<(), Failure> {
        let text = str::from_utf8(body).unwrap();
        let name = |(index, line): (usize, &str)| NamedLine {
            index: index + shift,
            original: line.chars().take(12).collect(),
            answer: format!("invalid column type in {line}"),
        };
        let lines = text.lines().enumerate();
        let named: Vec<_> = lines
            .filter(|(_, line)| line.contains("clash"))
            .map(name)
            .collect();
        match named.is_empty() {
            true => Ok(()),
            false => Err(Failure {
                named,
                ..rejection("partial write of line protocol occurred")
            }),
        }
    }

    #[test]
    fn believes_names_of_lines_that_it_can_check() {
        let what = |number: usize| match number {
            0 | 3 | 99 => "clash",
            _ => "good",
        };
        let body: String = (0..100).map(|number| line(number, what(number))).collect();
        // With names of other lines it takes more requests, and the same lines are found.
        for (shift, requests) in [(0, 2..=2), (1, 3..=40)] {
            let posts = Cell::new(0);
            let rejected = post(body.as_bytes(), &|body: &[u8]| {
                posts.set(posts.get() + 1);
                influx_3(body, shift)
            });
            let rejected = rejected.unwrap();
            let found: Vec<_> = rejected.iter().map(|it| it.line).collect();
            let expected = [0, 3, 99].map(|number| line(number, "clash"));
            let expected = expected.each_ref().map(|line| line.trim_end().as_bytes());
            assert_eq!(found, expected);
            assert!(requests.contains(&posts.get()), "{shift}: {}", posts.get());
        }
    }

    #[test]
    fn finds_the_count_in_the_words_of_each_version() {
        for (answer, count) in [
            ("partial write: points beyond dropped=3", Some(3)),
            (
                "failure writing points to database: partial write: dropped 2 points outside \
                 retention policy dropped=2 for database: a for retention policy: b",
                Some(2),
            ),
            ("partial write: dropped=x", None),
            ("unable to parse 'm dropped=1'", None),
        ] {
            assert_eq!(dropped(answer), count, "{answer}");
        }
    }
}
