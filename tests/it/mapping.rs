//! What stands in InfluxDB: any topic and any payload, exactly, and never in conflict.

use serde_json::json;

use crate::support::{Broker, BrokerCommand, Influx, Publish, Wire, packet};

/// Publishes all at QoS 1 in one write, and waits until all are stored.
fn publish_all(publisher: &mut Wire, messages: &[(String, Vec<u8>)]) {
    let numbered = || (1..=u16::MAX).zip(messages);
    let publish = |(id, (topic, payload)): (u16, &(String, Vec<u8>))| {
        Publish::new(topic, payload).qos(1, id).bytes()
    };
    publisher.send(&numbered().flat_map(publish).collect::<Vec<u8>>());
    for (id, _) in numbered() {
        publisher.expect(&packet::puback(id));
    }
}

/// Expects exactly these messages in InfluxDB, in this order.
fn expect_stored(influx: &Influx, messages: &[(String, Vec<u8>)]) {
    let points = influx.points();
    for (point, (topic, payload)) in points.iter().zip(messages) {
        assert_eq!(point.topic(), topic, "{point:?}");
        let got = point.payload();
        let text = String::from_utf8_lossy(&got[..got.len().min(100)]);
        assert!(
            got == *payload,
            "{topic:?}: {} bytes expected, got {}: {text:?}",
            payload.len(),
            got.len()
        );
    }
    assert_eq!(points.len(), messages.len());
}

#[test]
fn stores_every_payload_byte_for_byte() {
    let mut payloads: Vec<Vec<u8>> = [
        "",
        " ",
        "text",
        "two words",
        "a,b=c",
        "\"quoted\"",
        "'single'",
        "back\\slash",
        "\\",
        "\\\\",
        "\\\"",
        "ends with \\",
        "line\nbreak",
        "\n",
        "\r\n",
        "\r",
        "\t",
        "nul\0nul",
        "\0",
        "😀",
        "温度",
        "\u{feff}bom",
        "#comment",
        "mqtt,topic=x value=1 1",
        "0",
        "1",
        "-1",
        "-0",
        "21.5",
        "21.50",
        "021",
        " 5",
        "5 ",
        "5\n",
        "+5",
        ".5",
        "5.",
        "1e3",
        "1E3",
        "1e21",
        "1e400",
        "-1e400",
        "1e-400",
        "0x10",
        "1_000",
        "1i",
        "1u",
        "NaN",
        "nan",
        "inf",
        "Infinity",
        "-inf",
        "null",
        "true",
        "false",
        "True",
        "t",
        "TRUE",
        "9007199254740993",
        "18446744073709551616",
        "0.1",
        "0.30000000000000004",
        "5e-324",
        "1.7976931348623157e308",
        "123456789.123456789",
        "{}",
        "[]",
        "[1,2]",
        "\"json\"",
        "{",
        "{\"a\":",
        "{\"a\":1}",
        "{\"a\":1.50}",
        "{ \"a\" : 1 }",
        "{\"a\":{\"b\":[1,{\"c\":\"x\"}]}}",
        "{\"a\":null}",
        "{\"\":1}",
        "{\"a\":1,\"a\":2}",
        "{\"k\\u0000\":1}",
        "{\"a b,c=d\":1}",
        "{\"line\\nbreak\":1}",
        "{\"back\\\\\":1}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":1e999}",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    payloads.push((0..=255).collect());
    payloads.push(b"\xff".to_vec());
    payloads.push(b"cut \xe2\x82".to_vec());
    payloads.push([&b"21.5"[..], b"\xff"].concat());
    payloads.push(vec![b'x'; 1 << 20]);
    payloads.push(vec![0xfe; 1 << 20]);
    // Deep enough to end a recursive reader.
    payloads.push("[".repeat(20_000).into_bytes());
    payloads.push("{\"a\":".repeat(20_000).into_bytes());

    let influx = Influx::start();
    let broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--max-packet-size", "2000000"])
        .start();
    let messages: Vec<_> = payloads
        .into_iter()
        .map(|payload| ("p".to_owned(), payload))
        .collect();
    publish_all(&mut broker.connect("publisher"), &messages);
    expect_stored(&influx, &messages);
}

#[test]
fn stores_every_topic_character_for_character() {
    let topics = [
        "plain",
        "with space",
        " ",
        "a,b",
        "a=b",
        "a,b=c d",
        "\"",
        "'",
        "back\\slash",
        "\\",
        "a\\",
        "a\\\\",
        "a\\,b",
        "a\\ b",
        "a\\=b",
        "\\n",
        "line\nbreak",
        "\n",
        "a\r\nb",
        "\r",
        "\t",
        "/",
        "//",
        "a/",
        "/a",
        "a//b",
        "😀",
        "温度/室",
        "ü",
        "\u{feff}bom",
        "\u{7f}",
        "\u{1}",
        "$app/x",
        "topic",
        "time",
        "value",
        "mqtt",
        "a;DROP",
        "%20",
        "{}",
        "a\\\nb",
        "a\n\\",
    ];
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    let messages: Vec<_> = topics
        .iter()
        .map(|topic| ((*topic).to_owned(), topic.as_bytes().to_vec()))
        .chain([("x".repeat(1000), b"long".to_vec())])
        .collect();
    publish_all(&mut broker.connect("publisher"), &messages);
    // Points come in the order of their times, whatever their series.
    expect_stored(&influx, &messages);
}

/// A field's name fixes its type, so that no message can spoil a field for those after it.
#[test]
fn never_lets_two_payloads_conflict() {
    let payloads = [
        "1",
        "text",
        "true",
        "",
        r#"{"k":1}"#,
        r#"{"k":"text"}"#,
        r#"{"k":true}"#,
        r#"{"k":null}"#,
        r#"{"k":[1,"a",{"b":2}]}"#,
        r#"{"k":{"b":"x"}}"#,
        r#"{"k_b":1}"#,
        r#"{"k_b":"x"}"#,
        r#"{"k_str":1,"k":"x"}"#,
        r#"{"k_str":"y"}"#,
        r#"{"k":"x","k_str":"y"}"#,
        r#"{"value":"x"}"#,
        r#"{"value":1}"#,
        r#"{"value_str":2}"#,
        r#"{"payload":1}"#,
        r#"{"payload":"x"}"#,
        r#"{"payload":{"base64":1}}"#,
        r#"{"payload_base64":1}"#,
        r#"{"payload_base64":"x"}"#,
        r#"{"topic":1}"#,
        r#"{"topic":"x"}"#,
        r#"{"topic_exact":1}"#,
        r#"{"time":1}"#,
        r#"{"time":"x"}"#,
        r#"{"_field":1,"_measurement":"x"}"#,
        "[1,2]",
        r#"["a","b"]"#,
        "null",
    ];
    let mut messages: Vec<_> = payloads
        .map(|payload| ("one/topic".to_owned(), payload.as_bytes().to_vec()))
        .into();
    messages.push(("one/topic".to_owned(), b"\xff\x00".to_vec()));
    // And the other way round, so that neither of two is the one that is allowed to come first.
    for reversed in [false, true] {
        let influx = Influx::start();
        let broker = Broker::start(&influx);
        if reversed {
            messages.reverse();
        }
        publish_all(&mut broker.connect("publisher"), &messages);
        expect_stored(&influx, &messages);
    }
}

#[test]
fn stores_numbers_and_booleans_as_values() {
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    let mut publisher = broker.connect("publisher");
    for payload in ["21.5", "-3", "true", "false", "1e3"] {
        publisher.publish_acked("a", payload);
    }
    let values: Vec<f64> = influx
        .points()
        .iter()
        .map(|point| point.get("value").unwrap().as_f64().unwrap())
        .collect();
    assert_eq!(values, [21.5, -3.0, 1.0, 0.0, 1000.0]);
}

#[test]
fn stores_json_objects_as_fields() {
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    let payload = r#"{"t":21.50,"ok":true,"name":"oven","in":{"deep":{"er":-1}},"list":[4,"x"]}"#;
    broker.connect("publisher").publish_acked("a", payload);
    let points = influx.points();
    let field = |name: &str| points[0].get(name).cloned().unwrap_or_default();
    assert_eq!(field("t"), json!(21.5));
    assert_eq!(field("ok"), json!(1));
    assert_eq!(field("name_str"), json!("oven"));
    assert_eq!(field("in_deep_er"), json!(-1));
    assert_eq!(field("list_0"), json!(4));
    assert_eq!(field("list_1_str"), json!("x"));
    assert_eq!(field("payload"), json!(payload));
}

#[test]
fn keeps_the_payload_beside_the_fields_as_configured() {
    let cases = [
        ("lossy", [None, Some("21.50"), Some(r#"{"a":1}"#)]),
        ("always", [Some("21.5"), Some("21.50"), Some(r#"{"a":1}"#)]),
        ("never", [None, None, None]),
    ];
    for (keep, expected) in cases {
        let influx = Influx::start();
        let broker = BrokerCommand::storing_at(&influx.url())
            .args(&["--keep-payload", keep])
            .start();
        let mut publisher = broker.connect("publisher");
        for payload in ["21.5", "21.50", r#"{"a":1}"#] {
            publisher.publish_acked("a", payload);
        }
        let points = influx.points();
        let got: Vec<_> = points
            .iter()
            .map(|point| {
                point
                    .get("payload")
                    .map(|payload| payload.as_str().unwrap())
            })
            .collect();
        assert_eq!(got, expected, "--keep-payload {keep}");
    }
}
