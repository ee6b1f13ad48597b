//! Chapter 3.1.2.5 with its delay, and 3.14.2.1: the will of MQTT 5.0.

use std::time::{Duration, Instant};

use crate::support::packet;
use crate::support::property::{self, MESSAGE_EXPIRY, SESSION_EXPIRY, WILL_DELAY};
use crate::support::{Broker, Connect, Publish, Will, Wire};

fn watcher(broker: &Broker) -> Wire {
    let mut watcher = broker.connect_v5("watcher");
    watcher.subscribe("#");
    watcher
}

/// A client with a will to `will/CLIENT`, its delay and the expiry of its session.
fn with_will<'a>(client_id: &'a str, topic: &'a str, delay: u32, expiry: u32) -> Connect<'a> {
    let mut connect = Connect::v5(client_id)
        .will(topic, b"gone")
        .properties(&[property::four(SESSION_EXPIRY, expiry)]);
    connect.will.as_mut().unwrap().properties = property::four(WILL_DELAY, delay);
    connect
}

/// `[MQTT-3.14.4-3]`: only reason code 0 deletes it.
#[test]
fn is_published_after_disconnect_with_any_code_but_0() {
    let broker = Broker::start_without_store();
    let mut watcher = watcher(&broker);
    for code in [0x04, 0x80, 0x83, 0x97] {
        let mut client = broker.connect_with(&with_will("client", "will", 0, 0));
        client.send(&packet::disconnect_v5(code, &[]));
        client.expect_closed();
        watcher.expect_publish("will", "gone");
    }
    for bytes in [
        vec![0xe0, 0],
        vec![0xe0, 1, 0],
        packet::disconnect_v5(0, &[]),
    ] {
        let mut client = broker.connect_with(&with_will("client", "will", 0, 0));
        client.send(&bytes);
        client.expect_closed();
    }
    watcher.expect_nothing();
}

/// `[MQTT-3.1.3-9]`: neither before its delay is over nor, without a session to keep, a moment after the end.
#[test]
fn waits_for_its_delay() {
    let broker = Broker::start_without_store();
    let mut watcher = watcher(&broker);
    let start = Instant::now();
    drop(broker.connect_with(&with_will("later", "later", 1, 100)));
    drop(broker.connect_with(&with_will("at once", "at once", 600, 0)));
    watcher.expect_publish("at once", "gone");
    watcher.expect_publish("later", "gone");
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

/// `[MQTT-3.1.3-9]`: a client that is back in time has no will to be published; the one of its new connection counts.
#[test]
fn is_cancelled_when_the_client_comes_back() {
    let broker = Broker::start_without_store();
    let mut watcher = watcher(&broker);
    let first = with_will("client", "first", 1, 100);
    drop(broker.connect_with(&first));
    // Once by a new connection, once by one that takes over.
    let second = broker.resume(&with_will("client", "second", 1, 100).resuming());
    let third = broker.resume(&with_will("client", "third", 1, 100).resuming());
    drop(second);
    drop(broker.connect_with(&with_will("timer", "timer", 2, 100)));
    watcher.expect_publish("timer", "gone");
    watcher.expect_nothing();
    third.disconnect();
}

/// `[MQTT-3.1.3-9]`: a clean start ends the session, and with it the delay; whether the connection is there still or not.
#[test]
fn is_published_at_once_when_a_clean_start_ends_the_session() {
    let broker = Broker::start_without_store();
    let mut watcher = watcher(&broker);
    drop(broker.connect_with(&with_will("client", "broken", 600, 1000)));
    broker.wait_for_log("without DISCONNECT");
    let _there = broker.connect_with(&with_will("client", "taken over", 600, 1000));
    watcher.expect_publish("broken", "gone");
    let last = broker.connect_with(&with_will("client", "last", 600, 1000));
    watcher.expect_publish("taken over", "gone");
    last.disconnect();
    watcher.expect_nothing();
}

/// `[MQTT-3.1.3-10]`: its properties but the delay; the expiry counts from publishing.
#[test]
fn carries_its_properties() {
    let broker = Broker::start_without_store();
    let mut watcher = watcher(&broker);
    let passed_on = [
        property::byte(property::PAYLOAD_FORMAT, 1),
        property::four(MESSAGE_EXPIRY, 5),
        property::text(property::RESPONSE_TOPIC, "answers"),
        property::text(property::CORRELATION_DATA, [0, 1]),
        property::text(property::CONTENT_TYPE, "text/plain"),
        property::user("b", "2"),
        property::user("a", "1"),
    ]
    .concat();
    let will = Will {
        topic: "will",
        payload: b"gone",
        qos: 1,
        retain: true,
        properties: [property::four(WILL_DELAY, 1), passed_on.clone()].concat(),
    };
    let connect = Connect::v5("client").properties(&[property::four(SESSION_EXPIRY, 100)]);
    drop(broker.connect_with(&connect.with_will(will)));
    let got = watcher.take_publish();
    let mut expected = Publish::new("will", "gone");
    expected.properties = passed_on;
    assert_eq!(got, expected);
    let mut later = broker.connect_v5("later");
    later.subscribe_all(&[("will", 2)]);
    let kept = later.take_publish();
    assert_eq!((kept.qos, kept.retain), (1, true));
}
