//! Chapters 3.1.2.11.3, 3.1.2.11.4 and 4.9: what a client may be sent.

use crate::support::packet::{self, ack, puback, pubcomp, pubrec, pubrel};
use crate::support::property::{self, MAXIMUM_PACKET_SIZE, RECEIVE_MAXIMUM};
use crate::support::{Broker, Connect, Publish, Wire};

/// `[MQTT-3.1.2-24]`, `[MQTT-3.1.2-25]`: never a byte more, fixed header included; what is too long counts as
/// delivered, and the rest goes on.
#[test]
fn never_exceeds_the_maximum_packet_size() {
    const MAX: u32 = 100;
    let broker = Broker::start_without_store();
    let limit = [property::four(MAXIMUM_PACKET_SIZE, MAX)];
    let mut publisher = broker.connect_v5("publisher");
    for qos in 0..=2 {
        let mut subscriber = broker.connect_with(&Connect::v5("subscriber").properties(&limit));
        subscriber.subscribe_all(&[("a", qos), ("retained/#", qos)]);
        let id = if qos == 0 { 0 } else { 2 };
        // Fixed header, topic, packet id, property length.
        let fits = MAX as usize - 2 - 3 - id - 1;
        for length in [fits + 1, fits, fits + 1, 1, fits + 200, 2] {
            let mut publish = Publish::new("a", vec![b'x'; length]);
            if qos > 0 {
                publish = publish.qos(qos, 1);
            }
            publisher.send_publish(&publish);
            if qos > 0 {
                publisher.packet();
            }
            if qos == 2 {
                publisher.send(&pubrel(1));
                publisher.expect(&pubcomp(1));
            }
        }
        for length in [fits, 1, 2] {
            let got = subscriber.take_publish();
            assert_eq!((got.payload.len(), got.qos), (length, qos));
        }
        subscriber.expect_nothing();
    }
    // Retained messages are no exception.
    publisher.send_acked(Publish::new("retained/long", vec![b'x'; 100]).retained());
    publisher.send_acked(Publish::new("retained/short", b"x").retained());
    for qos in 0..=1 {
        let mut subscriber = broker.connect_with(&Connect::v5("subscriber").properties(&limit));
        subscriber.subscribe_all(&[("retained/#", qos)]);
        assert_eq!(subscriber.take_publish().topic, "retained/short");
        subscriber.expect_nothing();
    }
}

/// `[MQTT-3.2.2-19]`, `[MQTT-3.14.2-3]`: reason strings are left out where they do not fit.
#[test]
fn leaves_out_reason_strings_that_do_not_fit() {
    let broker = Broker::start_without_store();
    let limit = property::four(MAXIMUM_PACKET_SIZE, 40);
    let method = property::text(property::AUTHENTICATION_METHOD, "x".repeat(100));
    let mut client = broker.open();
    client.send(
        &Connect::v5("client")
            .properties(&[limit.clone(), method])
            .bytes(),
    );
    client.expect(&[0x20, 3, 0, 0x8c, 0]);
    client.expect_closed();
    let mut client = broker.connect_with(&Connect::v5("client").properties(&[limit]));
    client.send(&Publish::new("a/#/long enough to be in the way", "x").bytes_v5());
    client.expect(&[0xe0, 1, 0x90]);
    client.expect_closed();
}

/// A CONNACK that is longer than the client takes is not sent.
#[test]
fn refuses_a_client_that_cannot_take_the_connack() {
    let broker = Broker::start_without_store();
    for (max, expected) in [(5, vec![vec![0x20, 3, 0, 0x95, 0]]), (4, vec![])] {
        let mut client = broker.open();
        let limit = [property::four(MAXIMUM_PACKET_SIZE, max)];
        client.send(&Connect::v5("client").properties(&limit).bytes());
        assert_eq!(client.expect_closed_after_anything(), expected);
    }
}

/// A SUBACK or UNSUBACK that would be too long ends the connection instead [MQTT-3.1.2-24].
#[test]
fn closes_a_client_that_asks_for_too_long_an_answer() {
    let broker = Broker::start_without_store();
    let limit = [property::four(MAXIMUM_PACKET_SIZE, 40)];
    let filters = [("a", 0); 36];
    let names = filters.map(|(name, _)| name);
    for (fits, too_many) in [
        (
            packet::subscribe_v5(1, &[], &filters[..35]),
            packet::subscribe_v5(1, &[], &filters),
        ),
        (
            packet::unsubscribe_v5(1, &names[..35]),
            packet::unsubscribe_v5(1, &names),
        ),
    ] {
        let mut client = broker.connect_with(&Connect::v5("client").properties(&limit));
        client.send(&fits);
        assert_eq!(client.packet().len(), 40);
        client.send(&too_many);
        client.expect_disconnect(0x95);
    }
}

/// `[MQTT-3.3.4-9]`, `[MQTT-4.9.0-2]`: PUBACK, PUBCOMP and a PUBREC that refuses free a place, PUBREC does not.
#[test]
fn never_exceeds_the_receive_maximum() {
    let broker = Broker::start_without_store();
    let limit = [property::two(RECEIVE_MAXIMUM, 2)];
    let mut subscriber = broker.connect_with(&Connect::v5("subscriber").properties(&limit));
    subscriber.subscribe_all(&[("a", 2)]);
    let mut publisher = broker.connect_v5("publisher");
    for (n, qos) in [1, 2, 2, 1, 1].into_iter().enumerate() {
        let id = u16::try_from(n + 1).unwrap();
        publisher.send_publish(&Publish::new("a", n.to_string()).qos(qos, id));
        publisher.packet();
    }
    let ids: Vec<u16> = (0..2)
        .map(|_| subscriber.take_publish().id.unwrap())
        .collect();
    subscriber.expect_nothing();
    subscriber.send(&puback(ids[0]));
    let third = subscriber.take_publish();
    assert_eq!(third.payload, b"2");
    subscriber.expect_nothing();
    // [MQTT-4.3.3-4] refused: no PUBREL, and the place is free.
    subscriber.send(&ack(0x50, third.id.unwrap(), &[0x97]));
    assert_eq!(subscriber.take_publish().payload, b"3");
    subscriber.expect_nothing();
    subscriber.send(&pubrec(ids[1]));
    subscriber.expect(&pubrel(ids[1]));
    subscriber.expect_nothing();
    subscriber.send(&ack(0x70, ids[1], &[0]));
    assert_eq!(subscriber.take_publish().payload, b"4");
    subscriber.expect_nothing();
}

/// Retained messages and those of the absent keep to it as well, and all come in the end.
#[test]
fn keeps_the_receive_maximum_for_what_was_waiting() {
    let broker = Broker::start_without_store();
    let mut publisher = broker.connect_v5("publisher");
    for topic in ["a/1", "a/2", "a/3"] {
        publisher.send_acked(Publish::new(topic, "kept").retained());
    }
    let connect = Connect::v5("subscriber").resuming().properties(&[
        property::two(RECEIVE_MAXIMUM, 1),
        property::four(property::SESSION_EXPIRY, 100),
    ]);
    let mut subscriber = broker.connect_with(&connect);
    subscriber.subscribe_all(&[("a/+", 1)]);
    let take_all = |subscriber: &mut Wire, count| {
        for _ in 0..count {
            let got = subscriber.take_publish();
            subscriber.expect_nothing();
            subscriber.send(&puback(got.id.unwrap()));
        }
        subscriber.expect_nothing();
    };
    take_all(&mut subscriber, 3);
    subscriber.disconnect();
    for n in 0..3 {
        publisher.publish_acked("a/1", n.to_string());
    }
    take_all(&mut broker.resume(&connect), 3);
}

/// A PUBACK with a failure ends the delivery as one with success does: the message is not sent again.
#[test]
fn does_not_send_again_what_a_client_refused() {
    let broker = Broker::start_without_store();
    let durable = Connect::v5("subscriber")
        .properties(&[property::four(property::SESSION_EXPIRY, 100)])
        .resuming();
    let mut subscriber = broker.connect_with(&durable);
    subscriber.subscribe_all(&[("a", 2)]);
    let mut publisher = broker.connect_v5("publisher");
    publisher.publish_acked("a", "one");
    publisher.send_publish(&Publish::new("a", "two").qos(2, 1));
    publisher.expect(&pubrec(1));
    let ids: Vec<u16> = (0..2)
        .map(|_| subscriber.take_publish().id.unwrap())
        .collect();
    subscriber.send(&[ack(0x40, ids[0], &[0x83]), ack(0x50, ids[1], &[0x80])].concat());
    subscriber.expect_nothing();
    drop(subscriber);
    broker.resume(&durable).expect_nothing();
}
