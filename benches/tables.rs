//! What the subscription table and the retained messages cost as they grow: `cargo bench --bench tables`.
//!
//! Matching a topic is to depend on its levels and on the matches, not on the size of the table.

#![allow(clippy::print_stdout, reason = "a bench prints what it found")]
#![allow(clippy::cast_precision_loss, reason = "an average for people")]

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use mqtt_server::broker::{
    Keeper, QueueLimits, Retained, Session, Sessions, Subscription, Subscriptions,
};
use mqtt_server::codec::{PublishProperties, QoS};
use mqtt_server::config::WhenQueueFull;
use mqtt_server::message::Message;
use mqtt_server::state::State;
use mqtt_server::topic::SubscriptionFilter;

const SESSIONS: usize = 1_000;
const LOOK_UPS: usize = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let keeper = Keeper::start(Arc::new(Mutex::new(State::open(folder.path())?)))?;
    let limits = QueueLimits {
        bytes_max: usize::MAX,
        messages_max: usize::MAX,
        in_flight_max: 1_000,
        when_full: WhenQueueFull::Drop,
    };
    let sessions = Sessions::new(limits, keeper);
    let sessions: Vec<Arc<Session>> = (0..SESSIONS)
        .map(|number| sessions.open(&format!("client {number}"), true).session)
        .collect();

    println!("subscriptions  with wildcards  ns to subscribe  ns to match  matches");
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        subscriptions(count, &sessions)?;
    }
    println!("\nretained topics  filter             found  ns for each found");
    for count in [10_000, 100_000, 1_000_000] {
        retained(count);
    }
    Ok(())
}

/// A tenth of the filters have wildcards.
fn filter(number: usize) -> String {
    let (site, device) = (number / 100, number % 100);
    match number % 30 {
        0 => format!("site/{site}/+/temperature"),
        10 => format!("site/{site}/device{device}/#"),
        20 => format!("+/{site}/device{device}/humidity"),
        _ => format!("site/{site}/device{device}/temperature"),
    }
}

fn subscriptions(
    count: usize,
    sessions: &[Arc<Session>],
) -> Result<(), Box<dyn std::error::Error>> {
    let table = Subscriptions::default();
    let filters: Vec<String> = (0..count).map(filter).collect();
    let started = Instant::now();
    for (filter, session) in filters.iter().zip(sessions.iter().cycle()) {
        let subscription = Subscription {
            session: Arc::clone(session),
            qos: QoS::AtMostOnce,
            no_local: false,
            retain_as_published: false,
            identifier: None,
        };
        table.subscribe(&SubscriptionFilter::new(filter)?, subscription);
    }
    let subscribing = started.elapsed().as_nanos() / count as u128;

    let topics: Vec<String> = (0..LOOK_UPS)
        .map(|number| number.wrapping_mul(7_919) % count)
        .map(|number| format!("site/{}/device{}/temperature", number / 100, number % 100))
        .collect();
    let started = Instant::now();
    let mut matches = 0;
    for topic in &topics {
        matches += black_box(table.matching(topic)).receivers.len();
    }
    let matching = started.elapsed().as_nanos() / LOOK_UPS as u128;
    println!(
        "{count:>13}  {:>14}  {subscribing:>15}  {matching:>11}  {:>7.2}",
        filters
            .iter()
            .filter(|filter| filter.contains(['+', '#']))
            .count(),
        matches as f64 / LOOK_UPS as f64,
    );
    Ok(())
}

fn retained(count: usize) {
    let retained = Retained::default();
    for number in 0..count {
        let topic = format!("site/{}/device{}/state", number / 100, number % 100);
        let properties = PublishProperties::default();
        let message = Message::new(topic.into(), b"on", QoS::AtMostOnce, true, &properties);
        retained.set(&Arc::new(message), count, || {});
    }
    for filter in [
        "site/7/device7/state",
        "site/7/#",
        "site/+/device7/state",
        "#",
    ] {
        let started = Instant::now();
        let found = black_box(retained.matching(filter)).len();
        let each = started.elapsed().as_nanos() / found.max(1) as u128;
        println!("{count:>15}  {filter:<20} {found:>8}  {each:>17}");
    }
}
