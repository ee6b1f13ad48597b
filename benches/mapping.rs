//! Nanoseconds and allocations per message of the mapping, by kind of payload.
//!
//! `cargo bench --bench mapping`. Each figure is the best of several rounds, so that what else runs
//! on the machine shows least.
#![allow(clippy::print_stdout, reason = "a bench prints what it found")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use mqtt_server::config::{Config, Invocation, KeepPayload};
use mqtt_server::store::mapping::{Mapping, MappingError};
use mqtt_server::store::rules::{Message, Rules};

/// How many points are in the buffer before it is emptied, as in a large batch.
const BATCH: u32 = 1_000;
const BATCHES: u32 = 100;
const ROUNDS: u32 = 15;

fn main() -> Result<(), MappingError> {
    let mapping = Mapping::new("mqtt", KeepPayload::Lossy)?;
    let topic = "building/4/floor/2/temperature";
    let text = "The quick brown fox jumps over the lazy dog, and once more: 64 b";
    let quoted = r#"He said "hello", then "goodbye", and left by the "back" door: \o/"#;
    let object = r#"{"time":"2026-11-22T09:51:29","temperature":21.57,"humidity":48,"on":true}"#;
    let nested = r#"{"ENERGY":{"Total":3185.877,"Power":[12,0.5],"Today":{"kWh":1.5}},"Unit":"C"}"#;
    let kinds: [(&str, &[u8]); 12] = [
        ("number 21.5", b"21.5"),
        ("integer 1763806000", b"1763806000"),
        ("number 21.50, kept", b"21.50"),
        ("number, 17 digits", b"0.30000000000000004"),
        ("true", b"true"),
        ("text, empty", b""),
        ("text, 16 bytes", b"ON since Sunday."),
        ("text, 64 bytes", text.as_bytes()),
        ("text, 64 bytes, quotes", quoted.as_bytes()),
        ("bytes, 64", &[0xff; 64]),
        ("object, 4 leaves", object.as_bytes()),
        ("object, 5 leaves, nested", nested.as_bytes()),
    ];

    let series = mapping.series(topic);
    let mut out = Vec::with_capacity(1 << 20);
    println!("{:26} {:>8} {:>8}", "payload", "ns", "allocs");
    for (kind, payload) in kinds {
        let mut point = |timestamp_ns| {
            mapping.push_point(
                black_box(&series),
                black_box(payload),
                timestamp_ns,
                &mut out,
            );
            if timestamp_ns % i64::from(BATCH) == 0 {
                out.clear();
            }
        };
        report(kind, &mut point);
    }
    report("(a topic's series)", &mut |_| {
        black_box(mapping.series(black_box(topic)));
    });
    report_rules(topic, object)
}

/// The same with rules: for a topic that none is for, and for one with a rule.
fn report_rules(topic: &str, object: &str) -> Result<(), MappingError> {
    let none = Rules::new(&config(""))?;
    let typed = Rules::new(&config(
        "[[rule]]\n\
         filter = 'building/{building}/#'\n\
         tags = { building = '{building}' }\n\
         fields = { t = '{payload.temperature}', h = '{payload.humidity}' }\n\
         types = { h = 'integer' }",
    ))?;
    let plain = Rules::new(&config("[[rule]]\nfilter = '#'\nmeasurement = 'm'"))?;
    let (mut out, mut refusals) = (Vec::with_capacity(1 << 20), Vec::new());
    for (kind, rules, payload) in [
        ("no rule, number 21.5", &none, "21.5"),
        ("a rule, number 21.5", &plain, "21.5"),
        ("a rule, 2 JSON paths", &typed, object),
    ] {
        let topic = rules.bind(topic);
        report(kind, &mut |timestamp_ns| {
            let message = Message {
                payload: black_box(payload.as_bytes()),
                retain: false,
                client_id: "",
                user_name: "",
                timestamp_ns,
            };
            rules.push_points(black_box(&topic), &message, &mut out, &mut refusals);
            if timestamp_ns % i64::from(BATCH) == 0 {
                out.clear();
            }
        });
    }
    assert!(refusals.is_empty());
    Ok(())
}

/// The configuration of a file with this text.
fn config(text: &str) -> Config {
    let args = ["mqtt-server", "--data-dir", "/", "--config", "f.toml"];
    match Config::from_sources(args, [], |_| Ok(text.to_owned())) {
        Ok(Invocation::Serve(config)) => *config,
        other => panic!("expected a configuration, got {other:?}"),
    }
}

/// Runs `work` with one timestamp after another, and prints what one call takes.
fn report(kind: &str, work: &mut impl FnMut(i64)) {
    let mut timestamp_ns = 1_763_806_000_123_456_000;
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        for _ in 0..BATCHES * BATCH {
            timestamp_ns += 1;
            work(timestamp_ns);
        }
        best = best.min(begin.elapsed());
    }
    let calls = f64::from(BATCHES * BATCH);
    let nanoseconds = best.as_secs_f64() * 1e9 / calls;
    let allocations = allocation_counter::measure(|| work(timestamp_ns)).count_total;
    println!("{kind:26} {nanoseconds:8.1} {allocations:8}");
}
