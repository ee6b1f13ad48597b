//! Flags before environment before file, and one clear line for what is wrong.

use std::fs;

use tempfile::TempDir;

use crate::support::{BrokerCommand, Connect, FakeInflux, Wire, eventually, listening_address};

/// A configuration file and the folder that it lives in.
fn config_file(text: &str) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mqtt-server.toml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn prefers_flags_to_environment_to_file_to_default() {
    let influx = FakeInflux::start();
    let (_folder, path) = config_file("measurement = \"from_file\"\n");
    let default = || BrokerCommand::storing_at(&influx.url());
    let file = || default().args(&["--config", &path]);
    let environment = || file().env("MQTT_SERVER_MEASUREMENT", "from_environment");
    let flag = environment().args(&["--measurement", "from_flag"]);
    let cases = [
        ("mqtt", default()),
        ("from_file", file()),
        ("from_environment", environment()),
        ("from_flag", flag),
    ];
    for (number, (measurement, command)) in cases.into_iter().enumerate() {
        command.start().connect("publisher").publish_acked("a", "1");
        let bodies = influx.wait_for_writes(number + 1);
        assert!(
            bodies[number].starts_with(&format!("{measurement},topic=a ")),
            "{bodies:?}"
        );
    }
}

#[test]
fn takes_everything_from_a_file() {
    let influx = FakeInflux::start();
    let (_folder, path) = config_file(&format!(
        "listen = [\"127.0.0.1:0\"]\ninflux-url = \"{}\"\nmeasurement = \"m\"\n\
         influx-timeout = \"2s\"\nmax-packet-size = 1000\nkeep-payload = \"always\"\n",
        influx.url()
    ));
    let broker = BrokerCommand::bare().args(&["-c", &path]).start();
    broker.connect("publisher").publish_acked("a", "1");
    let bodies = influx.wait_for_writes(1);
    assert!(bodies[0].starts_with("m,topic=a "), "{bodies:?}");
    assert!(bodies[0].contains("payload=\"1\""), "{bodies:?}");
}

#[test]
fn listens_on_every_address_it_is_given() {
    let broker = BrokerCommand::without_store()
        .args(&["--listen", "127.0.0.1:0"])
        .start();
    let lines = eventually("both addresses are listened on", || {
        let log = broker.log();
        let lines: Vec<_> = log
            .lines()
            .filter(|line| line.contains("[LISTENING]"))
            .map(str::to_owned)
            .collect();
        (lines.len() == 2).then_some(lines)
    });
    for (number, line) in lines.iter().enumerate() {
        let address = listening_address(line);
        Wire::connect(address, &Connect::new(&format!("client {number}"))).expect_nothing();
    }
}

#[test]
fn listens_everywhere_when_given_a_port_alone() {
    let broker = BrokerCommand::bare()
        .args(&["--store", "off", "-p", "0"])
        .start();
    broker.wait_for_log("0.0.0.0:");
    broker.connect("client").expect_nothing();
}

#[test]
fn names_the_setting_that_is_wrong() {
    let cases: [(&[&str], &str); 10] = [
        (&["--nonsense"], "--nonsense"),
        (&["--listen", "nowhere"], "listen"),
        (&["--listen", "127.0.0.1:99999"], "listen"),
        (&["--influx-url", "not a url"], "influx-url"),
        (&["--influx-timeout", "soon"], "influx-timeout"),
        (&["--influx-connections", "0"], "influx-connections"),
        (&["--keep-payload", "maybe"], "keep-payload"),
        (&["--store", "cloud"], "store"),
        (&["--max-packet-size", "-1"], "max-packet-size"),
        (
            &["--influx-password-file", "/does/not/exist"],
            "influx-password-file",
        ),
    ];
    for (args, name) in cases {
        let (code, lines) = BrokerCommand::bare().args(args).fail();
        assert_eq!(code, Some(2), "{args:?}: {lines:#?}");
        assert_eq!(lines.len(), 1, "{args:?}: {lines:#?}");
        assert!(lines[0].contains(name), "{args:?}: {lines:#?}");
    }
}

#[test]
fn names_the_variable_that_is_wrong() {
    let (code, lines) = BrokerCommand::bare()
        .env("MQTT_SERVER_INFLUX_TIMEOUT", "soon")
        .fail();
    assert_eq!(code, Some(2), "{lines:#?}");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].contains("MQTT_SERVER_INFLUX_TIMEOUT"),
        "{lines:#?}"
    );
}

#[test]
fn names_the_file_and_the_key_that_are_wrong() {
    let cases = [
        ("influx-timeout = \"soon\"\n", "influx-timeout"),
        ("influx-timeuot = \"1s\"\n", "influx-timeuot"),
        ("max-packet-size = \"big\"\n", "max-packet-size"),
        ("measurement = \n", "line 1"),
    ];
    for (text, name) in cases {
        let (_folder, path) = config_file(text);
        let (code, lines) = BrokerCommand::bare().args(&["--config", &path]).fail();
        assert_eq!(code, Some(2), "{text}: {lines:#?}");
        assert_eq!(lines.len(), 1, "{text}: {lines:#?}");
        assert!(
            lines[0].contains(name) && lines[0].contains(&path),
            "{text}: {lines:#?}"
        );
    }
    let (code, lines) = BrokerCommand::bare()
        .args(&["--config", "/does/not/exist"])
        .fail();
    assert_eq!((code, lines.len()), (Some(2), 1), "{lines:#?}");
    assert!(lines[0].contains("/does/not/exist"), "{lines:#?}");
}
