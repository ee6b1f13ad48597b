//! Which point a message becomes.
//!
//! One tag, `topic`, and fields by payload:
//!
//! | payload | fields |
//! |---|---|
//! | a number, `true`, `false` | `value`, float (1 and 0) |
//! | a JSON object | each leaf, by its path: `a_b` (float), `a_c_str` (string) |
//! | other UTF-8 text | `payload`, string |
//! | other bytes | `payload_base64`, string |
//!
//! [`KeepPayload`] says when `payload` stands beside other fields. Where the tag cannot hold the
//! topic, `topic_exact` does (see [`Series`]). A field's name fixes its type: `payload`,
//! `payload_base64`, `topic_exact` and names that end in `_str` are strings, all others floats. So
//! no message is rejected for the type that an earlier one gave to a field.

use std::{error, fmt};

use super::base64::push_base64;
use super::json::push_leaves;
use super::line::{Fields, push_signed};
use super::number::Number;
use super::series::Series;
use crate::config::KeepPayload;

/// The longest name of a measurement, in bytes.
const MEASUREMENT_LEN_MAX: usize = 255;

/// Makes lines of InfluxDB's line protocol from messages.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The measurement, escaped.
    measurement: String,
    keep_payload: KeepPayload,
}

impl Mapping {
    /// A mapping to points of `measurement`: 1 to 255 bytes, without control characters, `\` and
    /// `#`.
    ///
    /// # Errors
    /// [`MappingError`] says what is wrong with the name of the measurement.
    pub fn new(measurement: &str, keep_payload: KeepPayload) -> Result<Self, MappingError> {
        Ok(Self {
            measurement: escape_measurement(measurement)?,
            keep_payload,
        })
    }

    /// What every point of `topic` begins with. The topic of a message is neither empty nor has it
    /// U+0000 [MQTT-4.7.3-1] [MQTT-4.7.3-2]; any other text gets a valid series too.
    pub fn series(&self, topic: &str) -> Series {
        Series::new(&self.measurement, topic)
    }

    /// Appends the point of one message as a line, ended by a newline, to `out`.
    ///
    /// `timestamp_ns` counts from 1970; InfluxDB takes all but the two lowest and the highest. Any
    /// payload has a point. Nothing is allocated but room in `out`, and for a JSON object its path.
    pub fn push_point(
        &self,
        series: &Series,
        payload: &[u8],
        timestamp_ns: i64,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(series.head());
        let mut fields = Fields::new(out);
        self.push_payload(payload, &mut fields);
        if let Some(topic) = series.topic_exact() {
            fields.push_string("topic_exact", topic);
        }
        out.push(b' ');
        push_signed(timestamp_ns, out);
        out.push(b'\n');
    }

    /// The measurement, escaped.
    pub(super) fn measurement(&self) -> &str {
        &self.measurement
    }

    /// Whether a payload that gives other fields, and cannot be rebuilt from them, stands beside
    /// them.
    pub(super) fn keeps_payload(&self) -> bool {
        self.keep_payload != KeepPayload::Never
    }

    /// Appends the fields of a payload.
    pub(super) fn push_payload(&self, payload: &[u8], fields: &mut Fields<'_>) {
        let mut is_rebuildable = false;
        if let Some(number) = Number::parse(payload) {
            number.push_to(fields.begin("value"));
            is_rebuildable = number.is_rebuildable;
        } else if payload == b"true" {
            fields.begin("value").push(b'1');
        } else if payload == b"false" {
            fields.begin("value").push(b'0');
        }
        if is_rebuildable && self.keep_payload != KeepPayload::Always {
            return;
        }

        let Ok(text) = str::from_utf8(payload) else {
            let value = fields.begin("payload_base64");
            value.push(b'"');
            push_base64(payload, value);
            value.push(b'"');
            return;
        };
        if fields.is_empty() {
            push_leaves(text, fields);
        }
        if fields.is_empty() || self.keep_payload != KeepPayload::Never {
            fields.push_string("payload", text);
        }
    }
}

/// The name of a measurement as it stands in a line.
pub(super) fn escape_measurement(name: &str) -> Result<String, MappingError> {
    if name.is_empty() {
        return Err(MappingError::Empty);
    }
    if name.len() > MEASUREMENT_LEN_MAX {
        return Err(MappingError::TooLong(name.len()));
    }
    // A line that begins with `#` is a comment, and influxd takes `#!~#` in a name for its own.
    if let Some(c) = name
        .chars()
        .find(|&c| c.is_control() || c == '\\' || c == '#')
    {
        return Err(MappingError::Character(c));
    }
    Ok(name.replace(',', r"\,").replace(' ', r"\ "))
}

/// Why a measurement cannot have the name it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappingError {
    /// It has no name.
    Empty,
    /// Its name has so many bytes.
    TooLong(usize),
    /// Its name has a character that InfluxDB cannot hold there, or not safely.
    Character(char),
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a measurement must have a name"),
            Self::TooLong(len) => write!(
                f,
                "the name of a measurement has {len} bytes, more than {MEASUREMENT_LEN_MAX}"
            ),
            Self::Character(c) => write!(f, "the name of a measurement must not have {c:?}"),
        }
    }
}

impl error::Error for MappingError {}

#[cfg(test)]
mod tests {
    use allocation_counter::measure;

    use super::{Mapping, MappingError};
    use crate::config::KeepPayload;
    use crate::store::reading::{Point, Value, read_lines};

    const MODES: [KeepPayload; 3] = [KeepPayload::Lossy, KeepPayload::Always, KeepPayload::Never];

    #[test]
    fn maps_payloads_to_fields() {
        // Payload; the fields with `keep-payload` lossy, always, never.
        let cases: &[(&[u8], &str, &str, &str)] = &[
            (
                b"21.5",
                "value=21.5",
                r#"value=21.5,payload="21.5""#,
                "value=21.5",
            ),
            (
                b"21.50",
                r#"value=21.50,payload="21.50""#,
                r#"value=21.50,payload="21.50""#,
                "value=21.50",
            ),
            (
                b" 5",
                r#"value=5,payload=" 5""#,
                r#"value=5,payload=" 5""#,
                "value=5",
            ),
            (
                b"5\n",
                "value=5,payload=\"5\n\"",
                "value=5,payload=\"5\n\"",
                "value=5",
            ),
            (
                b"1e3",
                r#"value=1e3,payload="1e3""#,
                r#"value=1e3,payload="1e3""#,
                "value=1e3",
            ),
            (
                b"true",
                r#"value=1,payload="true""#,
                r#"value=1,payload="true""#,
                "value=1",
            ),
            (
                b"false",
                r#"value=0,payload="false""#,
                r#"value=0,payload="false""#,
                "value=0",
            ),
            (
                b"True",
                r#"payload="True""#,
                r#"payload="True""#,
                r#"payload="True""#,
            ),
            (b"t", r#"payload="t""#, r#"payload="t""#, r#"payload="t""#),
            (b"", r#"payload="""#, r#"payload="""#, r#"payload="""#),
            (
                b"NaN",
                r#"payload="NaN""#,
                r#"payload="NaN""#,
                r#"payload="NaN""#,
            ),
            (
                br#"a"b\"#,
                r#"payload="a\"b\\""#,
                r#"payload="a\"b\\""#,
                r#"payload="a\"b\\""#,
            ),
            (
                b"a\0b\r\n",
                "payload=\"a\0b\r\n\"",
                "payload=\"a\0b\r\n\"",
                "payload=\"a\0b\r\n\"",
            ),
            (
                b"[1]",
                r#"payload="[1]""#,
                r#"payload="[1]""#,
                r#"payload="[1]""#,
            ),
            (
                br#"{"a":1}"#,
                r#"a=1,payload="{\"a\":1}""#,
                r#"a=1,payload="{\"a\":1}""#,
                "a=1",
            ),
            (
                b"{}",
                r#"payload="{}""#,
                r#"payload="{}""#,
                r#"payload="{}""#,
            ),
            (
                b"{]",
                r#"payload="{]""#,
                r#"payload="{]""#,
                r#"payload="{]""#,
            ),
            (
                b"\xff\xfe",
                r#"payload_base64="//4=""#,
                r#"payload_base64="//4=""#,
                r#"payload_base64="//4=""#,
            ),
            (
                b"5\xff",
                r#"payload_base64="Nf8=""#,
                r#"payload_base64="Nf8=""#,
                r#"payload_base64="Nf8=""#,
            ),
            (
                b"{\"a\":\"\xff\"}",
                r#"payload_base64="eyJhIjoi/yJ9""#,
                r#"payload_base64="eyJhIjoi/yJ9""#,
                r#"payload_base64="eyJhIjoi/yJ9""#,
            ),
        ];
        for (payload, lossy, always, never) in cases {
            for (mode, fields) in MODES.into_iter().zip([lossy, always, never]) {
                let name = String::from_utf8_lossy(payload);
                assert_eq!(
                    line(mode, "a/b", payload, 7),
                    format!("mqtt,topic=a/b {fields} 7\n"),
                    "{name:?} {mode:?}"
                );
            }
        }
    }

    #[test]
    fn adds_the_exact_topic_where_the_tag_differs() {
        assert_eq!(
            line(KeepPayload::Lossy, "a\nb\\", b"5", -1),
            "mqtt,topic=a\u{240a}b\u{ff3c} value=5,topic_exact=\"a\nb\\\\\" -1\n"
        );
        assert_eq!(
            line(KeepPayload::Never, "a\n", b"{\"b\":1}", 0),
            "mqtt,topic=a\u{240a} b=1,topic_exact=\"a\n\" 0\n"
        );
    }

    #[test]
    fn appends_lines() {
        let mapping = Mapping::new("my data,1", KeepPayload::Lossy).expect("a good name");
        let mut out = Vec::new();
        mapping.push_point(
            &mapping.series("a"),
            b"1",
            1_763_806_000_123_456_789,
            &mut out,
        );
        mapping.push_point(
            &mapping.series("b c"),
            b"x",
            1_763_806_000_123_456_790,
            &mut out,
        );
        assert_eq!(
            String::from_utf8_lossy(&out),
            "my\\ data\\,1,topic=a value=1 1763806000123456789\n\
             my\\ data\\,1,topic=b\\ c payload=\"x\" 1763806000123456790\n"
        );
    }

    #[test]
    fn rejects_measurements_that_influxdb_cannot_hold() {
        for (name, error) in [
            ("", MappingError::Empty),
            ("a\nb", MappingError::Character('\n')),
            ("a\\", MappingError::Character('\\')),
            ("#a", MappingError::Character('#')),
            (&"x".repeat(256), MappingError::TooLong(256)),
        ] {
            assert_eq!(
                Mapping::new(name, KeepPayload::Lossy).err(),
                Some(error),
                "{name:?}"
            );
        }
        for name in ["mqtt", "a=b", "_x", "a\"b", " ", "é", &"x".repeat(255)] {
            assert!(Mapping::new(name, KeepPayload::Lossy).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn allocates_nothing_for_numbers_and_text() {
        let mapping = Mapping::new("mqtt", KeepPayload::Lossy).expect("a good name");
        let series = mapping.series("a/b");
        let mut out = Vec::with_capacity(1_000);
        for payload in [
            &b"21.5"[..],
            b"21.50",
            b"9007199254740993",
            b"1e300",
            b"true",
            b"text",
            b"\"",
            b"\xff",
        ] {
            let allocations = measure(|| mapping.push_point(&series, payload, 1, &mut out));
            assert_eq!(allocations.count_total, 0, "{payload:?}");
        }
    }

    /// Topics and payloads of awkward pieces, many lines in one buffer, read back by influxd's rules.
    #[test]
    fn reads_back_exactly() {
        const PIECES: [&str; 32] = [
            "a", "b/c", ",", "=", " ", "\"", "\\", "\n", "\r", "\t", "#", "!~#", "'", "é", "😀",
            "\u{85}", "{", "}", "\"k\":", "\"s\"", "[", "]", "null", "true", "5", ".5", "-", "0",
            "e3", ":", "/", "\0",
        ];
        let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut below = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).expect("31 bits") % bound
        };
        for round in 0..2_000 {
            let mode = MODES[round % MODES.len()];
            let mapping = Mapping::new("m", mode).expect("a good name");
            let mut out = Vec::new();
            let mut sent = Vec::new();
            for timestamp_ns in 0..20 {
                let topic: String = (0..=below(8))
                    .map(|_| PIECES[below(PIECES.len())])
                    .collect();
                let mut payload: Vec<u8> = (0..below(10))
                    .flat_map(|_| PIECES[below(PIECES.len())].bytes())
                    .collect();
                match below(4) {
                    0 => payload.push([0x80, 0xc3, 0xff][below(3)]),
                    1 => payload = format!("{{\"k{topic:?}\":{}}}", below(9)).into_bytes(),
                    _ => {}
                }
                mapping.push_point(&mapping.series(&topic), &payload, timestamp_ns, &mut out);
                sent.push((topic, payload));
            }
            let points = read_lines(&out);
            assert_eq!(
                points.len(),
                sent.len(),
                "{}",
                String::from_utf8_lossy(&out)
            );
            for (timestamp_ns, (point, (topic, payload))) in points.iter().zip(&sent).enumerate() {
                assert_eq!(point.timestamp, timestamp_ns.to_string());
                assert_eq!(topic_of(point), topic);
                // What `Never` leaves of a payload need not be all of it.
                if mode != KeepPayload::Never {
                    assert_eq!(payload_of(point).as_ref(), Some(payload));
                }
                for (name, value) in &point.fields {
                    let is_string = name.ends_with("_str")
                        || ["payload", "payload_base64", "topic_exact"].contains(&name.as_str());
                    assert_eq!(matches!(value, Value::String(_)), is_string, "{name}");
                }
            }
        }
    }

    fn line(mode: KeepPayload, topic: &str, payload: &[u8], timestamp_ns: i64) -> String {
        let mapping = Mapping::new("mqtt", mode).expect("a good name");
        let mut out = Vec::new();
        mapping.push_point(&mapping.series(topic), payload, timestamp_ns, &mut out);
        String::from_utf8(out).expect("UTF-8 in, UTF-8 out")
    }

    fn topic_of(point: &Point) -> &str {
        match point.field("topic_exact") {
            Some(Value::String(topic)) => topic,
            _ => &point.topic,
        }
    }

    /// The payload as a reader of the point can have it exactly.
    fn payload_of(point: &Point) -> Option<Vec<u8>> {
        match (
            point.field("payload"),
            point.field("payload_base64"),
            point.field("value"),
        ) {
            (Some(Value::String(text)), ..) => Some(text.clone().into_bytes()),
            (_, Some(Value::String(digits)), _) => Some(decode_base64(digits)),
            (.., Some(Value::Float(float))) => Some(float.to_string().into_bytes()),
            _ => None,
        }
    }

    fn decode_base64(digits: &str) -> Vec<u8> {
        let values = digits
            .bytes()
            .filter(|&digit| digit != b'=')
            .map(|digit| match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                _ => 63,
            });
        let mut bytes = Vec::new();
        let (mut bits, mut len) = (0_u32, 0);
        for value in values {
            bits = ((bits << 6) | u32::from(value)) & 0xffff;
            len += 6;
            if len >= 8 {
                len -= 8;
                bytes.extend(u8::try_from((bits >> len) & 0xff));
            }
        }
        bytes
    }
}
