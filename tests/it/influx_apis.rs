//! InfluxDB 1.x, 2.x and 3.x and what is compatible: how they are written to, and what their answers mean.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::certificates::{Authority, text};
use crate::support::{
    Answer, Broker, BrokerCommand, FakeInflux, Influx, Publish, Version, Victoria, eventually,
    packet,
};

/// Publishes these payloads to the topic `a` in one write, and expects that all are acknowledged.
fn publish_together(broker: &Broker, payloads: &[&str]) {
    let mut publisher = broker.connect("publisher");
    let ids = 1..=u16::try_from(payloads.len()).unwrap();
    let run: Vec<u8> = ids
        .clone()
        .zip(payloads)
        .flat_map(|(id, payload)| Publish::new("a", *payload).qos(1, id).bytes())
        .collect();
    publisher.send(&run);
    for id in ids {
        publisher.expect(&packet::puback(id));
    }
}

/// The fields of all stored lines, in their order.
fn stored_fields(influx: &FakeInflux) -> Vec<String> {
    let stored = influx.stored().concat();
    let fields = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
    stored.lines().map(fields).collect()
}

#[test]
fn finds_out_how_to_write() {
    for (version, target) in [
        (Version::V1, "/write?db=mqtt_data&precision=ns"),
        (
            Version::V2,
            "/api/v2/write?org=my+org&bucket=my+bucket&precision=ns",
        ),
        (
            Version::V3,
            "/api/v3/write_lp?db=mqtt_data&precision=nanosecond&accept_partial=true&no_sync=false",
        ),
        (
            Version::Nameless,
            "/api/v2/write?org=my+org&bucket=my+bucket&precision=ns",
        ),
    ] {
        let influx = FakeInflux::start();
        influx.become_version(version);
        influx.ask_for_token("t0ken");
        let broker = BrokerCommand::storing_at(&influx.url())
            .args(&["--influx-org", "my org", "--influx-bucket", "my bucket"])
            .env("MQTT_SERVER_INFLUX_TOKEN", "t0ken")
            .start();
        publish_together(&broker, &["1"]);
        assert_eq!(stored_fields(&influx), ["value=1"], "{version:?}");
        let [write] = &influx.writes()[..] else {
            panic!("{:?}", influx.writes());
        };
        assert_eq!(write.target, target, "{version:?}");
        assert!(!write.is_compressed);
        assert_eq!(broker.log_count("not available"), 0, "{}", broker.log());
        assert_eq!(broker.log_count("t0ken"), 0, "{}", broker.log());
    }
}

#[test]
fn finds_out_again_when_another_version_is_in_its_place() {
    let influx = FakeInflux::start();
    let broker = Broker::start_with_fake(&influx);
    publish_together(&broker, &["1"]);
    influx.become_version(Version::V3);
    publish_together(&broker, &["2"]);
    broker.wait_for_log("is available, by /api/v3/write_lp");
    broker.wait_for_log("replayed all 1 points");
    assert_eq!(stored_fields(&influx), ["value=1", "value=2"]);
}

#[test]
fn writes_below_a_prefix() {
    let influx = FakeInflux::start();
    let broker = BrokerCommand::storing_at(&format!("{}/prefix/", influx.url())).start();
    publish_together(&broker, &["1"]);
    assert_eq!(stored_fields(&influx), ["value=1"]);
    let writes = influx.writes();
    assert!(
        writes[0].target.starts_with("/prefix/write?db="),
        "{writes:?}"
    );
}

#[test]
fn sifts_what_each_version_rejects() {
    for (version, requests_max) in [(Version::V2, 40), (Version::V3, 2)] {
        let influx = FakeInflux::start();
        influx.become_version(version);
        let broker = Broker::start_with_fake(&influx);
        broker.wait_for_log("is available");
        let payloads: Vec<String> = (0..100)
            .map(|number| match number {
                7 | 50 => format!(r#"{{"clash":{number}}}"#),
                80 => r#"{"malformed":1}"#.to_owned(),
                _ => number.to_string(),
            })
            .collect();
        let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
        publish_together(&broker, &payloads);
        let mut stored = stored_fields(&influx);
        stored.sort_unstable();
        stored.dedup();
        assert_eq!(stored.len(), 97, "{version:?}");
        let list = broker.tool(&["rejected", "list"]);
        assert!(list.starts_with("3 rejected points"), "{list}");
        for (id, line, reason) in [
            (1, "clash=7", "type"),
            (2, "clash=50", "type"),
            (3, "malformed=1", "ields"),
        ] {
            let shown = broker.tool(&["rejected", "show", &id.to_string()]);
            assert!(shown.contains(line) && shown.contains(reason), "{shown}");
        }
        let requests = influx.writes().len();
        assert!(requests <= requests_max, "{version:?}: {requests}");
    }
}

#[test]
fn names_a_bucket_that_is_missing() {
    let influx = FakeInflux::start();
    influx.become_version(Version::V2);
    influx.lack_bucket(true);
    let broker = Broker::start_with_fake(&influx);
    let line = broker.wait_for_log("is not available");
    for part in ["404", "bucket \"mqtt_data\" not found", "--influx-bucket"] {
        assert!(line.contains(part), "{line}");
    }
    publish_together(&broker, &["1"]);
    influx.lack_bucket(false);
    broker.wait_for_log("replayed all 1 points");
    assert_eq!(stored_fields(&influx), ["value=1"]);
}

#[test]
fn waits_as_long_as_it_is_asked_to() {
    let influx = FakeInflux::start();
    influx.become_version(Version::V2);
    let broker = Broker::start_with_fake(&influx);
    broker.wait_for_log("is available");
    influx.next(Answer::RetryAfter(429, "1"));
    publish_together(&broker, &["1"]);
    broker.wait_for_log("replayed all 1 points");
    // Without the header it comes again after 200 ms.
    let waited = influx.waited().unwrap();
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    assert_eq!(stored_fields(&influx), ["value=1"]);
}

#[test]
fn takes_a_new_token_from_its_file() {
    let influx = FakeInflux::start();
    influx.become_version(Version::V2);
    influx.ask_for_token("old");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "old\n").unwrap();
    let broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--influx-token-file", text(&file)])
        .args(&["--when-influx-is-away", "refuse"])
        .start();
    publish_together(&broker, &["1"]);
    // Nothing fails when the file has the new one before the old one ends.
    fs::write(&file, "new\n").unwrap();
    influx.ask_for_token("new");
    publish_together(&broker, &["2"]);
    assert_eq!(broker.log_count("not available"), 0, "{}", broker.log());
    let authorizations: Vec<_> = influx
        .writes()
        .into_iter()
        .map(|it| it.authorization.unwrap())
        .collect();
    assert_eq!(authorizations, ["Token old", "Token new"]);
}

#[test]
fn keeps_points_until_its_token_is_right() {
    let influx = FakeInflux::start();
    influx.become_version(Version::V3);
    influx.ask_for_token("right");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "mistyped").unwrap();
    let broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--influx-token-file", text(&file)])
        .start();
    let line = broker.wait_for_log("is not available");
    assert!(line.contains("401"), "{line}");
    publish_together(&broker, &["1"]);
    fs::write(&file, "right").unwrap();
    broker.wait_for_log("replayed all 1 points");
    assert_eq!(stored_fields(&influx), ["value=1"]);
    for secret in ["mistyped", "right"] {
        assert_eq!(broker.log_count(secret), 0, "{}", broker.log());
    }
}

#[test]
fn compresses_when_told_so() {
    let real = Influx::start();
    let scripted = FakeInflux::start();
    let long = "long ".repeat(1_000);
    for url in [real.url(), scripted.url()] {
        let broker = BrokerCommand::storing_at(&url)
            .args(&["--influx-gzip"])
            .start();
        publish_together(&broker, &["short"]);
        publish_together(&broker, &[&long]);
    }
    assert_eq!(real.payloads("a"), ["short", &long]);
    let writes = scripted.writes().into_iter();
    let compressed: Vec<bool> = writes.map(|it| it.is_compressed).collect();
    assert_eq!(compressed, [false, true]);
    assert!(scripted.stored().concat().contains(&long));
}

/// A broker that stores over TLS, and trusts `authority`.
fn storing_over_tls(influx: &FakeInflux, authority: &Authority) -> BrokerCommand {
    BrokerCommand::storing_at(&influx.url()).args(&["--influx-ca", text(&authority.file())])
}

/// An InfluxDB over TLS with a certificate of `authority`.
fn over_tls(authority: &Authority, asks_clients: bool) -> FakeInflux {
    FakeInflux::start_tls(authority.server_config(&authority.server(), asks_clients))
}

#[test]
fn stores_over_tls() {
    let authority = Authority::new();
    let influx = over_tls(&authority, false);
    let broker = storing_over_tls(&influx, &authority).start();
    publish_together(&broker, &["1"]);
    assert_eq!(stored_fields(&influx), ["value=1"]);
    assert_eq!(broker.log_count("not available"), 0, "{}", broker.log());
}

#[test]
fn trusts_nobody_else() {
    let influx = over_tls(&Authority::new(), false);
    // Of another authority of the same name; and of the system's own ones.
    let other = Authority::new();
    for command in [
        storing_over_tls(&influx, &other),
        BrokerCommand::storing_at(&influx.url()),
    ] {
        let broker = command.start();
        let line = broker.wait_for_log("is not available");
        assert!(line.contains("certificate"), "{line}");
    }
    assert!(influx.stored().is_empty());
}

#[test]
fn shows_its_certificate_when_asked() {
    let authority = Authority::new();
    let influx = over_tls(&authority, true);
    let client = authority.client("broker");
    let broker = storing_over_tls(&influx, &authority)
        .args(&["--influx-client-cert", text(&client.certificate)])
        .args(&["--influx-client-key", text(&client.key)])
        .start();
    publish_together(&broker, &["1"]);
    assert_eq!(stored_fields(&influx), ["value=1"]);
    let without = storing_over_tls(&influx, &authority).start();
    without.wait_for_log("is not available");
}

#[test]
fn says_which_certificate_it_cannot_use() {
    let (code, lines) = BrokerCommand::storing_at("https://127.0.0.1:1")
        .args(&["--influx-ca", "/dev/null"])
        .fail();
    assert_eq!(code, Some(1), "{lines:?}");
    let said = lines.join("\n");
    assert!(said.contains("--influx-ca \"/dev/null\""), "{said}");
}

#[test]
fn stores_in_victoria_metrics() {
    let victoria = Victoria::start();
    for (api, topic) in [("auto", "of-1"), ("2", "of-2")] {
        let broker = BrokerCommand::storing_at(&victoria.url())
            .args(&["--influx-api", api, "--influx-gzip"])
            .start();
        let mut publisher = broker.connect("publisher");
        publisher.publish_acked(topic, "21.5");
        let series = victoria.wait_for(&format!("mqtt_value{{topic=\"{topic}\"}}"));
        assert_eq!(series["values"], serde_json::json!([21.5]), "{series}");
        assert_eq!(broker.log_count("not available"), 0, "{}", broker.log());
    }
}

#[test]
fn writes_as_it_is_told_to() {
    // The versions of the server and of the setting differ, so that nothing is found out.
    let influx = FakeInflux::start();
    influx.become_version(Version::V2);
    let broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--influx-api", "3"])
        .start();
    let line = broker.wait_for_log("is not available");
    assert!(line.contains("404"), "{line}");
    publish_together(&broker, &["1"]);
    influx.become_version(Version::V3);
    eventually("the point is there", || {
        (stored_fields(&influx) == ["value=1"]).then_some(())
    });
}
