//! Chapters 3.1.2.11.2 and 4.1: how long a session is kept.

use crate::support::packet::{self, puback};
use crate::support::property::{self, SESSION_EXPIRY};
use crate::support::{Broker, Connect, Wire, eventually};

fn connect(client_id: &str, expiry: u32) -> Connect<'_> {
    Connect::v5(client_id).properties(&[property::four(SESSION_EXPIRY, expiry)])
}

fn is_there(broker: &Broker, client_id: &str) -> bool {
    // Asking with expiry 100 leaves a session behind; that of a new one is removed again.
    let (mut client, connack) = broker.shake_hands(&connect(client_id, 100).resuming());
    assert_eq!(connack.code, 0);
    let expiry = match connack.session_present {
        true => 100,
        false => 0,
    };
    leave(&mut client, expiry);
    connack.session_present
}

fn leave(client: &mut Wire, expiry: u32) {
    client.send(&packet::disconnect_v5(
        0,
        &property::four(SESSION_EXPIRY, expiry),
    ));
    client.expect_closed();
}

/// `[MQTT-3.1.2-23]`: absent is 0; 0xFFFFFFFF is for ever and overflows nothing.
#[test]
fn is_kept_for_as_long_as_the_client_said() {
    let broker = Broker::start_without_store();
    broker.connect_v5("absent").disconnect();
    broker.connect_with(&connect("none", 0)).disconnect();
    broker.connect_with(&connect("a while", 100)).disconnect();
    broker
        .connect_with(&connect("136 years", u32::MAX - 1))
        .disconnect();
    broker
        .connect_with(&connect("for ever", u32::MAX))
        .disconnect();
    // A broken connection is no difference.
    drop(broker.connect_with(&connect("broken", 100)));
    let expected = [
        ("absent", false),
        ("none", false),
        ("a while", true),
        ("136 years", true),
        ("for ever", true),
        ("broken", true),
    ];
    for (client_id, expected) in expected {
        assert_eq!(is_there(&broker, client_id), expected, "{client_id}");
    }
}

/// `[MQTT-3.14.2-2]` the expiry that DISCONNECT names takes the place of CONNECT's.
#[test]
fn is_kept_for_as_long_as_disconnect_says() {
    let broker = Broker::start_without_store();
    leave(&mut broker.connect_with(&connect("shorter", 100)), 0);
    leave(&mut broker.connect_with(&connect("longer", 1)), 100);
    assert!(!is_there(&broker, "shorter"));
    assert!(is_there(&broker, "longer"));
}

/// Its end comes while nobody is connected, and takes messages and subscriptions along.
#[test]
fn ends_when_its_time_is_over() {
    let broker = Broker::start_without_store();
    let mut watcher = broker.connect("watcher");
    watcher.subscribe("gone");
    // The will is due at the end of the session at the latest: it tells when that was.
    let mut short = connect("client", 1).will("gone", b"with it");
    short.will.as_mut().unwrap().properties = property::four(property::WILL_DELAY, 600);
    let mut client = broker.connect_with(&short);
    client.subscribe_all(&[("a", 1)]);
    drop(client);
    let mut publisher = broker.connect("publisher");
    publisher.publish_acked("a", "waiting");
    watcher.expect_publish("gone", "with it");
    let mut client = broker.connect_with(&connect("client", 1).resuming());
    publisher.publish_acked("a", "live");
    client.expect_nothing();
}

/// The time runs from the end of the connection, and a client that comes back stops it.
#[test]
fn does_not_end_while_the_client_is_connected() {
    let broker = Broker::start_without_store();
    let mut watcher = broker.connect("watcher");
    watcher.subscribe("timer");
    broker.connect_with(&connect("client", 1)).disconnect();
    let mut client = broker.resume(&connect("client", 1).resuming());
    client.subscribe_all(&[("a", 1)]);
    // Another session that ends as late shows that the time is over.
    let mut timer = connect("timer", 2).will("timer", b"over");
    timer.will.as_mut().unwrap().properties = property::four(property::WILL_DELAY, 2);
    drop(broker.connect_with(&timer));
    watcher.expect_publish("timer", "over");
    client.expect_nothing();
    client.disconnect();
    broker.resume(&connect("client", 1).resuming());
}

/// `[MQTT-3.1.2-4]`: clean start 1 deletes what was there; what comes is kept, as the expiry says.
#[test]
fn a_clean_start_begins_a_new_one_that_is_kept() {
    let broker = Broker::start_without_store();
    let mut client = broker.connect_with(&connect("client", 100));
    client.subscribe_all(&[("old", 1)]);
    client.disconnect();
    let mut publisher = broker.connect("publisher");
    publisher.publish_acked("old", "x");
    let mut client = broker.connect_with(&connect("client", 100));
    client.expect_nothing();
    client.subscribe_all(&[("new", 1)]);
    client.disconnect();
    publisher.publish_acked("old", "x");
    publisher.publish_acked("new", "y");
    let mut client = broker.resume(&connect("client", 0).resuming());
    let got = client.take_publish();
    assert_eq!((got.topic.as_str(), got.payload), ("new", b"y".to_vec()));
    client.send(&puback(got.id.unwrap()));
    client.expect_nothing();
    // This connection said 0: now it ends with it.
    client.disconnect();
    eventually("the session is gone", || {
        (!is_there(&broker, "client")).then_some(())
    });
}
