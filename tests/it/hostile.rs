//! Bad input closes one connection, with one line that says why, and nobody else notices.

use crate::support::packet::{self, packet, prefixed};
use crate::support::random::Random;
use crate::support::{Broker, Connect, Publish};

/// Packets that a connected client must not send, each with the rule it breaks.
fn malformed_packets() -> Vec<(&'static str, Vec<u8>)> {
    let topic = |bytes: &[u8]| packet(0x30, &[prefixed(bytes), b"x".to_vec()].concat());
    let subscribe =
        |filter: &[u8], qos: u8| packet(0x82, &[vec![0, 1], prefixed(filter), vec![qos]].concat());
    let unsubscribe = |filter: &[u8]| packet(0xa2, &[vec![0, 1], prefixed(filter)].concat());
    vec![
        (
            "[MQTT-1.5.5-1] remaining length of five bytes",
            vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x01],
        ),
        ("[MQTT-3.3.1-4] QoS 3", packet(0x36, b"\0\x01a\0\x01")),
        ("[MQTT-3.3.1-2] DUP at QoS 0", packet(0x38, b"\0\x01ax")),
        ("[MQTT-3.3.2-2] + in a topic", topic(b"a/+")),
        ("[MQTT-3.3.2-2] # in a topic", topic(b"a/#")),
        ("[MQTT-4.7.3-1] empty topic", topic(b"")),
        ("[MQTT-4.7.3-2] U+0000 in a topic", topic(b"a\0b")),
        (
            "[MQTT-1.5.4-1] surrogate in a topic",
            topic(b"a\xed\xa0\x80"),
        ),
        (
            "[MQTT-1.5.4-1] overlong form in a topic",
            topic(b"a\xc0\xaf"),
        ),
        (
            "[MQTT-1.5.4-1] cut character in a topic",
            topic(b"a\xe2\x82"),
        ),
        ("topic longer than the packet", packet(0x30, b"\0\x09ab")),
        ("PUBLISH without a topic", packet(0x30, b"")),
        ("PUBLISH with half a topic length", packet(0x30, b"\0")),
        (
            "[MQTT-2.2.1-2] PUBLISH with packet id 0",
            packet(0x32, b"\0\x01a\0\0x"),
        ),
        (
            "PUBLISH at QoS 1 without a packet id",
            packet(0x32, b"\0\x01a"),
        ),
        (
            "PUBLISH at QoS 2 with half a packet id",
            packet(0x34, b"\0\x01a\x01"),
        ),
        ("[MQTT-2.1.3-1] PUBACK with flags", packet(0x41, b"\0\x01")),
        ("PUBACK with packet id 0", packet(0x40, b"\0\0")),
        ("PUBACK with a byte too many", packet(0x40, b"\0\x01x")),
        ("PUBACK without a packet id", packet(0x40, b"")),
        ("[MQTT-2.1.3-1] PUBREC with flags", packet(0x52, b"\0\x01")),
        (
            "[MQTT-3.6.1-1] PUBREL without its flags",
            packet(0x60, b"\0\x01"),
        ),
        ("PUBREL with packet id 0", packet(0x62, b"\0\0")),
        ("[MQTT-2.1.3-1] PUBCOMP with flags", packet(0x72, b"\0\x01")),
        (
            "[MQTT-3.8.1-1] SUBSCRIBE without its flags",
            packet(0x80, b"\0\x01\0\x01a\0"),
        ),
        (
            "[MQTT-2.2.1-3] SUBSCRIBE with packet id 0",
            packet::subscribe(0, &[("a", 0)]),
        ),
        (
            "[MQTT-3.8.3-2] SUBSCRIBE without a filter",
            packet::subscribe(1, &[]),
        ),
        ("SUBSCRIBE without a QoS", packet(0x82, b"\0\x01\0\x01a")),
        (
            "[MQTT-3.8.3-4] (3.1.1) SUBSCRIBE for QoS 3",
            subscribe(b"a", 3),
        ),
        (
            "[MQTT-3.8.3-4] (3.1.1) SUBSCRIBE with reserved bits",
            subscribe(b"a", 0x80),
        ),
        (
            "SUBSCRIBE whose second filter is cut",
            packet(0x82, b"\0\x01\0\x01a\0\0\x05b"),
        ),
        ("[MQTT-4.7.1-1] # within a level", subscribe(b"a#", 0)),
        ("[MQTT-4.7.1-1] # not at the end", subscribe(b"a/#/b", 0)),
        ("[MQTT-4.7.1-2] + within a level", subscribe(b"a+/b", 0)),
        ("[MQTT-4.7.3-1] empty filter", subscribe(b"", 0)),
        ("[MQTT-4.7.3-2] U+0000 in a filter", subscribe(b"a\0", 0)),
        ("[MQTT-3.8.3-1] filter is not UTF-8", subscribe(b"\xff", 0)),
        (
            "[MQTT-3.10.1-1] UNSUBSCRIBE without its flags",
            packet(0xa0, b"\0\x01\0\x01a"),
        ),
        (
            "UNSUBSCRIBE with packet id 0",
            packet::unsubscribe(0, &["a"]),
        ),
        (
            "[MQTT-3.10.3-2] UNSUBSCRIBE without a filter",
            packet::unsubscribe(1, &[]),
        ),
        (
            "[MQTT-4.7.3-1] UNSUBSCRIBE with an empty filter",
            unsubscribe(b""),
        ),
        ("[MQTT-2.1.3-1] PINGREQ with flags", packet(0xc1, b"")),
        ("PINGREQ with a byte too many", packet(0xc0, b"x")),
        ("[MQTT-3.14.1-1] DISCONNECT with flags", packet(0xe1, b"")),
        (
            "DISCONNECT of 3.1.1 with a byte too many",
            packet(0xe0, b"x"),
        ),
        ("CONNACK from a client", packet::connack(0)),
        ("SUBACK from a client", packet::suback(1, &[0])),
        ("UNSUBACK from a client", packet::unsuback(1)),
        ("PINGRESP from a client", packet::PINGRESP.to_vec()),
    ]
}

/// `[MQTT-4.13.1-1]`, `[MQTT-4.8.0-1]` (3.1.1)
#[test]
fn closes_only_the_connection_that_sent_a_malformed_packet() {
    let broker = Broker::start_without_store();
    let mut witness = broker.connect("witness");
    witness.subscribe("witness");
    for (number, (case, bytes)) in malformed_packets().into_iter().enumerate() {
        let id = format!("case {number}");
        let mut client = broker.connect(&id);
        client.send(&bytes);
        let answers = client.expect_closed_after_anything();
        assert!(answers.is_empty(), "{case}: {answers:x?}");
        let error = broker.expect_one_error_of(client.peer());
        assert!(
            error.contains(&format!("client=\"{id}\"")),
            "{case}: {error}"
        );
        witness.expect_nothing();
    }
    broker.connect("publisher").publish("witness", "still here");
    witness.expect_publish("witness", "still here");
}

/// What came before the bad packet in the same read counts.
#[test]
fn serves_what_came_before_the_malformed_packet() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    let mut client = broker.connect("client");
    let good = Publish::new("a", "good").qos(1, 1).bytes();
    client.send(&[good, packet(0x36, b"\0\x01a\0\x01")].concat());
    client.expect(&packet::puback(1));
    client.expect_closed();
    subscriber.expect_publish("a", "good");
}

/// Type 15 is AUTH in MQTT 5.0 and forbidden in 3.1.1; type 0 is forbidden in both.
#[test]
fn names_unknown_packet_types() {
    let broker = Broker::start_without_store();
    for first in [0x00, 0xf0] {
        let mut client = broker.connect(&format!("odd {first}"));
        client.send(&[first, 0]);
        client.expect_closed();
        broker.wait_for_log(&format!(
            "[UNKNOWN PACKET TYPE] client=\"odd {first}\" peer={}",
            client.peer()
        ));
    }
    assert_eq!(broker.log_count("[UNKNOWN PACKET TYPE]"), 2);
}

/// The same before CONNECT.
#[test]
fn names_unknown_packet_types_of_strangers() {
    let broker = Broker::start_without_store();
    let mut stranger = broker.open();
    stranger.send(&[0x00, 0]);
    stranger.expect_closed();
    broker.wait_for_log("[UNKNOWN PACKET TYPE]");
}

/// A client's text must not look like a line of the log.
#[test]
fn does_not_let_a_client_forge_log_lines() {
    let broker = Broker::start_without_store();
    let mut client = broker.connect("x\n[LISTENING] forged\r\u{1b}[31m");
    client.send(&[0x36, 0]);
    client.expect_closed();
    broker.expect_one_error_of(client.peer());
    assert!(
        !broker
            .log()
            .lines()
            .any(|line| line.starts_with("[LISTENING] forged"))
    );
    assert_eq!(broker.log_count("\u{1b}[31m"), 0);
}

#[test]
fn survives_clients_that_leave_in_the_middle_of_a_packet() {
    let broker = Broker::start_without_store();
    let publish = Publish::new("a/b", "payload").qos(1, 7).bytes();
    for length in 1..publish.len() {
        let mut client = broker.connect("leaving");
        client.send(&publish[..length]);
        client.finish_sending();
        client.expect_closed();
    }
    broker.connect("next").expect_nothing();
}

/// Stands in for a fuzzer: good packets with some bytes changed, the same ones in every run.
#[test]
fn survives_mutated_packets() {
    let mut random = Random::seeded(0x5eed);
    let broker = Broker::start_without_store();
    let good = [
        Connect::new("mutant").will("w", b"x").bytes(),
        Publish::new("a/b", "payload").qos(2, 7).bytes(),
        packet::subscribe(1, &[("a/+", 1), ("#", 0)]),
        packet::pubrel(7),
        packet::unsubscribe(2, &["a/+"]),
        packet::PINGREQ.to_vec(),
    ]
    .concat();
    for _ in 0..500 {
        let mut bytes = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] = random.byte(),
                1 => bytes.insert(at, random.byte()),
                _ => drop(bytes.remove(at)),
            }
        }
        let mut client = broker.open();
        client.send_to_closing(&bytes);
    }
    broker.connect("next").expect_nothing();
}
