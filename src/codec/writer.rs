//! Appends the fields of packets to bytes.
//!
//! Text and binary data have their length in two bytes. What is longer than that can say cannot be
//! sent, and is cut: only texts the server makes itself can be that long, as all others came in a
//! packet.

use super::{PacketType, PropertyId, UserProperties, var_int};

/// Appends a whole packet: first byte, the length of what `body` appends, and that.
pub(super) fn packet(
    out: &mut Vec<u8>,
    packet_type: PacketType,
    flags: u8,
    body: impl FnOnce(&mut Vec<u8>),
) {
    out.push(packet_type.first_byte(flags));
    with_length(out, body);
}

/// Appends the length of what `content` appends, as a variable byte integer, and that.
///
/// The length is written behind and turned to the front: these are short. A PUBLISH is not, and
/// counts first.
pub(super) fn with_length(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    content(out);
    let len = out.len().saturating_sub(start);
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    var_int::encode(len, out);
    if let Some(written) = out.get_mut(start..) {
        written.rotate_right(var_int::encoded_len(len));
    }
}

/// Appends binary data.
pub(super) fn binary(out: &mut Vec<u8>, data: &[u8]) {
    let len = u16::try_from(data.len()).unwrap_or(u16::MAX);
    u16(out, len);
    out.extend(data.iter().take(usize::from(len)));
}

/// The bytes that [`binary`] and [`string`] append for data of `len` bytes.
pub(super) fn binary_len(len: usize) -> usize {
    len.min(usize::from(u16::MAX)).saturating_add(2)
}

/// Appends text.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    binary(out, text.as_bytes());
}

/// Appends a two byte integer.
pub(super) fn u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a property of one byte, if there is a value.
pub(super) fn property_u8(out: &mut Vec<u8>, id: PropertyId, value: Option<u8>) {
    if let Some(value) = value {
        out.extend_from_slice(&[id as u8, value]);
    }
}

/// Appends a property that is true or false, if there is a value.
pub(super) fn property_bool(out: &mut Vec<u8>, id: PropertyId, value: Option<bool>) {
    property_u8(out, id, value.map(u8::from));
}

/// Appends a property of two bytes, if there is a value.
pub(super) fn property_u16(out: &mut Vec<u8>, id: PropertyId, value: Option<u16>) {
    if let Some(value) = value {
        out.push(id as u8);
        u16(out, value);
    }
}

/// Appends a property of four bytes, if there is a value.
pub(super) fn property_u32(out: &mut Vec<u8>, id: PropertyId, value: Option<u32>) {
    if let Some(value) = value {
        out.push(id as u8);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends a property that is binary data, if there is a value.
pub(super) fn property_binary(out: &mut Vec<u8>, id: PropertyId, value: Option<&[u8]>) {
    if let Some(value) = value {
        out.push(id as u8);
        binary(out, value);
    }
}

/// Appends a property that is text, if there is a value.
pub(super) fn property_string(out: &mut Vec<u8>, id: PropertyId, value: Option<&str>) {
    property_binary(out, id, value.map(str::as_bytes));
}

/// Appends the two properties that nearly every answer may have.
pub(super) fn properties_of_answers(
    out: &mut Vec<u8>,
    reason_string: Option<&str>,
    user_properties: UserProperties<'_>,
) {
    property_string(out, PropertyId::ReasonString, reason_string);
    user_properties.encode(out);
}
