//! InfluxDB is away, slow or refuses: messages go to the journal, and all goes on. Later InfluxDB gets every point once.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use tempfile::TempDir;

use crate::support::{
    Answer, Broker, BrokerCommand, FakeInflux, Influx, Publish, SmallDisk, Wire, eventually, packet,
};

/// What the log says once for a journal that is empty again.
const REPLAYED: &str = "replayed all";

/// Publishes the numbers of `range` to `topic` at QoS 1 and waits until all are acknowledged.
fn publish_numbers(publisher: &mut Wire, topic: &str, range: std::ops::Range<u16>) {
    let run: Vec<u8> = range
        .clone()
        .flat_map(|number| {
            Publish::new(topic, number.to_string())
                .qos(1, number + 1)
                .bytes()
        })
        .collect();
    publisher.send(&run);
    for number in range {
        publisher.expect(&packet::puback(number + 1));
    }
}

/// Expects that InfluxDB has each of the numbers of `range` once.
fn expect_numbers(influx: &Influx, topic: &str, range: std::ops::Range<u16>) {
    let mut got: Vec<u16> = influx
        .payloads(topic)
        .iter()
        .map(|payload| payload.parse().unwrap())
        .collect();
    got.sort_unstable();
    assert!(
        got.iter().copied().eq(range),
        "{} points: {got:?}",
        got.len()
    );
}

#[test]
fn journals_from_the_start_and_brings_all_to_influxdb_later() {
    let mut influx = Influx::start();
    influx.kill();
    let broker = Broker::start(&influx);
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    let mut publisher = broker.connect("publisher");
    publisher.publish("a", "zero");
    publisher.send(&Publish::new("a", "two").qos(2, 2).bytes());
    publisher.expect(&packet::pubrec(2));
    publisher.send(&packet::pubrel(2));
    publisher.expect(&packet::pubcomp(2));
    publisher.publish_retained("a", "one");
    for payload in ["zero", "two", "one"] {
        subscriber.expect_publish("a", payload);
    }
    broker.wait_for_log("points go to the journal");

    influx.restart();
    broker.wait_for_log(REPLAYED);
    publisher.publish_acked("a", "after");
    assert_eq!(influx.payloads("a"), ["zero", "two", "one", "after"]);
    assert_eq!(
        broker.log_count("points go to the journal"),
        1,
        "{}",
        broker.log()
    );
    assert_eq!(
        broker.log_count("replaying 3 points"),
        1,
        "{}",
        broker.log()
    );
}

/// Neither the journal nor what it holds is lost with the broker; and nothing comes twice, though both are killed again
/// and again.
#[test]
fn survives_kills_of_broker_and_influxdb() {
    const ROUND: u16 = 2_000;
    let mut influx = Influx::start();
    let mut broker = Broker::start(&influx);
    broker.wait_for_log("is available");
    for round in 0..3 {
        influx.kill();
        let mut publisher = broker.connect("publisher");
        publish_numbers(&mut publisher, "a", round * ROUND..(round + 1) * ROUND);
        broker.kill();
        influx.restart();
        broker.restart();
        // Killed in the middle, or when it has just replayed: both must be harmless.
        broker.wait_for_log("replaying");
        broker.kill();
        broker.restart();
    }
    eventually("all are in InfluxDB", || {
        (influx.count("value") >= u64::from(3 * ROUND)).then_some(())
    });
    eventually("the journal is empty", || {
        broker.tool(&["journal"]).contains("empty").then_some(())
    });
    expect_numbers(&influx, "a", 0..3 * ROUND);
}

/// What a write that was cut off may have stored already is the same point when it is replayed.
#[test]
fn journals_what_a_hanging_influxdb_may_have_stored() {
    let influx = FakeInflux::start();
    let broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--influx-timeout", "1s"])
        .start();
    let mut publisher = broker.connect("publisher");
    broker.wait_for_log("is available");
    for (number, answer) in [Answer::Hang, Answer::Drop].into_iter().enumerate() {
        influx.next(answer);
        publisher.publish_acked("a", "x");
        broker.wait_for_logs(REPLAYED, number + 1);
    }
    let bodies = influx.wait_for_writes(4);
    let distinct: BTreeSet<&String> = bodies.iter().collect();
    assert_eq!((bodies.len(), distinct.len()), (4, 2), "{bodies:?}");
}

#[test]
fn journals_while_the_real_influxdb_hangs() {
    let influx = Influx::start();
    let broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--influx-timeout", "500ms"])
        .start();
    broker.wait_for_log("is available");
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    let mut publisher = broker.connect("publisher");
    influx.pause();
    publish_numbers(&mut publisher, "a", 0..1_000);
    assert_eq!(subscriber.take_publishes().len(), 1_000);
    influx.resume();
    broker.wait_for_log(REPLAYED);
    expect_numbers(&influx, "a", 0..1_000);
}

#[test]
fn journals_while_influxdb_refuses_for_other_reasons() {
    let influx = FakeInflux::start();
    let broker = Broker::start_with_fake(&influx);
    let mut publisher = broker.connect("publisher");
    let answers = [
        (500, "engine: cache-max-memory-size exceeded"),
        (503, "request throttled, queue full"),
        (429, "too many requests"),
        (401, "authorization failed"),
        (403, "not authorized to write"),
        (404, "no such path"),
        (404, "no such path"),
    ];
    broker.wait_for_log("is available");
    // 404 is asked about twice, since the database is created in between.
    for (rounds, answers) in answers.chunks(1).take(5).chain([&answers[5..]]).enumerate() {
        for (status, error) in answers {
            influx.next(Answer::Status(*status, error));
        }
        publisher.publish_acked("a", rounds.to_string());
        broker.wait_for_log(answers[0].1);
        broker.wait_for_logs(REPLAYED, rounds + 1);
    }
    let bodies = influx.wait_for_writes(13);
    let distinct: BTreeSet<&String> = bodies.iter().collect();
    assert_eq!(distinct.len(), 6, "{bodies:?}");
}

#[test]
fn journals_until_the_password_is_mended() {
    let influx = Influx::start_with_auth("admin", "right");
    let folder = TempDir::new().unwrap();
    let password_file = folder.path().join("password");
    fs::write(&password_file, "mistyped").unwrap();
    let broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--influx-username", "writer"])
        .args(&["--influx-password-file", password_file.to_str().unwrap()])
        .start();
    let mut publisher = broker.connect("publisher");
    publish_numbers(&mut publisher, "a", 0..10);
    broker.wait_for_log("authorization failed");
    influx.query("CREATE USER writer WITH PASSWORD 'mistyped' WITH ALL PRIVILEGES");
    broker.wait_for_log(REPLAYED);
    expect_numbers(&influx, "a", 0..10);
}

#[test]
fn journals_until_the_database_is_there() {
    let influx = Influx::start();
    let broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--influx-create-database", "false"])
        .start();
    let mut publisher = broker.connect("publisher");
    publish_numbers(&mut publisher, "a", 0..10);
    broker.wait_for_log("database not found");
    assert!(!influx.databases().contains(&"mqtt_data".to_owned()));
    influx.query("CREATE DATABASE mqtt_data");
    broker.wait_for_log(REPLAYED);
    expect_numbers(&influx, "a", 0..10);
}

/// Live points do not queue up behind those of an outage.
#[test]
fn stores_new_points_while_it_replays() {
    let influx = FakeInflux::start();
    let broker = Broker::start_with_fake(&influx);
    broker.wait_for_log("is available");
    let mut publisher = broker.connect("publisher");
    influx.next(Answer::Status(503, "throttled"));
    // The replay's first write is held back for as long as the test likes.
    influx.next(Answer::Hold);
    publisher.publish_acked("a", "1");
    influx.wait_for_writes(2);
    publisher.publish_acked("a", "2");
    let bodies = influx.wait_for_writes(3);
    assert!(bodies[2].contains("value=2"), "{bodies:?}");
    assert_eq!(broker.log_count(REPLAYED), 0, "{}", broker.log());
    influx.release();
    broker.wait_for_log(REPLAYED);
}

/// Publishes until the broker refuses; returns the payloads that were acknowledged.
fn fill(broker: &Broker, subscriber: &mut Wire, payload_len: usize) -> Vec<String> {
    let mut publisher = broker.connect("filler");
    let mut acknowledged = Vec::new();
    loop {
        let payload = format!("{} {}", acknowledged.len(), "x".repeat(payload_len));
        assert!(acknowledged.len() < 10_000, "the journal is never full");
        publisher.send(&Publish::new("a", &payload).qos(1, 1).bytes());
        match publisher.next_or_closed() {
            Some(answer) => assert_eq!(answer, packet::puback(1)),
            None => break,
        }
        subscriber.expect_publish("a", &payload);
        acknowledged.push(payload);
    }
    broker.expect_one_error_of(publisher.peer());
    subscriber.expect_nothing();
    acknowledged
}

/// Whatever is full: nothing is acknowledged or delivered that has no safe place, and all that was gets to InfluxDB.
fn refuses_what_has_no_room(
    command: BrokerCommand,
    influx: &mut Influx,
    payload_len: usize,
    reason: &str,
) {
    let broker = command.start();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    let acknowledged = fill(&broker, &mut subscriber, payload_len);
    assert!(acknowledged.len() > 3, "{}", acknowledged.len());
    for number in 0..3 {
        let mut publisher = broker.connect(&format!("refused {number}"));
        publisher.send(&Publish::new("a", "x".repeat(payload_len)).qos(1, 1).bytes());
        publisher.expect_closed();
    }
    // One line for each publisher, and one that says it loudly.
    broker.wait_for_logs(reason, 5);
    assert_eq!(
        broker.log_count("cannot take any more points"),
        1,
        "{}",
        broker.log()
    );
    influx.restart();
    broker.wait_for_log(REPLAYED);
    broker.connect("publisher").publish_acked("b", "after");
    assert_eq!(influx.payloads("a"), acknowledged);
    // There is room again.
    influx.kill();
    let mut publisher = broker.connect("publisher");
    publisher.publish_acked("b", "1");
    broker.wait_for_log("takes points again");
}

#[test]
fn refuses_what_the_journal_has_no_room_for() {
    let mut influx = Influx::start();
    influx.kill();
    let command = BrokerCommand::storing_at(&influx.url()).args(&["--journal-max-size", "10k"]);
    refuses_what_has_no_room(command, &mut influx, 100, "--journal-max-size is 10240");
}

/// The disk is full before the journal is. Somebody else has filled it, and makes room in the end.
#[test]
fn refuses_what_a_full_disk_has_no_room_for() {
    let disk = SmallDisk::mount("10m");
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![0; 5 << 20]).unwrap();
    let mut influx = Influx::start();
    influx.kill();
    let broker = BrokerCommand::storing_at(&influx.url())
        .data_in(disk.path())
        .args(&["--journal-disk-reserve", "0"])
        .start();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    let acknowledged = fill(&broker, &mut subscriber, 100_000);
    assert!(acknowledged.len() > 3, "{}", acknowledged.len());
    broker.wait_for_log("disk is full");
    influx.restart();
    fs::remove_file(&filler).unwrap();
    broker.wait_for_log(REPLAYED);
    assert_eq!(influx.payloads("a"), acknowledged);
    broker.connect("publisher").publish_acked("b", "after");
}

#[test]
fn leaves_the_reserve_on_the_disk() {
    let disk = SmallDisk::mount("8m");
    let mut influx = Influx::start();
    influx.kill();
    let command = BrokerCommand::storing_at(&influx.url())
        .data_in(disk.path())
        .args(&["--journal-disk-reserve", "5M"]);
    refuses_what_has_no_room(
        command,
        &mut influx,
        100_000,
        "--journal-disk-reserve is 5242880",
    );
}

#[test]
fn delivers_without_storing_when_told_so() {
    let mut influx = Influx::start();
    influx.kill();
    let broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--when-influx-is-away", "deliver"])
        .start();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    let mut publisher = broker.connect("publisher");
    for payload in ["1", "2", "3"] {
        publisher.publish_acked("a", payload);
        subscriber.expect_publish("a", payload);
    }
    let said = "delivered and acknowledged without being stored";
    assert_eq!(broker.log_count(said), 1, "{}", broker.log());
    influx.restart();
    broker.wait_for_log("is available");
    publisher.publish_acked("a", "4");
    broker.wait_for_log("3 messages were not stored");
    assert_eq!(influx.payloads("a"), ["4"]);
}

#[test]
fn tells_and_exports_what_waits() {
    let broker = BrokerCommand::storing_at("http://127.0.0.1:1").start();
    assert!(broker.tool(&["journal"]).contains("empty"));
    let mut publisher = broker.connect("publisher");
    let payloads = ["21.5", "text", "\"quoted\\\"", "{\"a\":1}"];
    for payload in payloads {
        publisher.publish_acked("a b", payload);
    }
    let status = broker.tool(&["journal"]);
    assert!(
        status.contains("4 points") && status.contains("since 20"),
        "{status}"
    );

    // The real importer takes what is exported.
    let export = broker.tool(&["journal", "export"]);
    let influx = Influx::start();
    let file = TempDir::new().unwrap();
    let path = file.path().join("export.txt");
    fs::File::create(&path)
        .and_then(|mut file| file.write_all(export.as_bytes()))
        .unwrap();
    let address = influx.address();
    let output = Command::new("influx")
        .args([
            "-host",
            &address.ip().to_string(),
            "-port",
            &address.port().to_string(),
        ])
        .args(["-import", "-precision", "ns", "-path"])
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(influx.payloads("a b"), payloads, "{said}");
}

/// Eight clients at once share the journal's commits, and lose nothing.
#[test]
fn journals_for_many_clients_at_once() {
    const EACH: u16 = 500;
    let mut influx = Influx::start();
    influx.kill();
    let broker = Broker::start(&influx);
    thread::scope(|scope| {
        for number in 0..8 {
            let mut publisher = broker.connect(&format!("publisher {number}"));
            scope.spawn(move || publish_numbers(&mut publisher, &format!("t{number}"), 0..EACH));
        }
    });
    influx.restart();
    broker.wait_for_log(REPLAYED);
    for number in 0..8 {
        expect_numbers(&influx, &format!("t{number}"), 0..EACH);
    }
}

#[test]
fn says_that_a_data_folder_is_empty() {
    for task in [
        &["journal"][..],
        &["journal", "export"],
        &["rejected", "list"],
    ] {
        let (code, lines) = BrokerCommand::bare().args(task).fail();
        assert_eq!((code, lines.len()), (Some(1), 1), "{lines:#?}");
        assert!(lines[0].contains("no server has used"), "{lines:#?}");
    }
}
