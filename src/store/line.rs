//! The pieces of InfluxDB's line protocol: fields, escaping, digits.
//!
//! The rules are those of influxd 1.6.7, found by writing and reading back. Tags and field names
//! escape `,`, `=` and space with a backslash; every other backslash there is literal. String
//! values stand in double quotes and escape `"` and `\` only; any other byte in them is literal,
//! also a newline.

use std::io::Write;

/// The longest series key that influxd takes, in bytes as escaped. The name of each field, as
/// escaped, and [`KEY_SEPARATOR`] between the two count too.
pub(super) const KEY_LEN_MAX: usize = 65_535;

/// What influxd puts between a series key and a field name in its files.
pub(super) const KEY_SEPARATOR: &str = "#!~#";

/// Whether `c` needs a backslash before it in a tag or in the name of a field.
pub(super) fn is_escaped_in_names(c: char) -> bool {
    matches!(c, ',' | '=' | ' ')
}

/// The fields of one point, appended to a line that ends in the space after its series.
pub(super) struct Fields<'a> {
    out: &'a mut Vec<u8>,
    /// Where the first field begins in `out`.
    start: usize,
}

impl<'a> Fields<'a> {
    /// No fields yet, at the end of `out`.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start }
    }

    /// Whether the point has no field yet; influxd rejects a point without one.
    pub(super) fn is_empty(&self) -> bool {
        self.out.len() == self.start
    }

    /// Takes all fields back.
    pub(super) fn clear(&mut self) {
        self.out.truncate(self.start);
    }

    /// Begins a field whose `name` needs no escape; the caller appends the value to what this
    /// returns.
    pub(super) fn begin(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.is_empty() {
            self.out.push(b',');
        }
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'=');
        self.out
    }

    /// Begins a field whose name is `stem`, escaped here, and `suffix`, which needs no escape. The
    /// stem has no newline and no backslash: no escape can express them.
    pub(super) fn begin_escaped(&mut self, stem: &str, suffix: &str) -> &mut Vec<u8> {
        if !self.is_empty() {
            self.out.push(b',');
        }
        for &byte in stem.as_bytes() {
            if is_escaped_in_names(char::from(byte)) {
                self.out.push(b'\\');
            }
            self.out.push(byte);
        }
        self.out.extend_from_slice(suffix.as_bytes());
        self.out.push(b'=');
        self.out
    }

    /// Appends `fields` that were made apart, with commas between them.
    pub(super) fn append(&mut self, fields: &[u8]) {
        if !self.is_empty() && !fields.is_empty() {
            self.out.push(b',');
        }
        self.out.extend_from_slice(fields);
    }

    /// Appends a string field whose `name` needs no escape.
    pub(super) fn push_string(&mut self, name: &str, value: &str) {
        push_quoted(value, self.begin(name));
    }
}

/// Appends `value` as a string value: in quotes, escaped.
pub(super) fn push_quoted(value: &str, out: &mut Vec<u8>) {
    out.reserve(value.len() + 2);
    out.push(b'"');
    // Text seldom has anything to escape: a block is looked through at once, by vector
    // instructions, and then copied whole.
    for block in value.as_bytes().chunks(32) {
        if block
            .iter()
            .fold(false, |found, &byte| found | is_escaped_in_strings(byte))
        {
            push_escaped(block, out);
        } else {
            out.extend_from_slice(block);
        }
    }
    out.push(b'"');
}

/// Appends bytes of a string value, each with its escape.
fn push_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        if is_escaped_in_strings(byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

/// Whether `byte` needs a backslash before it in a string value.
fn is_escaped_in_strings(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\')
}

/// Appends the shortest text that reads back as the finite `value`, never longer than 24 bytes:
/// very large and very small ones get an exponent.
pub(super) fn push_float(value: f64, out: &mut Vec<u8>) {
    let plain = value == 0.0 || (1e-5..1e16).contains(&value.abs());
    if plain {
        write!(out, "{value}")
    } else {
        write!(out, "{value:e}")
    }
    .expect("a vector takes every write");
}

/// Appends a decimal integer with its sign.
pub(super) fn push_signed(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    push_unsigned(value.unsigned_abs(), out);
}

/// Appends a decimal integer, in groups of eight digits.
pub(super) fn push_unsigned(value: u64, out: &mut Vec<u8>) {
    const GROUP: u64 = 100_000_000;

    let (high, low) = (value / GROUP, value % GROUP);
    let digits = eight_digits(low);
    if high > 0 {
        push_unsigned(high, out);
        out.extend_from_slice(&digits);
    } else {
        let (last, rest) = digits.split_last().expect("eight digits");
        out.extend(rest.iter().skip_while(|&&digit| digit == b'0'));
        out.push(*last);
    }
}

/// The digits of a `value` below 100,000,000, with leading zeros.
///
/// The number is halved three times, all halves side by side in one word: two lanes of four digits,
/// four of two, eight of one. The multiplications are divisions by 100 and by 10, exact for what a
/// lane can hold, and the masks cut off what they leave of the lane's fraction.
fn eight_digits(value: u64) -> [u8; 8] {
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    let ones = tens | ((pairs - tens * 10) << 8);
    (ones | 0x3030_3030_3030_3030).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::{Fields, push_float, push_quoted, push_signed, push_unsigned};

    #[test]
    fn separates_fields_by_commas() {
        let mut out = b"m ".to_vec();
        let mut fields = Fields::new(&mut out);
        assert!(fields.is_empty());
        fields.begin("a").push(b'1');
        fields.begin_escaped("b c,d=e", "_f").push(b'2');
        fields.push_string("g", "h");
        assert!(!fields.is_empty());
        assert_eq!(text(&out), r#"m a=1,b\ c\,d\=e_f=2,g="h""#);

        let mut fields = Fields::new(&mut out);
        fields.push_string("i", "j");
        fields.clear();
        assert_eq!(text(&out), r#"m a=1,b\ c\,d\=e_f=2,g="h""#);
    }

    #[test]
    fn escapes_quotes_and_backslashes_in_strings_only() {
        for (value, expected) in [
            ("", r#""""#),
            (r#"say "hi""#, r#""say \"hi\"""#),
            (r"C:\temp\", r#""C:\\temp\\""#),
            ("a,b=c d\r\n\t\0é😀", "\"a,b=c d\r\n\t\0é😀\""),
        ] {
            assert_eq!(quoted(value), expected);
        }
    }

    #[test]
    fn escapes_at_every_place_of_a_long_string() {
        for at in 0..100 {
            let mut value = "x".repeat(100);
            value.replace_range(at..=at, "\"");
            assert_eq!(
                quoted(&value),
                format!("\"{}\"", value.replace('"', "\\\""))
            );
        }
    }

    #[test]
    fn writes_the_shortest_float() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (21.5, "21.5"),
            (-3.0, "-3"),
            (0.00001, "0.00001"),
            (0.000001, "1e-6"),
            (9_999_999_999_999_998.0, "9999999999999998"),
            (1e16, "1e16"),
            (f64::MAX, "1.7976931348623157e308"),
            (-f64::MIN_POSITIVE, "-2.2250738585072014e-308"),
            (5e-324, "5e-324"),
        ] {
            let mut out = Vec::new();
            push_float(value, &mut out);
            assert_eq!(text(&out), expected);
        }
    }

    #[test]
    fn writes_every_length_of_integer() {
        let mut value: u64 = 0;
        for digit in 0..20_u32 {
            value = value
                .saturating_mul(10)
                .saturating_add(u64::from(digit % 10));
            for value in [value, value.saturating_sub(1), value / 7, 10u64.pow(digit)] {
                let mut out = Vec::new();
                push_unsigned(value, &mut out);
                assert_eq!(text(&out), value.to_string());
            }
        }
        for value in 0..10_000 {
            let value = value * 100_010_001;
            let mut out = Vec::new();
            push_unsigned(value, &mut out);
            assert_eq!(text(&out), value.to_string());
        }
        for value in [u64::MAX, 99_999_999, 100_000_000] {
            let mut out = Vec::new();
            push_unsigned(value, &mut out);
            assert_eq!(text(&out), value.to_string());
        }
    }

    #[test]
    fn writes_signed_integers() {
        for value in [0, 1, -1, i64::MIN, i64::MAX, 1_700_000_000_000_000_000] {
            let mut out = Vec::new();
            push_signed(value, &mut out);
            assert_eq!(text(&out), value.to_string());
        }
    }

    fn quoted(value: &str) -> String {
        let mut out = Vec::new();
        push_quoted(value, &mut out);
        text(&out).to_owned()
    }

    fn text(bytes: &[u8]) -> &str {
        str::from_utf8(bytes).expect("UTF-8 in, UTF-8 out")
    }
}
