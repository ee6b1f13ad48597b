//! Values of fields, by their stated type.

use serde_json::{Number as JsonNumber, Value};

use super::scope::Found;
use crate::config::rule::FieldType;
use crate::store::line::{push_float, push_quoted, push_signed, push_unsigned};
use crate::store::number::Number;

/// The largest float below which every integer is a float too.
const EXACT_FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

/// Appends `found` as the value of a field of this type. Where it does not fit, nothing is appended,
/// and the error says what was expected.
///
/// Numbers and booleans may stand in texts, as sensors send them. Integers are exact: in 64 bits, and
/// `5.0` is one, `5.5` and `1e300` are not. Every value is a string.
pub(super) fn push(
    found: Found<'_>,
    field_type: FieldType,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    match field_type {
        FieldType::ByValue => push_by_value(found, out),
        FieldType::String => push_quoted(&found.into_text(), out),
        FieldType::Float => return push_as_float(&found, out).ok_or("a float"),
        FieldType::Integer => {
            push_signed(integer(&found).ok_or("an integer of 64 bits")?, out);
            out.push(b'i');
        }
        FieldType::Boolean => {
            let truth = boolean(found).ok_or("a boolean")?;
            out.extend_from_slice(if truth { b"true" } else { b"false" });
        }
    }
    Ok(())
}

fn push_by_value(found: Found<'_>, out: &mut Vec<u8>) {
    // A text from a topic or a string of JSON stays one, though it may look like a number.
    let is_text = matches!(found, Found::Text(_) | Found::Json(Value::String(_)));
    if is_text || push_as_float(&found, out).is_none() {
        push_quoted(&found.into_text(), out);
    }
}

fn push_as_float(found: &Found<'_>, out: &mut Vec<u8>) -> Option<()> {
    let text = match found {
        Found::Json(Value::Number(number)) => return push_json_number(number, out),
        Found::Json(Value::Bool(truth)) => {
            out.push(if *truth { b'1' } else { b'0' });
            return Some(());
        }
        Found::Json(Value::String(text)) => text.as_str(),
        Found::Json(_) => return None,
        Found::Payload(text) | Found::Text(text) => text,
    };
    match text {
        "true" => out.push(b'1'),
        "false" => out.push(b'0'),
        text => Number::parse(text.as_bytes())?.push_to(out),
    }
    Some(())
}

fn push_json_number(number: &JsonNumber, out: &mut Vec<u8>) -> Option<()> {
    if let Some(unsigned) = number.as_u64() {
        push_unsigned(unsigned, out);
    } else if let Some(signed) = number.as_i64() {
        push_signed(signed, out);
    } else {
        push_float(number.as_f64()?, out);
    }
    Some(())
}

fn integer(found: &Found<'_>) -> Option<i64> {
    let text = match found {
        Found::Json(Value::Number(number)) => {
            return number.as_i64().or_else(|| whole(number));
        }
        Found::Json(Value::String(text)) => text.as_str(),
        Found::Json(_) => return None,
        Found::Payload(text) | Found::Text(text) => text,
    };
    let text = text.trim_ascii();
    // `parse` alone would also take `+5`.
    text.parse().ok().filter(|_| !text.starts_with('+'))
}

/// The integer that a float such as `5.0` is.
fn whole(number: &JsonNumber) -> Option<i64> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    let is_whole = float.fract() == 0.0 && float.abs() <= EXACT_FLOAT_MAX;
    // The shortest text of such a float is that of its integer.
    is_whole.then(|| format!("{float}").parse().ok()).flatten()
}

fn boolean(found: Found<'_>) -> Option<bool> {
    match found.into_text().trim_ascii() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}
