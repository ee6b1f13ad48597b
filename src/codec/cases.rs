//! One table of packets as bytes, written by hand from the specification, and what they mean; and
//! what must hold for each of them, and for bytes made by chance.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a failed test, and bytes are made here"
)]

use std::num::NonZeroU16;

use super::ProtocolVersion::{V3_1, V3_1_1, V5};
use super::{
    Ack, AckType, Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties, DecodeError,
    Disconnect, Packet, PacketId, PayloadFormat, PingResp, ProtocolVersion, Publish,
    PublishProperties, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, UnsubAck,
    UserProperties, Will, WillProperties, next_frame,
};
use crate::topic::TopicName;

/// A packet from a client. The bytes come field by field.
struct Case {
    name: &'static str,
    version: ProtocolVersion,
    bytes: &'static [&'static [u8]],
    /// The packet, or what its error says and is on the wire.
    expected: Result<Packet<'static>, (&'static str, ReasonCode)>,
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        self.bytes.concat()
    }
}

/// Splits and decodes as a connection does: without a version where CONNECT comes.
fn decode(bytes: &[u8], version: ProtocolVersion) -> Result<Option<Packet<'_>>, DecodeError> {
    let known = if bytes.first() == Some(&0x10) {
        None
    } else {
        Some(version)
    };
    let frame = next_frame(bytes, known, 10_000)?;
    frame.map(|frame| frame.decode(version)).transpose()
}

fn packet_id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn ok(
    name: &'static str,
    version: ProtocolVersion,
    bytes: &'static [&'static [u8]],
    packet: Packet<'static>,
) -> Case {
    Case {
        name,
        version,
        bytes,
        expected: Ok(packet),
    }
}

fn err(
    version: ProtocolVersion,
    bytes: &'static [&'static [u8]],
    reason: ReasonCode,
    says: &'static str,
) -> Case {
    Case {
        name: says,
        version,
        bytes,
        expected: Err((says, reason)),
    }
}

fn accepted() -> Vec<Case> {
    let publish = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "a/b",
        packet_id: None,
        properties: PublishProperties::default(),
        payload: b"hi",
    };
    let connect = Connect {
        version: V3_1_1,
        client_id: "c",
        clean_start: true,
        keep_alive: 60,
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    };
    let pairs = UserProperties::decode(b"\x26\x00\x01k\x00\x01v\x26\x00\x00\x00\x00").unwrap();
    let ack = Ack::new(packet_id(258), ReasonCode::Success);
    vec![
        ok(
            "connect 3.1.1",
            V3_1_1,
            &[
                b"\x10\x0d",     // CONNECT, 13 bytes
                b"\x00\x04MQTT", // protocol name
                b"\x04",         // level
                b"\x02",         // clean session
                b"\x00\x3c",     // keep alive
                b"\x00\x01c",    // client identifier
            ],
            Packet::Connect(connect),
        ),
        ok(
            "connect 3.1, announced user name missing",
            V3_1,
            &[
                b"\x10\x0f",       // CONNECT, 15 bytes
                b"\x00\x06MQIsdp", // protocol name
                b"\x03",           // level
                b"\xc3",           // user name, password, clean session, an unused bit
                b"\x00\x3c",       // keep alive
                b"\x00\x01c",      // client identifier
            ],
            Packet::Connect(Connect {
                version: V3_1,
                ..connect
            }),
        ),
        ok(
            "connect 3.1.1 with everything",
            V3_1_1,
            &[
                b"\x10\x19",          // CONNECT, 25 bytes
                b"\x00\x04MQTT",      // protocol name
                b"\x04",              // level
                b"\xf4",              // user name, password, will retain, will QoS 2, will
                b"\x00\x00",          // keep alive
                b"\x00\x00",          // client identifier, which the handler refuses
                b"\x00\x01w",         // will topic
                b"\x00\x01\xff",      // will payload
                b"\x00\x00",          // user name, empty
                b"\x00\x03p\x00\xff", // password
            ],
            Packet::Connect(Connect {
                client_id: "",
                clean_start: false,
                keep_alive: 0,
                will: Some(Will {
                    topic: TopicName::new("w").unwrap(),
                    payload: b"\xff",
                    qos: QoS::ExactlyOnce,
                    retain: true,
                    properties: WillProperties::default(),
                }),
                user_name: Some(""),
                password: Some(b"p\x00\xff"),
                ..connect
            }),
        ),
        ok(
            "connect 5 with properties, password alone",
            V5,
            &[
                b"\x10\x41",                 // CONNECT, 65 bytes
                b"\x00\x04MQTT\x05",         // protocol name, level
                b"\x46\x00\x3c",             // password, will, clean start; keep alive
                b"\x1e",                     // property length
                b"\x11\xff\xff\xff\xff",     // session expiry interval
                b"\x21\x00\x0a",             // receive maximum
                b"\x27\x00\x00\x01\x00",     // maximum packet size
                b"\x22\x00\x05",             // topic alias maximum
                b"\x19\x01",                 // request response information
                b"\x17\x00",                 // request problem information
                b"\x15\x00\x01m",            // authentication method
                b"\x16\x00\x03\x00\x01\x02", // authentication data
                b"\x00\x01c",                // client identifier
                b"\x0c",                     // will property length
                b"\x18\x00\x00\x00\x07",     // will delay interval
                b"\x26\x00\x01k\x00\x01v",   // user property
                b"\x00\x01w",                // will topic
                b"\x00\x00",                 // will payload
                b"\x00\x01p",                // password
            ],
            Packet::Connect(Connect {
                version: V5,
                will: Some(Will {
                    topic: TopicName::new("w").unwrap(),
                    payload: b"",
                    qos: QoS::AtMostOnce,
                    retain: false,
                    properties: WillProperties {
                        will_delay_interval: Some(7),
                        user_properties: UserProperties::decode(b"\x26\x00\x01k\x00\x01v").unwrap(),
                        ..WillProperties::default()
                    },
                }),
                password: Some(b"p"),
                properties: ConnectProperties {
                    session_expiry_interval: Some(u32::MAX),
                    receive_maximum: Some(10),
                    maximum_packet_size: Some(256),
                    topic_alias_maximum: Some(5),
                    request_response_information: Some(true),
                    request_problem_information: Some(false),
                    authentication_method: Some("m"),
                    authentication_data: Some(b"\x00\x01\x02"),
                    ..ConnectProperties::default()
                },
                ..connect
            }),
        ),
        ok(
            "publish 3.1.1",
            V3_1_1,
            &[b"\x30\x07", b"\x00\x03a/b", b"hi"],
            Packet::Publish(publish),
        ),
        ok(
            "publish 3.1.1, QoS 2, DUP, retain, no payload",
            V3_1_1,
            &[b"\x3d\x07", b"\x00\x03a/b", b"\x01\x02"],
            Packet::Publish(Publish {
                dup: true,
                qos: QoS::ExactlyOnce,
                retain: true,
                packet_id: Some(packet_id(258)),
                payload: b"",
                ..publish
            }),
        ),
        ok(
            "publish 5 with everything",
            V5,
            &[
                b"\x32\x36",               // PUBLISH, QoS 1, 54 bytes
                b"\x00\x03a/b",            // topic name
                b"\x01\x02",               // packet identifier
                b"\x2c",                   // property length
                b"\x01\x01",               // payload format indicator
                b"\x02\x00\x00\x00\x09",   // message expiry interval
                b"\x23\x00\x07",           // topic alias
                b"\x08\x00\x01r",          // response topic
                b"\x09\x00\x02\x00\xff",   // correlation data
                b"\x03\x00\x0atext/plain", // content type
                b"\x26\x00\x01k\x00\x01v", // user property
                b"\x26\x00\x00\x00\x00",   // user property, empty key and value
                b"hi",                     // payload
            ],
            Packet::Publish(Publish {
                qos: QoS::AtLeastOnce,
                packet_id: Some(packet_id(258)),
                properties: PublishProperties {
                    payload_format_indicator: Some(PayloadFormat::Utf8),
                    message_expiry_interval: Some(9),
                    topic_alias: NonZeroU16::new(7),
                    response_topic: Some(TopicName::new("r").unwrap()),
                    correlation_data: Some(b"\x00\xff"),
                    content_type: Some("text/plain"),
                    user_properties: pairs,
                    ..PublishProperties::default()
                },
                ..publish
            }),
        ),
        ok(
            "publish 5 by alias",
            V5,
            &[b"\x30\x06", b"\x00\x00", b"\x03", b"\x23\x00\x01"],
            Packet::Publish(Publish {
                topic: "",
                payload: b"",
                properties: PublishProperties {
                    topic_alias: NonZeroU16::new(1),
                    ..PublishProperties::default()
                },
                ..publish
            }),
        ),
        ok(
            "puback 3.1.1",
            V3_1_1,
            &[b"\x40\x02\x01\x02"],
            Packet::PubAck(ack),
        ),
        ok(
            "pubrec 5 of 2 bytes",
            V5,
            &[b"\x50\x02\x01\x02"],
            Packet::PubRec(ack),
        ),
        ok(
            "pubrel 5 of 3 bytes",
            V5,
            &[b"\x62\x03\x01\x02\x92"],
            Packet::PubRel(Ack {
                reason: ReasonCode::PacketIdentifierNotFound,
                ..ack
            }),
        ),
        ok(
            "pubrel 3.1, sent again",
            V3_1,
            &[b"\x6a\x02\x01\x02"],
            Packet::PubRel(ack),
        ),
        ok(
            "puback 5 with properties",
            V5,
            &[
                b"\x40\x14\x01\x02",                           // PUBACK, 20 bytes, identifier
                b"\x97",                                       // reason code
                b"\x10",                                       // property length
                b"\x1f\x00\x01x",                              // reason string
                b"\x26\x00\x01k\x00\x01v\x26\x00\x00\x00\x00", // user properties
            ],
            Packet::PubAck(Ack {
                reason: ReasonCode::QuotaExceeded,
                reason_string: Some("x"),
                user_properties: pairs,
                ..ack
            }),
        ),
        ok("pingreq", V3_1_1, &[b"\xc0\x00"], Packet::PingReq),
        ok(
            "disconnect",
            V3_1_1,
            &[b"\xe0\x00"],
            Packet::Disconnect(Disconnect::default()),
        ),
        ok(
            "disconnect 5 with session expiry",
            V5,
            &[b"\xe0\x07", b"\x04", b"\x05", b"\x11\x00\x00\x00\x01"],
            Packet::Disconnect(Disconnect {
                reason: ReasonCode::DisconnectWithWillMessage,
                session_expiry_interval: Some(1),
                ..Disconnect::default()
            }),
        ),
        ok(
            "auth",
            V5,
            &[
                b"\xf0\x0a",
                b"\x18",
                b"\x08",
                b"\x15\x00\x01m",
                b"\x16\x00\x01d",
            ],
            Packet::Auth(Auth {
                reason: ReasonCode::ContinueAuthentication,
                authentication_method: "m",
                authentication_data: Some(b"d"),
                reason_string: None,
                user_properties: UserProperties::default(),
            }),
        ),
    ]
}

fn refused() -> Vec<Case> {
    use ReasonCode::{
        MalformedPacket as Malformed, PacketTooLarge, ProtocolError as Protocol, TopicAliasInvalid,
        TopicFilterInvalid, TopicNameInvalid, UnsupportedProtocolVersion as Version,
    };
    vec![
        // The fixed header.
        err(V5, &[b"\x00\x00"], Malformed, "unknown packet type 0"),
        err(V3_1_1, &[b"\xf0\x00"], Malformed, "unknown packet type 15"),
        err(
            V5,
            &[b"\x20\x02\x00\x00"],
            Protocol,
            "CONNACK: only servers send it",
        ),
        err(V5, &[b"\x90\x00"], Protocol, "SUBACK: only servers send it"),
        err(
            V5,
            &[b"\xb0\x00"],
            Protocol,
            "UNSUBACK: only servers send it",
        ),
        err(
            V5,
            &[b"\xd0\x00"],
            Protocol,
            "PINGRESP: only servers send it",
        ),
        err(
            V5,
            &[b"\xc1\x00"],
            Malformed,
            "PINGREQ: fixed header flags 0b0001 are not allowed",
        ),
        err(
            V5,
            &[b"\x41\x02\x00\x01"],
            Malformed,
            "PUBACK: fixed header flags 0b0001 are not allowed",
        ),
        err(
            V5,
            &[b"\x60\x02\x00\x01"],
            Malformed,
            "PUBREL: fixed header flags 0b0000 are not allowed",
        ),
        err(
            V5,
            &[b"\x80\x00"],
            Malformed,
            "SUBSCRIBE: fixed header flags 0b0000 are not allowed",
        ),
        err(
            V3_1_1,
            &[b"\xaa\x00"],
            Malformed,
            "UNSUBSCRIBE: fixed header flags 0b1010 are not allowed",
        ),
        err(
            V3_1_1,
            &[b"\xe4\x00"],
            Malformed,
            "DISCONNECT: fixed header flags 0b0100 are not allowed",
        ),
        err(
            V3_1_1,
            &[b"\x36\x00"],
            Malformed,
            "PUBLISH: QoS 3 is not allowed",
        ),
        err(
            V3_1_1,
            &[b"\x38\x00"],
            Malformed,
            "PUBLISH: DUP is set with QoS 0",
        ),
        err(
            V3_1_1,
            &[b"\x30\xff\xff\xff\xff"],
            Malformed,
            "PUBLISH: the remaining length is too long a number",
        ),
        err(
            V5,
            &[b"\xc0\x80\x00"],
            Malformed,
            "PINGREQ: the remaining length is too long a number",
        ),
        err(
            V5,
            &[b"\x30\xff\x7f"],
            PacketTooLarge,
            "PUBLISH: 16386 bytes are more than 10000",
        ),
        err(
            V3_1_1,
            &[b"\xc0\x01\x00"],
            Malformed,
            "PINGREQ: bytes left over after the last field: 1",
        ),
        // CONNECT.
        err(
            V5,
            &[b"\x10\x07\x00\x04HTTP\x04"],
            Version,
            "CONNECT: unknown protocol name \"HTTP\"",
        ),
        err(
            V5,
            &[b"\x10\x07\x00\x04MQTT\x84"],
            Version,
            "CONNECT: protocol level 132 is not supported",
        ),
        err(
            V5,
            &[b"\x10\x09\x00\x06MQIsdp\x04"],
            Version,
            "CONNECT: protocol level 4 is not supported",
        ),
        err(
            V5,
            &[b"\x10\x08\x00\x04MQTT\x04\x03"],
            Malformed,
            "CONNECT: the reserved bit of connect flags 0b00000011 is set",
        ),
        err(
            V5,
            &[b"\x10\x08\x00\x04MQTT\x04\x20"],
            Malformed,
            "CONNECT: connect flags 0b00100000 describe a will, but there is none",
        ),
        err(
            V5,
            &[b"\x10\x08\x00\x04MQTT\x05\x08"],
            Malformed,
            "CONNECT: connect flags 0b00001000 describe a will, but there is none",
        ),
        err(
            V5,
            &[b"\x10\x08\x00\x04MQTT\x04\x1c"],
            Malformed,
            "CONNECT: will QoS 3 is not allowed",
        ),
        err(
            V5,
            &[b"\x10\x08\x00\x04MQTT\x04\x42"],
            Malformed,
            "CONNECT: a password without a user name",
        ),
        err(
            V5,
            &[b"\x10\x0d\x00\x04MQTT\x04\x82\x00\x00\x00\x01c"],
            Malformed,
            "CONNECT: ends inside the user name",
        ),
        err(
            V5,
            &[b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x00\x00\x01c\x00\x00"],
            Malformed,
            "CONNECT: bytes left over after the last field: 2",
        ),
        err(
            V5,
            &[b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02\xc0\x80"],
            Malformed,
            "CONNECT: the client identifier is not UTF-8",
        ),
        err(
            V5,
            &[b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01\x00"],
            Malformed,
            "CONNECT: the client identifier must not contain U+0000",
        ),
        err(
            V5,
            &[b"\x10\x10\x00\x04MQTT\x04\x04\x00\x00\x00\x01c\x00\x01+"],
            TopicNameInvalid,
            "CONNECT: will topic \"+\": must not contain '+'",
        ),
        err(
            V5,
            &[b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x03\x21\x00\x00"],
            Protocol,
            "CONNECT: property \"receive maximum\" must not be 0",
        ),
        err(
            V5,
            &[b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x05\x27\x00\x00\x00\x00"],
            Protocol,
            "CONNECT: property \"maximum packet size\" must not be 0",
        ),
        err(
            V5,
            &[b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x02\x17\x02"],
            Protocol,
            "CONNECT: property \"request problem information\" must not be 2",
        ),
        err(
            V5,
            &[b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x00\x04\x17\x01\x17\x01"],
            Protocol,
            "CONNECT: property \"request problem information\" is there twice",
        ),
        err(
            V5,
            &[b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x05\x18\x00\x00\x00\x01"],
            Malformed,
            "CONNECT: property \"will delay interval\" does not belong here",
        ),
        err(
            V5,
            &[b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x00\x04\x16\x00\x01d"],
            Protocol,
            "CONNECT: authentication data without authentication method",
        ),
        err(
            V5,
            &[b"\x10\x0c\x00\x04MQTT\x05\x02\x00\x00\x01\x7e"],
            Malformed,
            "CONNECT: there is no property 0x7e",
        ),
        err(
            V5,
            &[b"\x10\x0b\x00\x04MQTT\x05\x02\x00\x00\x09"],
            Malformed,
            "CONNECT: ends inside the property length",
        ),
        err(
            V5,
            &[b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x04\x26\x00\x01k\x00"],
            Malformed,
            "CONNECT: ends inside the user property value",
        ),
        // PUBLISH.
        err(
            V3_1_1,
            &[b"\x30\x02\x00\x00"],
            TopicNameInvalid,
            "PUBLISH: topic name \"\": must not be empty",
        ),
        err(
            V3_1_1,
            &[b"\x30\x05\x00\x03a/#"],
            TopicNameInvalid,
            "PUBLISH: topic name \"a/#\": must not contain '#'",
        ),
        err(
            V3_1_1,
            &[b"\x30\x03\x00\x01\x00"],
            TopicNameInvalid,
            "PUBLISH: topic name \"\\0\": must not contain U+0000",
        ),
        err(
            V3_1_1,
            &[b"\x30\x05\x00\x03\xed\xa0\x80"],
            Malformed,
            "PUBLISH: the topic name is not UTF-8",
        ),
        err(
            V3_1_1,
            &[b"\x30\x03\x00\x02a"],
            Malformed,
            "PUBLISH: ends inside the topic name",
        ),
        err(
            V3_1_1,
            &[b"\x32\x05\x00\x01a\x00\x00"],
            Protocol,
            "PUBLISH: packet identifier 0 is not allowed",
        ),
        err(
            V5,
            &[b"\x30\x03\x00\x00\x00"],
            Protocol,
            "PUBLISH: neither a topic name nor a topic alias",
        ),
        err(
            V5,
            &[b"\x30\x07\x00\x01a\x03\x23\x00\x00"],
            TopicAliasInvalid,
            "PUBLISH: topic alias 0 is not allowed",
        ),
        err(
            V5,
            &[b"\x30\x06\x00\x01a\x02\x0b\x01"],
            Protocol,
            "PUBLISH: only servers send property \"subscription identifier\"",
        ),
        err(
            V5,
            &[b"\x30\x08\x00\x01a\x04\x08\x00\x01+"],
            Protocol,
            "PUBLISH: response topic \"+\": must not contain '+'",
        ),
        err(
            V5,
            &[b"\x30\x06\x00\x01a\x02\x01\x02"],
            Protocol,
            "PUBLISH: property \"payload format indicator\" must not be 2",
        ),
        err(
            V5,
            &[b"\x30\x08\x00\x01a\x80\x80\x80\x80\x01"],
            Malformed,
            "PUBLISH: the property length is too long a number",
        ),
        err(
            V5,
            &[b"\x30\x05\x00\x01a\x80\x00"],
            Malformed,
            "PUBLISH: the property length is too long a number",
        ),
        // Acknowledgements.
        err(
            V3_1_1,
            &[b"\x40\x02\x00\x00"],
            Protocol,
            "PUBACK: packet identifier 0 is not allowed",
        ),
        err(
            V3_1_1,
            &[b"\x40\x03\x00\x01\x00"],
            Malformed,
            "PUBACK: bytes left over after the last field: 1",
        ),
        err(
            V5,
            &[b"\x40\x03\x00\x01\x92"],
            Protocol,
            "PUBACK: reason code 0x92 is not allowed here",
        ),
        err(
            V5,
            &[b"\x62\x03\x00\x01\x87"],
            Protocol,
            "PUBREL: reason code 0x87 is not allowed here",
        ),
        err(
            V5,
            &[b"\x70\x05\x00\x01\x00\x00\x00"],
            Malformed,
            "PUBCOMP: bytes left over after the last field: 1",
        ),
        // SUBSCRIBE and UNSUBSCRIBE.
        err(
            V3_1_1,
            &[b"\x82\x02\x00\x01"],
            Protocol,
            "SUBSCRIBE: no topic filter",
        ),
        err(
            V5,
            &[b"\xa2\x03\x00\x01\x00"],
            Protocol,
            "UNSUBSCRIBE: no topic filter",
        ),
        err(
            V3_1_1,
            &[b"\x82\x06\x00\x00\x00\x01a\x00"],
            Protocol,
            "SUBSCRIBE: packet identifier 0 is not allowed",
        ),
        err(
            V3_1_1,
            &[b"\x82\x0e\x00\x01", b"\x00\x01a\x00", b"\x00\x05a/#/b\x00"],
            TopicFilterInvalid,
            "SUBSCRIBE: topic filter 2 \"a/#/b\": '#' must be the last level",
        ),
        err(
            V3_1_1,
            &[b"\xa2\x06\x00\x01\x00\x02a+"],
            TopicFilterInvalid,
            "UNSUBSCRIBE: topic filter 1 \"a+\": '+' must stand alone in its level",
        ),
        err(
            V3_1_1,
            &[b"\x82\x05\x00\x01\x00\x01a"],
            Malformed,
            "SUBSCRIBE: ends inside the subscription options",
        ),
        err(
            V3_1_1,
            &[b"\x82\x06\x00\x01\x00\x01a\x04"],
            Malformed,
            "SUBSCRIBE: reserved bits of subscription options 1 0b00000100 are set",
        ),
        err(
            V5,
            &[b"\x82\x07\x00\x01\x00\x00\x01a\x40"],
            Malformed,
            "SUBSCRIBE: reserved bits of subscription options 1 0b01000000 are set",
        ),
        err(
            V3_1_1,
            &[b"\x82\x06\x00\x01\x00\x01a\x03"],
            Protocol,
            "SUBSCRIBE: subscription options 1: QoS 3 is not allowed",
        ),
        err(
            V5,
            &[b"\x82\x07\x00\x01\x00\x00\x01a\x30"],
            Protocol,
            "SUBSCRIBE: subscription options 1: retain handling 3 is not allowed",
        ),
        err(
            V5,
            &[b"\x82\x10\x00\x01\x00\x00\x0a$share/g/a\x04"],
            Protocol,
            "SUBSCRIBE: subscription options 1: no local on a shared subscription",
        ),
        err(
            V5,
            &[b"\x82\x0e\x00\x01\x00\x00\x08$share/g\x00"],
            TopicFilterInvalid,
            "SUBSCRIBE: topic filter 1 \"$share/g\": no filter follows the share name",
        ),
        err(
            V5,
            &[b"\x82\x09\x00\x01\x02\x0b\x00\x00\x01a\x00"],
            Protocol,
            "SUBSCRIBE: property \"subscription identifier\" must not be 0",
        ),
        // DISCONNECT and AUTH.
        err(
            V3_1_1,
            &[b"\xe0\x01\x00"],
            Malformed,
            "DISCONNECT: bytes left over after the last field: 1",
        ),
        err(
            V5,
            &[b"\xe0\x01\x8e"],
            Protocol,
            "DISCONNECT: reason code 0x8e is not allowed here",
        ),
        err(
            V5,
            &[b"\xe0\x06\x00\x04\x1c\x00\x01s"],
            Protocol,
            "DISCONNECT: only servers send property \"server reference\"",
        ),
        err(
            V5,
            &[b"\xf0\x00"],
            Protocol,
            "AUTH: reason code 0x00 is not allowed here",
        ),
        err(
            V5,
            &[b"\xf0\x02\x18\x00"],
            Protocol,
            "AUTH: no authentication method",
        ),
    ]
}

#[test]
fn decodes_what_the_bytes_say() {
    for case in accepted().into_iter().chain(refused()) {
        let bytes = case.bytes();
        let got = decode(&bytes, case.version);
        let got = got.map_err(|error| (error.to_string(), error.reason_code()));
        let expected = case
            .expected
            .map(Some)
            .map_err(|(says, reason)| (says.to_owned(), reason));
        assert_eq!(got, expected, "{}: {bytes:02x?}", case.name);
    }
}

/// All fields stand in the table's order, which is the encoder's too.
#[test]
fn encodes_the_same_bytes() {
    for case in accepted() {
        let mut out = Vec::new();
        let version = case.version;
        match case.expected.unwrap() {
            Packet::Publish(publish) => {
                publish.encode(version, &mut out);
                assert_eq!(out.len(), publish.encoded_len(version));
            }
            Packet::PubAck(ack) => ack.encode(AckType::PubAck, version, &mut out),
            Packet::PubRec(ack) => ack.encode(AckType::PubRec, version, &mut out),
            Packet::PubRel(ack) if version != V3_1 => {
                ack.encode(AckType::PubRel, version, &mut out);
            }
            Packet::Auth(auth) => auth.encode(&mut out),
            _ => continue,
        }
        let bytes = case.bytes();
        assert_eq!(out, bytes, "{}", case.name);
    }
}

/// Less than a packet is never a packet, and a shorter one of the same kind never panics.
#[test]
fn truncation_asks_for_more_or_is_an_error() {
    for case in accepted().into_iter().chain(refused()) {
        let bytes = case.bytes();
        for len in 0..bytes.len() {
            let got = decode(&bytes[..len], case.version);
            assert!(
                matches!(got, Ok(None) | Err(_)),
                "{}: {len} bytes gave {got:?}",
                case.name
            );
            if len >= 2 && bytes[1] < 0x80 {
                let mut shorter = bytes[..len].to_vec();
                shorter[1] = (len - 2) as u8;
                walk(&shorter);
            }
        }
    }
}

#[test]
fn mutations_never_panic() {
    for case in accepted().into_iter().chain(refused()) {
        let bytes = case.bytes();
        for at in 0..bytes.len() {
            for value in 0..=0xff {
                let mut mutated = bytes.clone();
                mutated[at] = value;
                walk(&mutated);
            }
        }
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut random = Random(1);
    for _ in 0..20_000 {
        let mut bytes = random.bytes(40);
        walk(&bytes);
        // The same again with a header that fits, to get past it.
        if bytes.len() > 2 {
            bytes[1] = (bytes.len() - 2) as u8;
            walk(&bytes);
        }
    }
}

/// Decodes in every version and looks at all there is.
fn walk(bytes: &[u8]) {
    for version in [V3_1, V3_1_1, V5] {
        match decode(bytes, version) {
            Ok(Some(Packet::Subscribe(subscribe))) => {
                assert_eq!(subscribe.filters.len(), subscribe.filters.count());
            }
            Ok(Some(Packet::Unsubscribe(unsubscribe))) => {
                assert_eq!(unsubscribe.filters.len(), unsubscribe.filters.count());
            }
            Ok(Some(Packet::Publish(publish))) => {
                let mut out = Vec::new();
                publish.encode(version, &mut out);
                assert_eq!(decode(&out, version), Ok(Some(Packet::Publish(publish))));
            }
            Ok(_) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn random_packets_come_back() {
    let mut random = Random(2);
    for round in 0..5_000 {
        let version = [V3_1, V3_1_1, V5][round % 3];
        let qos = QoS::try_from((random.next() % 3) as u8).unwrap();
        let id = packet_id(random.next() as u16 | 1);
        let (topic, data, payload) = (random.text(), random.bytes(20), random.bytes(300));
        let mut pairs = Vec::new();
        for _ in 0..random.next() % 3 {
            pairs.push(0x26);
            super::writer::string(&mut pairs, &random.text());
            super::writer::string(&mut pairs, &random.text());
        }
        let pairs = UserProperties::decode(&pairs).unwrap();
        let mut publish = Publish {
            dup: qos != QoS::AtMostOnce && random.coin(),
            qos,
            retain: random.coin(),
            topic: &topic,
            packet_id: (qos != QoS::AtMostOnce).then_some(id),
            properties: PublishProperties::default(),
            payload: &payload,
        };
        let mut ack = Ack::new(id, ReasonCode::Success);
        if version == V5 {
            publish.properties = PublishProperties {
                payload_format_indicator: random.coin().then_some(PayloadFormat::Unspecified),
                message_expiry_interval: random.coin().then_some(random.next() as u32),
                topic_alias: NonZeroU16::new(random.next() as u16 % 3),
                response_topic: random.coin().then_some(TopicName::new(&topic).unwrap()),
                correlation_data: random.coin().then_some(&data),
                subscription_identifiers: &[],
                content_type: random.coin().then_some(&topic),
                user_properties: pairs,
            };
            ack.reason_string = random.coin().then_some(&topic);
            ack.user_properties = pairs;
        }
        let mut out = Vec::new();
        publish.encode(version, &mut out);
        assert_eq!(out.len(), publish.encoded_len(version));
        assert_eq!(decode(&out, version), Ok(Some(Packet::Publish(publish))));

        out.clear();
        ack.encode(AckType::PubComp, version, &mut out);
        assert_eq!(decode(&out, version), Ok(Some(Packet::PubComp(ack))));
    }
}

#[test]
fn lists_subscriptions_in_order() {
    let bytes = [
        &b"\x82\x19\x00\x01"[..],  // SUBSCRIBE, 25 bytes, packet identifier
        b"\x03\x0b\xff\x7f",       // property length, subscription identifier
        b"\x00\x03a/+\x2d",        // QoS 1, no local, retain as published, send never
        b"\x00\x0a$share/g/b\x12", // QoS 2, send if new
    ]
    .concat();
    let Ok(Some(Packet::Subscribe(subscribe))) = decode(&bytes, V5) else {
        panic!("{:?}", decode(&bytes, V5));
    };
    let Subscribe {
        packet_id,
        subscription_identifier,
        filters,
        ..
    } = subscribe;
    assert_eq!(
        (packet_id.get(), subscription_identifier, filters.len()),
        (1, Some(16_383), 2)
    );
    let [first, second] = filters.collect::<Vec<_>>()[..] else {
        panic!("{filters:?}")
    };
    assert_eq!(
        (first.full, first.filter.as_str(), first.share),
        ("a/+", "a/+", None)
    );
    assert_eq!(
        (first.qos, first.no_local, first.retain_as_published),
        (QoS::AtLeastOnce, true, true)
    );
    assert_eq!(first.retain_handling, RetainHandling::SendNever);
    assert_eq!(
        (second.full, second.filter.as_str(), second.share),
        ("$share/g/b", "b", Some("g"))
    );
    assert_eq!(
        (second.qos, second.no_local, second.retain_as_published),
        (QoS::ExactlyOnce, false, false)
    );
    assert_eq!(second.retain_handling, RetainHandling::SendIfNew);

    let bytes = b"\xa2\x0a\x00\x01\x00\x01a\x00\x03b/#";
    let Ok(Some(Packet::Unsubscribe(unsubscribe))) = decode(bytes, V3_1_1) else {
        panic!("{:?}", decode(bytes, V3_1_1));
    };
    assert!(
        unsubscribe
            .filters
            .map(|filter| filter.full)
            .eq(["a", "b/#"])
    );
}

#[test]
fn splits_one_packet_after_the_other() {
    let bytes = b"\xc0\x00\x30\x03\x00\x01a\xe0";
    let first = next_frame(bytes, Some(V3_1_1), 5).unwrap().unwrap();
    assert_eq!((first.bytes, first.body), (&b"\xc0\x00"[..], &b""[..]));
    let second = next_frame(&bytes[2..], Some(V3_1_1), 5).unwrap().unwrap();
    assert_eq!((second.bytes, second.body), (&bytes[2..7], &bytes[4..7]));
    assert_eq!(next_frame(&bytes[7..], Some(V3_1_1), 5), Ok(None));
    assert!(matches!(
        next_frame(&bytes[2..], Some(V3_1_1), 4),
        Err(DecodeError::TooLarge {
            len: 5,
            len_max: 4,
            ..
        })
    ));
    // Before CONNECT nothing else is waited for [MQTT-3.1.0-1].
    assert!(matches!(
        next_frame(b"\x30", None, 5),
        Err(DecodeError::ConnectExpected(_))
    ));
    assert_eq!(
        next_frame(b"\xf0", None, 5),
        Err(DecodeError::UnknownPacketType(15))
    );
}

#[test]
fn encodes_what_only_servers_send() {
    let check = |expected: &[&[u8]], encode: &dyn Fn(&mut Vec<u8>)| {
        // Behind other packets, as in an outbox.
        let mut out = vec![0xc0, 0x00];
        encode(&mut out);
        assert_eq!(out[2..], expected.concat());
    };
    let taken = ConnAck {
        reason: ReasonCode::NotAuthorized,
        ..ConnAck::default()
    };
    check(&[b"\x20\x02\x00\x05"], &|out| taken.encode(V3_1_1, out));
    check(&[b"\x20\x03\x00\x87\x00"], &|out| taken.encode(V5, out));
    let no_code = ConnAck {
        reason: ReasonCode::MalformedPacket,
        ..ConnAck::default()
    };
    check(&[], &|out| no_code.encode(V3_1_1, out)); // [MQTT-3.2.2-6 3.1.1]
    let resumed = ConnAck {
        session_present: true,
        ..ConnAck::default()
    };
    check(&[b"\x20\x02\x01\x00"], &|out| resumed.encode(V3_1_1, out));
    check(&[b"\x20\x02\x00\x00"], &|out| resumed.encode(V3_1, out));
    let terms = ConnAckProperties {
        session_expiry_interval: Some(1),
        receive_maximum: Some(2),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(false),
        maximum_packet_size: Some(3),
        assigned_client_identifier: Some("c"),
        topic_alias_maximum: Some(4),
        reason_string: Some("r"),
        user_properties: UserProperties::decode(b"\x26\x00\x01k\x00\x01v").unwrap(),
        wildcard_subscription_available: Some(true),
        subscription_identifiers_available: Some(true),
        shared_subscription_available: Some(false),
        server_keep_alive: Some(5),
        response_information: Some("i"),
        server_reference: Some("s"),
        authentication_method: Some("m"),
        authentication_data: Some(b"d"),
    };
    check(
        &[
            b"\x20\x3f\x00\x00\x3c", // CONNACK, flags, reason code, property length
            b"\x11\x00\x00\x00\x01\x21\x00\x02", // session expiry interval, receive maximum
            b"\x24\x01\x25\x00",     // maximum QoS, retain available
            b"\x27\x00\x00\x00\x03\x12\x00\x01c", // maximum packet size, assigned client id
            b"\x22\x00\x04\x1f\x00\x01r", // topic alias maximum, reason string
            b"\x26\x00\x01k\x00\x01v", // user property
            b"\x28\x01\x29\x01\x2a\x00", // wildcard, identifiers, shared available
            b"\x13\x00\x05\x1a\x00\x01i", // server keep alive, response information
            b"\x1c\x00\x01s\x15\x00\x01m", // server reference, authentication method
            b"\x16\x00\x01d",        // authentication data
        ],
        &|out| {
            ConnAck {
                properties: terms,
                ..ConnAck::default()
            }
            .encode(V5, out);
        },
    );

    let sub_ack = SubAck {
        packet_id: packet_id(258),
        reason_codes: &[ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized],
        reason_string: None,
        user_properties: UserProperties::default(),
    };
    check(&[b"\x90\x04\x01\x02\x01\x80"], &|out| {
        sub_ack.encode(V3_1_1, out);
    });
    check(&[b"\x90\x05\x01\x02\x00\x01\x87"], &|out| {
        sub_ack.encode(V5, out);
    });
    let unsub_ack = UnsubAck {
        packet_id: packet_id(258),
        reason_codes: &[ReasonCode::NoSubscriptionExisted],
        reason_string: Some("r"),
        user_properties: UserProperties::default(),
    };
    check(&[b"\xb0\x02\x01\x02"], &|out| unsub_ack.encode(V3_1_1, out));
    check(&[b"\xb0\x08\x01\x02\x04\x1f\x00\x01r\x11"], &|out| {
        unsub_ack.encode(V5, out);
    });
    check(&[b"\xd0\x00"], &|out| PingResp.encode(out));

    let bye = Disconnect {
        reason: ReasonCode::SessionTakenOver,
        ..Disconnect::default()
    };
    check(&[b"\xe0\x01\x8e"], &|out| bye.encode(out));
    check(&[b"\xe0\x00"], &|out| Disconnect::default().encode(out));
    let moved = Disconnect {
        server_reference: Some("s"),
        ..Disconnect::default()
    };
    check(&[b"\xe0\x06\x00\x04\x1c\x00\x01s"], &|out| {
        moved.encode(out);
    });

    // A forwarder adds what only servers send.
    let publish = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "a",
        packet_id: None,
        properties: PublishProperties {
            subscription_identifiers: &[1, 128],
            ..PublishProperties::default()
        },
        payload: b"p",
    };
    check(&[b"\x30\x0a\x00\x01a\x05\x0b\x01\x0b\x80\x01p"], &|out| {
        publish.encode(V5, out);
    });
    check(&[b"\x30\x04\x00\x01ap"], &|out| publish.encode(V3_1, out));
}

/// A stream of numbers that is the same in every run (xorshift64*). Seeds are not 0.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn coin(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }

    /// Fewer than `len_max` bytes.
    fn bytes(&mut self, len_max: u64) -> Vec<u8> {
        (0..self.next() % len_max)
            .map(|_| self.next() as u8)
            .collect()
    }

    /// Text that is a topic name, of 1 to 200 characters.
    fn text(&mut self) -> String {
        let alphabet = ['a', '/', '$', ' ', 'é', '\u{feff}', '🦀'];
        (0..=self.next() % 200)
            .map(|_| alphabet[(self.next() % 7) as usize])
            .collect()
    }
}
