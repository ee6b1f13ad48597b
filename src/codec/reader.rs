//! Takes the fields of one packet off its bytes, in order.

use super::error::excerpt;
use super::{DecodeError, MalformedPacket, PacketId, PacketType, ProtocolError, var_int};
use crate::topic::TopicName;

/// What is left of a packet's body, or of its property section.
///
/// Each method takes the name of the field, for the error that says where the bytes ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    packet: PacketType,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins at the first of `bytes`, which belong to a packet of type `packet`.
    pub(super) fn new(packet: PacketType, bytes: &'a [u8]) -> Self {
        Self {
            packet,
            rest: bytes,
        }
    }

    /// The packet the bytes belong to.
    pub(super) fn packet(&self) -> PacketType {
        self.packet
    }

    /// The bytes that nobody took yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The end of the packet: fails if bytes are left over.
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            len => Err(self.malformed(MalformedPacket::TrailingBytes(len))),
        }
    }

    /// The next `len` bytes.
    pub(super) fn take(
        &mut self,
        len: usize,
        field: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.malformed(MalformedPacket::Truncated(field)));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else {
            return Err(self.malformed(MalformedPacket::Truncated(field)));
        };
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        let [byte] = self.array(field)?;
        Ok(byte)
    }

    /// A two byte integer.
    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    /// A four byte integer.
    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    /// A variable byte integer. Only MQTT 5.0 has them in the body, and it wants the shortest form
    /// [MQTT-1.5.5-1].
    pub(super) fn var_int(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        match var_int::decode(self.rest) {
            Ok(Some(int)) if int.is_shortest() => {
                self.take(int.len, field)?;
                Ok(int.value)
            }
            Ok(Some(_)) | Err(var_int::TooLong) => {
                Err(self.malformed(MalformedPacket::VariableByteInteger(field)))
            }
            Ok(None) => Err(self.malformed(MalformedPacket::Truncated(field))),
        }
    }

    /// Binary data: its length in two bytes, then that many bytes.
    pub(super) fn binary(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = self.u16(field)?;
        self.take(usize::from(len), field)
    }

    /// UTF-8 text without U+0000 [MQTT-1.5.4-1, -2]. U+FEFF is a character like any other
    /// [MQTT-1.5.4-3].
    pub(super) fn string(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let text = self.utf8(field)?;
        if text.bytes().any(|byte| byte == 0) {
            return Err(self.malformed(MalformedPacket::NulCharacter(field)));
        }
        Ok(text)
    }

    /// UTF-8 text that the caller will check for U+0000, with whatever else it checks.
    pub(super) fn utf8(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let bytes = self.binary(field)?;
        str::from_utf8(bytes).map_err(|_| self.malformed(MalformedPacket::NotUtf8(field)))
    }

    /// A topic name.
    pub(super) fn topic_name(&mut self, field: &'static str) -> Result<TopicName<'a>, DecodeError> {
        let text = self.utf8(field)?;
        TopicName::new(text).map_err(|error| {
            let text = excerpt(text);
            DecodeError::TopicName {
                packet: self.packet,
                field,
                text,
                error,
            }
        })
    }

    /// A packet identifier.
    pub(super) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        let id = self.u16("packet identifier")?;
        PacketId::new(id).ok_or_else(|| self.protocol(ProtocolError::PacketIdZero))
    }

    /// The part that a variable byte integer gives the length of: the property section.
    pub(super) fn section(&mut self, field: &'static str) -> Result<Self, DecodeError> {
        let len = self.var_int(field)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        Ok(Self::new(self.packet, self.take(len, field)?))
    }

    /// The error that `problem` is in this packet.
    #[cold]
    pub(super) fn malformed(&self, problem: MalformedPacket) -> DecodeError {
        DecodeError::Malformed {
            packet: self.packet,
            problem,
        }
    }

    /// The error that `problem` is in this packet.
    #[cold]
    pub(super) fn protocol(&self, problem: ProtocolError) -> DecodeError {
        DecodeError::Protocol {
            packet: self.packet,
            problem,
        }
    }
}
