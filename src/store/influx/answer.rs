//! What InfluxDB's answers mean.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use super::api::Api;
use super::failure::{Failure, NamedLine};
use crate::store::StoreError;

/// How much of an explanation is kept for the log: InfluxDB repeats every bad line whole.
const ANSWER_KEPT_MAX: usize = 500;

/// Longest that InfluxDB is left alone because it asks for it. A typing mistake in a proxy must not
/// keep points in the journal for days.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// What an answer other than 2xx means for the points of the write.
///
/// A 400 or 422 is about the lines, and a 413 about how many they are: such a write is taken apart.
/// Everything else somebody can mend without the points.
pub(super) fn failure(
    api: Api,
    status: StatusCode,
    headers: &HeaderMap,
    body: &str,
    now: SystemTime,
) -> Failure {
    let json = serde_json::from_str::<Value>(body).unwrap_or_default();
    let answer = match explanation(&json, body) {
        words if words.is_empty() => status.canonical_reason().unwrap_or_default().to_owned(),
        words => words,
    };
    let is_of_points = match status {
        StatusCode::PAYLOAD_TOO_LARGE => true,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            !answer.starts_with(DATABASE_LIMIT)
        }
        _ => false,
    };
    let status = status.as_u16();
    if is_of_points {
        return Failure {
            error: StoreError::Rejected { status, answer },
            named: match api {
                Api::V1 | Api::V2 => Vec::new(),
                Api::V3 => named_lines(&json),
            },
            retry_after: None,
        };
    }
    let answer = match (api, status) {
        (Api::V2, 404) => format!("{answer} (--influx-bucket and --influx-org name what is there)"),
        _ => answer,
    };
    Failure {
        error: StoreError::Refused { status, answer },
        named: Vec::new(),
        retry_after: retry_after(headers, now),
    }
}

/// How InfluxDB 3 says with 422 that it has as many databases as it may have.
const DATABASE_LIMIT: &str = "Adding a new database would exceed limit";

/// Whether an answer to a write without any points finds fault with nothing else: InfluxDB 2.x says
/// `writing requires points`, 3.x `incoming write was empty`, both after they have looked at rights
/// and names. 1.x and VictoriaMetrics say 204.
pub(super) fn is_about_emptiness(error: &StoreError) -> bool {
    let StoreError::Rejected { answer, .. } = error else {
        return false;
    };
    let answer = answer.to_ascii_lowercase();
    ["empty", "requires points", "no points", "no lines"]
        .iter()
        .any(|words| answer.contains(words))
}

/// What is wrong with the statement of a query, if anything.
pub(super) fn statement_error(body: &str) -> Option<String> {
    let json = serde_json::from_str::<Value>(body).ok()?;
    let error = json.pointer("/results/0/error")?.as_str()?;
    Some(error.to_owned())
}

/// What is wrong, in InfluxDB's own words: `{"error":"..."}` of 1.x, `{"code":..,"message":".."}` of
/// 2.x, `{"error":"..","data":[{"error_message":".."}]}` of 3.x, or the whole body.
fn explanation(json: &Value, body: &str) -> String {
    let words = |key: &str| json.get(key)?.as_str();
    let mut text = words("error")
        .or_else(|| words("message"))
        .unwrap_or_else(|| body.trim())
        .to_owned();
    let first = named_entries(json).next();
    if let Some(reason) = first.and_then(|entry| entry.get("error_message")?.as_str()) {
        text = format!("{text}: {reason}");
    }
    shortened(text)
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(ANSWER_KEPT_MAX) {
        Some((end, _)) => format!("{} ...", text.split_at(end).0),
        None => text,
    }
}

/// The lines that InfluxDB 3 names: `data` is a list of them, or one alone.
fn named_lines(json: &Value) -> Vec<NamedLine> {
    let line = |entry: &Value| {
        let number = entry.get("line_number")?.as_u64()?;
        Some(NamedLine {
            index: usize::try_from(number.checked_sub(1)?).ok()?,
            original: entry.get("original_line")?.as_str()?.to_owned(),
            answer: shortened(entry.get("error_message")?.as_str()?.to_owned()),
        })
    };
    // If one of them cannot be understood, the others may not be what they seem.
    let all: Option<Vec<NamedLine>> = named_entries(json).map(line).collect();
    all.unwrap_or_default()
}

fn named_entries(json: &Value) -> impl Iterator<Item = &Value> {
    let data = json.get("data");
    let list = data.and_then(Value::as_array).map(Vec::as_slice);
    let alone = data.filter(|data| data.is_object());
    list.unwrap_or_default().iter().chain(alone)
}

/// `Retry-After`: seconds or a date, RFC 9110 section 10.2.3.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            date.duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn of(api: Api, status: u16, body: &str) -> Failure {
        let status = StatusCode::from_u16(status).unwrap();
        failure(api, status, &HeaderMap::new(), body, UNIX_EPOCH)
    }

    fn rejected(status: u16, answer: &str) -> Failure {
        let answer = answer.to_owned();
        StoreError::Rejected { status, answer }.into()
    }

    fn refused(status: u16, answer: &str) -> Failure {
        let answer = answer.to_owned();
        StoreError::Refused { status, answer }.into()
    }

    #[test]
    fn understands_each_version() {
        let partial = r#"partial write: field type conflict: input field "v" on measurement "m" is type string, already exists as type float dropped=1"#;
        let body = |key: &str, answer: &str| {
            serde_json::to_string(&serde_json::json!({ key: answer })).unwrap()
        };
        for (api, status, body, expected) in [
            (Api::V1, 400, body("error", partial), rejected(400, partial)),
            (
                Api::V1,
                413,
                body("error", "Request Entity Too Large"),
                rejected(413, "Request Entity Too Large"),
            ),
            (
                Api::V1,
                503,
                "Service Unavailable\n".to_owned(),
                refused(503, "Service Unavailable"),
            ),
            (
                Api::V1,
                301,
                String::new(),
                refused(301, "Moved Permanently"),
            ),
            (
                Api::V2,
                422,
                body("message", partial),
                rejected(422, partial),
            ),
            (
                Api::V2,
                401,
                r#"{"code":"unauthorized","message":"unauthorized access"}"#.to_owned(),
                refused(401, "unauthorized access"),
            ),
            (
                Api::V2,
                404,
                r#"{"code":"not found","message":"bucket \"b\" not found"}"#.to_owned(),
                refused(
                    404,
                    "bucket \"b\" not found (--influx-bucket and --influx-org name what is there)",
                ),
            ),
            (
                Api::V3,
                422,
                body(
                    "error",
                    "Adding a new database would exceed limit of 5 databases",
                ),
                refused(
                    422,
                    "Adding a new database would exceed limit of 5 databases",
                ),
            ),
        ] {
            assert_eq!(of(api, status, &body), expected, "{api:?} {status}");
        }
    }

    #[test]
    fn reads_the_lines_that_are_named() {
        let body = r#"{"error":"partial write of line protocol occurred","data":[
            {"original_line":"m v= 1","line_number":2,"error_message":"No fields were provided"},
            {"original_line":"m v=1i","line_number":5,"error_message":"invalid column type"}]}"#;
        let line = |index, original: &str, answer: &str| NamedLine {
            index,
            original: original.to_owned(),
            answer: answer.to_owned(),
        };
        let answer = "partial write of line protocol occurred: No fields were provided";
        let expected = Failure {
            named: vec![
                line(1, "m v= 1", "No fields were provided"),
                line(4, "m v=1i", "invalid column type"),
            ],
            ..rejected(400, answer)
        };
        assert_eq!(of(Api::V3, 400, body), expected);
        let alone = r#"{"error":"parsing failed for write_lp endpoint","data":
            {"original_line":"m v= 1","line_number":1,"error_message":"No fields"}}"#;
        assert_eq!(
            of(Api::V3, 400, alone).named,
            [line(0, "m v= 1", "No fields")]
        );
        let odd = r#"{"error":"e","data":[{"line_number":0},
            {"original_line":"m","line_number":1,"error_message":"e"}]}"#;
        assert_eq!(of(Api::V3, 400, odd).named, []);
        assert_eq!(of(Api::V2, 400, alone).named, []);
    }

    #[test]
    fn tells_emptiness_from_other_faults() {
        for (api, status, body, expected) in [
            (
                Api::V2,
                400,
                r#"{"code":"invalid","message":"writing requires points"}"#,
                true,
            ),
            (Api::V3, 400, "incoming write was empty", true),
            (
                Api::V2,
                400,
                r#"{"code":"invalid","message":"Please provide either orgID or org"}"#,
                false,
            ),
            (Api::V3, 503, "empty", false),
        ] {
            let failure = of(api, status, body);
            assert_eq!(is_about_emptiness(&failure.error), expected, "{body}");
        }
    }

    #[test]
    fn honours_retry_after_in_both_forms() {
        let now = httpdate::parse_http_date("Fri, 31 Dec 1999 23:59:00 GMT").unwrap();
        for (text, expected) in [
            ("30", Some(Duration::from_secs(30))),
            ("0", Some(Duration::ZERO)),
            (
                "Fri, 31 Dec 1999 23:59:59 GMT",
                Some(Duration::from_secs(59)),
            ),
            ("Fri, 31 Dec 1999 23:58:59 GMT", Some(Duration::ZERO)),
            ("86400", Some(RETRY_AFTER_MAX)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            let status = StatusCode::TOO_MANY_REQUESTS;
            let failure = failure(Api::V2, status, &headers, "", now);
            assert_eq!(failure.retry_after, expected, "{text:?}");
        }
    }

    #[test]
    fn finds_the_error_of_a_statement() {
        let said = |body| statement_error(body);
        assert_eq!(said(r#"{"results":[{"statement_id":0}]}"#), None);
        assert_eq!(
            said(r#"{"results":[{"statement_id":0,"error":"not executed"}]}"#).as_deref(),
            Some("not executed")
        );
    }

    #[test]
    fn shortens_what_is_long() {
        let body = format!("{{\"error\":\"{}\"}}", "\u{fc}".repeat(501));
        let StoreError::Rejected { answer, .. } = of(Api::V1, 400, &body).error else {
            panic!("not rejected");
        };
        assert_eq!(answer, format!("{} ...", "\u{fc}".repeat(500)));
    }
}
