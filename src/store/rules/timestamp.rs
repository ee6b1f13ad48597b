//! Timestamps that stand in payloads.

use std::ops::RangeInclusive;

use serde_json::Value;

use crate::config::rule::Precision;

/// InfluxDB keeps the two lowest and the highest for itself.
const RANGE: RangeInclusive<i128> = (i64::MIN as i128 + 2)..=(i64::MAX as i128 - 1);

/// Reads a number, or a text that is one, in the unit `precision`, as nanoseconds since 1970. It may
/// have a fraction, of which nanoseconds count.
pub(super) fn from_json(value: &Value, precision: Precision) -> Option<i64> {
    match value {
        Value::Number(number) => from_text(&number.to_string(), precision),
        Value::String(text) => from_text(text, precision),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The same of a text.
pub(super) fn from_text(text: &str, precision: Precision) -> Option<i64> {
    let (is_negative, plain) = match text.strip_prefix('-') {
        Some(plain) => (true, plain),
        None => (false, text),
    };
    let (integer, fraction) = plain.split_once('.').unwrap_or((plain, "0"));
    let is_number =
        |digits: &str| !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
    if !is_number(integer) || !is_number(fraction) {
        return None;
    }
    // As many digits after the point as nanoseconds have.
    let digits = precision.digits();
    let fraction = fraction.bytes().chain(std::iter::repeat(b'0')).take(digits);
    let mut nanoseconds = i128::from(integer.parse::<i64>().ok()?);
    for digit in fraction {
        nanoseconds = nanoseconds * 10 + i128::from(digit - b'0');
    }
    if is_negative {
        nanoseconds = -nanoseconds;
    }
    i64::try_from(nanoseconds)
        .ok()
        .filter(|_| RANGE.contains(&nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::from_text;
    use crate::config::rule::Precision;

    #[test]
    fn reads_every_unit() {
        for (text, precision, expected) in [
            (
                "1763806000",
                Precision::Seconds,
                Some(1_763_806_000_000_000_000),
            ),
            (
                "1763806000.25",
                Precision::Seconds,
                Some(1_763_806_000_250_000_000),
            ),
            (
                "1763806000123",
                Precision::Milliseconds,
                Some(1_763_806_000_123_000_000),
            ),
            ("-1.5", Precision::Microseconds, Some(-1_500)),
            ("7.9", Precision::Nanoseconds, Some(7)),
            (
                "9223372036854775806",
                Precision::Nanoseconds,
                Some(i64::MAX - 1),
            ),
            ("9223372036854775807", Precision::Nanoseconds, None),
            ("9223372037", Precision::Seconds, None),
            ("99999999999999999999", Precision::Nanoseconds, None),
            ("", Precision::Seconds, None),
            ("-", Precision::Seconds, None),
            ("1.", Precision::Seconds, None),
            ("1e3", Precision::Seconds, None),
            ("+1", Precision::Seconds, None),
        ] {
            assert_eq!(from_text(text, precision), expected, "{text:?}");
        }
    }
}
