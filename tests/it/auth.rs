//! Who may connect: passwords in the formats of mosquitto, anonymous clients, and a reload.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mqtt_server::auth::{Algorithm, PasswordHash};

use crate::support::{
    AccessFiles, Broker, BrokerCommand, Connect, Mosquitto, Signal, Wire, eventually, packet,
};

/// CONNACK codes of 3.1.1.
const BAD_USER_NAME_OR_PASSWORD: u8 = 4;
const NOT_AUTHORIZED: u8 = 5;

fn expect_refused(broker: &Broker, connect: &Connect<'_>, code: u8) -> Wire {
    let mut wire = broker.open();
    wire.send(&connect.bytes());
    wire.expect(&packet::connack(code));
    wire.expect_closed();
    wire
}

/// With files that `mosquitto_passwd` wrote, in both of its formats.
#[test]
fn admits_who_knows_a_password() {
    let files = AccessFiles::new().user("bob", "b o b");
    files.mosquitto_passwd(&["-H", "sha512", "-b", "FILE", "al", "p\u{e4}ss"]);
    let broker = files.broker_with_passwords().start();
    let publish =
        |user: &[&str]| Mosquitto::publish_with(&broker, &[&["-t", "t", "-m", "m"], user].concat());
    publish(&["-u", "bob", "-P", "b o b"]).expect_success();
    publish(&["-u", "al", "-P", "p\u{e4}ss"]).expect_success();
    for wrong in [
        &["-u", "bob", "-P", "bob"][..],
        &["-u", "bob", "-P", "p\u{e4}ss"],
        &["-u", "eve", "-P", "b o b"],
        &["-u", "bob"],
    ] {
        publish(wrong).expect_failure("bad user name or password");
    }
    publish(&[]).expect_failure("not authorised");
}

/// [MQTT-3.2.2-4 in 3.1.1] the answer, and then the end of the connection; one line in the log.
#[test]
fn refuses_with_the_code_of_the_specification() {
    let files = AccessFiles::new().user("bob", "b");
    let broker = files.broker_with_passwords().start();
    let connect = || Connect::new("c");
    let wire = expect_refused(
        &broker,
        &connect().user("bob", "x"),
        BAD_USER_NAME_OR_PASSWORD,
    );
    let line = broker.expect_one_error_of(wire.peer());
    assert!(
        line.contains("user \"bob\" is unknown or its password wrong"),
        "{line}"
    );
    let wire = expect_refused(
        &broker,
        &connect().user("eve", "x"),
        BAD_USER_NAME_OR_PASSWORD,
    );
    let line = broker.expect_one_error_of(wire.peer());
    assert!(
        line.contains("user \"eve\" is unknown or its password wrong"),
        "{line}"
    );
    let wire = expect_refused(&broker, &connect(), NOT_AUTHORIZED);
    let line = broker.expect_one_error_of(wire.peer());
    assert!(line.contains("anonymous clients are not allowed"), "{line}");
    assert!(!broker.log().contains("$7$"), "{}", broker.log());
}

#[test]
fn never_publishes_the_will_of_a_refused_client() {
    let files = AccessFiles::new().user("bob", "b");
    let broker = files.broker_with_passwords().start();
    let mut bob = broker.connect_with(&Connect::new("bob").user("bob", "b"));
    bob.subscribe("#");
    let refused = Connect::new("c").user("bob", "x").will("will", b"gone");
    expect_refused(&broker, &refused, BAD_USER_NAME_OR_PASSWORD);
    bob.expect_nothing();
}

/// A refused client must not take over the session of the one whose identifier it says.
#[test]
fn never_takes_over_for_a_refused_client() {
    let files = AccessFiles::new().user("bob", "b");
    let broker = files.broker_with_passwords().start();
    let mut bob = broker.connect_with(&Connect::new("c").user("bob", "b"));
    expect_refused(
        &broker,
        &Connect::new("c").user("bob", "x"),
        BAD_USER_NAME_OR_PASSWORD,
    );
    bob.expect_nothing();
}

#[test]
fn lets_anonymous_clients_in_where_it_is_told_to() {
    let files = AccessFiles::new().user("bob", "b");
    let with = |value| {
        files
            .broker_with_passwords()
            .args(&["--allow-anonymous", value])
    };
    let broker = with("true").start();
    broker.connect("nobody");
    expect_refused(
        &broker,
        &Connect::new("c").user("bob", "x"),
        BAD_USER_NAME_OR_PASSWORD,
    );
    expect_refused(&with("false").start(), &Connect::new("c"), NOT_AUTHORIZED);
    // An empty name is none, and one that nobody confirms is as good as none: mosquitto says so too.
    let broker = files.broker_with_passwords().start();
    expect_refused(&broker, &Connect::new("c").user("", "b"), NOT_AUTHORIZED);
    let nobody = BrokerCommand::without_store().args(&["--allow-anonymous", "false"]);
    expect_refused(
        &nobody.start(),
        &Connect::new("c").user("bob", "b"),
        NOT_AUTHORIZED,
    );
}

#[test]
fn warns_when_anyone_may_do_anything() {
    const WARNING: &str = "anyone who reaches this port may read and write everything: \
                           --password-file and --acl-file end that";
    let bare = || BrokerCommand::bare().args(&["--store", "off"]);
    let open = || bare().args(&["--listen", "0.0.0.0:0"]);
    open().start().wait_for_log(&format!("[WARN] {WARNING}"));
    let files = AccessFiles::new().user("bob", "b");
    for quiet in [
        bare().args(&["--listen", "127.0.0.1:0"]),
        open().args(&["--password-file", &files.passwords()]),
        open().args(&["--acl-file", &files.acl()]),
    ] {
        let broker = quiet.start();
        // The warning would come before the server takes the signal.
        broker.signal(Signal::Hangup);
        broker.wait_for_log("read again");
        assert_eq!(broker.log_count("[WARN]"), 0, "{}", broker.log());
    }
    // The opposite is worth a word too.
    let nobody = open().args(&["--allow-anonymous", "false"]).start();
    nobody.wait_for_log(
        "[WARN] --allow-anonymous false without --password-file: only clients get in",
    );
    assert_eq!(nobody.log_count(WARNING), 0, "{}", nobody.log());
}

#[test]
fn names_the_file_and_the_line_that_stop_the_start() {
    let files = AccessFiles::new();
    files.write_passwords("# users\nbob:secret\n");
    let (code, lines) = files.broker_with_passwords().fail();
    assert_eq!(code, Some(1));
    let said = format!(
        "[ERROR] {}: line 2: expected a hash that begins with $6$, $7$ or $argon2id$",
        files.passwords()
    );
    assert_eq!(lines, [said]);
    let (_, lines) = BrokerCommand::without_store()
        .args(&["--password-file", "/nowhere/users"])
        .fail();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("[ERROR] /nowhere/users: cannot be read: "),
        "{lines:?}"
    );
}

/// A user that is gone, or has another password, is disconnected; its will is not published, as it
/// may not publish any more. The others notice nothing.
#[test]
fn reloads_the_passwords() {
    let files = AccessFiles::new()
        .user("bob", "b")
        .user("al", "a")
        .user("eve", "e");
    let broker = files.broker_with_passwords().start();
    let mut bob = broker.connect_with(&Connect::new("bob").user("bob", "b"));
    bob.subscribe("#");
    let mut al = broker.connect_with(&Connect::new("al").user("al", "a").will("will", b"al"));
    let mut eve = broker.connect_with(&Connect::new("eve").user("eve", "e"));
    files.mosquitto_passwd(&["-D", "FILE", "al"]);
    let files = files.user("eve", "another").user("new", "n");
    broker.signal(Signal::Hangup);
    al.expect_closed();
    eve.expect_closed();
    broker.wait_for_logs(
        "its user is gone from the password file, or has another password",
        2,
    );
    expect_refused(
        &broker,
        &Connect::new("al").user("al", "a"),
        BAD_USER_NAME_OR_PASSWORD,
    );
    let mut new = broker.connect_with(&Connect::new("new").user("new", "n"));
    new.publish_acked("t", "still there");
    bob.expect_publish("t", "still there");

    files.write_passwords("nonsense\n");
    broker.signal(Signal::Hangup);
    let line = broker.wait_for_log("stay as they were");
    assert!(
        line.starts_with(&format!("[ERROR] {}: line 1: ", files.passwords())),
        "{line}"
    );
    bob.expect_nothing();
    broker.connect_with(&Connect::new("later").user("new", "n"));
}

#[test]
fn survives_a_hang_up_without_files() {
    let broker = Broker::start_without_store();
    broker.signal(Signal::Hangup);
    broker.wait_for_log("no --password-file and no --acl-file to read again");
    broker.connect("c");
}

/// Hashes that are slow on purpose, asked for by many clients at once: a client that is connected
/// publishes on, and one that knows the password gets in.
#[test]
fn serves_others_in_a_storm_of_wrong_passwords() {
    const STORM_THREADS: usize = 4;
    const MESSAGES: usize = 100;
    let files = AccessFiles::new();
    // Some 25 ms of a core for each check.
    let slow = PasswordHash::new(Algorithm::Argon2id, b"b").unwrap();
    files.write_passwords(&format!("bob:{slow}\n"));
    let broker = files.broker_with_passwords().start();
    let mut bob = broker.connect_with(&Connect::new("bob").user("bob", "b"));
    let over = AtomicBool::new(false);
    let refused = AtomicUsize::new(0);
    let mut latencies = Vec::new();
    thread::scope(|scope| {
        // Also when something here fails: the scope waits for the storm to end.
        let _storm_ends = SetOnDrop(&over);
        for number in 0..STORM_THREADS {
            let (broker, over, refused) = (&broker, &over, &refused);
            scope.spawn(move || {
                let id = format!("eve{number}");
                while !over.load(Ordering::Relaxed) {
                    let user = ["bob", "eve"][number % 2];
                    let eve = Connect::new(&id).user(user, "guess");
                    expect_refused(broker, &eve, BAD_USER_NAME_OR_PASSWORD);
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        eventually("the storm is under way", || {
            (refused.load(Ordering::Relaxed) >= STORM_THREADS).then_some(())
        });
        for _ in 0..MESSAGES {
            let start = Instant::now();
            bob.publish_acked("t", "m");
            latencies.push(start.elapsed());
        }
        broker.connect_with(&Connect::new("late").user("bob", "b"));
    });
    latencies.sort_unstable();
    let median = latencies[MESSAGES / 2];
    // Alone it is a tenth of a millisecond; behind the checks it would be as long as several.
    assert!(median < Duration::from_millis(20), "{median:?}");
}

/// Ends what goes on until a flag is set, also on the way out of a panic.
struct SetOnDrop<'f>(&'f AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
