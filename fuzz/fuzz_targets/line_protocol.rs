//! One message is one line of the line protocol, whatever its topic and payload hold.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mqtt_server::config::KeepPayload;
use mqtt_server::store::mapping::Mapping;
use mqtt_server::topic::TopicName;

fuzz_target!(|input: (&str, &[u8], u8)| {
    let (topic, payload, keep) = input;
    if TopicName::new(topic).is_err() {
        return;
    }
    let keep = [KeepPayload::Lossy, KeepPayload::Always, KeepPayload::Never][usize::from(keep % 3)];
    let mapping = Mapping::new("mqtt", keep).expect("the default measurement is one");
    let mut line = Vec::new();
    mapping.push_point(&mapping.series(topic), payload, 1, &mut line);
    check_line(&line);
});

/// Walks over the line as InfluxDB does: series, fields, timestamp, with spaces between them.
fn check_line(line: &[u8]) {
    let line = line.strip_suffix(b"\n").expect("a point ends its line");
    let mut spaces = 0;
    let mut is_quoted = false;
    let mut bytes = line.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\n' => assert!(is_quoted, "a newline outside of quotes"),
            // In a string a backslash escapes quotes and backslashes; in names, spaces and the like.
            b'\\' if is_quoted => assert!(bytes.next().is_some(), "an escape without an end"),
            b'\\' => {
                let next = bytes.as_slice().first();
                if matches!(next, Some(b',' | b'=' | b' ')) {
                    bytes.next();
                }
            }
            // A quote opens a string in fields only; in the series it is a character.
            b'"' if spaces == 1 => is_quoted = !is_quoted,
            b' ' if !is_quoted => spaces += 1,
            _ => {}
        }
    }
    assert!(!is_quoted, "a string without an end");
    assert_eq!(spaces, 2, "{}", String::from_utf8_lossy(line));
    assert!(line.ends_with(b" 1"), "no timestamp");
}
