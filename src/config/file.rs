//! Settings from a TOML file.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::{Place, Problem};
use super::given::Given;
use super::nearest::nearest;
use super::rule::{self, Rule};
use super::setting::{Kind, Setting};
use super::table::{SETTINGS, find};

/// The key of the tables of rules, which are no settings.
const RULES: &str = "rule";

/// The settings in `text`, which is what the file at `path` holds; puts its rules into `rules`.
pub(super) fn read(
    path: &Path,
    text: &str,
    rules: &mut Vec<Rule>,
    problems: &mut Vec<Problem>,
) -> Vec<Given> {
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            problems.push(Problem::Syntax {
                file: path.to_owned(),
                line: error.span().map(|span| line_at(text, span.start)),
                reason: error.message().lines().collect::<Vec<_>>().join(", "),
            });
            return Vec::new();
        }
    };
    let mut source = Vec::new();
    // The table is sorted by name; the operator reads from top to bottom.
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let name: &str = key.get_ref();
        if name == RULES {
            *rules = rule::read(path, value.get_ref(), problems);
            continue;
        }
        let Some(setting) = find(name).filter(|setting| setting.in_file()) else {
            let names = SETTINGS.iter().filter(|setting| setting.in_file());
            problems.push(Problem::UnknownKey {
                file: path.to_owned(),
                line: line_at(text, key.span().start),
                key: name.to_owned(),
                nearest: nearest(name, names.map(|setting| setting.name)),
            });
            continue;
        };
        let place = Place::File(path.to_owned());
        match values_of(setting, value.get_ref()) {
            Ok(values) => source.push(Given {
                setting,
                place,
                values,
            }),
            Err(reason) => problems.push(Problem::Value {
                place,
                name: setting.name,
                value: None,
                reason: reason.to_owned(),
            }),
        }
    }
    source
}

/// The values of `setting`: one, or for a list as many as the array has.
fn values_of(setting: &Setting, value: &DeValue<'_>) -> Result<Vec<String>, &'static str> {
    match value {
        DeValue::Array(array) if setting.kind == Kind::Many => {
            array.iter().map(|entry| text_of(entry.get_ref())).collect()
        }
        single => Ok(vec![text_of(single)?]),
    }
}

/// One value as one would write it in a flag.
pub(super) fn text_of(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) => {
            // TOML knows 0x10 and 1_000; the checks read plain digits.
            let plain = i64::from_str_radix(number.as_str(), number.radix());
            Ok(plain.map_or_else(|_| number.to_string(), |plain| plain.to_string()))
        }
        DeValue::Boolean(truth) => Ok(truth.to_string()),
        // The check of the setting says what it wants instead.
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Datetime(time) => Ok(time.to_string()),
        DeValue::Array(_) => Err("expected one value, not an array"),
        DeValue::Table(_) => Err("expected a value, not a table"),
    }
}

/// The number of the line, from 1, in which the byte at `offset` stands.
fn line_at(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}
