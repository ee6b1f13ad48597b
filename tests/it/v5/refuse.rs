//! Chapter 4.13: what is refused, and with which reason code.

use crate::support::packet::{self, ack, packet, prefixed};
use crate::support::property::{self, section};
use crate::support::{Broker, Connect, Publish};

/// `[MQTT-4.13.1-1]`, `[MQTT-4.13.2-1]`, `[MQTT-3.14.0-1]`: DISCONNECT with the reason, then the end.
#[test]
fn says_why_before_it_closes() {
    let publish = |properties: &[u8]| {
        packet(
            0x30,
            &[&prefixed("a"), &section(properties), &b"x"[..]].concat(),
        )
    };
    let subscribe = |filter: &str, options: u8| packet::subscribe_v5(1, &[], &[(filter, options)]);
    let twice = |property: Vec<u8>| publish(&[property.clone(), property].concat());
    let cases = [
        // Malformed: the bytes have not the form they must have.
        (0x81, "type 0", vec![0x00, 0]),
        (0x81, "[MQTT-2.1.3-1] flags of PINGREQ", vec![0xc1, 0]),
        (0x81, "[MQTT-2.1.3-1] flags of PUBREL", ack(0x60, 1, &[])),
        (
            0x81,
            "[MQTT-3.3.1-4] QoS 3",
            packet(0x36, b"\0\x01a\0\x01\0"),
        ),
        (
            0x81,
            "[MQTT-3.3.1-2] DUP at QoS 0",
            packet(0x38, b"\0\x01a\0x"),
        ),
        (
            0x81,
            "[MQTT-1.5.5-1] remaining length of five bytes",
            vec![0x30, 0xff, 0xff, 0xff, 0xff, 1],
        ),
        (
            0x81,
            "property length beyond the packet",
            packet(0x30, b"\0\x01a\x05\x01"),
        ),
        (
            0x81,
            "[MQTT-1.5.5-1] property length of five bytes",
            packet(0x30, b"\0\x01a\x80\x80\x80\x80\x01"),
        ),
        (0x81, "unknown property", publish(&[0x7f, 0])),
        (
            0x81,
            "property cut short",
            publish(&[property::MESSAGE_EXPIRY, 0, 0]),
        ),
        (
            0x81,
            "property of another packet",
            publish(&property::four(property::SESSION_EXPIRY, 1)),
        ),
        (
            0x81,
            "user property without a value",
            publish(&[property::USER_PROPERTY, 0, 1, b'k']),
        ),
        (
            0x81,
            "[MQTT-1.5.4-1] user property is not UTF-8",
            publish(&[property::USER_PROPERTY, 0, 1, 0xff, 0, 0]),
        ),
        (0x81, "bytes behind PUBACK", ack(0x40, 1, &[0, 0, 9])),
        (0x81, "bytes behind DISCONNECT", packet(0xe0, &[0, 0, 9])),
        (
            0x81,
            "[MQTT-3.8.3-5] reserved option bits",
            subscribe("a", 0x40),
        ),
        // Protocol errors: the form is right, what it says is not.
        (
            0x82,
            "[MQTT-3.1.0-2] second CONNECT",
            Connect::v5("again").bytes(),
        ),
        (0x82, "CONNACK from a client", packet(0x20, &[0, 0, 0])),
        (0x82, "SUBACK from a client", packet::suback_v5(1, &[0])),
        (0x82, "AUTH without authentication", packet(0xf0, &[])),
        (
            0x82,
            "payload format twice",
            twice(property::byte(property::PAYLOAD_FORMAT, 0)),
        ),
        (
            0x82,
            "message expiry twice",
            twice(property::four(property::MESSAGE_EXPIRY, 9)),
        ),
        (
            0x82,
            "content type twice",
            twice(property::text(property::CONTENT_TYPE, "t")),
        ),
        (
            0x82,
            "correlation data twice",
            twice(property::text(property::CORRELATION_DATA, "t")),
        ),
        (
            0x82,
            "response topic twice",
            twice(property::text(property::RESPONSE_TOPIC, "t")),
        ),
        (
            0x82,
            "topic alias twice",
            twice(property::two(property::TOPIC_ALIAS, 1)),
        ),
        (
            0x82,
            "payload format 2",
            publish(&property::byte(property::PAYLOAD_FORMAT, 2)),
        ),
        (
            0x82,
            "[MQTT-3.3.2-14] wildcard in the response topic",
            publish(&property::text(property::RESPONSE_TOPIC, "a/#")),
        ),
        (
            0x82,
            "[MQTT-3.3.4-6] subscription id from a client",
            publish(&property::var_int(property::SUBSCRIPTION_ID, 1)),
        ),
        (
            0x82,
            "neither topic nor alias",
            Publish::new("", "x").bytes_v5(),
        ),
        (
            0x82,
            "[MQTT-2.2.1-3] packet id 0",
            Publish::new("a", "x").qos(1, 0).bytes_v5(),
        ),
        (0x82, "PUBACK for packet id 0", ack(0x40, 0, &[])),
        (
            0x82,
            "reason code of another packet in PUBACK",
            ack(0x40, 1, &[0x8b]),
        ),
        (
            0x82,
            "[MQTT-3.8.3-2] SUBSCRIBE without a filter",
            packet::subscribe_v5(1, &[], &[]),
        ),
        (
            0x82,
            "[MQTT-3.10.3-2] UNSUBSCRIBE without a filter",
            packet::unsubscribe_v5(1, &[]),
        ),
        (0x82, "QoS 3 in options", subscribe("a", 3)),
        (0x82, "retain handling 3", subscribe("a", 0x30)),
        (
            0x82,
            "[MQTT-3.8.3-4] no local on a shared subscription",
            subscribe("$share/g/a", 4),
        ),
        (
            0x82,
            "subscription id 0",
            packet::subscribe_v5(
                1,
                &property::var_int(property::SUBSCRIPTION_ID, 0),
                &[("a", 0)],
            ),
        ),
        (
            0x82,
            "a code of servers in DISCONNECT",
            packet::disconnect_v5(0x8b, &[]),
        ),
        (
            0x82,
            "session expiry where CONNECT had none",
            packet::disconnect_v5(0, &property::four(property::SESSION_EXPIRY, 9)),
        ),
        // Topics and filters.
        (
            0x90,
            "[MQTT-3.3.2-2] wildcard in a topic",
            Publish::new("a/+", "x").bytes_v5(),
        ),
        (
            0x8f,
            "[MQTT-4.7.1-1] # within a filter",
            subscribe("a/#/b", 0),
        ),
        (
            0x8f,
            "[MQTT-4.8.2-1] share name empty",
            subscribe("$share//a", 0),
        ),
        (
            0x8f,
            "[MQTT-4.8.2-2] share name with a wildcard",
            subscribe("$share/+/a", 0),
        ),
        (
            0x8f,
            "[MQTT-4.8.2-1] share without a filter",
            subscribe("$share/g", 0),
        ),
        (
            0x8f,
            "share with an empty filter",
            subscribe("$share/g/", 0),
        ),
        (
            0x94,
            "[MQTT-3.3.2-8] topic alias 0",
            publish(&property::two(property::TOPIC_ALIAS, 0)),
        ),
        (
            0x94,
            "[MQTT-3.3.2-9] topic alias above the maximum",
            publish(&property::two(property::TOPIC_ALIAS, 65)),
        ),
        (
            0x94,
            "topic alias that stands for nothing",
            Publish::new("", "x")
                .properties(&[property::two(property::TOPIC_ALIAS, 3)])
                .bytes_v5(),
        ),
        (
            0x99,
            "payload is not UTF-8 as it says",
            Publish::new("a", [0xff])
                .properties(&[property::byte(property::PAYLOAD_FORMAT, 1)])
                .bytes_v5(),
        ),
    ];
    let broker = Broker::start_without_store();
    let mut witness = broker.connect_v5("witness");
    for (code, case, bytes) in cases {
        let mut client = broker.connect_v5("client");
        client.send(&bytes);
        let got = client.expect_closed_after_anything();
        let said = got
            .last()
            .and_then(|last| packet::body_of(0xe0, last)?.first().copied());
        assert_eq!((got.len(), said), (1, Some(code)), "{case}: {got:x?}");
        broker.wait_for_log(&format!("peer={}:", client.peer()));
    }
    witness.expect_nothing();
}

/// `[MQTT-3.1.4-1]`, `[MQTT-3.1.4-2]`: a CONNECT that is wrong gets a CONNACK that says so.
#[test]
fn says_why_it_refuses_connect() {
    let with = |properties: &[Vec<u8>]| Connect::v5("client").properties(properties).bytes();
    let twice = |property: Vec<u8>| with(&[property.clone(), property]);
    let flags = |flags| {
        packet::connect(
            "MQTT",
            5,
            flags,
            0,
            &[&[0][..], &prefixed("client")].concat(),
        )
    };
    let method = property::text(property::AUTHENTICATION_METHOD, "SCRAM-SHA-1");
    let cases = [
        (0x81, "[MQTT-3.1.2-3] reserved flag", flags(0x03)),
        (0x81, "[MQTT-3.1.2-11] will QoS without will", flags(0x0a)),
        (0x81, "[MQTT-3.1.2-17] user name missing", flags(0x82)),
        (
            0x81,
            "property of PUBLISH",
            with(&[property::two(property::TOPIC_ALIAS, 1)]),
        ),
        (
            0x81,
            "will delay without a will",
            with(&[property::four(property::WILL_DELAY, 1)]),
        ),
        (
            0x82,
            "session expiry twice",
            twice(property::four(property::SESSION_EXPIRY, 1)),
        ),
        (
            0x82,
            "receive maximum twice",
            twice(property::two(property::RECEIVE_MAXIMUM, 1)),
        ),
        (
            0x82,
            "receive maximum 0",
            with(&[property::two(property::RECEIVE_MAXIMUM, 0)]),
        ),
        (
            0x82,
            "maximum packet size 0",
            with(&[property::four(property::MAXIMUM_PACKET_SIZE, 0)]),
        ),
        (
            0x82,
            "request problem information 2",
            with(&[property::byte(property::REQUEST_PROBLEM_INFORMATION, 2)]),
        ),
        (
            0x82,
            "request response information 2",
            with(&[property::byte(property::REQUEST_RESPONSE_INFORMATION, 2)]),
        ),
        (
            0x82,
            "authentication data without a method",
            with(&[property::text(property::AUTHENTICATION_DATA, "x")]),
        ),
        (
            0x8c,
            "[MQTT-4.12.0-1] unknown authentication method",
            with(&[method]),
        ),
    ];
    let broker = Broker::start_without_store();
    for (code, case, bytes) in cases {
        let mut client = broker.open();
        client.send(&bytes);
        let got = client.expect_closed_after_anything();
        let connack = got.first().and_then(|first| packet::body_of(0x20, first));
        let said = connack.map(|body| (body[0], body[1]));
        assert_eq!((got.len(), said), (1, Some((0, code))), "{case}: {got:x?}");
    }
}

/// Legal though odd: each is taken, and the connection goes on.
#[test]
fn accepts_what_is_odd_but_legal() {
    let acks = [0x40, 0x50, 0x62, 0x70].map(|first| {
        let reason = [
            ack(first, 9, &[]),
            ack(first, 9, &[0]),
            ack(first, 9, &[0, 0]),
        ]
        .concat();
        let words = property::text(property::REASON_STRING, "because");
        let section = section(&[words, property::user("", ""), property::user("", "")].concat());
        [reason, ack(first, 9, &[&[0], section.as_slice()].concat())].concat()
    });
    let broker = Broker::start_without_store();
    let mut client = broker.connect_v5("client");
    for bytes in acks {
        client.send(&bytes);
    }
    let mut publish = Publish::new("a", "x").qos(1, 3);
    publish.properties = [
        property::user("", ""),
        property::user("k", ""),
        property::user("k", ""),
    ]
    .concat();
    client.send_publish(&publish);
    // PUBREL for each PUBREC and PUBCOMP for each PUBREL, of an id nobody knows, and the PUBACK.
    let answers: Vec<Vec<u8>> = (0..9).map(|_| client.packet()).collect();
    let count = |wanted: &[u8]| answers.iter().filter(|answer| *answer == wanted).count();
    let counts = [
        ack(0x62, 9, &[0x92]),
        ack(0x70, 9, &[0x92]),
        packet::puback(3),
    ]
    .map(|it| count(&it));
    assert_eq!(counts, [4, 4, 1], "{answers:x?}");
    client.expect_nothing();
}
