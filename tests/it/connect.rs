//! Chapter 3.1: who is let in.

use crate::support::packet::{self, DISCONNECT, PINGREQ, PINGRESP, prefixed};
use crate::support::{Broker, BrokerCommand, Connect, Publish, Wire};

/// `[MQTT-3.2.2-1]` (3.1.1), `[MQTT-3.2.0-1]`
#[test]
fn accepts_a_client() {
    let broker = Broker::start_without_store();
    let mut client = broker.connect("client");
    client.expect_nothing();
}

/// `[MQTT-3.1.4-6]`: a client need not wait for CONNACK.
#[test]
fn serves_what_follows_connect_in_the_same_write() {
    let broker = Broker::start_without_store();
    let mut client = broker.open();
    let parts = [
        Connect::new("hasty").bytes(),
        packet::subscribe(1, &[("a", 0)]),
        Publish::new("a", "own").bytes(),
        PINGREQ.to_vec(),
    ];
    client.send(&parts.concat());
    client.expect(&packet::connack(0));
    client.expect(&packet::suback(1, &[0]));
    client.expect_publish("a", "own");
    client.expect(PINGRESP);
}

/// Packets may be cut anywhere, even within their length.
#[test]
fn serves_a_client_that_sends_single_bytes() {
    let broker = Broker::start_without_store();
    let mut client = broker.open();
    client.send_dribbled(&Connect::new("dribbling").bytes());
    client.expect(&packet::connack(0));
    client.send_dribbled(&packet::subscribe(1, &[("a/b", 0)]));
    client.expect(&packet::suback(1, &[0]));
    // Long enough for a remaining length of two bytes.
    let payload = "x".repeat(200);
    client.send_dribbled(&Publish::new("a/b", &payload).qos(1, 7).bytes());
    client.expect_publish("a/b", &payload);
    client.expect(&packet::puback(7));
    client.send_dribbled(PINGREQ);
    client.expect(PINGRESP);
}

/// `[MQTT-3.1.0-1]`
#[test]
fn closes_when_the_first_packet_is_not_connect() {
    let broker = Broker::start_without_store();
    let firsts = [
        PINGREQ.to_vec(),
        DISCONNECT.to_vec(),
        packet::subscribe(1, &[("a", 0)]),
        Publish::new("a", "b").bytes(),
        packet::connack(0),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    for first in firsts {
        let mut client = broker.open();
        client.send(&first);
        client.expect_closed();
        broker.expect_one_error_of(client.peer());
    }
}

/// `[MQTT-3.1.0-2]`
#[test]
fn closes_on_a_second_connect() {
    let broker = Broker::start_without_store();
    let mut client = broker.connect("twice");
    client.send(&Connect::new("twice").bytes());
    client.expect_closed();
    let error = broker.expect_one_error_of(client.peer());
    assert!(error.contains("client=\"twice\""), "{error}");
}

/// `[MQTT-3.1.2-2]` (3.1.1)
#[test]
fn refuses_an_unknown_protocol_level() {
    let broker = Broker::start_without_store();
    for level in [0, 3, 6, 255] {
        let mut client = broker.open();
        client.send(
            &Connect {
                level,
                ..Connect::new("future")
            }
            .bytes(),
        );
        client.expect(&packet::connack(1));
        client.expect_closed();
    }
}

/// `[MQTT-3.1.2-1]`: a broker may say CONNACK 0x01 first, or nothing.
#[test]
fn refuses_another_protocol_name() {
    let broker = Broker::start_without_store();
    for protocol in ["MQTTX", "mqtt", "MQT", "HTTP", ""] {
        let mut client = broker.open();
        client.send(
            &Connect {
                protocol,
                ..Connect::new("other")
            }
            .bytes(),
        );
        let answers = client.expect_closed_after_anything();
        assert!(
            answers.is_empty() || answers == [packet::connack(1)],
            "{protocol}: {answers:x?}"
        );
    }
}

/// `[MQTT-3.1.4-1]`: each breaks one rule of the CONNECT packet; closed without CONNACK.
#[test]
fn refuses_a_connect_that_contradicts_itself() {
    let id = prefixed("id");
    let with = |parts: &[&str]| {
        let parts = parts.iter().flat_map(prefixed);
        id.iter().copied().chain(parts).collect::<Vec<u8>>()
    };
    let connect = |flags, payload: &[u8]| packet::connect("MQTT", 4, flags, 0, payload);
    let cases = [
        ("[MQTT-3.1.2-3] reserved flag", connect(0x03, &id)),
        ("[MQTT-3.1.2-11] will QoS without will", connect(0x0a, &id)),
        (
            "[MQTT-3.1.2-13] will retain without will",
            connect(0x22, &id),
        ),
        (
            "[MQTT-3.1.2-12] will QoS 3",
            connect(0x1e, &with(&["topic", "payload"])),
        ),
        ("[MQTT-3.1.2-9] will without topic", connect(0x06, &id)),
        (
            "[MQTT-3.1.2-9] will without payload",
            connect(0x06, &with(&["topic"])),
        ),
        ("[MQTT-3.1.2-17] user name missing", connect(0x82, &id)),
        (
            "[MQTT-3.1.2-19] password missing",
            connect(0xc2, &with(&["user"])),
        ),
        (
            "[MQTT-3.1.2-22] (3.1.1) password without user name",
            connect(0x42, &with(&["secret"])),
        ),
        (
            "[MQTT-3.1.2-16] field without its flag",
            connect(0x02, &with(&["user"])),
        ),
        ("[MQTT-3.1.3-3] no client id", connect(0x02, &[])),
        (
            "[MQTT-3.1.3-4] client id is not UTF-8",
            connect(0x02, &prefixed([0xff, 0xfe])),
        ),
        (
            "[MQTT-1.5.4-2] client id with U+0000",
            connect(0x02, &prefixed("a\0b")),
        ),
        (
            "[MQTT-3.1.3-11] user name is not UTF-8",
            connect(0x82, &[id.clone(), prefixed([0xc0, 0x80])].concat()),
        ),
        (
            "[MQTT-3.1.3-10] (3.1.1) will topic is not UTF-8",
            connect(
                0x06,
                &[id.clone(), prefixed([0xed, 0xa0, 0x80]), prefixed("x")].concat(),
            ),
        ),
        (
            "will topic with a wildcard",
            connect(0x06, &with(&["a/#", "payload"])),
        ),
        ("will topic empty", connect(0x06, &with(&["", "payload"]))),
        ("[MQTT-2.1.3-1] flags in the first byte", {
            let mut bytes = connect(0x02, &id);
            bytes[0] = 0x11;
            bytes
        }),
    ];
    let broker = Broker::start_without_store();
    for (case, bytes) in cases {
        let mut client = broker.open();
        client.send(&bytes);
        let answers = client.expect_closed_after_anything();
        assert!(answers.is_empty(), "{case}: {answers:x?}");
        broker.expect_one_error_of(client.peer());
    }
    broker.connect("good");
}

/// `[MQTT-3.1.3-8]` (3.1.1)
#[test]
fn refuses_an_empty_client_id_that_wants_a_session() {
    let broker = Broker::start_without_store();
    let mut client = broker.open();
    client.send(
        &Connect {
            clean: false,
            ..Connect::new("")
        }
        .bytes(),
    );
    client.expect(&packet::connack(2));
    client.expect_closed();
}

/// `[MQTT-3.1.3-6]`: each gets an id of its own, so that neither takes the other's place.
#[test]
fn gives_clients_without_an_id_one_each() {
    let broker = Broker::start_without_store();
    let mut first = broker.connect("");
    let mut second = broker.connect("");
    first.expect_nothing();
    second.expect_nothing();
}

/// `[MQTT-3.1.3-5]` allows more than 23 characters and more than letters and digits.
#[test]
fn accepts_long_and_odd_client_ids() {
    let broker = Broker::start_without_store();
    let long = "x".repeat(200);
    for id in [long.as_str(), "a b/+#$\"'\\", "温度 😀", "\u{feff}bom"] {
        broker.connect(id).expect_nothing();
    }
}

/// A user name of no length is a user name.
#[test]
fn accepts_an_empty_user_name() {
    let broker = Broker::start_without_store();
    let connect = Connect {
        user_name: Some(""),
        password: Some(""),
        ..Connect::new("named")
    };
    broker.connect_with(&connect).expect_nothing();
}

#[test]
fn closes_a_silent_client_after_the_connect_timeout() {
    let broker = BrokerCommand::without_store()
        .args(&["--connect-timeout", "1s"])
        .start();
    let mut connected = broker.connect("connected");
    let mut silent = broker.open();
    let mut half = broker.open();
    let connect = Connect::new("half").bytes();
    half.send(&connect[..connect.len() - 1]);
    silent.expect_closed();
    half.expect_closed();
    broker.expect_one_error_of(silent.peer());
    broker.expect_one_error_of(half.peer());
    connected.expect_nothing();
}

/// `[MQTT-3.14.4-1]`, and that it is not logged as a fault.
#[test]
fn closes_after_disconnect() {
    let broker = Broker::start_without_store();
    let mut client = broker.connect("polite");
    client.send(DISCONNECT);
    client.expect_closed();
    let mut again = Wire::connect(broker.address(), &Connect::new("polite"));
    again.expect_nothing();
    assert_eq!(broker.log_count("[ERROR]"), 0, "{}", broker.log());
}
