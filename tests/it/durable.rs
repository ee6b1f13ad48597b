//! Sections 3.1.2.4 and 4.1: sessions that outlive the connection outlive `kill -9` of the broker too.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::support::packet::{DISCONNECT, prefixed, puback, pubcomp, pubrec, pubrel};
use crate::support::{
    Answer, Broker, BrokerCommand, Connect, FakeInflux, Publish, SmallDisk, Will, Wire, eventually,
    packet,
};

/// The session was there.
const PRESENT: &[u8] = &[0x20, 2, 1, 0];

/// CONNECT of MQTT 3.1.1 with clean session 0.
fn durable(client_id: &str) -> Connect<'_> {
    Connect {
        clean: false,
        ..Connect::new(client_id)
    }
}

/// Connects again to a session that must be there.
fn resume(broker: &Broker, client_id: &str) -> Wire {
    let mut wire = broker.open();
    wire.send(&durable(client_id).bytes());
    wire.expect(PRESENT);
    wire
}

/// Leaves, and waits until the broker has noticed.
fn leave(mut wire: Wire) {
    wire.send(DISCONNECT);
    wire.expect_closed();
}

/// Makes a session with one subscription, and leaves it.
fn subscribe_and_leave(broker: &Broker, client_id: &str, filter: &str, qos: u8) {
    let mut wire = broker.connect_with(&durable(client_id));
    wire.subscribe_all(&[(filter, qos)]);
    leave(wire);
}

/// Waits until all that the broker has noted for `wire` is on disk: SUBACK comes after that.
fn flush(wire: &mut Wire) {
    // By then it has handled the acknowledgements before, which it does at the end of a batch.
    wire.expect_nothing();
    wire.subscribe_all(&[("flush", 0)]);
}

fn kill_and_restart(broker: &mut Broker) {
    broker.kill();
    broker.restart();
}

/// What MQTT 5.0 adds to the bytes of 3.1.1.
mod v5 {
    use super::{Broker, Wire, packet, prefixed};

    /// The properties of a packet with their length, below 128.
    pub(super) fn properties(parts: &[&[u8]]) -> Vec<u8> {
        let all = parts.concat();
        [&[u8::try_from(all.len()).unwrap()][..], &all].concat()
    }

    pub(super) fn session_expiry(seconds: u32) -> Vec<u8> {
        [&[0x11][..], &seconds.to_be_bytes()].concat()
    }

    pub(super) fn message_expiry(seconds: u32) -> Vec<u8> {
        [&[0x02][..], &seconds.to_be_bytes()].concat()
    }

    pub(super) fn will_delay(seconds: u32) -> Vec<u8> {
        [&[0x18][..], &seconds.to_be_bytes()].concat()
    }

    /// Connects, and expects a session or none.
    pub(super) fn connect(
        broker: &Broker,
        client_id: &str,
        clean_start: bool,
        expiry_s: u32,
        is_present: bool,
    ) -> Wire {
        let body = [
            properties(&[&session_expiry(expiry_s)]),
            prefixed(client_id),
        ]
        .concat();
        open(broker, u8::from(clean_start) << 1, &body, is_present)
    }

    /// Connects with a will at QoS 1 that is delayed so many seconds.
    pub(super) fn connect_with_will(
        broker: &Broker,
        client_id: &str,
        expiry_s: u32,
        will: (&str, u32),
        is_present: bool,
    ) -> Wire {
        let (payload, delay_s) = will;
        let body = [
            properties(&[&session_expiry(expiry_s)]),
            prefixed(client_id),
            properties(&[&will_delay(delay_s)]),
            prefixed("will"),
            prefixed(payload),
        ]
        .concat();
        open(broker, 0x0c, &body, is_present)
    }

    fn open(broker: &Broker, flags: u8, body: &[u8], is_present: bool) -> Wire {
        let mut wire = broker.open();
        wire.send(&packet::connect("MQTT", 5, flags, 0, body));
        let connack = wire.packet();
        assert_eq!(
            (connack[0], connack[2], connack[3]),
            (0x20, u8::from(is_present), 0)
        );
        wire
    }

    /// Subscribes to one filter, with the subscription identifier if it is not 0.
    pub(super) fn subscribe(wire: &mut Wire, filter: &str, options: u8, identifier: u8) {
        let identifier = match identifier {
            0 => properties(&[]),
            _ => properties(&[&[0x0b, identifier]]),
        };
        let body = [vec![0, 9], identifier, prefixed(filter), vec![options]].concat();
        wire.send(&packet::packet(0x82, &body));
        wire.expect(&packet::packet(0x90, &[0, 9, 0, options & 3]));
    }

    /// A PUBLISH; no packet identifier at QoS 0.
    pub(super) fn publish(first: u8, topic: &str, id: u16, props: &[u8], payload: &str) -> Vec<u8> {
        let id = id.to_be_bytes();
        let id = if first & 6 == 0 { &[][..] } else { &id };
        packet::packet(
            first,
            &[&prefixed(topic), id, props, payload.as_bytes()].concat(),
        )
    }

    /// Ends the connection, and the session after so many seconds.
    pub(super) fn disconnect(wire: &mut Wire, expiry_s: u32) {
        let body = [vec![0], properties(&[&session_expiry(expiry_s)])].concat();
        wire.send(&packet::packet(0xe0, &body));
        wire.expect_closed();
    }
}

#[test]
fn queued_messages_survive_in_their_order() {
    let mut broker = Broker::start_without_store();
    subscribe_and_leave(&broker, "subscriber", "a/#", 2);
    let mut publisher = broker.connect("publisher");
    let expected: Vec<Publish> = (1..=20)
        .map(|id| {
            Publish::new(&format!("a/{}", id % 3), id.to_string())
                .qos(if id % 2 == 0 { 1 } else { 2 }, id)
        })
        .collect();
    for publish in &expected {
        publisher.send(&publish.bytes());
        let id = publish.id.unwrap();
        publisher.expect(&if publish.qos == 1 {
            puback(id)
        } else {
            pubrec(id)
        });
    }
    kill_and_restart(&mut broker);
    let mut subscriber = resume(&broker, "subscriber");
    let got: Vec<Publish> = expected.iter().map(|_| subscriber.take_publish()).collect();
    assert_eq!(got, expected);
    for publish in got.iter().filter(|publish| publish.qos == 1) {
        subscriber.send(&puback(publish.id.unwrap()));
    }
    flush(&mut subscriber);
    kill_and_restart(&mut broker);
    let mut subscriber = resume(&broker, "subscriber");
    for publish in expected.into_iter().filter(|publish| publish.qos == 2) {
        assert_eq!(subscriber.take_publish(), publish.dup());
    }
    subscriber.expect_nothing();
}

#[test]
fn subscriptions_survive() {
    let mut broker = Broker::start_without_store();
    let mut subscriber = broker.connect_with(&durable("subscriber"));
    subscriber.subscribe_all(&[("gone", 1), ("zero", 0), ("one/+", 1), ("two/#", 2)]);
    subscriber.unsubscribe("gone");
    kill_and_restart(&mut broker);
    let mut subscriber = resume(&broker, "subscriber");
    let mut publisher = broker.connect("publisher");
    for (id, topic) in (1..).zip(["gone", "zero", "one/a", "two/a/b", "three"]) {
        publisher.send(&Publish::new(topic, "x").qos(2, id).bytes());
        publisher.expect(&pubrec(id));
    }
    let got = [0; 3].map(|_| subscriber.take_publish());
    let got = got.map(|publish| (publish.topic, publish.qos));
    let expected = [("zero", 0), ("one/a", 1), ("two/a/b", 2)];
    assert_eq!(got, expected.map(|(topic, qos)| (topic.to_owned(), qos)));
    subscriber.expect_nothing();
}

/// No local, retain as published, identifiers, and shares.
#[test]
fn what_mqtt_5_adds_to_subscriptions_survives() {
    let mut broker = Broker::start_without_store();
    let mut subscriber = v5::connect(&broker, "subscriber", false, 600, false);
    v5::subscribe(&mut subscriber, "not/mine", 0x04, 0);
    v5::subscribe(&mut subscriber, "as/published", 0x08, 7);
    v5::subscribe(&mut subscriber, "$share/group/shared", 0, 9);
    kill_and_restart(&mut broker);
    let mut subscriber = v5::connect(&broker, "subscriber", false, 600, true);
    subscriber.send(&v5::publish(0x30, "not/mine", 0, &[0], "own"));
    subscriber.expect_nothing();
    let mut member = broker.connect("member");
    member.subscribe("$share/group/shared");
    let mut publisher = broker.connect("publisher");
    publisher.publish("not/mine", "other");
    subscriber.expect(&v5::publish(0x30, "not/mine", 0, &[0], "other"));
    publisher.publish_retained("as/published", "x");
    subscriber.expect(&v5::publish(0x31, "as/published", 0, &[2, 0x0b, 7], "x"));
    for _ in 0..4 {
        publisher.publish_acked("shared", "x");
    }
    assert_eq!(member.take_publishes().len(), 2);
    for _ in 0..2 {
        subscriber.expect(&v5::publish(0x30, "shared", 0, &[2, 0x0b, 9], "x"));
    }
    subscriber.expect_nothing();
}

/// `[MQTT-4.4.0-1]`
#[test]
fn messages_in_flight_come_again_with_dup() {
    let mut broker = Broker::start_without_store();
    let mut subscriber = broker.connect_with(&durable("subscriber"));
    subscriber.subscribe_all(&[("a", 2)]);
    let mut publisher = broker.connect("publisher");
    let mut sent = Vec::new();
    for (id, qos) in [(1, 1), (2, 2), (3, 1), (4, 2)] {
        let publish = Publish::new("a", id.to_string()).qos(qos, id);
        publisher.send(&publish.bytes());
        sent.push(subscriber.take_publish());
        assert_eq!(sent.last(), Some(&publish));
    }
    // Out of order, so that there is a gap.
    subscriber.send(&puback(3));
    flush(&mut subscriber);
    sent.remove(2);
    for _ in 0..2 {
        kill_and_restart(&mut broker);
        let mut subscriber = resume(&broker, "subscriber");
        for publish in &sent {
            assert_eq!(subscriber.take_publish(), publish.clone().dup());
        }
        subscriber.expect_nothing();
    }
}

/// `[MQTT-3.3.1-1]`: what was sent before the client left, and what was not.
#[test]
fn only_what_was_sent_comes_with_dup_when_the_client_had_left() {
    let mut broker = Broker::start_without_store();
    let mut subscriber = broker.connect_with(&durable("subscriber"));
    subscriber.subscribe_all(&[("a", 2)]);
    let mut publisher = broker.connect("publisher");
    publisher.publish_acked("a", "sent");
    let sent = subscriber.take_publish();
    leave(subscriber);
    publisher.publish_acked("a", "not sent");
    kill_and_restart(&mut broker);
    let mut subscriber = resume(&broker, "subscriber");
    assert_eq!(subscriber.take_publish(), sent.dup());
    let next = Publish::new("a", "not sent").qos(1, 2);
    assert_eq!(subscriber.take_publish(), next);
}

/// A message that was stored and not acknowledged is the same point when it comes again `[MQTT-4.3.3-10]`.
#[test]
fn a_message_of_qos_2_is_one_point_when_its_pubrec_was_lost() {
    let influx = FakeInflux::start();
    let mut broker = Broker::start_with_fake(&influx);
    subscribe_and_leave(&broker, "subscriber", "a", 2);
    let mut publisher = broker.connect_with(&durable("publisher"));
    broker.wait_for_log("is available");
    influx.next(Answer::Hold);
    let publish = Publish::new("a", "1.5").qos(2, 7);
    publisher.send(&publish.bytes());
    // InfluxDB has it, and the broker does not know.
    influx.wait_for_writes(1);
    kill_and_restart(&mut broker);
    influx.release();
    let mut publisher = resume(&broker, "publisher");
    publisher.send(&publish.clone().dup().bytes());
    publisher.expect(&pubrec(7));
    let bodies = influx.wait_for_writes(2);
    assert_eq!(bodies[0], bodies[1]);
    let mut subscriber = resume(&broker, "subscriber");
    assert_eq!(
        subscriber.take_publish(),
        Publish::new("a", "1.5").qos(2, 1)
    );
    subscriber.expect_nothing();
}

#[test]
fn a_publisher_resumes_qos_2_at_each_point() {
    let influx = FakeInflux::start();
    let mut broker = Broker::start_with_fake(&influx);
    subscribe_and_leave(&broker, "subscriber", "a", 2);
    let mut publisher = broker.connect_with(&durable("publisher"));
    let first = Publish::new("a", "first").qos(2, 7);
    publisher.send(&first.bytes());
    publisher.expect(&pubrec(7));
    // After PUBREC: the same message again is none.
    kill_and_restart(&mut broker);
    let mut publisher = resume(&broker, "publisher");
    publisher.send(&first.dup().bytes());
    publisher.expect(&pubrec(7));
    publisher.send(&pubrel(7));
    publisher.expect(&pubcomp(7));
    // After PUBREL: its PUBCOMP comes again, and the identifier is free.
    kill_and_restart(&mut broker);
    let mut publisher = resume(&broker, "publisher");
    publisher.send(&pubrel(7));
    publisher.expect(&pubcomp(7));
    publisher.send(&Publish::new("a", "second").qos(2, 7).bytes());
    publisher.expect(&pubrec(7));
    assert_eq!(influx.stored().len(), 2, "{:?}", influx.stored());
    let mut subscriber = resume(&broker, "subscriber");
    assert_eq!(subscriber.take_publish().payload, b"first");
    assert_eq!(subscriber.take_publish().payload, b"second");
    subscriber.expect_nothing();
}

#[test]
fn a_subscriber_resumes_qos_2_at_each_point() {
    let mut broker = Broker::start_without_store();
    let mut subscriber = broker.connect_with(&durable("subscriber"));
    subscriber.subscribe_all(&[("a", 2)]);
    let mut publisher = broker.connect("publisher");
    publisher.send(&Publish::new("a", "x").qos(2, 1).bytes());
    let publish = subscriber.take_publish();
    let id = publish.id.unwrap();
    // Before PUBREC.
    kill_and_restart(&mut broker);
    let mut subscriber = resume(&broker, "subscriber");
    assert_eq!(subscriber.take_publish(), publish.dup());
    subscriber.send(&pubrec(id));
    subscriber.expect(&pubrel(id));
    // After PUBREC: PUBREL again, and never PUBLISH [MQTT-4.3.3-8].
    kill_and_restart(&mut broker);
    let mut subscriber = resume(&broker, "subscriber");
    subscriber.expect(&pubrel(id));
    subscriber.expect_nothing();
    subscriber.send(&pubcomp(id));
    flush(&mut subscriber);
    // After PUBCOMP.
    kill_and_restart(&mut broker);
    resume(&broker, "subscriber").expect_nothing();
}

/// A retained message at QoS 2 takes a packet identifier, which must not be used for another before it is over.
#[test]
fn retained_messages_in_flight_come_again_too() {
    let mut broker = Broker::start_without_store();
    let mut publisher = broker.connect("publisher");
    publisher.send(&Publish::new("a", "x").qos(2, 1).retained().bytes());
    publisher.expect(&pubrec(1));
    let mut subscriber = broker.connect_with(&durable("subscriber"));
    subscriber.subscribe_all(&[("a", 2)]);
    let retained = subscriber.take_publish();
    broker.kill();
    broker.restart();
    let mut subscriber = resume(&broker, "subscriber");
    assert_eq!(subscriber.take_publish(), retained.dup());
}

#[test]
fn retained_messages_survive() {
    let mut broker = Broker::start_without_store();
    let mut publisher = broker.connect("publisher");
    publisher.publish_retained("set", "1");
    publisher.publish_retained("set", "2");
    publisher.publish_retained("cleared", "x");
    publisher.publish_retained("cleared", "");
    let mut publisher = v5::connect(&broker, "publisher 5", true, 0, false);
    let props = v5::properties(&[
        &[0x03],
        &prefixed("text/plain"),
        &[0x26],
        &prefixed("k"),
        &prefixed("v"),
    ]);
    publisher.send(&v5::publish(0x33, "with properties", 1, &props, "x"));
    publisher.expect(&[0x40, 2, 0, 1]);
    kill_and_restart(&mut broker);
    let mut subscriber = v5::connect(&broker, "subscriber", true, 0, false);
    v5::subscribe(&mut subscriber, "set", 0, 0);
    subscriber.expect(&v5::publish(0x31, "set", 0, &[0], "2"));
    v5::subscribe(&mut subscriber, "cleared", 0, 0);
    v5::subscribe(&mut subscriber, "with properties", 0, 0);
    subscriber.expect(&v5::publish(0x31, "with properties", 0, &props, "x"));
    subscriber.expect_nothing();
}

/// What is on disk is what everybody saw last, though many publish to one topic at a time.
#[test]
fn the_last_retained_message_of_many_publishers_survives() {
    const TOPICS: [&str; 8] = ["r/0", "r/1", "r/2", "r/3", "r/4", "r/5", "r/6", "r/7"];
    let retained = |broker: &Broker| {
        let mut subscriber = broker.connect("subscriber");
        subscriber.subscribe("r/+");
        let mut retained = subscriber.take_publishes();
        retained.sort_by(|one, other| one.topic.cmp(&other.topic));
        retained
    };
    let mut broker = Broker::start_without_store();
    for round in 0..3 {
        thread::scope(|scope| {
            for publisher in 0..8 {
                let mut wire = broker.connect(&format!("publisher {publisher}"));
                scope.spawn(move || {
                    for topic in TOPICS.iter().cycle().take(48) {
                        wire.publish_retained(topic, format!("{publisher} in {round}"));
                    }
                });
            }
        });
        let before = retained(&broker);
        assert_eq!(before.len(), TOPICS.len());
        kill_and_restart(&mut broker);
        assert_eq!(retained(&broker), before);
    }
}

/// `[MQTT-3.3.2-5]` and `[MQTT-3.1.2-23]`: time goes on while there is no broker.
#[test]
fn sessions_and_messages_expire_while_the_broker_is_down() {
    let mut broker = Broker::start_without_store();
    for (client_id, expiry_s) in [("short", 1), ("long", 600)] {
        let mut wire = v5::connect(&broker, client_id, false, expiry_s, false);
        v5::subscribe(&mut wire, "+", 1, 0);
        v5::disconnect(&mut wire, expiry_s);
    }
    let mut publisher = v5::connect(&broker, "publisher", true, 0, false);
    let props = |seconds| v5::properties(&[&v5::message_expiry(seconds)]);
    for (id, seconds, topic, payload) in [(1, 1, "b", "short"), (2, 600, "a", "long")] {
        publisher.send(&v5::publish(0x33, topic, id, &props(seconds), payload));
        publisher.expect(&packet::packet(0x40, &id.to_be_bytes()));
    }
    broker.kill();
    // Nobody announces that it is over; it is what the test is about.
    thread::sleep(Duration::from_millis(1_100));
    broker.restart();
    v5::connect(&broker, "short", false, 0, false);
    let mut long = v5::connect(&broker, "long", false, 600, true);
    let got = long.packet();
    let left = u32::from_be_bytes([got[9], got[10], got[11], got[12]]);
    assert!((500..600).contains(&left), "{left} seconds are left");
    assert!(got.ends_with(b"long"), "{got:02x?}");
    long.expect_nothing();
    let mut later = v5::connect(&broker, "later", true, 0, false);
    v5::subscribe(&mut later, "#", 0, 0);
    assert!(
        later.packet().starts_with(&[0x31, 13, 0, 1, b'a']),
        "only the long one is retained"
    );
    later.expect_nothing();
}

#[test]
fn a_clean_session_leaves_nothing_behind() {
    let mut broker = Broker::start_without_store();
    let mut wire = broker.connect("client");
    wire.subscribe_all(&[("a", 2)]);
    broker.connect("publisher").publish_acked("a", "x");
    wire.take_publish();
    kill_and_restart(&mut broker);
    assert_eq!(broker.log_count("restored"), 0, "{}", broker.log());
    broker.connect_with(&durable("client")).expect_nothing();
}

/// `[MQTT-3.1.2-4]` and `[MQTT-3.14.2-2]`; and for good.
#[test]
fn a_clean_start_and_an_expiry_of_0_wipe_a_session() {
    let mut broker = Broker::start_without_store();
    for client_id in ["clean session", "clean start", "expiry 0"] {
        subscribe_and_leave(&broker, client_id, "a", 1);
    }
    broker.connect("publisher").publish_acked("a", "x");
    kill_and_restart(&mut broker);
    broker.connect("clean session").expect_nothing();
    v5::connect(&broker, "clean start", true, 600, false).expect_nothing();
    let mut wire = v5::connect(&broker, "expiry 0", false, 600, true);
    assert_eq!(wire.packet()[0], 0x32);
    v5::disconnect(&mut wire, 0);
    kill_and_restart(&mut broker);
    for client_id in ["clean session", "expiry 0"] {
        broker.connect_with(&durable(client_id)).expect_nothing();
    }
    v5::connect(&broker, "clean start", false, 600, true).expect_nothing();
}

/// Expects the will `payload`, which was published at QoS 1, as the next message for the durable client "watcher".
fn expect_will(watcher: &mut Wire, payload: &str) {
    let will = watcher.take_publish();
    assert_eq!((will.topic.as_str(), will.qos), ("will", 1));
    assert_eq!(String::from_utf8_lossy(&will.payload), payload);
    watcher.send(&puback(will.id.unwrap()));
}

/// `[MQTT-3.1.2-8]`: the broker's end is the end of the connection, and not one that the client wanted.
#[test]
fn the_will_of_a_durable_client_is_published_after_the_restart() {
    let mut broker = Broker::start_without_store();
    subscribe_and_leave(&broker, "watcher", "will", 1);
    let clients = ["first", "second"].map(|client_id| {
        let will = Will {
            topic: "will",
            payload: client_id.as_bytes(),
            qos: 1,
            retain: false,
            properties: Vec::new(),
        };
        broker.connect_with(&Connect {
            will: Some(will),
            ..durable(client_id)
        })
    });
    broker.kill();
    drop(clients);
    broker.restart();
    let mut watcher = resume(&broker, "watcher");
    expect_will(&mut watcher, "first");
    expect_will(&mut watcher, "second");
    // Wills are published one after the other: the broker has noted by now that the first was.
    flush(&mut watcher);
    kill_and_restart(&mut broker);
    let mut watcher = resume(&broker, "watcher");
    for again in watcher.take_publishes() {
        assert_eq!(again.payload, b"second");
    }
}

/// `[MQTT-3.1.3-9]`: one whose client is back in time is not published, the other is when its delay is over.
#[test]
fn a_delayed_will_waits_for_the_client_after_the_restart() {
    let mut broker = Broker::start_without_store();
    subscribe_and_leave(&broker, "watcher", "will", 1);
    let _back = v5::connect_with_will(&broker, "back", 600, ("never", 2), false);
    let _gone = v5::connect_with_will(&broker, "gone", 600, ("late", 2), false);
    kill_and_restart(&mut broker);
    let mut back = v5::connect(&broker, "back", false, 600, true);
    let mut watcher = resume(&broker, "watcher");
    watcher.expect_nothing();
    expect_will(&mut watcher, "late");
    watcher.expect_nothing();
    back.expect_nothing();
}

/// What is on disk is the later connection, though the end of the earlier one was noted meanwhile.
#[test]
fn the_will_of_a_client_that_took_over_is_published_after_the_restart() {
    let mut broker = Broker::start_without_store();
    subscribe_and_leave(&broker, "watcher", "will", 1);
    let mut old = v5::connect_with_will(&broker, "client", 1, ("old", 0), false);
    for number in 0..20 {
        let will = format!("will {number}");
        let new = v5::connect_with_will(&broker, "client", 600, (&will, 0), true);
        old.expect_closed_after_anything();
        old = new;
    }
    flush_all(&broker);
    kill_and_restart(&mut broker);
    let mut watcher = resume(&broker, "watcher");
    expect_will(&mut watcher, "old");
    for number in 0..20 {
        expect_will(&mut watcher, &format!("will {number}"));
    }
}

/// Waits until all that was noted for anybody is on disk.
fn flush_all(broker: &Broker) {
    let mut wire = v5::connect(broker, "flusher", true, 600, false);
    v5::subscribe(&mut wire, "flush", 1, 0);
}

/// A clean session ends when it is taken over, and the connection that takes over never gets what is left of it.
#[test]
fn a_durable_client_that_takes_over_a_clean_session_gets_one_of_its_own() {
    let broker = Broker::start_without_store();
    for _ in 0..50 {
        let mut old = broker.connect("client");
        old.subscribe("a");
        let mut new = broker.connect_with(&durable("client"));
        new.subscribe_all(&[("b", 1)]);
        old.expect_closed();
        broker.connect("publisher").publish_acked("b", "x");
        assert_eq!(new.take_publish().payload, b"x");
        // With a clean session, so that there is none left.
        leave(broker.connect("client"));
    }
}

/// Of many who connect at the same moment one stays, and its session serves it, whatever the others wipe.
#[test]
fn one_of_many_who_connect_at_once_is_served() {
    let broker = Broker::start_without_store();
    for round in 0..20 {
        thread::scope(|scope| {
            for contender in 0..8 {
                let broker = &broker;
                scope.spawn(move || {
                    let mut wire = broker.open();
                    let clean = (round + contender) % 3 == 0;
                    let connect = Connect {
                        clean,
                        ..Connect::new("client")
                    };
                    wire.send_to_closing(&connect.bytes());
                    wire.send_to_closing(&packet::subscribe(1, &[("a", 1)]));
                    // Whether it is served or taken over.
                    wire.next_or_closed();
                });
            }
        });
        let mut last = broker.open();
        last.send(&durable("client").bytes());
        assert_eq!(last.packet()[3], 0);
        last.subscribe_all(&[("b", 1)]);
        broker.connect("publisher").publish_acked("b", "x");
        // What the others had in flight was none of "b", and "a" had nothing.
        assert_eq!(last.take_publish().payload, b"x");
        // A clean session wipes what is there.
        leave(broker.connect("client"));
    }
}

/// Nothing is acknowledged that a durable session should get and the disk has no room for; all goes on when it has.
#[test]
fn a_full_disk_keeps_nothing_that_is_acknowledged_from_a_session() {
    let disk = SmallDisk::mount("10m");
    let filler = disk.path().join("filler");
    let mut broker = BrokerCommand::without_store().data_in(disk.path()).start();
    subscribe_and_leave(&broker, "subscriber", "a", 1);
    fs::write(&filler, vec![0; 4 << 20]).unwrap();
    let mut acknowledged = Vec::new();
    let mut publisher = broker.connect("publisher");
    loop {
        let payload = format!("{} {}", acknowledged.len(), "x".repeat(200_000));
        publisher.send(&Publish::new("a", &payload).qos(1, 1).bytes());
        match publisher.next_or_closed() {
            Some(answer) => assert_eq!(answer, puback(1)),
            None => break,
        }
        acknowledged.push(payload);
        assert!(acknowledged.len() < 1_000, "the disk is never full");
    }
    assert!(acknowledged.len() > 3, "{}", acknowledged.len());
    broker.wait_for_log("could not be kept on disk");
    fs::remove_file(&filler).unwrap();
    let mut publisher = broker.connect("publisher");
    publisher.publish_acked("a", "after");
    acknowledged.push("after".to_owned());
    kill_and_restart(&mut broker);
    let mut subscriber = resume(&broker, "subscriber");
    for payload in acknowledged {
        assert!(subscriber.take_publish().payload == payload.as_bytes());
    }
    subscriber.expect_nothing();
}

/// Attempts that failed take no room in the queue of who is away.
#[test]
fn refused_messages_do_not_fill_a_queue() {
    let disk = SmallDisk::mount("10m");
    let filler = disk.path().join("filler");
    let mut broker = BrokerCommand::without_store()
        .data_in(disk.path())
        .args(&["--max-queued-messages", "10"])
        .start();
    subscribe_and_leave(&broker, "subscriber", "a", 1);
    fill_up(&filler);
    for _ in 0..12 {
        let mut publisher = broker.connect("publisher");
        publisher.send(&Publish::new("a", "x".repeat(100_000)).qos(1, 1).bytes());
        publisher.expect_closed();
    }
    fs::remove_file(&filler).unwrap();
    broker.connect("publisher").publish_acked("a", "after");
    kill_and_restart(&mut broker);
    let mut subscriber = resume(&broker, "subscriber");
    assert_eq!(subscriber.take_publish().payload, b"after");
    subscriber.expect_nothing();
}

/// Takes all the room there is on a small disk.
fn fill_up(filler: &std::path::Path) {
    use std::io::Write;
    let mut file = fs::File::create(filler).unwrap();
    while file.write_all(&[0; 4_096]).is_ok() {}
}

/// A session that the client was told of is there, also when the disk was full for a while.
#[test]
fn a_session_is_granted_only_when_it_is_on_disk() {
    let disk = SmallDisk::mount("10m");
    let filler = disk.path().join("filler");
    let mut broker = BrokerCommand::without_store().data_in(disk.path()).start();
    fill_up(&filler);
    // Something may still fit into what the file has of free pages.
    let granted = (0..200)
        .map(|number| format!("{number} {}", "x".repeat(10_000)))
        .take_while(|client_id| {
            let mut wire = broker.open();
            wire.send(&durable(client_id).bytes());
            wire.next_or_closed().is_some_and(|connack| connack[3] == 0)
        })
        .collect::<Vec<_>>();
    assert!(granted.len() < 200, "the disk is never full");
    fs::remove_file(&filler).unwrap();
    // The first commit after that may find what is still to be written.
    eventually("sessions are granted again", || {
        let mut wire = broker.open();
        wire.send(&durable("after").bytes());
        wire.next_or_closed()
            .is_some_and(|connack| connack[3] == 0)
            .then_some(())
    });
    kill_and_restart(&mut broker);
    for client_id in granted.iter().map(String::as_str).chain(["after"]) {
        resume(&broker, client_id);
    }
}
