//! Rules as an operator writes them, messages, and the lines that these become.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::ffi::OsString;
use std::path::Path;

use super::{Message, POINTS_MAX, Refusal, Rules};
use crate::config::{Config, Invocation};

/// The configuration of a file with this text.
fn config(text: &str) -> Config {
    let args = ["mqtt-server", "-c", "f.toml"].map(OsString::from);
    let home = [("HOME".into(), "/home/me".into())];
    let invocation = Config::from_sources(args, home, |path| {
        assert_eq!(path, Path::new("f.toml"));
        Ok(text.to_owned())
    });
    match invocation.unwrap() {
        Invocation::Serve(config) => *config,
        other => panic!("expected to serve, got {other:?}"),
    }
}

fn message(payload: &[u8]) -> Message<'_> {
    Message {
        payload,
        retain: false,
        client_id: "client 1",
        user_name: "ann",
        timestamp_ns: 7,
    }
}

/// The lines of a message, and what is refused.
fn map(rules: &Rules, topic: &str, message: &Message<'_>) -> (String, Vec<Refusal>) {
    let (mut lines, mut refusals) = (b"m before=1 1\n".to_vec(), Vec::new());
    let count = rules.push_points(&rules.bind(topic), message, &mut lines, &mut refusals);
    let lines = String::from_utf8(lines).unwrap();
    let lines = lines.strip_prefix("m before=1 1\n").unwrap().to_owned();
    // Each point of these tests is one line.
    assert_eq!(lines.lines().count(), count, "{lines}");
    (lines, refusals)
}

/// The lines of a message under one rule, or the reasons where it is refused.
fn mapped(rule: &str, topic: &str, payload: &[u8]) -> String {
    let rules = Rules::new(&config(&format!("[[rule]]\n{rule}"))).unwrap();
    let (lines, refusals) = map(&rules, topic, &message(payload));
    let reasons: String = refusals
        .iter()
        .map(|refusal| format!("! {}\n", refusal.reason))
        .collect();
    lines + &reasons
}

#[test]
fn makes_lines_by_rule() {
    for (rule, topic, payload, expected) in [
        // What is not said is as by default.
        (
            "filter = 'a'",
            "a",
            "21.50",
            "mqtt,topic=a value=21.50,payload=\"21.50\" 7\n",
        ),
        ("filter = 'a'", "b", "1", "mqtt,topic=b value=1 7\n"),
        ("filter = 'a'\nstore = false", "a", "1", ""),
        ("filter = 'a'\nempty = false", "a", "", ""),
        (
            "filter = 'a'\nempty = false",
            "a",
            "1",
            "mqtt,topic=a value=1 7\n",
        ),
        // Measurement and tags.
        (
            "filter = '{site}/#'\nmeasurement = 'at {site}'",
            "x,y/b",
            "1",
            "at\\ x\\,y,topic=x\\,y/b value=1 7\n",
        ),
        (
            "filter = 's/{site}/{device}/+'\ntags = { site = '{site}', device = '{device}' }",
            "s/n 1/d=2/t",
            "1",
            "mqtt,device=d\\=2,site=n\\ 1 value=1 7\n",
        ),
        (
            "filter = 's/{site}'\ntags = { site = '{site}' }",
            "s/",
            "1",
            "mqtt value=1 7\n",
        ),
        (
            "filter = '#'\ntags = { c = '{client_id}', u = '{user_name}', k = 'fix{{ed}}' }",
            "a",
            "1",
            "mqtt,c=client\\ 1,k=fix{ed},u=ann value=1 7\n",
        ),
        (
            "filter = '#'\nmeasurement = '{payload.kind}'\ntags = { r = '{payload.r}' }",
            "a",
            r#"{"kind":"k","r":4,"v":1}"#,
            "k,r=4 kind_str=\"k\",r=4,v=1,payload=\"{\\\"kind\\\":\\\"k\\\",\\\"r\\\":4,\\\"v\\\":1}\" 7\n",
        ),
        (
            "filter = '#'\nmeasurement = '{payload.kind}'",
            "a",
            "{}",
            "! has no measurement (rule 1)\n",
        ),
        (
            "filter = '#'\nmeasurement = '{payload.kind}'",
            "a",
            r##"{"kind":"#"}"##,
            "! the name of a measurement must not have '#' (rule 1)\n",
        ),
        (
            "filter = '#'",
            "a\\",
            "1",
            "mqtt,topic=a\u{ff3c} value=1,topic_exact=\"a\\\\\" 7\n",
        ),
        // Fields, in the order of their names; one that is not there is left out.
        (
            "filter = '#'\npayload = 'json'\nfields = { t = '{payload.a.t}', 'b c' = '{payload.b.1}' }",
            "a",
            r#"{"a":{"t":21.50},"b":[1,true]}"#,
            "mqtt,topic=a b\\ c=1,t=21.5 7\n",
        ),
        (
            "filter = '#'\npayload = 'json'\nfields = { t = '{payload.t}', u = '{payload.u}' }",
            "a",
            r#"{"t":"x","u":null}"#,
            "mqtt,topic=a t=\"x\" 7\n",
        ),
        (
            "filter = '#'\nfields = { t = '{payload.t}' }",
            "a",
            "{}",
            "! has none of the fields (rule 1)\n",
        ),
        (
            "filter = '#'\nfields = { t = '{payload.t}' }",
            "a",
            "text",
            "! has none of the fields (rule 1)\n",
        ),
        (
            "filter = '+/{n}'\nfields = { all = '{n}: {payload}', n = '{n}', p = '{payload}' }",
            "a/5",
            "6",
            "mqtt,topic=a/5 all=\"5: 6\",n=\"5\",p=6 7\n",
        ),
        // Types.
        (
            "filter = '#'\nfields = { i = '{payload.i}', j = '{payload.j}', s = '{payload.s}', b = '{payload.b}', f = '{payload.f}' }\n\
          types = { i = 'integer', j = 'int', s = 'string', b = 'boolean', f = 'float' }",
            "a",
            r#"{"i":9007199254740993,"j":"-5","s":[1],"b":1,"f":"2.5"}"#,
            "mqtt,topic=a b=true,f=2.5,i=9007199254740993i,j=-5i,s=\"[1]\" 7\n",
        ),
        (
            "filter = '#'\nfields = { i = '{payload.i}' }\ntypes = { i = 'integer' }",
            "a",
            r#"{"i":5.0}"#,
            "mqtt,topic=a i=5i 7\n",
        ),
        (
            "filter = '#'\nfields = { i = '{payload.i}' }\ntypes = { i = 'integer' }",
            "a",
            r#"{"i":5.5}"#,
            "! does not fit: expected an integer of 64 bits, in field \"i\" (rule 1)\n",
        ),
        (
            "filter = '#'\nfields = { i = '{payload.i}' }\ntypes = { i = 'integer' }",
            "a",
            r#"{"i":9223372036854775808}"#,
            "! does not fit: expected an integer of 64 bits, in field \"i\" (rule 1)\n",
        ),
        (
            "filter = '#'\nfields = { b = '{payload.b}' }\ntypes = { b = 'boolean' }",
            "a",
            r#"{"b":2}"#,
            "! does not fit: expected a boolean, in field \"b\" (rule 1)\n",
        ),
        (
            "filter = '#'\nfields = { f = '{payload.f}' }\ntypes = { f = 'float' }",
            "a",
            r#"{"f":"warm"}"#,
            "! does not fit: expected a float, in field \"f\" (rule 1)\n",
        ),
        // Kinds of payload.
        (
            "filter = '#'\npayload = 'number'",
            "a",
            " 5",
            "mqtt,topic=a value=5,payload=\" 5\" 7\n",
        ),
        (
            "filter = '#'\npayload = 'number'",
            "a",
            "true",
            "! is no number (rule 1)\n",
        ),
        (
            "filter = '#'\npayload = 'number'\ntypes = { value = 'integer' }",
            "a",
            "9007199254740993",
            "mqtt,topic=a value=9007199254740993i 7\n",
        ),
        (
            "filter = '#'\npayload = 'number'\ntypes = { value = 'integer' }",
            "a",
            "1.5",
            "! is not an integer of 64 bits, the type of value (rule 1)\n",
        ),
        (
            "filter = '#'\npayload = 'text'",
            "a",
            "5",
            "mqtt,topic=a payload=\"5\" 7\n",
        ),
        (
            "filter = '#'\npayload = 'base64'",
            "a",
            "5",
            "mqtt,topic=a payload_base64=\"NQ==\" 7\n",
        ),
        (
            "filter = '#'\npayload = 'base64'\nfields = { p = '{payload}' }",
            "a",
            "5",
            "mqtt,topic=a p=\"NQ==\" 7\n",
        ),
        (
            "filter = '#'\npayload = 'json'",
            "a",
            "5",
            "! is no JSON object with leaves (rule 1)\n",
        ),
        (
            "filter = '#'\npayload = 'json'",
            "a",
            "{",
            "! is no JSON: EOF while parsing an object at line 1 column 1 (rule 1)\n",
        ),
        // Many points; what the element does not have may stand beside the array.
        (
            "filter = '#'\npoints = '{payload.r}'\ntags = { d = '{payload.dev}' }\nfields = { v = '{payload.v}' }",
            "a",
            r#"{"dev":"x","r":[{"v":1},{"v":2,"dev":"y"},{"w":3}]}"#,
            "mqtt,d=x v=1 7\nmqtt,d=y v=2 8\n! has none of the fields (rule 1)\n",
        ),
        (
            "filter = '#'\npoints = '{payload}'\nfields = { v = '{payload}' }",
            "a",
            "[1,2]",
            "mqtt,topic=a v=1 7\nmqtt,topic=a v=2 8\n",
        ),
        (
            "filter = '#'\npoints = '{payload}'",
            "a",
            "[1,2]",
            "mqtt,topic=a value=1 7\nmqtt,topic=a value=2 8\n",
        ),
        (
            "filter = '#'\npoints = '{payload.r}'",
            "a",
            "{}",
            "! has no array where points says (rule 1)\n",
        ),
        // Timestamps.
        (
            "filter = '#'\nfields = { v = '{payload.v}' }\ntimestamp = '{payload.t}'\nprecision = 'ms'",
            "a",
            r#"{"v":1,"t":1763806000123}"#,
            "mqtt,topic=a v=1 1763806000123000000\n",
        ),
        (
            "filter = '#'\nfields = { v = '{payload.v}' }\ntimestamp = '{payload.t}'\nprecision = 's'",
            "a",
            r#"{"v":1,"t":"x"}"#,
            "! has no timestamp, but \"x\" (rule 1)\n",
        ),
        (
            "filter = '#'\nfields = { v = '{payload.v}' }\ntimestamp = '{payload.t}'",
            "a",
            r#"{"v":1}"#,
            "! has no timestamp (rule 1)\n",
        ),
        // Line protocol.
        (
            "filter = '#'\npayload = 'line-protocol'\nprecision = 's'",
            "a",
            "w,t=x v=1 5\nbad\nw v=2i",
            "w,t=x v=1 5000000000\nw v=2i 9\n! it ends within a name (rule 1)\n",
        ),
        // Telegraf's notation adds to what there is by default.
        (
            "filter = 'a/+/+'\nmeasurement = '_/measurement/_'\ntags = '_/_/device'",
            "a/cpu/d1",
            "1",
            "cpu,device=d1,topic=a/cpu/d1 value=1 7\n",
        ),
        (
            "filter = '+/+'\nfields = '_/room'\ntypes = { room = 'int' }",
            "a/5",
            "1",
            "mqtt,topic=a/5 room=5i,value=1 7\n",
        ),
    ] {
        assert_eq!(
            mapped(rule, topic, payload.as_bytes()),
            expected,
            "{rule}\n{topic} {payload}"
        );
    }
}

#[test]
fn refuses_bytes_where_text_is_expected() {
    for kind in ["text", "line-protocol"] {
        let rule = format!("filter = '#'\npayload = '{kind}'");
        assert_eq!(mapped(&rule, "a", b"\xff"), "! is no UTF-8 text (rule 1)\n");
    }
}

#[test]
fn refuses_json_that_is_too_long_or_too_deep() {
    let path = "filter = '#'\nfields = { v = '{payload.v}' }";
    let long = format!("[1{}]", ",1".repeat(600_000));
    assert_eq!(
        mapped(path, "a", long.as_bytes()),
        "! has more than 1048576 bytes, too many to read as JSON (rule 1)\n"
    );
    for depth in [127, 20_000] {
        let deep = "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
        assert_eq!(
            mapped(path, "a", deep.as_bytes()),
            "! has none of the fields (rule 1)\n"
        );
    }
}

#[test]
fn refuses_a_message_that_becomes_far_longer() {
    let rule = "filter = '#'\npoints = '{payload.r}'\ntags = { t = '{payload.t}' }\nfields = { v = '{payload}' }";
    let payload = |len: usize, count: usize| {
        let (tag, elements) = ("x".repeat(len), ",1".repeat(count - 1));
        format!("{{\"t\":\"{tag}\",\"r\":[1{elements}]}}")
    };
    let lines = mapped(rule, "a", payload(50, 1_000).as_bytes());
    assert_eq!(lines.lines().count(), 1_000);
    assert_eq!(
        mapped(rule, "a", payload(2_000, 1_000).as_bytes()),
        "! becomes points of too many bytes (rule 1)\n"
    );
}

#[test]
fn takes_the_first_rule_that_matches() {
    let rules = Rules::new(&config(
        "[[rule]]\nfilter = 'a/b'\nmeasurement = 'one'\n\
         [[rule]]\nfilter = 'a/#'\nmeasurement = 'two'\n\
         [[rule]]\nfilter = '#'\nretained = false",
    ))
    .unwrap();
    for (topic, expected) in [("a/b", "one,topic=a/b"), ("a/c", "two,topic=a/c")] {
        let (lines, _) = map(&rules, topic, &message(b"1"));
        assert_eq!(lines, format!("{expected} value=1 7\n"));
    }
    let retained = Message {
        retain: true,
        ..message(b"1")
    };
    assert_eq!(map(&rules, "z", &retained).0, "");
    assert_eq!(
        map(&rules, "z", &message(b"1")).0,
        "mqtt,topic=z value=1 7\n"
    );
}

#[test]
fn keeps_all_of_a_refused_message_as_the_default_mapping_would() {
    let rules = Rules::new(&config(
        "keep-payload = 'never'\n[[rule]]\nfilter = '#'\nmeasurement = 'x'\npayload = 'number'",
    ))
    .unwrap();
    let (lines, refusals) = map(&rules, "a b", &message(b"{\"v\":1}"));
    assert_eq!((lines.as_str(), refusals.len()), ("", 1));
    assert_eq!(
        String::from_utf8_lossy(&refusals[0].line),
        "mqtt,topic=a\\ b v=1,payload=\"{\\\"v\\\":1}\" 7"
    );
}

#[test]
fn stops_new_series_above_the_bound() {
    let rule =
        "[[rule]]\nfilter = '#'\nmax-series = 2\ntags = { t = '{topic}', k = '{payload.k}' }";
    let rules = Rules::new(&config(rule)).unwrap();
    let is_stored = |topic, payload: &str| {
        let (lines, refusals) = map(&rules, topic, &message(payload.as_bytes()));
        for refusal in &refusals {
            assert_eq!(
                refusal.reason,
                "is of a new series, above max-series (rule 1)"
            );
        }
        assert_eq!(lines.is_empty(), refusals.len() == 1);
        refusals.is_empty()
    };
    assert!(is_stored("a", r#"{"k":1,"v":1}"#));
    assert!(is_stored("a", r#"{"k":2,"v":1}"#));
    assert!(!is_stored("a", r#"{"k":3,"v":1}"#));
    assert!(!is_stored("b", r#"{"k":1,"v":1}"#));
    assert!(is_stored("a", r#"{"k":1,"v":2}"#));
}

#[test]
fn takes_a_timestamp_for_each_point_that_a_message_may_have() {
    let rule = "[[rule]]\nfilter = 'many'\npoints = '{payload}'\n[[rule]]\nfilter = 'one'";
    let rules = Rules::new(&config(rule)).unwrap();
    for (topic, expected) in [("many", POINTS_MAX), ("one", 1), ("none", 1)] {
        assert_eq!(rules.bind(topic).timestamps(), expected);
    }
    let elements = |count: usize| format!("[1{}]", ",1".repeat(count - 1));
    let (lines, _) = map(&rules, "many", &message(elements(POINTS_MAX).as_bytes()));
    assert_eq!(lines.lines().count(), POINTS_MAX);
    let (lines, refusals) = map(
        &rules,
        "many",
        &message(elements(POINTS_MAX + 1).as_bytes()),
    );
    assert!(lines.is_empty());
    assert_eq!(refusals[0].reason, "has more than 1000 points (rule 1)");
}
