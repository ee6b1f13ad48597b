//! Where one packet ends and the next begins, and what it is.
//!
//! Specification: MQTT 5.0 chapter 2.1.

use super::{
    Ack, Auth, Connect, DecodeError, Disconnect, MalformedPacket, PacketType, ProtocolVersion,
    Publish, Subscribe, Unsubscribe, ping, var_int,
};

/// The longest packet there can be, in bytes: first byte, four bytes of length, and so many.
pub const PACKET_LEN_MAX: usize = 5 + var_int::VAR_INT_MAX as usize;

/// One packet's bytes, still undecoded. Its type and its flags have been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub packet_type: PacketType,
    /// The lower four bits of the first byte.
    pub flags: u8,
    /// What follows the fixed header.
    pub body: &'a [u8],
    /// All of it.
    pub bytes: &'a [u8],
}

/// Splits the first whole packet off `bytes`; `Ok(None)` if more bytes are needed for that.
///
/// `version` is `None` before CONNECT. `packet_len_max` is in bytes, fixed header included. What
/// the fixed header already betrays is an error at once: nobody waits for the rest, or keeps it.
///
/// # Errors
///
/// - [`DecodeError::UnknownPacketType`]
/// - [`DecodeError::ConnectExpected`], only where `version` is `None`
/// - [`DecodeError::TooLarge`]
/// - [`DecodeError::Malformed`] for flags that are not those of the type and for a remaining
///   length of five bytes
pub fn next_frame(
    bytes: &[u8],
    version: Option<ProtocolVersion>,
    packet_len_max: usize,
) -> Result<Option<Frame<'_>>, DecodeError> {
    let Some((&first, after_first)) = bytes.split_first() else {
        return Ok(None);
    };
    let packet_type = packet_type(first >> 4, version)?;
    let flags = first & 0x0f;
    check_flags(packet_type, flags, version)?;

    let too_long = DecodeError::Malformed {
        packet: packet_type,
        problem: MalformedPacket::RemainingLength,
    };
    let remaining_len = match var_int::decode(after_first) {
        Ok(Some(int)) if version == Some(ProtocolVersion::V5) && !int.is_shortest() => {
            return Err(too_long); // [MQTT-1.5.5-1], which 3.1.1 does not have
        }
        Ok(Some(int)) => int,
        Ok(None) => return Ok(None),
        Err(var_int::TooLong) => return Err(too_long),
    };
    let body_len = usize::try_from(remaining_len.value).unwrap_or(usize::MAX);
    let header_len = remaining_len.len.saturating_add(1);
    let len = body_len.saturating_add(header_len);
    if len > packet_len_max {
        return Err(DecodeError::TooLarge {
            packet: packet_type,
            len,
            len_max: packet_len_max,
        });
    }
    let Some((bytes, _)) = bytes.split_at_checked(len) else {
        return Ok(None);
    };
    let body = bytes.get(header_len..).unwrap_or_default();
    Ok(Some(Frame {
        packet_type,
        flags,
        body,
        bytes,
    }))
}

/// The type of a packet that may come from a client now.
fn packet_type(number: u8, version: Option<ProtocolVersion>) -> Result<PacketType, DecodeError> {
    let Some(packet_type) = PacketType::from_u8(number) else {
        return Err(DecodeError::UnknownPacketType(number));
    };
    if packet_type == PacketType::Auth && version != Some(ProtocolVersion::V5) {
        return Err(DecodeError::UnknownPacketType(number));
    }
    if packet_type != PacketType::Connect && version.is_none() {
        return Err(DecodeError::ConnectExpected(packet_type)); // [MQTT-3.1.0-1]
    }
    Ok(packet_type)
}

/// The flags of each type [MQTT-2.1.3-1].
fn check_flags(
    packet_type: PacketType,
    flags: u8,
    version: Option<ProtocolVersion>,
) -> Result<(), DecodeError> {
    let expected = match packet_type {
        PacketType::Publish => {
            let problem = match flags & 0b1110 {
                0b0110 | 0b1110 => MalformedPacket::QoS3("QoS"), // [MQTT-3.3.1-4]
                0b1000 => MalformedPacket::DupAtQoS0,            // [MQTT-3.3.1-2]
                _ => return Ok(()),
            };
            return Err(DecodeError::Malformed {
                packet: packet_type,
                problem,
            });
        }
        // [MQTT-3.6.1-1, 3.8.1-1, 3.10.1-1]
        PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => 0b0010,
        _ => 0,
    };
    // MQTT 3.1 sends the packets of QoS 1 again too, with DUP.
    let resent = version == Some(ProtocolVersion::V3_1) && expected == 0b0010 && flags == 0b1010;
    if flags != expected && !resent {
        let problem = MalformedPacket::Flags(flags);
        return Err(DecodeError::Malformed {
            packet: packet_type,
            problem,
        });
    }
    Ok(())
}

/// A packet that a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "lives on the stack for the time of one handler; a box would be an allocation"
)]
pub enum Packet<'a> {
    /// CONNECT.
    Connect(Connect<'a>),
    /// PUBLISH.
    Publish(Publish<'a>),
    /// PUBACK.
    PubAck(Ack<'a>),
    /// PUBREC.
    PubRec(Ack<'a>),
    /// PUBREL.
    PubRel(Ack<'a>),
    /// PUBCOMP.
    PubComp(Ack<'a>),
    /// SUBSCRIBE.
    Subscribe(Subscribe<'a>),
    /// UNSUBSCRIBE.
    Unsubscribe(Unsubscribe<'a>),
    /// PINGREQ.
    PingReq,
    /// DISCONNECT.
    Disconnect(Disconnect<'a>),
    /// AUTH.
    Auth(Auth<'a>),
}

impl<'a> Frame<'a> {
    /// Decodes a packet of a client that speaks `version`. (CONNECT says itself what it speaks.)
    ///
    /// # Errors
    ///
    /// [`DecodeError::SentByServersOnly`], and all that the decoders of the packets give.
    pub fn decode(&self, version: ProtocolVersion) -> Result<Packet<'a>, DecodeError> {
        Ok(match self.packet_type {
            PacketType::Connect => Packet::Connect(Connect::decode(self)?),
            PacketType::Publish => Packet::Publish(Publish::decode(self, version)?),
            PacketType::PubAck => Packet::PubAck(Ack::decode(self, version)?),
            PacketType::PubRec => Packet::PubRec(Ack::decode(self, version)?),
            PacketType::PubRel => Packet::PubRel(Ack::decode(self, version)?),
            PacketType::PubComp => Packet::PubComp(Ack::decode(self, version)?),
            PacketType::Subscribe => Packet::Subscribe(Subscribe::decode(self, version)?),
            PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::decode(self, version)?),
            PacketType::PingReq => {
                ping::decode(self)?;
                Packet::PingReq
            }
            PacketType::Disconnect => Packet::Disconnect(Disconnect::decode(self, version)?),
            PacketType::Auth => Packet::Auth(Auth::decode(self)?),
            PacketType::ConnAck
            | PacketType::SubAck
            | PacketType::UnsubAck
            | PacketType::PingResp => {
                return Err(DecodeError::SentByServersOnly(self.packet_type)); // [MQTT-4.13.1-1]
            }
        })
    }
}
