//! Rules of the file of settings: what they store in the real InfluxDB, what they keep aside, and the subcommands that
//! try them.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Broker, BrokerCommand, Influx, Publish, Wire, packet};

/// A file of settings in a folder of its own.
struct File {
    folder: TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("f.toml"), text).unwrap();
        Self { folder }
    }

    fn path(&self) -> String {
        let path = self.folder.path().join("f.toml");
        path.to_str().unwrap().to_owned()
    }
}

fn start(influx: &Influx, file: &File) -> Broker {
    BrokerCommand::storing_at(&influx.url())
        .args(&["--config", &file.path()])
        .start()
}

/// The rows of a measurement without their times, and with them.
fn rows(influx: &Influx, query: &str) -> (Value, Vec<i64>) {
    let result = influx.query(query);
    let rows = result["series"][0]["values"].as_array().cloned();
    let (mut rest, mut times) = (Vec::new(), Vec::new());
    for row in rows.unwrap_or_default() {
        let (time, cells) = row.as_array().unwrap().split_first().unwrap();
        times.push(time.as_i64().unwrap());
        rest.push(cells.to_vec());
    }
    (json!(rest), times)
}

/// Publishes and expects the acknowledgement, and the delivery to somebody who wants everything.
fn publish(publisher: &mut Wire, subscriber: &mut Wire, topic: &str, payload: &str) {
    publisher.publish_acked(topic, payload);
    subscriber.expect_publish(topic, payload);
}

#[test]
fn stores_what_the_rules_say() {
    let influx = Influx::start();
    let file = File::new(
        r#"
        [[rule]]
        filter = "sensors/{site}/{device}/climate"
        payload = "json"
        measurement = "climate"
        tags = { site = "{site}", device = "{device}", client = "{client_id}" }
        fields = { t = "{payload.air.t}", n = "{payload.n}" }
        types = { n = "integer" }
        timestamp = "{payload.ts}"
        precision = "ms"

        [[rule]]
        filter = "many/#"
        measurement = "many"
        points = "{payload.readings}"
        fields = { v = "{payload.v}" }

        [[rule]]
        filter = "lines"
        payload = "line-protocol"

        [[rule]]
        filter = "telegraf/+/+"
        measurement = "_/measurement/_"
        tags = "_/_/host"

        [[rule]]
        filter = "noise/#"
        store = false
        "#,
    );
    let broker = start(&influx, &file);
    broker.wait_for_log("is available");
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("#");
    let mut publisher = broker.connect("p 1");
    let mut publish = |topic, payload| publish(&mut publisher, &mut subscriber, topic, payload);

    publish(
        "sensors/a b/7/climate",
        r#"{"air":{"t":21.5},"n":9007199254740993,"ts":1763806000123}"#,
    );
    assert_eq!(
        rows(&influx, "SELECT client, device, n, site, t FROM climate"),
        (
            json!([["p 1", "7", 9_007_199_254_740_993_i64, "a b", 21.5]]),
            vec![1_763_806_000_123_000_000]
        )
    );

    publish("many/1", r#"{"readings":[{"v":1},{"v":2},{"v":3}]}"#);
    publish("many/1", r#"{"readings":[{"v":4},{"v":5}]}"#);
    let (values, times) = rows(&influx, "SELECT topic, v FROM many");
    let of_many = |v: u8| json!(["many/1", v]);
    assert_eq!(values, json!([1, 2, 3, 4, 5].map(of_many)));
    assert!(times.is_sorted_by(|one, next| one < next), "{times:?}");

    publish("lines", "w,at=x v=1i,s=\"a\nb\" 1000\nw,at=y v=2i");
    let (values, times) = rows(&influx, "SELECT at, s, v FROM w");
    assert_eq!(values, json!([["x", "a\nb", 1], ["y", null, 2]]));
    assert_eq!(times[0], 1_000);

    publish("telegraf/cpu/h1", "0.5");
    assert_eq!(
        rows(&influx, "SELECT host, topic, value FROM cpu").0,
        json!([["h1", "telegraf/cpu/h1", 0.5]])
    );

    publish("noise/1", "1");
    publish("else", "2");
    assert_eq!(influx.payloads("else"), ["2"]);
    assert_eq!(influx.points().len(), 1);
    assert!(broker.tool(&["rejected", "list"]).starts_with("0 "));
}

#[test]
fn keeps_aside_what_does_not_fit() {
    let influx = Influx::start();
    let file = File::new(
        "[[rule]]\nfilter = 'n/#'\npayload = 'number'\nmeasurement = 'n'\ntypes = { value = 'integer' }",
    );
    let mut broker = start(&influx, &file);
    broker.wait_for_log("is available");
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("#");
    let mut publisher = broker.connect("publisher");
    // In one batch, so that one write has good and bad points.
    let payloads = ["1", "1.5", "two", "4"];
    let run: Vec<u8> = (1..)
        .zip(payloads)
        .flat_map(|(id, payload)| Publish::new("n/a", payload).qos(1, id).bytes())
        .collect();
    publisher.send(&run);
    for id in 1..=4 {
        publisher.expect(&packet::puback(id));
    }
    for payload in payloads {
        subscriber.expect_publish("n/a", payload);
    }
    assert_eq!(rows(&influx, "SELECT value FROM n").0, json!([[1], [4]]));

    let list = broker.tool(&["rejected", "list"]);
    let reason = "is not an integer of 64 bits, the type of value (rule 1)";
    assert!(list.starts_with("2 rejected points"), "{list}");
    assert_eq!(list.matches(reason).count(), 2, "{list}");
    assert_eq!(list.matches("\"n/a\" 0 ").count(), 2, "{list}");
    broker.wait_for_log("the rules reject");

    // Sent once more they are stored by the default mapping, whole.
    broker.tool(&["rejected", "retry"]);
    broker.kill();
    broker.restart();
    broker.wait_for_log("replayed all 2 points");
    assert_eq!(influx.payloads("n/a"), ["1.5", "two"]);
}

#[test]
fn warns_once_of_new_series_above_the_bound() {
    let influx = Influx::start();
    let file = File::new("[[rule]]\nfilter = '#'\nmax-series = 2");
    let broker = start(&influx, &file);
    broker.wait_for_log("is available");
    let mut publisher = broker.connect("publisher");
    for topic in ["a", "b", "c", "d", "a"] {
        publisher.publish_acked(topic, "1");
    }
    // The counts of a second client are the same.
    broker.connect("other").publish_acked("e", "1");
    assert_eq!(influx.count("value"), 3);
    assert_eq!(broker.log_count("[RULES] rule 1 (#) has made 2 series"), 1);
    let list = broker.tool(&["rejected", "list"]);
    assert!(list.starts_with("3 rejected points"), "{list}");
    assert_eq!(list.matches("above max-series").count(), 3, "{list}");
}

#[test]
fn drops_retained_and_empty_messages_only_from_the_store() {
    let influx = Influx::start();
    let file = File::new("[[rule]]\nfilter = '#'\nretained = false\nempty = false");
    let broker = start(&influx, &file);
    broker.wait_for_log("is available");
    let mut publisher = broker.connect("publisher");
    publisher.send(&Publish::new("a", "kept").retained().qos(1, 1).bytes());
    publisher.expect(&packet::puback(1));
    publisher.publish_acked("a", "");
    publisher.publish_acked("a", "stored");
    assert_eq!(influx.payloads("a"), ["stored"]);
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    subscriber.expect(&Publish::new("a", "kept").retained().bytes());
}

/// Deep payloads are read on the client's own thread, whose stack is small.
#[test]
fn reads_deep_payloads() {
    let influx = Influx::start();
    let file = File::new("[[rule]]\nfilter = '#'\nfields = { v = '{payload.a}' }");
    let broker = start(&influx, &file);
    broker.wait_for_log("is available");
    let mut publisher = broker.connect("publisher");
    for depth in [127, 20_000] {
        let payload = "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
        publisher.publish_acked("a", payload);
    }
    // The first is a text, the second no JSON that can be read.
    assert_eq!(influx.count("v"), 1);
    let list = broker.tool(&["rejected", "list"]);
    assert!(list.contains("has none of the fields"), "{list}");
}

#[test]
fn tries_rules_offline() {
    let file = File::new(
        "[[rule]]\nfilter = 'off/#'\nstore = false\n\
         [[rule]]\nfilter = '{room}/t'\nmeasurement = 'temp'\npayload = 'number'\ntags = { room = '{room}', by = '{client_id}' }",
    );
    let broker = Broker::start_without_store();
    let try_rule = |args: &[&str]| {
        let path = file.path();
        broker.tool(&[&["try-rule", "--config", &path], args].concat())
    };
    assert_eq!(try_rule(&["off/x", "1"]), "rule 1: off/#\nnot stored\n");
    let printed = try_rule(&["hall/t", "-2.5", "--client-id", "me"]);
    let begin = "rule 2: {room}/t\ntemp,by=me,room=hall value=-2.5 1";
    assert!(printed.starts_with(begin), "{printed}");
    let printed = try_rule(&["hall/t", "warm"]);
    let begin = "rule 2: {room}/t\nrejected: is no number (rule 2)\n\
                 kept aside: mqtt,topic=hall/t payload=\"warm\" 1";
    assert!(printed.starts_with(begin), "{printed}");
    let printed = try_rule(&["else", "1"]);
    let begin = "no rule: the default mapping\nmqtt,topic=else value=1 1";
    assert!(printed.starts_with(begin), "{printed}");

    let (code, lines) = BrokerCommand::bare().args(&["try-rule", "a/#", "1"]).fail();
    assert_eq!(code, Some(1));
    assert_eq!(lines, ["mqtt-server: the topic must not contain '#'"]);
}

#[test]
fn checks_settings_and_connection() {
    let file = File::new("[[rule]]\nfilter = 'a'\npayload = 'xml'");
    let (code, lines) = BrokerCommand::bare()
        .args(&["check", "--config", &file.path()])
        .fail();
    assert_eq!(code, Some(2));
    let expected = format!(
        "mqtt-server: {}: rule 1: payload: expected auto, json, number, text, line-protocol or base64, found \"xml\"",
        file.path()
    );
    assert_eq!(lines, [expected]);

    let file = File::new("[[rule]]\nfilter = 'a'");
    let influx = Influx::start();
    let broker = Broker::start_without_store();
    let check = || {
        let (url, path) = (influx.url(), file.path());
        broker.tool(&[
            "--influx-url",
            &url,
            "--config",
            &path,
            "check",
            "--connect",
        ])
    };
    let (url, path) = (influx.url(), file.path());
    let in_order = format!("the settings are in order ({path}, 1 rules)\n");
    assert_eq!(
        check(),
        format!(
            "{in_order}InfluxDB at {url} answers; it has no database \"mqtt_data\", which the server creates\n"
        )
    );
    assert!(influx.databases().is_empty(), "nothing is created");
    influx.query("CREATE DATABASE mqtt_data");
    assert_eq!(
        check(),
        format!("{in_order}InfluxDB at {url} takes points for database \"mqtt_data\"\n")
    );

    let influx = Influx::start_with_auth("admin", "secret");
    let (code, lines) = BrokerCommand::bare()
        .args(&["--influx-url", &influx.url(), "check", "--connect"])
        .fail();
    assert_eq!(code, Some(1));
    let said = lines.join("\n");
    assert!(said.contains("InfluxDB refuses to write (401)"), "{said}");
}
