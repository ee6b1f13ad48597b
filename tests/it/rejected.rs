//! Points that InfluxDB rejects are found exactly and kept aside with its words; their messages are safe like others.

use crate::support::{Answer, Broker, FakeInflux, Influx, Publish, Wire, packet};

/// Another program makes two fields texts, so that numbers can no longer be stored there.
fn spoil_fields(influx: &Influx) {
    influx.write("mqtt,topic=before clash=\"text\"");
    influx.write("mqtt,topic=before other=\"text\"");
}

/// The message with this number: some can never be stored.
fn payload(number: u16) -> String {
    match number {
        1 | 500 | 501 | 999 => format!("{{\"clash\":{number}}}"),
        250 => format!("{{\"other\":{number}}}"),
        _ => number.to_string(),
    }
}

/// Publishes the messages 1 to 1,000 and expects them all to be acknowledged and delivered.
fn publish_thousand(broker: &Broker, subscriber: &mut Wire) {
    let mut publisher = broker.connect("publisher");
    let run: Vec<u8> = (1..=1_000)
        .flat_map(|id| Publish::new("a", payload(id)).qos(1, id).bytes())
        .collect();
    publisher.send(&run);
    for id in 1..=1_000 {
        publisher.expect(&packet::puback(id));
    }
    for id in 1..=1_000 {
        subscriber.expect_publish("a", payload(id));
    }
}

/// Expects that InfluxDB has the good messages, and the rejected points are the others.
fn expect_sifted(influx: &Influx, broker: &Broker) {
    assert_eq!(influx.count("value"), 995);
    let list = broker.tool(&["rejected", "list"]);
    assert!(list.starts_with("5 rejected points"), "{list}");
    for (id, number) in [(1, 1), (2, 250), (3, 500), (4, 501), (5, 999)] {
        let shown = broker.tool(&["rejected", "show", &id.to_string()]);
        let field = if number == 250 { "other" } else { "clash" };
        for part in [
            "topic: \"a\"".to_owned(),
            "status: 400".to_owned(),
            format!("line: mqtt,topic=a {field}={number}"),
            // Its own reason, not that of another.
            format!("input field \\\"{field}\\\""),
        ] {
            assert!(shown.contains(&part), "{part}\n{shown}");
        }
    }
}

#[test]
fn finds_the_rejected_among_a_thousand() {
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    broker.wait_for_log("is available");
    spoil_fields(&influx);
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    publish_thousand(&broker, &mut subscriber);
    expect_sifted(&influx, &broker);
    // A line for each reason, not for each point.
    assert_eq!(broker.log_count("[REJECTED]"), 1, "{}", broker.log());
}

#[test]
fn finds_the_rejected_when_it_replays() {
    let mut influx = Influx::start();
    influx.query("CREATE DATABASE mqtt_data");
    spoil_fields(&influx);
    influx.kill();
    let broker = Broker::start(&influx);
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    publish_thousand(&broker, &mut subscriber);
    influx.restart();
    broker.wait_for_log("replayed all 1000 points");
    broker.wait_for_log("5 rejected");
    expect_sifted(&influx, &broker);
}

/// influxd answers the first write into a new shard that itself brings a conflict so, and stores nothing of it; of the
/// same write sent again it stores what it can.
#[test]
fn sends_the_first_write_of_a_shard_again() {
    let influx = FakeInflux::start();
    let broker = Broker::start_with_fake(&influx);
    broker.wait_for_log("is available");
    influx.next(Answer::Status(400, "field type conflict: input field"));
    broker.connect("publisher").publish_acked("a", "1");
    let bodies = influx.wait_for_writes(2);
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(influx.stored().len(), 1);
    assert!(broker.tool(&["rejected", "list"]).starts_with("0 "));
}

#[test]
fn retries_exports_and_drops() {
    let influx = Influx::start();
    let mut broker = Broker::start(&influx);
    broker.wait_for_log("is available");
    spoil_fields(&influx);
    let mut publisher = broker.connect("publisher");
    for number in 1..=3 {
        publisher.publish_acked("a", format!("{{\"clash\":{number}}}"));
    }
    let export = broker.tool(&["rejected", "export"]);
    assert!(
        export.starts_with("# DDL\nCREATE DATABASE \"mqtt_data\"\n# DML\n"),
        "{export}"
    );
    assert_eq!(
        export.matches("\nmqtt,topic=a clash=").count(),
        3,
        "{export}"
    );

    assert_eq!(
        broker.tool(&["rejected", "drop", "2"]),
        "1 points dropped\n"
    );
    // The operator mends what was wrong.
    influx.query("DROP MEASUREMENT mqtt");
    let retried = broker.tool(&["rejected", "retry"]);
    assert!(
        retried.starts_with("2 points go to InfluxDB again"),
        "{retried}"
    );
    assert!(broker.tool(&["rejected", "list"]).starts_with("0 "));
    broker.kill();
    broker.restart();
    broker.wait_for_log("replayed all 2 points");
    assert_eq!(influx.payloads("a"), ["{\"clash\":1}", "{\"clash\":3}"]);

    influx.query("DROP MEASUREMENT mqtt");
    spoil_fields(&influx);
    broker
        .connect("publisher")
        .publish_acked("a", "{\"clash\":4}");
    assert_eq!(
        broker.tool(&["rejected", "drop", "--all"]),
        "1 points dropped\n"
    );
    assert!(broker.tool(&["rejected", "list"]).starts_with("0 "));
}

/// InfluxDB's limit for one request is on its bytes: the request is halved, and no message is lost or refused.
#[test]
fn halves_a_request_that_is_too_large() {
    let influx = FakeInflux::start();
    let broker = Broker::start_with_fake(&influx);
    broker.wait_for_log("is available");
    influx.refuse_bodies_above(1_000);
    let mut publisher = broker.connect("publisher");
    let run: Vec<u8> = (1..=100)
        .flat_map(|id| Publish::new("a", "x".repeat(50)).qos(1, id).bytes())
        .collect();
    publisher.send(&run);
    for id in 1..=100 {
        publisher.expect(&packet::puback(id));
    }
    publisher.publish_acked("a", "y".repeat(2_000));
    let stored: usize = influx
        .stored()
        .iter()
        .map(|body| body.lines().count())
        .sum();
    assert_eq!(stored, 100);
    let list = broker.tool(&["rejected", "list"]);
    assert!(list.starts_with("1 ") && list.contains(" 413 "), "{list}");
}
