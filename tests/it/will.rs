//! Section 3.1.2.5: the message of a client that goes without saying so.

use crate::support::packet::DISCONNECT;
use crate::support::{Broker, Connect, Influx, Will, Wire, packet};

fn watcher(broker: &Broker) -> Wire {
    let mut watcher = broker.connect("watcher");
    watcher.subscribe("#");
    watcher
}

/// `[MQTT-3.1.2-8]`, and stored like any other message.
#[test]
fn is_stored_and_published_when_the_connection_drops() {
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    let mut watcher = watcher(&broker);
    drop(broker.connect_with(&Connect::new("client").will("will/client", b"gone")));
    watcher.expect_publish("will/client", "gone");
    assert_eq!(influx.payloads("will/client"), ["gone"]);
}

/// A half-closed connection is an end without DISCONNECT too.
#[test]
fn is_published_when_the_client_stops_sending() {
    let broker = Broker::start_without_store();
    let mut watcher = watcher(&broker);
    let mut client = broker.connect_with(&Connect::new("client").will("w", b"gone"));
    client.finish_sending();
    watcher.expect_publish("w", "gone");
    client.expect_closed();
}

/// `[MQTT-3.1.2-8]`: a protocol error is such an end.
#[test]
fn is_published_when_the_broker_closes_for_an_error() {
    let broker = Broker::start_without_store();
    let mut watcher = watcher(&broker);
    let mut client = broker.connect_with(&Connect::new("client").will("w", b"bad"));
    client.send(&packet::subscribe(0, &[("a", 0)]));
    client.expect_closed();
    watcher.expect_publish("w", "bad");
}

/// `[MQTT-3.14.4-3]`
#[test]
fn is_not_published_after_disconnect() {
    let broker = Broker::start_without_store();
    let mut watcher = watcher(&broker);
    let mut client = broker.connect_with(&Connect::new("client").will("w", b"gone"));
    client.send(DISCONNECT);
    client.expect_closed();
    // The second one's will comes, so the first one's would have come before it.
    drop(broker.connect_with(&Connect::new("client").will("second", b"gone")));
    watcher.expect_publish("second", "gone");
    watcher.expect_nothing();
}

/// `[MQTT-3.1.2-15]`
#[test]
fn is_retained_when_it_asks_for_it() {
    let broker = Broker::start_without_store();
    let mut watcher = watcher(&broker);
    let will = Will {
        topic: "state",
        payload: b"offline",
        qos: 1,
        retain: true,
        properties: Vec::new(),
    };
    drop(broker.connect_with(&Connect {
        will: Some(will),
        ..Connect::new("client")
    }));
    watcher.expect_publish("state", "offline");
    let mut later = broker.connect("later");
    later.subscribe("state");
    later.expect_retained("state", "offline");
}

/// `[MQTT-3.1.2-14]`
#[test]
fn is_not_retained_otherwise() {
    let broker = Broker::start_without_store();
    let mut watcher = watcher(&broker);
    drop(broker.connect_with(&Connect::new("client").will("state", b"offline")));
    watcher.expect_publish("state", "offline");
    let mut later = broker.connect("later");
    later.subscribe("state");
    later.expect_nothing();
}

#[test]
fn may_be_empty() {
    let broker = Broker::start_without_store();
    let mut watcher = watcher(&broker);
    drop(broker.connect_with(&Connect::new("client").will("empty", b"")));
    watcher.expect_publish("empty", "");
}
