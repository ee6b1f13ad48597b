//! Nanoseconds and allocations per message of the mapping, by kind of payload.
//!
//! `cargo bench --bench mapping`. Each figure is the best of several rounds, so that what else runs
//! on the machine shows least.
#![allow(clippy::print_stdout, reason = "a bench prints what it found")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use mqtt_server::config::KeepPayload;
use mqtt_server::store::mapping::{Mapping, MappingError};

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
    Ok(())
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
