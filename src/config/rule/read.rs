//! Rules from the tables of a TOML file.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::filter::RuleFilter;
use super::template::{self, Template};
use super::{FieldType, PayloadKind, Precision, Rule, RuleField, positional};
use crate::config::choice::Choice;
use crate::config::error::Problem;
use crate::config::nearest::nearest;
use crate::config::{file, value};

/// Every key of a rule.
const KEYS: [&str; 13] = [
    "filter",
    "store",
    "retained",
    "empty",
    "payload",
    "measurement",
    "tags",
    "fields",
    "types",
    "points",
    "timestamp",
    "precision",
    "max-series",
];

/// Most rules; each is compared with every new topic.
const RULES_MAX: usize = 1_000;

/// Most tags and most fields of one rule.
const NAMES_MAX: usize = 256;

/// Longest name of a tag or a field, in bytes.
const NAME_LEN_MAX: usize = 255;

/// The rules in `value`, what `rule` is in the file at `path`.
pub(in crate::config) fn read(
    path: &Path,
    value: &DeValue<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Rule> {
    let mut refuse = |number, key: &str, reason: String| {
        problems.push(Problem::Rule {
            file: path.to_owned(),
            number,
            key: key.to_owned(),
            reason,
        });
    };
    let DeValue::Array(tables) = value else {
        refuse(1, "rule", "expected tables: [[rule]]".to_owned());
        return Vec::new();
    };
    if tables.len() > RULES_MAX {
        refuse(
            tables.len(),
            "rule",
            format!("expected at most {RULES_MAX} rules"),
        );
    }
    let mut rules = Vec::new();
    for (number, table) in (1..).zip(tables.iter()) {
        let DeValue::Table(table) = table.get_ref() else {
            refuse(number, "rule", "expected tables: [[rule]]".to_owned());
            continue;
        };
        match rule(number, table) {
            Ok(rule) => rules.push(rule),
            Err((key, reason)) => refuse(number, &key, reason),
        }
    }
    rules
}

/// The key of a rule and what is wrong with it.
type Wrong = (String, String);

fn rule(number: usize, table: &DeTable<'_>) -> Result<Rule, Wrong> {
    for (key, _) in table {
        let key: &str = key.get_ref();
        if !KEYS.contains(&key) {
            let meant = nearest(key, KEYS);
            let meant = meant.map_or_else(
                || format!("; a rule has {}", KEYS.join(", ")),
                |meant| format!(", did you mean {meant}?"),
            );
            return Err((key.to_owned(), format!("unknown key{meant}")));
        }
    }
    let table = Table(table);
    let filter = table.text("filter")?;
    let filter = filter.ok_or_else(|| wrong("filter", "is missing; every rule has one"))?;
    let filter = RuleFilter::new(&filter).map_err(|reason| wrong("filter", reason))?;

    let payload = table.choice("payload", PayloadKind::Auto)?;
    let types = types(&table)?;
    let (tags, topic_exact) = tags(&table, &filter)?;
    let (fields, payload_fields) = fields(&table, &filter, &types)?;
    let series_max = table
        .text("max-series")?
        .map(|text| value::count(&text, &(1..=100_000_000)))
        .transpose()
        .map_err(|reason| wrong("max-series", reason))?;
    let precision = table.choice("precision", Precision::Nanoseconds)?;
    let rule = Rule {
        number,
        store: table.switch("store")?,
        retained: table.switch("retained")?,
        empty: table.switch("empty")?,
        payload,
        measurement: measurement(&table, &filter)?,
        tags,
        topic_exact,
        fields,
        payload_fields,
        value_type: find(&types, "value").unwrap_or(FieldType::Float),
        points: table.path("points")?,
        timestamp: table.path("timestamp")?,
        precision,
        series_max,
        filter,
    };
    check_together(&table, &rule, &types)?;
    Ok(rule)
}

/// Refuses what would have no effect or could never succeed: nobody is to believe in it.
fn check_together(
    table: &Table<'_, '_>,
    rule: &Rule,
    types: &[(String, FieldType)],
) -> Result<(), Wrong> {
    if !rule.store {
        let idle = KEYS.iter().skip(2).find(|key| table.has(key));
        return idle.map_or(Ok(()), |key| {
            Err(wrong(key, "does nothing in a rule with store = false"))
        });
    }
    if rule.payload == PayloadKind::LineProtocol {
        let idle = [
            "measurement",
            "tags",
            "fields",
            "types",
            "points",
            "timestamp",
        ];
        if let Some(key) = idle.into_iter().find(|key| table.has(key)) {
            let reason =
                "does nothing with payload = \"line-protocol\", whose lines have all of it";
            return Err(wrong(key, reason));
        }
    } else if table.has("precision") && rule.timestamp.is_none() {
        return Err(wrong("precision", "does nothing without timestamp"));
    }
    for (name, _) in types {
        let is_field = rule.fields.iter().any(|field| field.name == *name);
        let is_value =
            name == "value" && rule.payload_fields && rule.payload == PayloadKind::Number;
        if !is_field && !is_value {
            let reason = "expected the name of one of fields, or value with payload = \"number\"";
            return Err(wrong(&format!("types.{name}"), reason));
        }
    }
    for field in &rule.fields {
        if rule.tags.iter().any(|(name, _)| *name == field.name) {
            let reason = "a tag has this name already";
            return Err(wrong(&format!("fields.{}", field.name), reason));
        }
    }
    let can_be_json = matches!(rule.payload, PayloadKind::Auto | PayloadKind::Json);
    let tag_paths = rule
        .tags
        .iter()
        .map(|(name, it)| (format!("tags.{name}"), it));
    let field_paths = rule
        .fields
        .iter()
        .map(|it| (format!("fields.{}", it.name), &it.value));
    let measurement = rule
        .measurement
        .iter()
        .map(|it| ("measurement".to_owned(), it));
    let mut templates = tag_paths.chain(field_paths).chain(measurement);
    if !can_be_json {
        let into = templates.find(|(_, template)| template.needs_json());
        let paths = [("points", &rule.points), ("timestamp", &rule.timestamp)];
        let key = into.map(|(key, _)| key).or_else(|| {
            let given = paths.into_iter().find(|(_, path)| path.is_some());
            given.map(|(key, _)| key.to_owned())
        });
        if let Some(key) = key {
            let reason = "a path into the payload needs payload = \"json\" or \"auto\"";
            return Err((key, reason.to_owned()));
        }
    }
    Ok(())
}

fn measurement(table: &Table<'_, '_>, filter: &RuleFilter) -> Result<Option<Template>, Wrong> {
    let Some(text) = table.text("measurement")? else {
        return Ok(None);
    };
    let refuse = |reason| wrong("measurement", reason);
    if !positional::is_measurement(&text) {
        value::measurement(&text).map_err(refuse)?;
        return Template::new(&text, filter).map(Some).map_err(refuse);
    }
    let levels = positional::levels(&text, filter).map_err(refuse)?;
    Ok(levels.into_iter().next().map(|(_, template)| template))
}

/// The tags, and whether `topic` among them is the one that there is by default.
fn tags(
    table: &Table<'_, '_>,
    filter: &RuleFilter,
) -> Result<(Vec<(String, Template)>, bool), Wrong> {
    let (mut tags, adds) = named(table, "tags", filter)?;
    if adds {
        if tags.iter().any(|(name, _)| name == TOPIC) {
            return Err(wrong("tags", "the tag topic has the whole topic already"));
        }
        tags.push((TOPIC.to_owned(), Template::topic()));
    }
    tags.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok((tags, adds))
}

/// The tag that every point has by default.
const TOPIC: &str = "topic";

/// The fields, and whether there are those of the payload beside them.
fn fields(
    table: &Table<'_, '_>,
    filter: &RuleFilter,
    types: &[(String, FieldType)],
) -> Result<(Vec<RuleField>, bool), Wrong> {
    let (named, adds) = named(table, "fields", filter)?;
    if !adds && named.is_empty() {
        return Err(wrong("fields", "is empty; a point must have a field"));
    }
    let field = |(name, value): (String, Template)| RuleField {
        field_type: find(types, &name).unwrap_or(FieldType::ByValue),
        name,
        value,
    };
    Ok((named.into_iter().map(field).collect(), adds))
}

/// Names with templates: a table has all of them, and Telegraf's text those beside the default.
/// Says whether the default ones are wanted.
fn named(
    table: &Table<'_, '_>,
    key: &str,
    filter: &RuleFilter,
) -> Result<(Vec<(String, Template)>, bool), Wrong> {
    let named = match table.0.get(key).map(toml::Spanned::get_ref) {
        None => return Ok((Vec::new(), true)),
        Some(DeValue::String(text)) => {
            let levels = positional::levels(text, filter).map_err(|reason| wrong(key, reason))?;
            (levels, true)
        }
        Some(DeValue::Table(entries)) => {
            let mut named = Vec::new();
            for (name, value) in entries {
                let name: &str = name.get_ref();
                let template = file::text_of(value.get_ref())
                    .map_err(str::to_owned)
                    .and_then(|text| Template::new(&text, filter))
                    .map_err(|reason| wrong(&format!("{key}.{name}"), reason))?;
                named.push((name.to_owned(), template));
            }
            (named, false)
        }
        Some(_) => {
            return Err(wrong(
                key,
                "expected a table, or a text such as _/site/device/_",
            ));
        }
    };
    if named.0.len() > NAMES_MAX {
        return Err(wrong(key, format!("expected at most {NAMES_MAX} names")));
    }
    for (index, (name, _)) in named.0.iter().enumerate() {
        let reason = check_name(name).err().or_else(|| {
            let is_double = named
                .0
                .iter()
                .skip(index + 1)
                .any(|(other, _)| other == name);
            is_double.then(|| "stands for two levels".to_owned())
        });
        if let Some(reason) = reason {
            return Err(wrong(&format!("{key}.{name}"), reason));
        }
    }
    Ok(named)
}

/// Refuses names that InfluxDB cannot hold, or takes for something else.
fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_LEN_MAX {
        return Err(format!("expected a name of 1 to {NAME_LEN_MAX} bytes"));
    }
    if name == "time" {
        return Err("InfluxDB has time for the timestamp".to_owned());
    }
    // `#` could begin what influxd separates names with in its files.
    match name
        .chars()
        .find(|&c| c.is_control() || matches!(c, '\\' | '#'))
    {
        Some(c) => Err(format!("a name must not have {c:?}")),
        None => Ok(()),
    }
}

fn types(table: &Table<'_, '_>) -> Result<Vec<(String, FieldType)>, Wrong> {
    let entries = match table.0.get("types").map(toml::Spanned::get_ref) {
        None => return Ok(Vec::new()),
        Some(DeValue::Table(entries)) => entries,
        Some(_) => {
            return Err(wrong(
                "types",
                "expected a table, as in { temperature = \"float\" }",
            ));
        }
    };
    let mut types = Vec::new();
    for (name, word) in entries {
        let name: &str = name.get_ref();
        let field_type = file::text_of(word.get_ref())
            .map_err(str::to_owned)
            .and_then(|word| one_of(&word))
            .map_err(|reason| wrong(&format!("types.{name}"), reason))?;
        types.push((name.to_owned(), field_type));
    }
    Ok(types)
}

fn find(types: &[(String, FieldType)], wanted: &str) -> Option<FieldType> {
    let found = types.iter().find(|(name, _)| name == wanted);
    found.map(|(_, field_type)| *field_type)
}

fn one_of<C: Choice>(word: &str) -> Result<C, String> {
    value::choice(word).map_err(|reason| format!("{reason}, found {word:?}"))
}

fn wrong(key: &str, reason: impl Into<String>) -> Wrong {
    (key.to_owned(), reason.into())
}

/// The table of one rule.
struct Table<'a, 'de>(&'a DeTable<'de>);

impl Table<'_, '_> {
    fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    fn text(&self, key: &str) -> Result<Option<String>, Wrong> {
        let value = self.0.get(key).map(|value| file::text_of(value.get_ref()));
        value.transpose().map_err(|reason| wrong(key, reason))
    }

    /// A switch, which is on unless it is switched off.
    fn switch(&self, key: &str) -> Result<bool, Wrong> {
        self.text(key)?
            .map_or(Ok(true), |text| value::switch(&text))
            .map_err(|reason| wrong(key, reason))
    }

    fn choice<C: Choice>(&self, key: &str, default: C) -> Result<C, Wrong> {
        self.text(key)?
            .map_or(Ok(default), |word| one_of(&word))
            .map_err(|reason| wrong(key, reason))
    }

    fn path(&self, key: &str) -> Result<Option<Vec<String>>, Wrong> {
        self.text(key)?
            .map(|text| template::path(&text))
            .transpose()
            .map_err(|reason| wrong(key, reason))
    }
}
