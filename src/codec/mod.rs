//! Bytes to packets and back: MQTT 3.1, 3.1.1 and 5.0 in one packet model.
//!
//! The version is a parameter, as the versions differ in properties, reason codes and a few flags
//! only. The way in is [`next_frame`], which splits one packet off the bytes that were read, then
//! [`Frame::decode`] or the `decode` of the packet one expects. The way out is the `encode` of each
//! packet a server sends. A server decodes only what clients send and encodes only what servers
//! send, so CONNACK has no decoder and CONNECT no encoder.
//!
//! Decoded packets borrow from the bytes they came in: nothing is copied, and a PUBLISH is decoded
//! without an allocation. What a decoder gives has been checked: every rule that can be seen in one
//! packet alone is kept here, and a handler need not ask again. Rules that need the connection or
//! the session (a second CONNECT, a topic alias that nobody set) are the handlers'.
//!
//! Invariants: nothing in here knows a socket, a thread, a lock, a clock or the log. Bytes from a
//! peer never panic: only `reader` and `var_int` take slices apart, with functions that cannot
//! fail but by saying so, and the lints below see to it.
//!
//! Reading order: `frame`, `reader`, `publish`, then the other packets.
//! Specification: chapters 1.5, 2 and 3 of MQTT 5.0 and of MQTT 3.1.1.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod ack;
mod auth;
#[cfg(test)]
mod cases;
mod connack;
mod connect;
mod disconnect;
mod error;
mod frame;
mod packet_id;
mod packet_type;
mod ping;
mod property;
mod publish;
mod qos;
mod reader;
mod reason;
mod suback;
mod subscribe;
mod unsuback;
mod unsubscribe;
mod user_properties;
mod var_int;
mod version;
mod writer;

pub use ack::{Ack, AckType};
pub use auth::Auth;
pub use connack::{ConnAck, ConnAckProperties};
pub use connect::{Connect, ConnectProperties, Will, WillProperties};
pub use disconnect::Disconnect;
pub use error::{DecodeError, MalformedPacket, ProtocolError};
pub use frame::{Frame, PACKET_LEN_MAX, Packet, next_frame};
pub use packet_id::PacketId;
pub use packet_type::PacketType;
pub use ping::PingResp;
pub use property::{PayloadFormat, PropertyId};
pub use publish::{Publish, PublishProperties};
pub use qos::{InvalidQoS, QoS};
pub use reason::ReasonCode;
pub use suback::SubAck;
pub use subscribe::{RetainHandling, Subscribe, SubscribeFilter, SubscribeFilters};
pub use unsuback::UnsubAck;
pub use unsubscribe::{Unsubscribe, UnsubscribeFilters};
pub use user_properties::{UserProperties, UserPropertiesIter};
pub use version::ProtocolVersion;
