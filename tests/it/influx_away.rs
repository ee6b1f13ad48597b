//! InfluxDB is away, slow or broken, and the broker is to refuse then: nothing is promised that is not kept, and all
//! goes on when it is back. What the journal does instead is in `journal`.

use crate::support::{
    Answer, Broker, BrokerCommand, FakeInflux, Influx, Publish, Wire, eventually, packet,
};

/// Publishes with a new connection; whether it was acknowledged.
fn try_publish(broker: &Broker, topic: &str, payload: &str) -> bool {
    let mut publisher = broker.connect("publisher");
    publisher.send(&Publish::new(topic, payload).qos(1, 1).bytes());
    publisher.finish_sending();
    let answers = publisher.expect_closed_after_anything();
    assert!(
        answers.is_empty() || answers == [packet::puback(1)],
        "{answers:x?}"
    );
    !answers.is_empty()
}

/// Expects that the publisher of a message gets no acknowledgement, and its connection is closed with one line.
fn expect_refused(broker: &Broker, publisher: &mut Wire, publish: &Publish) {
    publisher.send(&publish.bytes());
    publisher.expect_closed();
    broker.expect_one_error_of(publisher.peer());
}

#[test]
fn says_at_start_that_influxdb_is_there() {
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    let line = broker.wait_for_log("is available");
    assert!(
        line.starts_with("[INFLUXDB]") && line.contains(&influx.url()),
        "{line}"
    );
    assert_eq!(broker.log_count("is not available"), 0);
}

#[test]
fn starts_without_influxdb_and_refuses_what_it_cannot_store() {
    // Nobody listens on port 1.
    let broker = Broker::start_refusing("http://127.0.0.1:1");
    let line = broker.wait_for_log("is not available");
    assert!(
        line.starts_with("[ERROR]") && line.contains("http://127.0.0.1:1"),
        "{line}"
    );
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    let publishes = [
        Publish::new("a", "zero"),
        Publish::new("a", "one").qos(1, 1),
        Publish::new("a", "two").qos(2, 2),
        Publish::new("a", "kept").qos(1, 3).retained(),
    ];
    for (number, publish) in publishes.iter().enumerate() {
        let mut publisher = broker.connect(&format!("publisher {number}"));
        expect_refused(&broker, &mut publisher, publish);
    }
    subscriber.expect_nothing();
    let mut later = broker.connect("later");
    later.subscribe("a");
    later.expect_nothing();
    // Said once, not for every message.
    assert_eq!(broker.log_count("is not available"), 1, "{}", broker.log());
}

#[test]
fn goes_on_when_influxdb_comes_back() {
    let mut influx = Influx::start();
    let broker = Broker::start_refusing(&influx.url());
    broker.wait_for_log("is available");
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    assert!(try_publish(&broker, "a", "before"));
    subscriber.expect_publish("a", "before");

    influx.kill();
    for _ in 0..3 {
        assert!(!try_publish(&broker, "a", "lost"));
    }
    broker.wait_for_log("is not available");
    subscriber.expect_nothing();

    influx.restart();
    eventually("a message is stored again", || {
        try_publish(&broker, "a", "after").then_some(())
    });
    subscriber.expect_publish("a", "after");
    subscriber.expect_nothing();
    eventually("the log says so", || {
        (broker.log_count("is available") == 2).then_some(())
    });
    assert_eq!(broker.log_count("is not available"), 1, "{}", broker.log());
    assert_eq!(influx.payloads("a"), ["before", "after"]);
}

/// Whatever was acknowledged when InfluxDB was killed is there when it is back.
#[test]
fn loses_nothing_acknowledged_when_influxdb_is_killed() {
    const COUNT: u16 = 20_000;
    let mut influx = Influx::start();
    let broker = Broker::start_refusing(&influx.url());
    let mut publisher = broker.connect("publisher");
    let run: Vec<u8> = (1..=COUNT)
        .flat_map(|id| Publish::new("a", id.to_string()).qos(1, id).bytes())
        .collect();
    publisher.send(&run);
    for id in 1..=1_000 {
        publisher.expect(&packet::puback(id));
    }
    influx.kill();
    // It may have been fast enough to store them all; then the connection is still open.
    publisher.finish_sending();
    let acknowledged = 1_000 + publisher.expect_closed_after_anything().len();
    influx.restart();
    let stored = influx.count("value");
    assert!(
        stored >= acknowledged as u64,
        "{stored} stored, {acknowledged} acknowledged"
    );
}

#[test]
fn gives_up_on_an_influxdb_that_hangs() {
    let influx = FakeInflux::start();
    let broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--influx-timeout", "1s"])
        .args(&["--when-influx-is-away", "refuse"])
        .start();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    let mut publisher = broker.connect("publisher");
    influx.next(Answer::Hang);
    publisher.send(&Publish::new("a", "lost").qos(1, 1).bytes());
    influx.wait_for_writes(1);
    // Others are served meanwhile, also those who publish.
    subscriber.expect_nothing();
    assert!(try_publish(&broker, "a", "other"));
    subscriber.expect_publish("a", "other");
    publisher.expect_closed();
    broker.expect_one_error_of(publisher.peer());
    broker.wait_for_logs("is available", 2);
    assert!(try_publish(&broker, "a", "later"));
    subscriber.expect_publish("a", "later");
    subscriber.expect_nothing();
}

#[test]
fn refuses_when_influxdb_answers_with_an_error() {
    let influx = FakeInflux::start();
    let broker = Broker::start_refusing(&influx.url());
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    let answers = [
        (500, "engine: cache-max-memory-size exceeded"),
        (503, "request throttled, queue full"),
        (401, "authorization failed"),
        (403, "not authorized to write"),
    ];
    for (losses, (status, error)) in answers.into_iter().enumerate() {
        broker.wait_for_logs("is available", losses + 1);
        influx.next(Answer::Status(status, error));
        let mut publisher = broker.connect("publisher");
        expect_refused(
            &broker,
            &mut publisher,
            &Publish::new("a", "lost").qos(1, 1),
        );
        broker.wait_for_log(error);
    }
    subscriber.expect_nothing();
    broker.wait_for_logs("is available", answers.len() + 1);
    assert!(try_publish(&broker, "a", "later"));
    subscriber.expect_publish("a", "later");
}

/// A write may be tried again, but only as the same point; and it is acknowledged only if one was answered.
#[test]
fn never_stores_twice_when_the_connection_to_influxdb_breaks() {
    let influx = FakeInflux::start();
    let broker = Broker::start_refusing(&influx.url());
    assert!(try_publish(&broker, "a", "1"));
    influx.next(Answer::Drop);
    let acknowledged = try_publish(&broker, "a", "2");
    let bodies = influx.wait_for_writes(2);
    let tries = &bodies[1..];
    assert!(tries.iter().all(|body| *body == tries[0]), "{tries:?}");
    assert_eq!(acknowledged, tries.len() > 1, "{tries:?}");
}
