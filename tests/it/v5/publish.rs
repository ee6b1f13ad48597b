//! Chapter 3.3: topic aliases, message expiry, acknowledgements with reason codes.

use std::time::{Duration, Instant};

use crate::support::packet::{self, ack, puback, pubrec};
use crate::support::property::{self, MESSAGE_EXPIRY, TOPIC_ALIAS};
use crate::support::{Broker, Connect, Influx, Publish, Wire};

fn alias(topic: &str, payload: &str, alias: u16) -> Publish {
    Publish::new(topic, payload).properties(&[property::two(TOPIC_ALIAS, alias)])
}

/// `[MQTT-3.3.2-7]` to `[MQTT-3.3.2-12]`: resolved before storing, matching and retaining; set anew at will; not
/// passed on.
#[test]
fn resolves_topic_aliases() {
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    let mut subscriber = broker.connect_v5("subscriber");
    subscriber.subscribe("+/+");
    let mut publisher = broker.connect_v5("publisher");
    // 64 is the largest that the broker offers.
    publisher.send_publish(&alias("room/one", "1", 64));
    publisher.send_publish(&alias("", "2", 64));
    publisher.send_publish(&alias("room/two", "3", 1));
    publisher.send_publish(&alias("", "4", 64));
    publisher.send_publish(&alias("room/three", "5", 64));
    publisher.send_acked(alias("", "6", 64).retained());
    publisher.send_acked(alias("", "7", 1));
    let expected = [
        ("room/one", "1", 0),
        ("room/one", "2", 0),
        ("room/two", "3", 0),
        ("room/one", "4", 0),
        ("room/three", "5", 0),
        ("room/three", "6", 0),
        ("room/two", "7", 0),
    ];
    for (topic, payload, qos) in expected {
        let got = subscriber.take_publish();
        assert_eq!(
            (got.topic.as_str(), got.payload.as_slice(), got.qos),
            (topic, payload.as_bytes(), qos)
        );
        assert!(got.properties.is_empty(), "{got:?}");
    }
    let mut later = broker.connect("later");
    later.subscribe("#");
    later.expect_retained("room/three", "6");
    assert_eq!(influx.count("value"), 7);
}

/// `[MQTT-3.3.2-10]`: an alias lives as long as its connection, whatever becomes of the session.
#[test]
fn forgets_topic_aliases_with_the_connection() {
    let broker = Broker::start_without_store();
    let durable = Connect::v5("publisher")
        .properties(&[property::four(property::SESSION_EXPIRY, 100)])
        .resuming();
    let mut publisher = broker.connect_with(&durable);
    publisher.send_acked(alias("a", "x", 1));
    publisher.disconnect();
    let mut publisher = broker.resume(&durable);
    publisher.send_publish(&alias("", "x", 1));
    publisher.expect_disconnect(0x94);
}

fn expiring(payload: &str, seconds: u32) -> Publish {
    Publish::new("a", payload).properties(&[property::four(MESSAGE_EXPIRY, seconds)])
}

fn seconds_left(publish: &Publish) -> Option<u32> {
    let properties = property::parse(&publish.properties).unwrap();
    let (_, value) = properties.iter().find(|(id, _)| *id == MESSAGE_EXPIRY)?;
    Some(u32::from_be_bytes(value.as_slice().try_into().unwrap()))
}

/// `[MQTT-3.3.2-5]`, `[MQTT-3.3.2-6]`: the seconds left are sent, and nothing whose time is over; in the queue of
/// the absent as among retained messages, and without holding up what comes behind.
#[test]
fn counts_message_expiry_down() {
    let broker = Broker::start_without_store();
    let durable = Connect::v5("subscriber")
        .properties(&[property::four(property::SESSION_EXPIRY, 100)])
        .resuming();
    let mut subscriber = broker.connect_with(&durable);
    subscriber.subscribe_all(&[("a", 2)]);
    subscriber.disconnect();
    let mut live = broker.connect_v5("live");
    live.subscribe("a");
    let mut publisher = broker.connect_v5("publisher");
    publisher.send_acked(expiring("short", 1));
    publisher.send_acked(expiring("long", 100));
    publisher.send_publish(&expiring("short too", 1).qos(2, 1));
    publisher.expect(&pubrec(1));
    publisher.send_acked(Publish::new("a", "for ever"));
    let start = Instant::now();
    for expected in [Some(1), Some(100), Some(1), None] {
        assert_eq!(seconds_left(&live.take_publish()), expected);
    }
    publisher.send_acked(
        Publish {
            topic: "retained/short".into(),
            ..expiring("x", 1)
        }
        .retained(),
    );
    publisher.send_acked(
        Publish {
            topic: "retained/long".into(),
            ..expiring("x", 100)
        }
        .retained(),
    );
    live.expect_silence(Duration::from_millis(1_100));

    let mut subscriber = broker.resume(&durable);
    let long = subscriber.take_publish();
    let spent = u32::try_from(start.elapsed().as_secs()).unwrap();
    let left = seconds_left(&long).unwrap();
    assert_eq!(long.payload, b"long");
    assert!(
        left < 100 && left >= 99 - spent,
        "{left} left after {spent}"
    );
    assert_eq!(subscriber.take_publish().payload, b"for ever");
    subscriber.expect_nothing();
    subscriber.subscribe("retained/+");
    let retained = subscriber.take_publish();
    assert_eq!(retained.topic, "retained/long");
    assert!(seconds_left(&retained).unwrap() < 100);
    subscriber.expect_nothing();
}

/// `[MQTT-4.3.3-7]`, `[MQTT-4.3.3-13]`: what was begun is finished, expired or not.
#[test]
fn finishes_a_flow_whose_message_expires_meanwhile() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect_v5("subscriber");
    subscriber.subscribe_all(&[("a", 2)]);
    let mut publisher = broker.connect_v5("publisher");
    publisher.send_publish(&expiring("x", 1).qos(2, 1));
    publisher.expect(&pubrec(1));
    let id = subscriber.take_publish().id.unwrap();
    subscriber.expect_silence(Duration::from_millis(1_100));
    subscriber.send(&pubrec(id));
    subscriber.expect(&packet::pubrel(id));
    publisher.send(&packet::pubrel(1));
    publisher.expect(&packet::pubcomp(1));
}

/// A payload that is not what it says is refused, the connection goes on, and a QoS 2 id is free again.
#[test]
fn refuses_a_payload_that_is_not_utf_8_as_it_says() {
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    let mut subscriber = broker.connect_v5("subscriber");
    subscriber.subscribe("a");
    let mut publisher = broker.connect_v5("publisher");
    let text = [property::byte(property::PAYLOAD_FORMAT, 1)];
    let bad = Publish::new("a", [0xff]).properties(&text);
    publisher.send_publish(&bad.clone().qos(1, 1));
    publisher.expect(&ack(0x40, 1, &[0x99]));
    publisher.send_publish(&bad.qos(2, 2));
    publisher.expect(&ack(0x50, 2, &[0x99]));
    publisher.send_publish(&Publish::new("a", "ü").properties(&text).qos(2, 2));
    publisher.expect(&pubrec(2));
    subscriber.expect_message(&Publish::new("a", "ü").properties(&text));
    subscriber.expect_nothing();
    assert_eq!(influx.payloads("a"), ["ü"]);
}

/// `[MQTT-3.1.2-26]`, `[MQTT-3.3.2-12]`: at most as many as the client takes, anew on each connection, and none that
/// would make a packet too long for it.
#[test]
fn sends_topic_aliases_to_who_takes_them() {
    let broker = Broker::start_without_store();
    let connect = Connect::v5("subscriber").resuming().properties(&[
        property::four(property::SESSION_EXPIRY, 100),
        property::two(property::TOPIC_ALIAS_MAXIMUM, 2),
        property::four(property::MAXIMUM_PACKET_SIZE, 60),
    ]);
    let mut subscriber = broker.connect_with(&connect);
    subscriber.subscribe_all(&[("room/#", 2)]);
    let mut publisher = broker.connect_v5("publisher");
    let long = "x".repeat(60 - 2 - 10 - 2 - 1);
    // Topic, payload, and what comes: the topic as sent, and the alias.
    let steps = [
        ("room/one", long.as_str(), "room/one", None),
        ("room/one", "2", "room/one", Some(1)),
        ("room/one", long.as_str(), "", Some(1)),
        ("room/two", "4", "room/two", Some(2)),
        ("room/three", "5", "room/three", None),
        ("room/one", "6", "", Some(1)),
        ("room/two", "7", "", Some(2)),
    ];
    let expect = |subscriber: &mut Wire, payload: &str, topic, alias: Option<u16>| {
        let got = subscriber.take_publish();
        let alias = alias.map_or_else(Vec::new, |alias| property::two(TOPIC_ALIAS, alias));
        assert_eq!(
            (got.topic.as_str(), got.payload.as_slice()),
            (topic, payload.as_bytes())
        );
        assert_eq!(got.properties, alias, "{got:?}");
    };
    for (published, payload, topic, alias) in steps {
        publisher.publish_acked(published, payload);
        expect(&mut subscriber, payload, topic, alias);
    }
    drop(subscriber);
    let mut subscriber = broker.resume(&connect);
    for (number, (_, payload, ..)) in steps.into_iter().enumerate() {
        let (topic, alias) = match number {
            0 => ("room/one", None),
            1 => ("room/one", Some(1)),
            3 => ("room/two", Some(2)),
            4 => ("room/three", None),
            6 => ("", Some(2)),
            _ => ("", Some(1)),
        };
        expect(&mut subscriber, payload, topic, alias);
    }
    // QoS 0 goes another way, with its topic.
    publisher.publish("room/one", "8");
    expect(&mut subscriber, "8", "room/one", None);
}

/// `[MQTT-3.1.2-27]`: a client that announced no alias gets none.
#[test]
fn sends_no_alias_to_who_did_not_ask() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect_v5("subscriber");
    subscriber.subscribe_all(&[("a", 1)]);
    let mut publisher = broker.connect_v5("publisher");
    for _ in 0..3 {
        publisher.publish_acked("a", "x");
        let got = subscriber.take_publish();
        assert_eq!(
            (got.topic.as_str(), got.properties.as_slice()),
            ("a", &[][..])
        );
        subscriber.send(&puback(got.id.unwrap()));
    }
}
