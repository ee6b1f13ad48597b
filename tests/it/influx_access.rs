//! The database and the right to write into it.

use std::fs;

use tempfile::TempDir;

use crate::support::{Broker, BrokerCommand, Connect, Influx, Publish};

#[test]
fn creates_the_database() {
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    broker.connect("publisher").publish_acked("a", "x");
    assert_eq!(influx.payloads("a"), ["x"]);
}

#[test]
fn creates_the_database_again_when_it_is_dropped() {
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    let mut publisher = broker.connect("publisher");
    publisher.publish_acked("a", "before");
    influx.query("DROP DATABASE mqtt_data");
    publisher.publish_acked("a", "after");
    assert_eq!(influx.payloads("a"), ["after"]);
}

#[test]
fn leaves_a_missing_database_alone_when_told_so() {
    let influx = Influx::start();
    let broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--influx-create-database", "false"])
        .args(&["--when-influx-is-away", "refuse"])
        .start();
    let mut publisher = broker.connect("publisher");
    publisher.send(&Publish::new("a", "x").qos(1, 1).bytes());
    publisher.expect_closed();
    broker.wait_for_log("database not found");
    assert!(!influx.databases().contains(&"mqtt_data".to_owned()));

    influx.query("CREATE DATABASE mqtt_data");
    broker.wait_for_log("is available");
    broker.connect("publisher").publish_acked("a", "x");
    assert_eq!(influx.payloads("a"), ["x"]);
}

#[test]
fn stores_in_the_database_and_measurement_it_is_told() {
    let influx = Influx::start();
    let broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--influx-database", "my data", "--measurement", "my points"])
        .start();
    broker.connect("publisher").publish_acked("a", "21.5");
    let result = influx.query("SELECT value FROM \"my data\"..\"my points\"");
    assert_eq!(result["series"][0]["values"][0][1], 21.5);
}

/// What is secret in this test: nothing that is printed at any level may contain it.
const SECRET: &str = "hunter2";

#[test]
fn logs_in_and_never_logs_a_secret() {
    let influx = Influx::start_with_auth("admin", SECRET);
    let folder = TempDir::new().unwrap();
    let password_file = folder.path().join("password");
    fs::write(&password_file, format!("{SECRET}\n")).unwrap();
    let broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--influx-username", "admin"])
        .args(&["--influx-password-file", password_file.to_str().unwrap()])
        .env("RUST_LOG", "trace")
        .start();
    let connect = Connect {
        user_name: Some("sensor"),
        password: Some(SECRET),
        ..Connect::new("sensor")
    };
    let mut client = broker.connect_with(&connect);
    client.publish_acked("a", "x");
    assert_eq!(influx.payloads("a"), ["x"]);
    client.send(&connect.bytes());
    client.expect_closed();
    broker.expect_one_error_of(client.peer());
    assert_eq!(broker.log_count(SECRET), 0, "{}", broker.log());
    // "admin:hunter2" and "hunter2" in base64, and "hunter2" as numbers.
    for disguised in [
        "YWRtaW46aHVudGVyMg",
        "aHVudGVyMg",
        "68, 75, 6e, 74",
        "104, 117, 110, 116",
    ] {
        assert_eq!(broker.log_count(disguised), 0, "{}", broker.log());
    }
}

#[test]
fn refuses_publishers_while_its_password_is_wrong() {
    let influx = Influx::start_with_auth("admin", SECRET);
    let folder = TempDir::new().unwrap();
    let password_file = folder.path().join("password");
    fs::write(&password_file, "mistyped").unwrap();
    let broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--influx-username", "admin"])
        .args(&["--when-influx-is-away", "refuse"])
        .args(&["--influx-password-file", password_file.to_str().unwrap()])
        .start();
    let mut publisher = broker.connect("publisher");
    publisher.send(&Publish::new("a", "x").qos(1, 1).bytes());
    publisher.expect_closed();
    broker.wait_for_log("authorization failed");
    assert_eq!(broker.log_count("mistyped"), 0, "{}", broker.log());
}
