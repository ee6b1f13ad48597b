//! Chapters 4.3 and 4.4: QoS 1 and 2 towards subscribers, and what a broken connection leaves open.

use crate::support::packet::{self, PINGREQ, PINGRESP, puback, pubcomp, pubrec, pubrel};
use crate::support::{Broker, BrokerCommand, Connect, Publish, Wire};

fn broker_with(args: &[&str]) -> Broker {
    BrokerCommand::without_store().args(args).start()
}

/// Takes `count` messages at QoS `qos` on topic `a`; their payloads and packet ids.
fn take(client: &mut Wire, qos: u8, count: usize) -> Vec<(String, u16)> {
    let take_one = |_| {
        let publish = client.take_publish();
        assert_eq!((publish.topic.as_str(), publish.qos), ("a", qos));
        let payload = String::from_utf8(publish.payload).unwrap();
        (payload, publish.id.unwrap())
    };
    (0..count).map(take_one).collect()
}

fn payloads(taken: &[(String, u16)]) -> Vec<&str> {
    taken.iter().map(|(payload, _)| payload.as_str()).collect()
}

/// `[MQTT-3.8.4-8]`: the lower QoS of message and subscription, for all nine pairs.
#[test]
fn delivers_with_the_lower_qos() {
    let broker = Broker::start_without_store();
    for granted in 0..=2 {
        let mut subscriber = broker.connect(&format!("subscriber {granted}"));
        subscriber.subscribe_all(&[("a", granted)]);
        let mut publisher = broker.connect("publisher");
        for published in 0..=2 {
            let mut publish = Publish::new("a", [published]);
            if published > 0 {
                publish = publish.qos(published, 9);
            }
            publisher.send(&publish.bytes());
            let got = subscriber.take_publish();
            let qos = published.min(granted);
            assert_eq!(
                (got.qos, got.dup, got.payload),
                (qos, false, vec![published])
            );
            assert_eq!(got.id.is_some(), qos > 0);
            match (published, qos, got.id) {
                (_, 1, Some(id)) => subscriber.send(&puback(id)),
                (_, 2, Some(id)) => {
                    subscriber.send(&pubrec(id));
                    subscriber.expect(&pubrel(id));
                    subscriber.send(&pubcomp(id));
                }
                _ => {}
            }
            match published {
                1 => publisher.expect(&puback(9)),
                2 => {
                    publisher.expect(&pubrec(9));
                    publisher.send(&pubrel(9));
                    publisher.expect(&pubcomp(9));
                }
                _ => {}
            }
        }
        subscriber.expect_nothing();
    }
}

/// `[MQTT-3.3.5-1]` (3.1.1): of overlapping filters the highest QoS counts, and there is one copy.
#[test]
fn delivers_once_with_the_highest_qos_of_overlapping_filters() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe_all(&[("#", 0), ("a", 2), ("+", 1)]);
    broker.connect("publisher").publish_acked("a", "x");
    assert_eq!(payloads(&take(&mut subscriber, 1, 1)), ["x"]);
    subscriber.expect_nothing();
}

/// `[MQTT-4.9.0-3]`: a full window holds back messages and nothing else; acknowledgements in any
/// order open it.
#[test]
fn keeps_the_window_and_takes_acknowledgements_in_any_order() {
    let broker = broker_with(&["--max-inflight", "3"]);
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe_all(&[("a", 2), ("b", 0)]);
    let mut publisher = broker.connect("publisher");
    for n in 0..6 {
        publisher.publish_acked("a", n.to_string());
    }
    let first = take(&mut subscriber, 1, 3);
    assert_eq!(payloads(&first), ["0", "1", "2"]);
    subscriber.expect_nothing();
    publisher.publish_acked("b", "at QoS 0");
    subscriber.expect_publish("b", "at QoS 0");
    // The client's own messages are acknowledged meanwhile.
    subscriber.publish_acked("c", "own");
    subscriber.send(&puback(first[2].1));
    let fourth = take(&mut subscriber, 1, 1);
    assert_eq!(payloads(&fourth), ["3"]);
    subscriber.expect_nothing();
    subscriber.send(&[puback(first[0].1), puback(first[1].1)].concat());
    assert_eq!(payloads(&take(&mut subscriber, 1, 2)), ["4", "5"]);
    subscriber.expect_nothing();
}

/// A message of QoS 2 takes its place in the window until PUBCOMP.
#[test]
fn counts_a_released_message_until_pubcomp() {
    let broker = broker_with(&["--max-inflight", "1"]);
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe_all(&[("a", 2)]);
    let mut publisher = broker.connect("publisher");
    for n in 0..2_u16 {
        publisher.send(&Publish::new("a", n.to_string()).qos(2, n + 1).bytes());
        publisher.expect(&pubrec(n + 1));
    }
    let id = take(&mut subscriber, 2, 1)[0].1;
    subscriber.send(&pubrec(id));
    subscriber.expect(&pubrel(id));
    subscriber.expect_nothing();
    // Sent again by a client that missed PUBREL: answered again [MQTT-4.3.3-8].
    subscriber.send(&pubrec(id));
    subscriber.expect(&pubrel(id));
    subscriber.send(&pubcomp(id));
    assert_eq!(payloads(&take(&mut subscriber, 2, 1)), ["1"]);
}

/// `[MQTT-4.4.0-1]`, `[MQTT-4.6.0-1]`: on the next connection, with DUP and the same packet ids in
/// the same order, and never before; after PUBREC it is PUBREL that comes.
#[test]
fn sends_again_what_was_in_flight_when_the_client_comes_back() {
    let broker = broker_with(&["--max-inflight", "4"]);
    let durable = Connect::new("subscriber").resuming();
    let mut subscriber = broker.connect_with(&durable);
    subscriber.subscribe_all(&[("a", 2)]);
    let mut publisher = broker.connect("publisher");
    for (n, qos) in [1, 2, 2, 1, 1, 2].into_iter().enumerate() {
        let id = u16::try_from(n + 1).unwrap();
        publisher.send(&Publish::new("a", n.to_string()).qos(qos, id).bytes());
        publisher.packet();
    }
    let sent: Vec<Publish> = (0..4).map(|_| subscriber.take_publish()).collect();
    let ids: Vec<u16> = sent.iter().map(|publish| publish.id.unwrap()).collect();
    // The second is half done, the fourth is done.
    subscriber.send(&pubrec(ids[1]));
    subscriber.expect(&pubrel(ids[1]));
    subscriber.send(&puback(ids[3]));
    let fifth = subscriber.take_publish();
    assert_eq!(fifth.payload, b"4");
    subscriber.expect_nothing();
    drop(subscriber);

    let mut again = broker.resume(&durable);
    again.expect_message(&sent[0].clone().dup());
    again.expect(&pubrel(ids[1]));
    again.expect_message(&sent[2].clone().dup());
    again.expect_message(&fifth.clone().dup());
    again.expect_nothing();
    again.send(&pubcomp(ids[1]));
    let sixth = again.take_publish();
    assert_eq!((sixth.payload, sixth.dup), (b"5".to_vec(), false));
    assert!(!ids.contains(&sixth.id.unwrap()) && sixth.id != fifth.id);
}

/// Every point of a QoS 2 flow at which the connection of the receiver can break.
#[test]
fn resumes_qos_2_towards_a_subscriber_at_every_step() {
    let broker = Broker::start_without_store();
    let durable = Connect::new("subscriber").resuming();
    let mut subscriber = broker.connect_with(&durable);
    subscriber.subscribe_all(&[("a", 2)]);
    let mut publisher = broker.connect("publisher");
    publisher.send(&Publish::new("a", "x").qos(2, 1).bytes());
    publisher.expect(&pubrec(1));
    let publish = subscriber.take_publish();
    let id = publish.id.unwrap();

    // Take-over: the old connection is still there when the new one comes.
    let mut second = broker.resume(&durable);
    subscriber.expect_closed();
    second.expect_message(&publish.clone().dup());
    second.send(&pubrec(id));
    second.expect(&pubrel(id));
    drop(second);
    let mut third = broker.resume(&durable);
    third.expect(&pubrel(id));
    third.send(&pubcomp(id));
    third.expect_nothing();
    drop(third);
    broker.resume(&durable).expect_nothing();
}

/// `[MQTT-4.3.3-10]`: the same packet id before PUBREL is the same message, also on the next connection and
/// when that takes over; after PUBREL it is another one.
#[test]
fn takes_qos_2_once_over_connections() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    let durable = Connect::new("publisher").resuming();
    let publish = Publish::new("a", "once").qos(2, 7);
    let mut first = broker.connect_with(&durable);
    first.send(&publish.bytes());
    first.expect(&pubrec(7));
    let mut second = broker.resume(&durable);
    first.expect_closed();
    second.send(&publish.clone().dup().bytes());
    second.expect(&pubrec(7));
    drop(second);
    let mut third = broker.resume(&durable);
    third.send(&publish.clone().dup().bytes());
    third.expect(&pubrec(7));
    subscriber.expect_publish("a", "once");
    subscriber.expect_nothing();
    third.send(&[pubrel(7), pubrel(7)].concat());
    third.expect(&pubcomp(7));
    third.expect(&pubcomp(7));
    third.send(&Publish::new("a", "twice").qos(2, 7).bytes());
    third.expect(&pubrec(7));
    subscriber.expect_publish("a", "twice");
    // A clean session forgets it [MQTT-3.1.2-6] (3.1.1).
    let mut clean = broker.connect("publisher");
    clean.send(&Publish::new("a", "third").qos(2, 7).dup().bytes());
    clean.expect(&pubrec(7));
    subscriber.expect_publish("a", "third");
}

/// A packet that is refused for its topic is neither acknowledged nor taken for received.
#[test]
fn does_not_acknowledge_what_it_refuses() {
    let broker = broker_with(&["--max-topic-levels", "2"]);
    let durable = Connect::new("client").resuming();
    broker.connect_with(&durable).disconnect();
    for qos in [1, 2] {
        for _ in 0..2 {
            let mut client = broker.resume(&durable);
            client.send(&Publish::new("a/b/c", "x").qos(qos, 5).bytes());
            assert!(
                client.expect_closed_after_anything().is_empty(),
                "QoS {qos}"
            );
        }
    }
}

/// `[MQTT-4.8.0-1]` (3.1.1): an acknowledgement of the wrong kind ends the connection.
#[test]
fn closes_on_the_wrong_acknowledgement() {
    let cases = [
        ("PUBREC to QoS 1", 1, 0x50),
        ("PUBCOMP to QoS 1", 1, 0x70),
        ("PUBACK to QoS 2", 2, 0x40),
        ("PUBCOMP before PUBREL", 2, 0x70),
    ];
    let broker = Broker::start_without_store();
    let mut publisher = broker.connect("publisher");
    for (case, qos, first) in cases {
        let mut subscriber = broker.connect("subscriber");
        subscriber.subscribe_all(&[("a", qos)]);
        publisher.send(&Publish::new("a", "x").qos(2, 3).bytes());
        publisher.expect(&pubrec(3));
        publisher.send(&pubrel(3));
        publisher.expect(&pubcomp(3));
        let id = subscriber.take_publish().id.unwrap();
        subscriber.send(&packet::ack(first, id, &[]));
        let answers = subscriber.expect_closed_after_anything();
        assert!(answers.is_empty(), "{case}: {answers:x?}");
        broker.expect_one_error_of(subscriber.peer());
    }
}

/// `[MQTT-2.2.1-4]`: packet ids wrap past 0 and are never in use twice; the first one stays in use all the time.
#[test]
fn carries_70_000_messages_through_one_session() {
    const COUNT: usize = 70_000;
    const ROUND: usize = 1_000;
    let broker = broker_with(&["--max-inflight", "2000"]);
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe_all(&[("a", 1)]);
    let mut publisher = broker.connect("publisher");
    let mut unacknowledged = 0;
    for round in 0..COUNT / ROUND {
        let run: Vec<u8> = (0..ROUND)
            .flat_map(|n| {
                let id = u16::try_from(n + 1).unwrap();
                Publish::new("a", (round * ROUND + n).to_string())
                    .qos(1, id)
                    .bytes()
            })
            .collect();
        publisher.send(&run);
        // The first is left open until the packet ids have gone round.
        let left_open = usize::from(round > 0 && unacknowledged > 0);
        let mut acks = Vec::new();
        for n in 0..ROUND {
            let publish = subscriber.take_publish();
            assert_eq!(publish.payload, (round * ROUND + n).to_string().as_bytes());
            let id = publish.id.unwrap();
            assert!(
                id != 0 && (left_open == 0 || id != unacknowledged),
                "{publish:?}"
            );
            if round == 0 && n == 0 {
                unacknowledged = id;
            } else {
                acks.extend(puback(id));
            }
        }
        // Ids are given out in their order: before they have gone round the first one must be free.
        if round == 60 {
            acks.extend(puback(unacknowledged));
            unacknowledged = 0;
        }
        subscriber.send(&acks);
        (0..ROUND).for_each(|n| publisher.expect(&puback(u16::try_from(n + 1).unwrap())));
    }
    subscriber.expect_nothing();
}

/// What finds no room is dropped, and the client goes on; what had room comes in order.
#[test]
fn drops_what_finds_no_room_in_the_queue() {
    let broker = broker_with(&["--max-queued-messages", "10", "--max-inflight", "2"]);
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe_all(&[("a", 1)]);
    let mut publisher = broker.connect("publisher");
    for n in 0..20 {
        publisher.publish_acked("a", n.to_string());
    }
    broker.wait_for_log("its queue is full");
    let mut got = Vec::new();
    while got.len() < 12 {
        let publish = subscriber.take_publish();
        got.push(String::from_utf8(publish.payload).unwrap());
        subscriber.send(&puback(publish.id.unwrap()));
    }
    // Two in flight and ten that waited.
    let expected: Vec<String> = (0..12).map(|n| n.to_string()).collect();
    assert_eq!(got, expected);
    subscriber.expect_nothing();
}

/// The other policy: the client is disconnected, and finds what it did not acknowledge when it comes back.
#[test]
fn disconnects_a_client_whose_queue_is_full_if_told_to() {
    let broker = broker_with(&[
        "--max-queued-messages",
        "10",
        "--max-inflight",
        "2",
        "--when-queue-full",
        "disconnect",
    ]);
    let durable = Connect::new("subscriber").resuming();
    let mut subscriber = broker.connect_with(&durable);
    subscriber.subscribe_all(&[("a", 1)]);
    let mut publisher = broker.connect("publisher");
    for n in 0..20 {
        publisher.publish_acked("a", n.to_string());
    }
    assert_eq!(subscriber.expect_closed_after_anything().len(), 2);
    let mut again = broker.resume(&durable);
    assert_eq!(payloads(&take(&mut again, 1, 2)), ["0", "1"]);
    drop(again);

    // A client of MQTT 5.0 is told why.
    let mut subscriber = broker.connect_v5("subscriber");
    subscriber.subscribe_all(&[("a", 1)]);
    for n in 0..20 {
        publisher.publish_acked("a", n.to_string());
    }
    for _ in 0..2 {
        subscriber.take_publish();
    }
    subscriber.expect_disconnect(0x97);
}

/// PINGREQ and PUBLISH between the halves of another flow are answered at once, in order.
#[test]
fn answers_what_comes_within_an_open_flow() {
    let broker = Broker::start_without_store();
    let mut client = broker.connect("client");
    let parts = [
        Publish::new("a", "2").qos(2, 1).bytes(),
        PINGREQ.to_vec(),
        Publish::new("a", "1").qos(1, 1).bytes(),
        pubrel(1),
    ];
    client.send(&parts.concat());
    client.expect(&pubrec(1));
    client.expect(PINGRESP);
    client.expect(&puback(1));
    client.expect(&pubcomp(1));
}
