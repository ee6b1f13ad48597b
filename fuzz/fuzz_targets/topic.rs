//! A filter matches what the specification says, chapter 4.7, and nothing else.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mqtt_server::topic::{TopicFilter, TopicName};

fuzz_target!(|input: (&str, &str)| {
    let (filter, name) = input;
    let (Ok(filter), Ok(name)) = (TopicFilter::new(filter), TopicName::new(name)) else {
        return;
    };
    assert_eq!(
        filter.matches(name),
        should_match(filter.as_str(), name.as_str()),
        "{filter:?} {name:?}"
    );
});

fn should_match(filter: &str, name: &str) -> bool {
    let filter_levels: Vec<&str> = filter.split('/').collect();
    let name_levels: Vec<&str> = name.split('/').collect();
    // [MQTT-4.7.2-1]
    let begins_with_wildcard = filter.starts_with('+') || filter.starts_with('#');
    if name.starts_with('$') && begins_with_wildcard {
        return false;
    }
    levels_match(&filter_levels, &name_levels)
}

fn levels_match(filter: &[&str], name: &[&str]) -> bool {
    match (filter, name) {
        // The level above it, and any number of levels below that.
        (["#"], _) => true,
        (["+", filter @ ..], [_, name @ ..]) => levels_match(filter, name),
        ([one, filter @ ..], [other, name @ ..]) => one == other && levels_match(filter, name),
        ([], []) => true,
        _ => false,
    }
}
