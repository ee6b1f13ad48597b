//! Who may publish and read what: the access-control file of mosquitto, and mosquitto's own verdicts.

use std::env;
use std::path::Path;

use mqtt_server::auth::{Acl, Identity};

use crate::support::{
    AccessFiles, BrokerCommand, Connect, FakeInflux, ForeignBroker, ForeignClient, Mosquitto,
    Publish, Signal, Wire, packet,
};

#[test]
fn gives_each_client_what_the_lines_say() {
    let files = AccessFiles::new().user("bob", "b").user("al", "a");
    files.write_acl(
        "topic read public/#\nuser bob\ntopic readwrite rooms/#\ntopic deny rooms/vault\n\
         user al\ntopic read rooms/+\ntopic write public/al\npattern readwrite own/%u/%c\n",
    );
    let broker = files
        .broker_with_acl()
        .args(&["--password-file", &files.passwords()])
        .args(&["--allow-anonymous", "true"])
        .start();
    let mut clients = [
        ("nobody", broker.connect("n1")),
        (
            "bob",
            broker.connect_with(&Connect::new("b1").user("bob", "b")),
        ),
        (
            "al",
            broker.connect_with(&Connect::new("a1").user("al", "a")),
        ),
    ];
    for (_, client) in &mut clients {
        client.subscribe("#");
    }
    let mut got = vec![Vec::new(); clients.len()];
    for publisher in 0..clients.len() {
        let (name, wire) = &mut clients[publisher];
        for topic in [
            "rooms/kitchen",
            "rooms/vault",
            "rooms/a/b",
            "public/al",
            "own/bob/b1",
            "own/al/b1",
            "elsewhere",
        ] {
            wire.publish(topic, *name);
        }
        // When the publisher's PINGRESP is there, so is everything that the others get of it.
        for client in (publisher..clients.len()).chain(0..publisher) {
            got[client].extend(clients[client].1.take_publishes().iter().map(shown));
        }
    }
    assert_eq!(got[0], ["public/al al"], "nobody");
    assert_eq!(
        got[1],
        ["rooms/kitchen bob", "rooms/a/b bob", "own/bob/b1 bob"]
    );
    assert_eq!(got[2], ["rooms/kitchen bob"], "al");
}

fn shown(publish: &Publish) -> String {
    let payload = String::from_utf8_lossy(&publish.payload);
    format!("{} {payload}", publish.topic)
}

/// MQTT 3.1.1 cannot refuse one message, so it is acknowledged as usual, and goes nowhere.
#[test]
fn acknowledges_what_may_not_be_published_and_drops_it() {
    let influx = FakeInflux::start();
    let files = AccessFiles::new();
    files.write_acl("topic readwrite open/#\ntopic read #\n");
    let broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--acl-file", &files.acl()])
        .start();
    let mut watcher = broker.connect("watcher");
    watcher.subscribe("#");
    let mut client = broker.connect_with(&Connect::new("c").will("closed/will", b"gone"));
    for _ in 0..3 {
        client.publish_acked("closed/a", "1");
        client.publish_retained("closed/b", "1");
    }
    client.send(&Publish::new("closed/c", "1").qos(2, 7).bytes());
    client.expect(&packet::pubrec(7));
    client.send(&packet::pubrel(7));
    client.expect(&packet::pubcomp(7));
    client.publish_acked("open/a", "1");
    let peer = client.peer();
    drop(client);
    broker.wait_for_log("may not publish to \"closed/will\"");

    watcher.expect_publish("open/a", "1");
    watcher.expect_nothing();
    let mut later = broker.connect("later");
    later.subscribe("closed/#");
    later.expect_nothing();
    let bodies = influx.wait_for_writes(1);
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert!(bodies[0].starts_with("mqtt,topic=open/a "), "{bodies:?}");

    for topic in ["a", "b", "c"] {
        let line = format!(
            "[WARN] client=\"c\" peer={peer}: may not publish to \"closed/{topic}\": \
             neither stored nor delivered"
        );
        assert_eq!(broker.log_count(&line), 1, "{line}\n{}", broker.log());
    }
    broker.signal(Signal::Terminate);
    broker.wait_for_log("stopped: 8 messages were refused by the access-control file");
}

#[test]
fn hides_retained_messages_from_who_may_not_read_them() {
    let files = AccessFiles::new();
    files.write_acl(
        "user writer\ntopic write #\nuser reader\ntopic read a/+\ntopic deny a/secret\n",
    );
    let broker = files.broker_with_acl().start();
    broker.wait_for_log("without --password-file any client may call itself by any user name");
    let mut writer = broker.connect_with(&Connect::new("w").user("writer", ""));
    for topic in ["a/x", "a/secret", "b/x"] {
        writer.publish_retained(topic, "kept");
    }
    let mut reader = broker.connect_with(&Connect::new("r").user("reader", ""));
    reader.subscribe("#");
    reader.expect_retained("a/x", "kept");
    reader.expect_nothing();
}

/// Rights change with the next message, in both directions; nobody is disconnected.
#[test]
fn reloads_while_clients_are_connected() {
    let files = AccessFiles::new();
    files.write_acl("topic readwrite a\n");
    let broker = files.broker_with_acl().start();
    let mut reader = broker.connect("reader");
    reader.subscribe("#");
    let mut writer = broker.connect("writer");
    let publish_both = |writer: &mut Wire| {
        writer.publish_acked("a", "1");
        writer.publish_acked("b", "1");
    };
    publish_both(&mut writer);
    reader.expect_publish("a", "1");
    reader.expect_nothing();

    files.write_acl("topic readwrite b\n");
    broker.signal(Signal::Hangup);
    broker.wait_for_log("[RELOADED]");
    publish_both(&mut writer);
    reader.expect_publish("b", "1");
    reader.expect_nothing();

    // Write without read.
    files.write_acl("topic write b\n");
    broker.signal(Signal::Hangup);
    broker.wait_for_logs("[RELOADED]", 2);
    publish_both(&mut writer);
    reader.expect_nothing();

    files.write_acl("topic readwrite b\ntopic grant all\n");
    broker.signal(Signal::Hangup);
    let line = broker.wait_for_log("stay as they were");
    let said = format!("[ERROR] {}: line 2: expected read, write, ", files.acl());
    assert!(line.starts_with(&said), "{line}");
    publish_both(&mut writer);
    reader.expect_nothing();
}

#[test]
fn serves_the_clients_that_people_use() {
    let files = AccessFiles::new().user("bob", "b").user("al", "a");
    files.write_acl("user bob\ntopic write rooms/#\npattern read rooms/%u\n");
    let broker = files
        .broker_with_acl()
        .args(&["--password-file", &files.passwords()])
        .start();
    let al = ["-u", "al", "-P", "a"];
    let subscriber = Mosquitto::subscribe_with(
        &broker,
        "%t %q %r %p",
        &[&al[..], &["-t", "rooms/+", "-C", "1"]].concat(),
    );
    for topic in ["rooms/bob", "rooms/al"] {
        let args = [
            "-u", "bob", "-P", "b", "-t", topic, "-m", "hello", "-q", "1",
        ];
        Mosquitto::publish_with(&broker, &args).expect_success();
    }
    assert_eq!(subscriber.messages(), ["rooms/al 0 0 hello"]);
}

#[test]
fn names_the_file_and_the_line_that_stop_the_start() {
    let files = AccessFiles::new();
    files.write_acl("user bob\ntopic read a#\n");
    let (code, lines) = files.broker_with_acl().fail();
    assert_eq!(code, Some(1));
    let said = format!("[ERROR] {}: line 2: topic \"a#\": ", files.acl());
    assert!(lines.len() == 1 && lines[0].starts_with(&said), "{lines:?}");
}

/// Same file, same question, same verdict: random files, clients and topics, put to the real
/// mosquitto and to our rules. `MQTT_SERVER_LONG_TESTS=1` asks about hundreds of files.
#[test]
fn says_what_mosquitto_says() {
    let files = match env::var_os("MQTT_SERVER_LONG_TESTS") {
        Some(_) => 400,
        None => 6,
    };
    let mut verdicts = [0; 2];
    for seed in 0..files {
        compare_with_mosquitto(seed, &mut verdicts);
    }
    // A test in which nothing is ever granted, or everything, would compare little.
    let [denied, granted] = verdicts;
    assert!(
        granted * 20 > denied && denied > granted / 20,
        "{verdicts:?}"
    );
}

/// The three lines on names in the documentation of `auth::acl_file`: the first is mosquitto's too, and the
/// others are where it grants what we do not.
#[test]
fn is_stricter_than_mosquitto_where_a_name_would_widen_a_pattern() {
    const TEXT: &str = "pattern write users/%u/#\npattern write %c/#\npattern write shared/#\n";
    let acl = Acl::parse(Path::new("acl"), TEXT.as_bytes()).unwrap();
    let files = AccessFiles::new();
    files.write_acl(&format!("{TEXT}{JUDGE}"));
    let mosquitto =
        ForeignBroker::start(&format!("allow_anonymous true\nacl_file {}", files.acl()));
    let mut judge = mosquitto.connect(&Connect::new("the judge").user("judge", ""));
    judge.subscribe(EVERYTHING);
    for (user_name, client_id, topic, theirs, ours) in [
        ("bob", "c", "users/bob/x", true, true),
        ("b+", "c", "shared/x", false, false),
        ("bob", "c#", "shared/x", false, false),
        ("bob/private", "c", "users/bob/private/x", true, false),
        ("bob/private", "c", "shared/x", true, true),
        ("bob", "$x", "$x/y", true, false),
    ] {
        let identity = Identity {
            user_name: Some(user_name),
            client_id,
        };
        let mut client = mosquitto.connect(&Connect::new(client_id).user(user_name, ""));
        let topics = [topic.to_owned()];
        let granted = passed(&mut client, &mut judge, &topics, "written");
        assert_eq!(granted, [theirs], "{identity:?} {topic}");
        assert_eq!(
            acl.may_write(&identity, topic),
            ours,
            "{identity:?} {topic}"
        );
    }
}

fn compare_with_mosquitto(seed: u64, verdicts: &mut [usize; 2]) {
    let mut random = Random(seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15));
    let text = random.acl_file();
    let acl = Acl::parse(Path::new("acl"), text.as_bytes());
    let acl = acl.unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
    let files = AccessFiles::new();
    files.write_acl(&format!("{text}{JUDGE}"));
    let mosquitto =
        ForeignBroker::start(&format!("allow_anonymous true\nacl_file {}", files.acl()));
    let mut judge = mosquitto.connect(&Connect::new("the judge").user("judge", ""));
    judge.subscribe(EVERYTHING);
    let topics: Vec<String> = (0..30).map(|_| random.topic()).collect();
    for _ in 0..6 {
        let (user_name, client_id) = (random.pick(USERS), random.pick(CLIENT_IDS));
        let identity = Identity {
            // An empty name is none, as the test of anonymous clients shows.
            user_name: user_name.filter(|name| !name.is_empty()),
            client_id,
        };
        let mut connect = Connect::new(client_id);
        connect.user_name = user_name;
        let mut client = mosquitto.connect(&connect);
        client.subscribe(EVERYTHING);
        let written = passed(&mut client, &mut judge, &topics, "written");
        let read = passed(&mut judge, &mut client, &topics, "read");
        for (number, topic) in topics.iter().enumerate() {
            for (wish, theirs, ours) in [
                ("write", written[number], acl.may_write(&identity, topic)),
                ("read", read[number], acl.may_read(&identity, topic)),
            ] {
                let agreed = ours == theirs || (theirs && is_stricter_for(&identity));
                assert!(
                    agreed,
                    "seed {seed}: {identity:?} {wish} {topic:?}: \
                     mosquitto says {theirs}, we say {ours}\n{text}"
                );
                verdicts[usize::from(ours)] += 1;
            }
        }
    }
}

/// The differences that `auth::acl_file` tells of.
fn is_stricter_for(identity: &Identity<'_>) -> bool {
    let mut names = identity.user_name.into_iter().chain([identity.client_id]);
    names.any(|name| name.contains('/') || name.starts_with('$'))
}

/// One client publishes to all topics; which of the messages does the other get?
fn passed(
    from: &mut ForeignClient,
    to: &mut ForeignClient,
    topics: &[String],
    phase: &str,
) -> Vec<bool> {
    for (number, topic) in topics.iter().enumerate() {
        from.publish(topic, &format!("{phase} {number}"));
    }
    // The publisher may get its own messages too.
    from.take_publishes();
    let got = to.take_publishes();
    (0..topics.len())
        .map(|number| {
            let payload = format!("{phase} {number}");
            got.iter()
                .any(|publish| publish.payload == payload.as_bytes())
        })
        .collect()
}

/// The one who sees what is written, and writes what is to be read.
const JUDGE: &str = "\nuser judge\ntopic readwrite #\ntopic readwrite $x/#\ntopic readwrite $/#\n";
const EVERYTHING: &[(&str, u8)] = &[("#", 0), ("$x/#", 0), ("$/#", 0)];

const USERS: &[Option<&str>] = &[
    None,
    None,
    Some("bob"),
    Some("bob"),
    Some("al"),
    Some("b ob"),
    Some("a/b"),
    Some("a#"),
    Some(""),
    Some("+"),
    Some("$x"),
    Some("%c"),
    Some("\u{fc}"),
];
const CLIENT_IDS: &[&str] = &[
    "a", "b", "c1", "bob", "a/b", "+", "a+b", "#", "$x", "%u", "%", "\u{fc}", "b ob",
];
const LEVELS: &[&str] = &[
    "a", "b", "c1", "bob", "al", "", "b ob", "\u{fc}", "%u", "%c", "$x", "u", "%",
];
const PATTERN_LEVELS: &[&str] = &["%u", "%c", "%c", "x%u", "%%c", "%c%u", "a", "$x", "", "bob"];

/// A xorshift generator: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn topic(&mut self) -> String {
        loop {
            let topic = self.levels(LEVELS, 4).join("/");
            if !topic.is_empty() {
                return topic;
            }
        }
    }

    fn levels(&mut self, from: &[&'static str], max: usize) -> Vec<&'static str> {
        let count = 1 + self.below(max);
        let mut levels: Vec<_> = (0..count).map(|_| self.pick(from)).collect();
        if self.below(8) == 0 {
            levels[0] = self.pick(&["$x", "$"]);
        }
        levels
    }

    fn filter(&mut self, from: &[&'static str]) -> String {
        loop {
            let mut levels = self.levels(from, 4);
            for level in &mut levels {
                if self.below(4) == 0 {
                    *level = "+";
                }
            }
            if self.below(3) == 0 {
                levels.push("#");
            } else if self.below(12) == 0 {
                levels = vec!["#"];
            }
            let filter = levels.join("/");
            // What the ends of a line have of blanks is not part of the filter.
            if !filter.is_empty() && filter.trim() == filter {
                return filter;
            }
        }
    }

    fn acl_file(&mut self) -> String {
        let mut text = String::new();
        let patterns = self.below(2) == 0;
        for _ in 0..5 + self.below(30) {
            let line = match self.below(10) {
                0 | 1 => {
                    let users = ["bob", "bob", "al", "b ob", "a/b", "+", "$x", "%c", "\u{fc}"];
                    format!("user {}", self.pick(&users))
                }
                2 => self.pick(&["", "# note", "#topic #", "   "]).to_owned(),
                3..=5 if patterns => self.rule("pattern", PATTERN_LEVELS),
                _ => self.rule("topic", LEVELS),
            };
            // Only a comment must begin where its line does.
            if !line.starts_with('#') {
                text.push_str(self.pick(&["", "", "", " "]));
            }
            text.push_str(&line);
            text.push_str(self.pick(&["\n", "\n", "\r\n", " \n", "\t\n"]));
        }
        text
    }

    fn rule(&mut self, keyword: &str, levels: &[&'static str]) -> String {
        let filter = self.filter(levels);
        let grants = [
            "read",
            "write",
            "readwrite",
            "read",
            "write",
            "readwrite",
            "deny",
            "",
        ];
        match self.pick(&grants) {
            // A filter with a blank needs a word before it.
            "" if !filter.contains(' ') => format!("{keyword} {filter}"),
            "" => format!("{keyword} readwrite {filter}"),
            grant => format!("{keyword} {grant}{}{filter}", self.pick(&[" ", "  "])),
        }
    }
}
