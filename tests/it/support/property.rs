//! Properties of MQTT 5.0 as bytes, built from chapter 2.2.2 of the specification alone.

use super::packet::prefixed;

pub(crate) const PAYLOAD_FORMAT: u8 = 0x01;
pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
pub(crate) const CONTENT_TYPE: u8 = 0x03;
pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
pub(crate) const CORRELATION_DATA: u8 = 0x09;
pub(crate) const SUBSCRIPTION_ID: u8 = 0x0b;
pub(crate) const SESSION_EXPIRY: u8 = 0x11;
pub(crate) const ASSIGNED_CLIENT_ID: u8 = 0x12;
pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
pub(crate) const WILL_DELAY: u8 = 0x18;
pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
pub(crate) const REASON_STRING: u8 = 0x1f;
pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
pub(crate) const TOPIC_ALIAS: u8 = 0x23;
pub(crate) const USER_PROPERTY: u8 = 0x26;
pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;

/// A property of one byte.
pub(crate) fn byte(id: u8, value: u8) -> Vec<u8> {
    vec![id, value]
}

/// A property of two bytes.
pub(crate) fn two(id: u8, value: u16) -> Vec<u8> {
    [&[id], value.to_be_bytes().as_slice()].concat()
}

/// A property of four bytes.
pub(crate) fn four(id: u8, value: u32) -> Vec<u8> {
    [&[id], value.to_be_bytes().as_slice()].concat()
}

/// A property that is a variable byte integer.
pub(crate) fn var_int(id: u8, value: usize) -> Vec<u8> {
    [&[id], digits(value).as_slice()].concat()
}

/// A property that is a string or binary data.
pub(crate) fn text(id: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[id], prefixed(value).as_slice()].concat()
}

/// A user property.
pub(crate) fn user(key: &str, value: &str) -> Vec<u8> {
    [&[USER_PROPERTY], prefixed(key).as_slice(), &prefixed(value)].concat()
}

/// Properties behind their length.
pub(crate) fn section(properties: &[u8]) -> Vec<u8> {
    [digits(properties.len()).as_slice(), properties].concat()
}

/// A variable byte integer (chapter 1.5.5).
pub(crate) fn digits(mut value: usize) -> Vec<u8> {
    let mut digits = Vec::new();
    loop {
        let digit = u8::try_from(value % 128).unwrap();
        value /= 128;
        if value == 0 {
            digits.push(digit);
            return digits;
        }
        digits.push(digit | 0x80);
    }
}

/// The properties at the start of `bytes`, without their length, and what follows them.
pub(crate) fn split_section(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = split_digits(bytes)?;
    rest.split_at_checked(length)
}

/// Identifier and value of each property; lengths of strings are not part of the value.
pub(crate) fn parse(mut section: &[u8]) -> Option<Vec<(u8, Vec<u8>)>> {
    let mut properties = Vec::new();
    while let Some((&id, rest)) = section.split_first() {
        let (value, rest) = match id {
            PAYLOAD_FORMAT | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2a => rest.split_at_checked(1)?,
            SERVER_KEEP_ALIVE | 0x21..=0x23 => rest.split_at_checked(2)?,
            MESSAGE_EXPIRY | SESSION_EXPIRY | WILL_DELAY | MAXIMUM_PACKET_SIZE => {
                rest.split_at_checked(4)?
            }
            SUBSCRIPTION_ID => {
                let (_, after) = split_digits(rest)?;
                rest.split_at_checked(rest.len() - after.len())?
            }
            USER_PROPERTY => {
                let (_, after_key) = split_prefixed(rest)?;
                let (_, after) = split_prefixed(after_key)?;
                rest.split_at_checked(rest.len() - after.len())?
            }
            _ => split_prefixed(rest)?,
        };
        properties.push((id, value.to_vec()));
        section = rest;
    }
    Some(properties)
}

fn split_digits(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0)?;
    let (digits, rest) = bytes.split_at_checked(end + 1)?;
    let digit = |sum: usize, digit: &u8| sum * 128 + usize::from(digit & 0x7f);
    Some((digits.iter().rev().fold(0, digit), rest))
}

fn split_prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}
