//! The promise: stored before delivered, stored before acknowledged; one message, one point.

use std::thread;

use crate::support::{Answer, Broker, BrokerCommand, FakeInflux, Influx, Publish, SILENCE, packet};

/// The message is in InfluxDB before any subscriber has it, and before its publisher knows.
#[test]
fn stores_before_it_delivers_and_acknowledges() {
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a/#");
    let mut at_least_once = broker.connect("QoS 1");
    let mut exactly_once = broker.connect("QoS 2");
    let mut at_most_once = broker.connect("QoS 0");

    influx.pause();
    at_least_once.send(&Publish::new("a/1", "one").qos(1, 1).bytes());
    exactly_once.send(&Publish::new("a/2", "two").qos(2, 2).bytes());
    at_most_once.publish("a/0", "zero");
    subscriber.expect_silence(SILENCE);
    at_least_once.expect_silence(SILENCE);
    exactly_once.expect_silence(SILENCE);

    influx.resume();
    at_least_once.expect(&packet::puback(1));
    exactly_once.expect(&packet::pubrec(2));
    exactly_once.send(&packet::pubrel(2));
    exactly_once.expect(&packet::pubcomp(2));
    let mut got = [(); 3].map(|()| subscriber.take_publish());
    got.sort_by(|a, b| a.topic.cmp(&b.topic));
    let expected = [("a/0", "zero"), ("a/1", "one"), ("a/2", "two")];
    assert_eq!(
        got,
        expected.map(|(topic, payload)| Publish::new(topic, payload))
    );
    for (topic, payload) in expected {
        assert_eq!(influx.payloads(topic), [payload]);
    }
}

/// Nobody has to wait for InfluxDB who publishes nothing.
#[test]
fn serves_clients_that_do_not_publish_while_influxdb_is_slow() {
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    let mut idle = broker.connect("idle");
    let mut publisher = broker.connect("publisher");
    influx.pause();
    publisher.send(&Publish::new("a", "x").qos(1, 1).bytes());
    idle.expect_nothing();
    idle.subscribe("b");
    idle.unsubscribe("b");
    broker.connect("newcomer").expect_nothing();
    influx.resume();
    publisher.expect(&packet::puback(1));
}

#[test]
fn stores_100_000_messages_of_one_client_as_100_000_points() {
    const COUNT: u16 = 50_000;
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    let mut publisher = broker.connect("publisher");
    // Twice, since there are only 65,535 packet identifiers; the last of each run is acknowledged.
    for _ in 0..2 {
        let mut run: Vec<u8> = (1..COUNT)
            .flat_map(|n| Publish::new("fast", n.to_string()).bytes())
            .collect();
        run.extend(Publish::new("fast", "0.5").qos(1, COUNT).bytes());
        publisher.send(&run);
        publisher.expect(&packet::puback(COUNT));
    }
    assert_eq!(influx.count("value"), 2 * u64::from(COUNT));
}

#[test]
fn stores_every_message_of_eight_clients_at_once() {
    const COUNT: u16 = 5_000;
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    thread::scope(|scope| {
        for number in 0..8 {
            let mut publisher = broker.connect(&format!("publisher {number}"));
            scope.spawn(move || {
                // All to the same topic, where one timestamp for two would lose one of them.
                let run: Vec<u8> = (1..=COUNT)
                    .flat_map(|id| Publish::new("shared", id.to_string()).qos(1, id).bytes())
                    .collect();
                publisher.send(&run);
                for id in 1..=COUNT {
                    publisher.expect(&packet::puback(id));
                }
            });
        }
    });
    assert_eq!(influx.count("value"), 8 * u64::from(COUNT));
}

/// The points of a topic are in the order of its messages, by time.
#[test]
fn stores_in_the_order_of_publishing() {
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    let mut publisher = broker.connect("publisher");
    let run: Vec<u8> = (0..3_000)
        .flat_map(|n| Publish::new("a", n.to_string()).bytes())
        .collect();
    publisher.send(&run);
    publisher.publish_acked("a", "3000");
    let points = influx.points();
    let expected: Vec<String> = (0..=3_000).map(|n| n.to_string()).collect();
    assert_eq!(influx.payloads("a"), expected);
    assert!(
        points
            .windows(2)
            .all(|pair| pair[0].time() < pair[1].time())
    );
}

/// A read is a batch: a loud client's messages share requests, a lone message goes at once.
#[test]
fn writes_a_run_of_messages_in_few_requests() {
    let influx = FakeInflux::start();
    let broker = Broker::start_with_fake(&influx);
    let mut publisher = broker.connect("publisher");
    publisher.publish_acked("a", "alone");
    assert_eq!(influx.wait_for_writes(1).len(), 1);
    publisher.send(&Publish::new("a", "x").bytes().repeat(2_000));
    publisher.publish_acked("a", "last");
    let bodies = influx.wait_for_writes(2);
    let points: usize = bodies.iter().map(|body| body.lines().count()).sum();
    assert_eq!(points, 2_002);
    assert!(bodies.len() < 200, "{} requests", bodies.len());
}

/// `[MQTT-4.3.3-10]`: sent again before PUBREL, it is the same message.
#[test]
fn stores_qos_2_once() {
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    let mut publisher = broker.connect("publisher");
    let publish = Publish::new("a", "once").qos(2, 7);
    for bytes in [publish.bytes(), publish.clone().dup().bytes()] {
        publisher.send(&bytes);
        publisher.expect(&packet::pubrec(7));
    }
    publisher.send(&packet::pubrel(7));
    publisher.expect(&packet::pubcomp(7));
    assert_eq!(influx.payloads("a"), ["once"]);
}

/// What could not be stored is not a duplicate when it is sent again.
#[test]
fn stores_qos_2_that_is_sent_again_after_a_failure() {
    let influx = FakeInflux::start();
    let broker = Broker::start_refusing(&influx.url());
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    broker.wait_for_log("is available");
    influx.next(Answer::Status(500, "engine: full"));
    let publish = Publish::new("a", "x").qos(2, 7);
    let mut publisher = broker.connect("publisher");
    publisher.send(&publish.bytes());
    publisher.expect_closed();
    broker.wait_for_logs("is available", 2);
    let mut publisher = broker.connect("publisher");
    publisher.send(&publish.dup().bytes());
    publisher.expect(&packet::pubrec(7));
    publisher.send(&packet::pubrel(7));
    publisher.expect(&packet::pubcomp(7));
    subscriber.expect_publish("a", "x");
    subscriber.expect_nothing();
}

/// Retained messages are for subscribers too: not stored, not kept.
#[test]
fn does_not_retain_what_it_could_not_store() {
    let influx = FakeInflux::start();
    let broker = Broker::start_refusing(&influx.url());
    influx.next(Answer::Status(500, "engine: full"));
    let mut publisher = broker.connect("publisher");
    publisher.send(&Publish::new("a", "lost").retained().qos(1, 1).bytes());
    publisher.expect_closed();
    let mut later = broker.connect("later");
    later.subscribe("a");
    later.expect_nothing();
}

/// Where there is no room to keep a rejected point, only the one who published it is refused; those who share the
/// request with it are not.
#[test]
fn refuses_a_rejected_point_and_stores_its_neighbours() {
    let influx = Influx::start();
    let broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--influx-connections", "1", "--rejected-max-size", "0"])
        .start();
    broker.connect("first").publish_acked("before", "1");
    // Another program has made `clash` a text, so that no number can be stored there any more.
    influx.write("mqtt,topic=before clash=\"text\"");
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("#");
    let mut leader = broker.connect("leader");
    let mut rejected = broker.connect("rejected");
    let mut good = ["good 1", "good 2"].map(|id| broker.connect(id));

    influx.pause();
    // With one connection, what comes while this waits for its answer shares the next request.
    leader.send(&Publish::new("a/leader", "2").qos(1, 1).bytes());
    leader.expect_silence(SILENCE);
    rejected.send(
        &Publish::new("a/rejected", r#"{"clash":1}"#)
            .qos(1, 1)
            .bytes(),
    );
    for client in &mut good {
        client.send(&Publish::new("a/good", "3").qos(1, 1).bytes());
        client.expect_silence(SILENCE);
    }
    influx.resume();

    leader.expect(&packet::puback(1));
    for client in &mut good {
        client.expect(&packet::puback(1));
    }
    rejected.expect_closed();
    broker.expect_one_error_of(rejected.peer());
    let mut topics: Vec<_> = subscriber
        .take_publishes()
        .into_iter()
        .map(|publish| publish.topic)
        .collect();
    topics.sort();
    assert_eq!(topics, ["a/good", "a/good", "a/leader"]);
    assert_eq!(influx.payloads("a/good"), ["3", "3"]);
    assert!(influx.payloads("a/rejected").is_empty());
}
