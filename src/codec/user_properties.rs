//! User properties: pairs of text that a server passes on without a look.

use std::fmt;

use super::property::{Properties, read_id, read_value};
use super::reader::Reader;
use super::{DecodeError, PacketType, PropertyId};

/// Pairs of key and value, in the order they came; a key may come again [MQTT-3.3.2-18].
///
/// These are the bytes of the packet, already checked. Other properties may stand between the
/// pairs; they are passed over.
#[derive(Clone, Copy, Default)]
pub struct UserProperties<'a> {
    /// From the first user property to the end of the last.
    span: &'a [u8],
    /// The bytes in `span` that are user properties; all of them, nearly always.
    len: usize,
}

impl<'a> UserProperties<'a> {
    /// Reads what [`UserProperties::encode`] wrote, as somebody does who kept the bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Malformed`] if `bytes` are not just whole user properties.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut properties = Properties::new(Reader::new(PacketType::Publish, bytes));
        match properties.next()? {
            None => Ok(properties.user_properties()),
            Some((id, _)) => Err(properties.misplaced(id)),
        }
    }

    /// `span` has been checked, and has `len` bytes of user properties in it.
    pub(super) fn from_span(span: &'a [u8], len: usize) -> Self {
        Self { span, len }
    }

    /// Whether there is no pair.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The pairs, in order.
    #[must_use]
    pub fn iter(self) -> UserPropertiesIter<'a> {
        // The packet type only matters to errors, and there are none: the bytes were checked.
        UserPropertiesIter {
            reader: Reader::new(PacketType::Publish, self.span),
        }
    }

    /// The bytes that [`UserProperties::encode`] appends.
    #[must_use]
    pub fn encoded_len(self) -> usize {
        self.len
    }

    /// Appends the pairs as they are in a property section [MQTT-3.3.2-17].
    pub fn encode(self, out: &mut Vec<u8>) {
        if self.len == self.span.len() {
            return out.extend_from_slice(self.span);
        }
        for (key, value) in self.iter() {
            out.push(PropertyId::UserProperty as u8);
            super::writer::string(out, key);
            super::writer::string(out, value);
        }
    }
}

impl<'a> IntoIterator for UserProperties<'a> {
    type Item = (&'a str, &'a str);
    type IntoIter = UserPropertiesIter<'a>;

    fn into_iter(self) -> UserPropertiesIter<'a> {
        self.iter()
    }
}

/// Equal are the same pairs in the same order.
impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UserProperties<'_> {}

impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Gives the pairs of [`UserProperties`], key first.
#[derive(Clone, Debug)]
pub struct UserPropertiesIter<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for UserPropertiesIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let id = read_id(&mut self.reader).ok()?;
            if id == PropertyId::UserProperty {
                let key = self.reader.string("user property key").ok()?;
                let value = self.reader.string("user property value").ok()?;
                return Some((key, value));
            }
            read_value(&mut self.reader, id).ok()?;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    /// Key `k` twice, an empty key, and a message expiry interval in between.
    const MIXED: &[u8] =
        b"\x26\x00\x01k\x00\x01v\x02\x00\x00\x00\x05\x26\x00\x01k\x00\x00\x26\x00\x00\x00\x01w";

    #[test]
    fn keeps_order_and_passes_over_others() {
        let mut properties = Properties::new(Reader::new(PacketType::Publish, MIXED));
        assert!(properties.next().unwrap().is_some());
        assert!(properties.next().unwrap().is_none());
        let user_properties = properties.user_properties();
        let pairs = [("k", "v"), ("k", ""), ("", "w")];
        assert!(user_properties.iter().eq(pairs));

        let mut bytes = Vec::new();
        user_properties.encode(&mut bytes);
        assert_eq!(bytes.len(), user_properties.encoded_len());
        assert_eq!(UserProperties::decode(&bytes).unwrap(), user_properties);
    }

    #[test]
    fn decodes_user_properties_only() {
        assert!(UserProperties::decode(&[]).unwrap().is_empty());
        assert!(UserProperties::decode(MIXED).is_err());
        assert!(UserProperties::decode(b"\x26\x00\x01k").is_err());
    }
}
