//! For tests: reads lines back by the rules of influxd, written apart from what writes them.
//!
//! influxd splits a body into lines with one scanner and takes each line apart with others, which
//! see escapes differently. So does this.

/// One point as influxd would understand it.
#[derive(Debug)]
pub(super) struct Point {
    pub(super) topic: String,
    pub(super) fields: Vec<(String, Value)>,
    pub(super) timestamp: String,
}

/// The value of a field.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Float(f64),
    String(String),
}

impl Point {
    /// The value of a field, if the point has it.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value)
    }
}

/// Reads a body of lines of one measurement with the one tag `topic`.
pub(super) fn read_lines(body: &[u8]) -> Vec<Point> {
    let mut rest = str::from_utf8(body).expect("lines are UTF-8");
    let mut points = Vec::new();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(line_end(rest.as_bytes()));
        points.push(read_line(line));
        rest = after.strip_prefix('\n').expect("a newline ends each line");
    }
    points
}

/// Where the first line ends. An escape is any backslash with any byte after it; a space begins the
/// fields, also the space that a tag has after such a pair.
fn line_end(body: &[u8]) -> usize {
    let (mut in_fields, mut is_quoted, mut equals, mut commas) = (false, false, 0, 0);
    let mut at = 0;
    while at < body.len() {
        match body[at] {
            b'\\' if at + 2 < body.len() => at += 1,
            b' ' => in_fields = true,
            b'=' if in_fields && !is_quoted => equals += 1,
            b',' if in_fields && !is_quoted => commas += 1,
            b'"' if in_fields && equals > commas => is_quoted = !is_quoted,
            b'\n' if !is_quoted => break,
            _ => {}
        }
        at += 1;
    }
    at
}

fn read_line(line: &str) -> Point {
    let (series, rest) = split_unescaped(line, ' ');
    let (_measurement, tag) = split_unescaped(series, ',');
    let topic = tag.strip_prefix("topic=").expect("the tag");
    assert!(
        !topic.is_empty() && !series.contains(['\n', '#']),
        "{series:?}"
    );
    assert_eq!(split_unescaped(topic, ','), (topic, ""), "one tag");

    let mut fields = Vec::new();
    let mut rest = rest;
    loop {
        let (name, after) = split_unescaped(rest, '=');
        assert!(
            !name.contains(['\n', '"', ' ', ',']) || name.contains(['\\', '"']),
            "{name:?}"
        );
        let (value, after) = read_value(after);
        fields.push((unescape(name), value));
        match after.split_at(1) {
            (",", next) => rest = next,
            (" ", timestamp) => {
                let timestamp = timestamp.to_owned();
                return Point {
                    topic: unescape(topic),
                    fields,
                    timestamp,
                };
            }
            (other, _) => panic!("{other:?} after a field of {line:?}"),
        }
    }
}

/// Splits before the first `stop` without a backslash before it; the rest is without the `stop`.
fn split_unescaped(text: &str, stop: char) -> (&str, &str) {
    let mut before = '\0';
    for (at, c) in text.char_indices() {
        if c == stop && before != '\\' {
            let (head, tail) = text.split_at(at);
            return (head, tail.strip_prefix(stop).expect("the stop"));
        }
        before = c;
    }
    (text, "")
}

/// Takes a value and what comes after it.
fn read_value(text: &str) -> (Value, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let len = text.find([',', ' ']).expect("something after the value");
        let (number, after) = text.split_at(len);
        assert!(
            number
                .bytes()
                .all(|byte| b"+-.eE0123456789".contains(&byte)),
            "{number:?}"
        );
        return (Value::Float(number.parse().expect("a float")), after);
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next().expect("a closing quote") {
            '"' => return (Value::String(value), chars.as_str()),
            '\\' => value.push(
                chars
                    .next()
                    .filter(|c| "\"\\".contains(*c))
                    .expect("an escape"),
            ),
            c => value.push(c),
        }
    }
}

/// Names and tags without their escapes.
fn unescape(name: &str) -> String {
    name.replace(r"\,", ",")
        .replace(r"\=", "=")
        .replace(r"\ ", " ")
}
