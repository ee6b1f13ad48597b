//! Chapters 3.1.2.4 and 4.1: what the broker keeps of a client that is away.

use std::thread;

use crate::support::packet::{self, puback, pubrec};
use crate::support::{Broker, Connect, Influx, Publish};

fn durable(client_id: &str) -> Connect<'_> {
    Connect::new(client_id).resuming()
}

/// `[MQTT-3.2.2-1]` to `[MQTT-3.2.2-3]` (3.1.1), for every change between the two kinds.
#[test]
fn says_whether_a_session_was_there() {
    let broker = Broker::start_without_store();
    let connack = |connect: &Connect<'_>| {
        let (client, connack) = broker.shake_hands(connect);
        assert_eq!(connack.code, 0);
        client.disconnect();
        connack.session_present
    };
    let (clean, durable) = (Connect::new("client"), durable("client"));
    let steps = [
        (&clean, false),
        (&clean, false),
        (&durable, false),
        (&durable, true),
        (&durable, true),
        (&clean, false),
        (&durable, false),
        (&durable, true),
    ];
    for (number, (connect, expected)) in steps.into_iter().enumerate() {
        assert_eq!(connack(connect), expected, "step {number}");
    }
}

/// `[MQTT-3.1.2-5]` (3.1.1): QoS 1 and 2 wait in their order, QoS 0 does not; subscriptions stay.
#[test]
fn keeps_messages_and_subscriptions_of_the_absent() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect_with(&durable("subscriber"));
    subscriber.subscribe_all(&[("a", 2), ("gone", 1)]);
    subscriber.unsubscribe("gone");
    subscriber.disconnect();
    let mut publisher = broker.connect("publisher");
    publisher.publish("a", "at QoS 0");
    publisher.publish_acked("a", "one");
    publisher.send(&Publish::new("a", "two").qos(2, 1).bytes());
    publisher.expect(&pubrec(1));
    publisher.publish_acked("gone", "nobody");
    publisher.publish_acked("a", "three");

    let mut subscriber = broker.resume(&durable("subscriber"));
    for (payload, qos) in [("one", 1), ("two", 2), ("three", 1)] {
        let got = subscriber.take_publish();
        assert_eq!(
            (got.payload.as_slice(), got.qos, got.dup),
            (payload.as_bytes(), qos, false)
        );
        subscriber.send(&match qos {
            1 => puback(got.id.unwrap()),
            _ => pubrec(got.id.unwrap()),
        });
    }
    subscriber.packet(); // PUBREL
    subscriber.expect_nothing();
    publisher.publish_acked("a", "live");
    assert_eq!(subscriber.take_publish().payload, b"live");
}

/// `[MQTT-3.1.2-6]` (3.1.1): wiped at once, and the clean session's own at its end.
#[test]
fn a_clean_session_wipes_the_old_one() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect_with(&durable("subscriber"));
    subscriber.subscribe_all(&[("a", 1)]);
    subscriber.disconnect();
    let mut publisher = broker.connect("publisher");
    publisher.publish_acked("a", "waiting");
    let mut clean = broker.connect("subscriber");
    clean.expect_nothing();
    publisher.publish_acked("a", "live");
    clean.expect_nothing();
    clean.subscribe_all(&[("a", 1)]);
    clean.disconnect();
    publisher.publish_acked("a", "for nobody");
    let mut last = broker.connect_with(&durable("subscriber"));
    publisher.publish_acked("a", "for nobody either");
    last.expect_nothing();
}

/// `[MQTT-3.1.2-7]` (3.1.1): retained messages are not part of the session.
#[test]
fn retained_messages_outlive_the_session() {
    let broker = Broker::start_without_store();
    let mut publisher = broker.connect("publisher");
    publisher.publish_retained("state", "on");
    publisher.disconnect();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("state");
    subscriber.expect_retained("state", "on");
}

/// A connection that takes over goes on with the session, and its subscriptions count once.
#[test]
fn goes_on_with_the_session_of_the_connection_it_takes_over() {
    let broker = Broker::start_without_store();
    let mut old = broker.connect_with(&durable("client"));
    old.subscribe_all(&[("a", 1)]);
    let mut new = broker.resume(&durable("client"));
    old.expect_closed();
    broker.connect("publisher").publish_acked("a", "x");
    let got = new.take_publish();
    assert_eq!((got.payload, got.dup), (b"x".to_vec(), false));
    new.send(&puback(got.id.unwrap()));
    new.expect_nothing();
}

/// The session of a connection with clean session 1 ends with it, also when it is taken over.
#[test]
fn finds_no_session_behind_a_clean_one_that_it_takes_over() {
    let broker = Broker::start_without_store();
    let mut old = broker.connect("client");
    old.subscribe("a");
    let mut new = broker.connect_with(&durable("client"));
    old.expect_closed();
    broker.connect("publisher").publish_acked("a", "x");
    new.expect_nothing();
}

/// `[MQTT-3.8.4-3]`: subscribing again replaces the subscription, and sends what is retained again.
#[test]
fn subscribing_again_changes_the_qos_and_repeats_retained_messages() {
    let broker = Broker::start_without_store();
    let mut publisher = broker.connect("publisher");
    publisher.publish_retained("a", "kept");
    let mut subscriber = broker.connect("subscriber");
    for qos in [0, 1, 0] {
        subscriber.subscribe_all(&[("a", qos)]);
        let kept = subscriber.take_publish();
        assert_eq!((kept.qos, kept.retain, kept.dup), (qos, true, false));
        publisher.publish_acked("a", "live");
        let live = subscriber.take_publish();
        assert_eq!((live.qos, live.retain), (qos, false));
    }
    subscriber.expect_nothing();
}

/// Clients that come and go with one id, at the same time, in every kind of session: nobody is left half
/// connected, and the last one is served.
#[test]
fn survives_many_who_take_over_one_another() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 50;
    let broker = Broker::start_without_store();
    thread::scope(|scope| {
        for number in 0..THREADS {
            let broker = &broker;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let mut connect = Connect::new("fought over").will("will", b"x");
                    connect.clean = (number + round) % 2 == 0;
                    let mut client = broker.open();
                    // Another one may take over at any moment: nothing is sure but the end.
                    client.send_to_closing(&connect.bytes());
                    client.send_to_closing(&packet::subscribe(1, &[("$share/g/a", 1), ("b", 1)]));
                    if round % 3 == 0 {
                        client.send_to_closing(packet::DISCONNECT);
                    } else {
                        client.finish_sending();
                    }
                    client.expect_closed_after_anything();
                }
            });
        }
    });
    let mut last = broker.connect("fought over");
    last.subscribe_all(&[("$share/g/a", 1), ("b", 1)]);
    let mut publisher = broker.connect("publisher");
    for topic in ["a", "b"] {
        publisher.publish_acked(topic, "x");
        let got = last.take_publish();
        assert_eq!(got.topic, topic);
        last.send(&puback(got.id.unwrap()));
    }
    last.expect_nothing();
}

/// One message, one point: what a durable client sends again with DUP, as it missed the PUBACK, has the timestamp it
/// had.
#[test]
fn stores_qos_1_that_comes_again_as_the_same_point() {
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    let mut publisher = broker.connect_with(&durable("publisher"));
    let publish = |payload: &str| Publish::new("a", payload).qos(1, 7);
    publisher.send(&publish("first").bytes());
    publisher.expect(&puback(7));
    drop(publisher);

    let mut publisher = broker.resume(&durable("publisher"));
    for bytes in [
        publish("first").dup().bytes(),
        // The packet id is free, so these are other messages, whatever DUP says of the last.
        publish("second").bytes(),
        publish("third").dup().bytes(),
    ] {
        publisher.send(&bytes);
        publisher.expect(&puback(7));
    }
    assert_eq!(influx.payloads("a"), ["first", "second", "third"]);
}
