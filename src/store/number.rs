//! Payloads that are numbers.

use std::fmt::{self, Write};

use super::line::push_float;

/// The longest number that is written as it came, in bytes. A longer one is written as the shortest
/// text of its float, so that a megabyte of digits does not become a megabyte of line.
const LITERAL_LEN_MAX: usize = 32;

/// Plain decimals of so many digits are finite, and no two of them are the same `f64`.
const EXACT_DIGITS: usize = 15;

/// A payload that is one number.
#[derive(Debug)]
pub(super) struct Number<'p> {
    value: Value<'p>,
    /// Whether the payload is exactly the shortest plain decimal text of its float, so that a
    /// reader of the float can rebuild the payload.
    pub(super) is_rebuildable: bool,
}

/// What is written for a number.
#[derive(Debug)]
enum Value<'p> {
    /// The digits as they came.
    Literal(&'p [u8]),
    /// The float that they mean.
    Float(f64),
}

impl<'p> Number<'p> {
    /// Reads a payload as a number, if it is one: a number of JSON that is finite as an `f64`, with
    /// ASCII white space around it. Leading zeros are allowed, since InfluxDB takes them.
    pub(super) fn parse(payload: &'p [u8]) -> Option<Self> {
        let literal = payload.trim_ascii();
        let syntax = Syntax::parse(literal)?;
        let is_plain = literal.len() == payload.len() && syntax.is_plain();

        // What sensors send, and no need to compute the float.
        if syntax.digits() <= EXACT_DIGITS && !syntax.has_exponent {
            return Some(Self {
                value: Value::Literal(literal),
                is_rebuildable: is_plain,
            });
        }

        let text = str::from_utf8(literal).ok()?;
        let float: f64 = text.parse().ok().filter(|float: &f64| float.is_finite())?;
        let value = if literal.len() <= LITERAL_LEN_MAX {
            Value::Literal(literal)
        } else {
            Value::Float(float)
        };
        Some(Self {
            value,
            is_rebuildable: is_plain && is_shortest_text(text, float),
        })
    }

    /// Appends the number as the value of a float field.
    pub(super) fn push_to(&self, out: &mut Vec<u8>) {
        match self.value {
            Value::Literal(literal) => out.extend_from_slice(literal),
            Value::Float(float) => push_float(float, out),
        }
    }
}

/// The parts of a number's text.
struct Syntax<'p> {
    is_negative: bool,
    integer: &'p [u8],
    /// The digits after the point, if there is one.
    fraction: Option<&'p [u8]>,
    has_exponent: bool,
}

impl<'p> Syntax<'p> {
    /// Takes a whole text apart: `-? digit+ (. digit+)? ([eE] [+-]? digit+)?`.
    fn parse(literal: &'p [u8]) -> Option<Self> {
        let (is_negative, rest) = match literal.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, literal),
        };
        let (integer, mut rest) = digits(rest)?;
        let mut fraction = None;
        if let Some(after_point) = rest.strip_prefix(b".") {
            let (found, after) = digits(after_point)?;
            fraction = Some(found);
            rest = after;
        }
        let has_exponent = match rest {
            [] => false,
            [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
                let (_, []) = digits(exponent)? else {
                    return None;
                };
                true
            }
            _ => return None,
        };
        Some(Self {
            is_negative,
            integer,
            fraction,
            has_exponent,
        })
    }

    /// How many digits there are before and after the point.
    fn digits(&self) -> usize {
        self.integer.len() + self.fraction.map_or(0, <[u8]>::len)
    }

    /// Whether a float could be written like this: no exponent, no zero too many. Not
    /// `-0`, whose sign many programs lose.
    fn is_plain(&self) -> bool {
        let is_zero = self.integer == b"0";
        !self.has_exponent
            && (is_zero || !self.integer.starts_with(b"0"))
            && self
                .fraction
                .is_none_or(|fraction| !fraction.ends_with(b"0"))
            && !(self.is_negative && is_zero && self.fraction.is_none())
    }
}

/// Splits after the leading digits, of which there is at least one.
fn digits(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = bytes
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(bytes.len());
    bytes.split_at_checked(len).filter(|_| len > 0)
}

/// Whether `text` is the shortest plain decimal text that reads back as `float`.
fn is_shortest_text(text: &str, float: f64) -> bool {
    let mut expected = Expected(text);
    write!(expected, "{float}").is_ok() && expected.0.is_empty()
}

/// Compares what is written with a text, of which it keeps what is still to come.
struct Expected<'t>(&'t str);

impl Write for Expected<'_> {
    fn write_str(&mut self, written: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(written).ok_or(fmt::Error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Number;

    #[test]
    fn reads_numbers() {
        let digits_40 = "3".repeat(40);
        for (payload, written, is_rebuildable) in [
            ("0", "0", true),
            ("21.5", "21.5", true),
            ("-3", "-3", true),
            ("0.5", "0.5", true),
            ("-0.00000000000001", "-0.00000000000001", true),
            ("123456789012345", "123456789012345", true),
            ("9007199254740992", "9007199254740992", true),
            ("0.30000000000000004", "0.30000000000000004", true),
            ("1700000000000000000", "1700000000000000000", true),
            ("0.000000000000000001", "0.000000000000000001", true),
            ("10000000000000000000000", "10000000000000000000000", true),
            // Another text would be shorter, or the float is another number.
            ("21.50", "21.50", false),
            ("21.0", "21.0", false),
            ("-0", "-0", false),
            ("-0.0", "-0.0", false),
            ("007", "007", false),
            ("-01.5", "-01.5", false),
            ("00", "00", false),
            ("1e3", "1e3", false),
            ("-1.5E-7", "-1.5E-7", false),
            ("1e+2", "1e+2", false),
            ("9007199254740993", "9007199254740993", false),
            ("0.3000000000000000444", "0.3000000000000000444", false),
            ("1e-400", "1e-400", false),
            // White space.
            (" 5", "5", false),
            ("21.5\n", "21.5", false),
            ("\t7\r\n", "7", false),
            // Too long to be written as it came.
            (&digits_40, "3.333333333333333e39", false),
            ("1.00000000000000000000000000000000001", "1", false),
            ("1e00000000000000000000000000000000002", "100", false),
        ] {
            let number = Number::parse(payload.as_bytes()).expect(payload);
            assert_eq!(text_of(&number), written, "{payload:?}");
            assert_eq!(number.is_rebuildable, is_rebuildable, "{payload:?}");
        }
    }

    #[test]
    fn rebuilds_a_long_plain_text() {
        let payload = format!("1{}", "0".repeat(300));
        let number = Number::parse(payload.as_bytes()).expect("a number");
        assert_eq!(text_of(&number), "1e300");
        assert!(number.is_rebuildable);
    }

    #[test]
    fn rejects_what_is_no_number() {
        let overflow = format!("1{}", "0".repeat(309));
        for payload in [
            "", " ", "-", "+5", ".5", "5.", "-.5", "1.e3", "1e", "1e+", "1e5.5", "e5", "--5",
            "0x10", "NaN", "nan", "inf", "-inf", "Infinity", "1e400", "-1e309", "1_000", "5i",
            "5u", "1 2", "1,5", "21.5 C", "5\0", "\u{a0}5", "٣", "t", "T", &overflow,
        ] {
            assert!(Number::parse(payload.as_bytes()).is_none(), "{payload:?}");
        }
        assert!(Number::parse(b"5\xff").is_none());
    }

    /// The fast path and the exact check are the same rule.
    #[test]
    fn knows_which_texts_can_be_rebuilt() {
        let mut state: u64 = 0x2545_f491_4f6c_dd1d;
        for _ in 0..200_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let sign = if state & 1 == 0 { "" } else { "-" };
            let integer =
                (state >> 8) % 10u64.pow(u32::try_from((state >> 1) & 15).expect("four bits"));
            let fraction =
                (state >> 32) % 10u64.pow(u32::try_from((state >> 5) & 7).expect("three bits"));
            let payload = match (state >> 4) & 1 {
                0 => format!("{sign}{integer}"),
                _ => format!("{sign}{integer}.{fraction:02}"),
            };
            let float: f64 = payload.parse().expect("a float");
            // Many programs lose the sign of a zero.
            let expected = float.to_string() == payload && payload != "-0";
            let number = Number::parse(payload.as_bytes()).expect("a number");
            assert_eq!(number.is_rebuildable, expected, "{payload}");
        }
    }

    fn text_of(number: &Number<'_>) -> String {
        let mut out = Vec::new();
        number.push_to(&mut out);
        String::from_utf8(out).expect("digits")
    }
}
