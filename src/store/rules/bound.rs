//! A rule bound to one topic: what does not change from message to message is made once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::scope::{Found, Scope, find};
use super::{Active, Message, POINTS_MAX, Refusal, line_protocol, timestamp, value};
use crate::config::rule::{FieldType, PayloadKind, Rule, RuleField, Template};
use crate::store::base64::push_base64;
use crate::store::json::push_leaves;
use crate::store::line::{Fields, is_escaped_in_names, push_signed};
use crate::store::mapping::escape_measurement;
use crate::store::number::Number;
use crate::store::series::{SERIES_KEY_LEN_MAX, push_tag_value};

/// Longest payload that is taken apart for paths, in bytes. In memory it takes up to 30 times as
/// much, on the thread of each client.
const JSON_LEN_MAX: usize = 1024 * 1024;

/// How long all points of one message may be, in bytes, and how much more for each byte of its
/// payload. A long tag stands in each of them, so that a few thousand bytes could fill the memory.
const LINES_LEN_MAX: usize = 64 * 1024;
const LINES_GROWTH_MAX: usize = 64;

/// A rule as it holds for the messages of one topic.
#[derive(Debug)]
pub struct Bound {
    active: Arc<Active>,
    topic: Box<str>,
    /// Measurement and tags, where they follow from the topic alone.
    series: Option<Result<SeriesKey, String>>,
    /// Whether that series was let through, so that nobody need ask again.
    is_admitted: AtomicBool,
    /// Whether payloads must be read as JSON.
    reads_json: bool,
}

/// Measurement and tags of a point, escaped.
#[derive(Clone, Debug)]
struct SeriesKey {
    text: String,
    /// Whether the tag `topic` reads back as the topic, where the rule leaves it as it is.
    is_topic_exact: bool,
}

impl Bound {
    /// Binds a rule to a topic that its filter matches.
    pub(super) fn new(active: Arc<Active>, topic: &str) -> Self {
        let rule = &active.rule;
        let values = || rule.fields.iter().map(|field| &field.value);
        let tags = || rule.tags.iter().map(|(_, template)| template);
        let mut templates = rule.measurement.iter().chain(tags()).chain(values());
        let reads_json = match rule.payload {
            PayloadKind::Json => true,
            PayloadKind::Auto => {
                rule.points.is_some()
                    || rule.timestamp.is_some()
                    || templates.any(Template::needs_json)
            }
            PayloadKind::Number
            | PayloadKind::Text
            | PayloadKind::LineProtocol
            | PayloadKind::Base64 => false,
        };
        let mut of_series = rule.measurement.iter().chain(tags());
        let is_of_topic = of_series.all(Template::is_of_topic);
        let mut bound = Self {
            active,
            topic: topic.into(),
            series: None,
            is_admitted: AtomicBool::new(false),
            reads_json,
        };
        if is_of_topic {
            let nobody = Message {
                payload: &[],
                retain: false,
                client_id: "",
                user_name: "",
                timestamp_ns: 0,
            };
            bound.series = Some(bound.series_key(&bound.scope(&nobody, None, None)));
        }
        bound
    }

    pub(super) fn rule(&self) -> &Rule {
        &self.active.rule
    }

    pub(super) fn timestamps(&self) -> usize {
        let rule = self.rule();
        let may_be_many = rule.points.is_some() || rule.payload == PayloadKind::LineProtocol;
        match rule.store && may_be_many {
            true => POINTS_MAX,
            false => 1,
        }
    }

    /// Appends the points of `message` to `out`, those that do not fit to `refusals`, and returns
    /// how many are in `out`.
    pub(super) fn push_points(
        &self,
        message: &Message<'_>,
        out: &mut Vec<u8>,
        refusals: &mut Vec<Refusal>,
    ) -> usize {
        let rule = self.rule();
        let is_dropped = !rule.store
            || (message.retain && !rule.retained)
            || (message.payload.is_empty() && !rule.empty);
        if is_dropped {
            return 0;
        }
        if rule.payload == PayloadKind::LineProtocol {
            return self.push_lines(message, out, refusals);
        }
        let document = match self.document(message.payload) {
            Ok(document) => document,
            Err(reason) => {
                refusals.push(self.refusal(message.payload, message.timestamp_ns, &reason));
                return 0;
            }
        };
        let Some(path) = &rule.points else {
            let scope = self.scope(message, document.as_ref(), None);
            return self.push_or_refuse(&scope, message.timestamp_ns, out, refusals);
        };
        let elements = document.as_ref().and_then(|document| find(document, path));
        let elements = match elements {
            Some(Value::Array(elements)) if elements.len() <= POINTS_MAX => elements,
            found => {
                let reason = match found {
                    Some(Value::Array(_)) => format!("has more than {POINTS_MAX} points"),
                    _ => "has no array where points says".to_owned(),
                };
                refusals.push(self.refusal(message.payload, message.timestamp_ns, &reason));
                return 0;
            }
        };
        let (mut count, mut refused_len) = (0, 0);
        let (out_before, refusals_before) = (out.len(), refusals.len());
        for (element, timestamp_ns) in elements.iter().zip(message.timestamp_ns..) {
            let scope = self.scope(message, document.as_ref(), Some(element));
            match self.push_or_refuse(&scope, timestamp_ns, out, refusals) {
                0 => refused_len += refusals.last().map_or(0, |refusal| refusal.line.len()),
                pushed => count += pushed,
            }
            let len = out.len() - out_before + refused_len;
            if len > LINES_LEN_MAX + LINES_GROWTH_MAX * message.payload.len() {
                out.truncate(out_before);
                refusals.truncate(refusals_before);
                let reason = "becomes points of too many bytes";
                refusals.push(self.refusal(message.payload, message.timestamp_ns, reason));
                return 0;
            }
        }
        count
    }

    /// The payload as JSON, where the rule wants it.
    fn document(&self, payload: &[u8]) -> Result<Option<Value>, String> {
        if !self.reads_json {
            return Ok(None);
        }
        if payload.len() > JSON_LEN_MAX {
            return Err(format!(
                "has more than {JSON_LEN_MAX} bytes, too many to read as JSON"
            ));
        }
        match serde_json::from_slice(payload) {
            Ok(document) => Ok(Some(document)),
            Err(_) if self.rule().payload == PayloadKind::Auto => Ok(None),
            Err(error) => Err(format!("is no JSON: {error}")),
        }
    }

    fn scope<'a>(
        &'a self,
        message: &'a Message<'a>,
        document: Option<&'a Value>,
        element: Option<&'a Value>,
    ) -> Scope<'a> {
        Scope {
            topic: &self.topic,
            message,
            kind: self.rule().payload,
            document,
            element,
        }
    }

    /// Returns how many points it has appended: one, or none.
    fn push_or_refuse(
        &self,
        scope: &Scope<'_>,
        timestamp_ns: i64,
        out: &mut Vec<u8>,
        refusals: &mut Vec<Refusal>,
    ) -> usize {
        let start = out.len();
        match self.push_point(scope, timestamp_ns, out) {
            Ok(()) => 1,
            Err(reason) => {
                out.truncate(start);
                refusals.push(self.refusal(&scope.content(), timestamp_ns, &reason));
                0
            }
        }
    }

    fn push_point(
        &self,
        scope: &Scope<'_>,
        timestamp_ns: i64,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let rule = self.rule();
        let made;
        let series = match &self.series {
            Some(series) => series.as_ref().map_err(Clone::clone)?,
            None => {
                made = self.series_key(scope)?;
                &made
            }
        };
        out.extend_from_slice(series.text.as_bytes());
        out.push(b' ');
        let mut fields = Fields::new(out);
        for field in &rule.fields {
            push_field(field, scope, &mut fields)?;
        }
        if rule.payload_fields {
            self.push_payload(scope, &mut fields)?;
        }
        if fields.is_empty() {
            return Err("has none of the fields".to_owned());
        }
        if rule.topic_exact && !series.is_topic_exact {
            fields.push_string("topic_exact", &self.topic);
        }
        let given = match &rule.timestamp {
            Some(path) => Some(given_timestamp(scope, path, rule)?),
            None => None,
        };
        // Last, so that only points that are written count.
        if !self.is_admitted.load(Ordering::Relaxed) {
            self.admit(&series.text)?;
            self.is_admitted
                .store(self.series.is_some(), Ordering::Relaxed);
        }
        push_end(given.unwrap_or(timestamp_ns), out);
        Ok(())
    }

    fn series_key(&self, scope: &Scope<'_>) -> Result<SeriesKey, String> {
        let rule = self.rule();
        let mut text = match &rule.measurement {
            None => self.active.default.measurement().to_owned(),
            Some(template) => {
                let name = scope.fill(template).ok_or("has no measurement")?;
                escape_measurement(&name.into_text()).map_err(|error| error.to_string())?
            }
        };
        let mut is_topic_exact = true;
        for (name, template) in &rule.tags {
            let value = scope.fill(template).map(Found::into_text);
            // A point may be without a tag, but a tag not without a value.
            let Some(value) = value.filter(|value| !value.is_empty()) else {
                continue;
            };
            text.push(',');
            push_name(name, &mut text);
            text.push('=');
            let is_exact = push_tag_value(&value, &mut text);
            if rule.topic_exact && name == "topic" {
                is_topic_exact = is_exact;
            }
        }
        if text.len() > SERIES_KEY_LEN_MAX {
            return Err(format!("has tags of more than {SERIES_KEY_LEN_MAX} bytes"));
        }
        Ok(SeriesKey {
            text,
            is_topic_exact,
        })
    }

    /// Appends the fields that the payload has by itself.
    fn push_payload(&self, scope: &Scope<'_>, fields: &mut Fields<'_>) -> Result<(), String> {
        let rule = self.rule();
        let default = &self.active.default;
        let content = scope.content();
        let text = || str::from_utf8(&content).map_err(|_| "is no UTF-8 text".to_owned());
        match rule.payload {
            PayloadKind::Auto if rule.fields.is_empty() => default.push_payload(&content, fields),
            PayloadKind::Auto => {
                // The mapping begins with no fields, and takes back its own where JSON is not good.
                let mut own = Vec::new();
                default.push_payload(&content, &mut Fields::new(&mut own));
                fields.append(&own);
            }
            PayloadKind::Json => {
                let text = text()?;
                let mut own = Vec::new();
                push_leaves(text, &mut Fields::new(&mut own));
                if own.is_empty() {
                    return Err("is no JSON object with leaves".to_owned());
                }
                fields.append(&own);
                if default.keeps_payload() {
                    fields.push_string("payload", text);
                }
            }
            PayloadKind::Number if rule.value_type == FieldType::Float => {
                let number = Number::parse(&content).ok_or("is no number")?;
                number.push_to(fields.begin("value"));
                if default.keeps_payload() && !number.is_rebuildable {
                    fields.push_string("payload", text()?);
                }
            }
            PayloadKind::Number => {
                let found = Found::Payload(text()?.into());
                value::push(found, rule.value_type, fields.begin("value"))
                    .map_err(|expected| format!("is not {expected}, the type of value"))?;
            }
            PayloadKind::Text => fields.push_string("payload", text()?),
            PayloadKind::Base64 | PayloadKind::LineProtocol => {
                let value = fields.begin("payload_base64");
                value.push(b'"');
                push_base64(&content, value);
                value.push(b'"');
            }
        }
        Ok(())
    }

    /// Appends the good lines of a payload that is line protocol.
    fn push_lines(
        &self,
        message: &Message<'_>,
        out: &mut Vec<u8>,
        refusals: &mut Vec<Refusal>,
    ) -> usize {
        let mut refuse = |content: &[u8], timestamp_ns, reason: &str| {
            refusals.push(self.refusal(content, timestamp_ns, reason));
        };
        let Ok(text) = str::from_utf8(message.payload) else {
            refuse(message.payload, message.timestamp_ns, "is no UTF-8 text");
            return 0;
        };
        let lines = || line_protocol::lines(text, self.rule().precision);
        if lines().count() > POINTS_MAX {
            let reason = format!("has more than {POINTS_MAX} points");
            refuse(message.payload, message.timestamp_ns, &reason);
            return 0;
        }
        let mut count = 0;
        for (line, timestamp_ns) in lines().zip(message.timestamp_ns..) {
            let line = match line {
                Ok(line) => line,
                Err(bad) => {
                    refuse(bad.text.as_bytes(), timestamp_ns, bad.reason);
                    continue;
                }
            };
            if let Err(reason) = self.admit(line.series) {
                let text = format!("{} {}", line.series, line.fields);
                refuse(text.as_bytes(), timestamp_ns, &reason);
                continue;
            }
            out.extend_from_slice(line.series.as_bytes());
            out.push(b' ');
            out.extend_from_slice(line.fields.as_bytes());
            push_end(line.timestamp_ns.unwrap_or(timestamp_ns), out);
            count += 1;
        }
        count
    }

    fn admit(&self, series: &str) -> Result<(), String> {
        let rule = self.rule();
        match &self.active.guard {
            Some(guard) if !guard.admits(series.as_bytes(), rule) => {
                Err("is of a new series, above max-series".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// What is kept of a point that does not fit.
    fn refusal(&self, content: &[u8], timestamp_ns: i64, reason: &str) -> Refusal {
        let refusals = &self.active.refusals;
        let mut line = Vec::new();
        refusals.push_point(
            &refusals.series(&self.topic),
            content,
            timestamp_ns,
            &mut line,
        );
        line.pop();
        Refusal {
            line,
            reason: format!("{reason} (rule {})", self.rule().number),
        }
    }
}

/// Appends a field of the rule, unless the message has no value for it.
fn push_field(field: &RuleField, scope: &Scope<'_>, fields: &mut Fields<'_>) -> Result<(), String> {
    let Some(found) = scope.fill(&field.value) else {
        return Ok(());
    };
    let value = fields.begin_escaped(&field.name, "");
    value::push(found, field.field_type, value).map_err(|expected| {
        format!(
            "does not fit: expected {expected}, in field {:?}",
            field.name
        )
    })
}

fn given_timestamp(scope: &Scope<'_>, path: &[String], rule: &Rule) -> Result<i64, String> {
    let found = scope.at(path).ok_or("has no timestamp")?;
    let timestamp_ns = timestamp::from_json(found, rule.precision);
    timestamp_ns.ok_or_else(|| format!("has no timestamp, but {found}"))
}

/// Appends a name with escapes.
fn push_name(name: &str, out: &mut String) {
    for c in name.chars() {
        if is_escaped_in_names(c) {
            out.push('\\');
        }
        out.push(c);
    }
}

fn push_end(timestamp_ns: i64, out: &mut Vec<u8>) {
    out.push(b' ');
    push_signed(timestamp_ns, out);
    out.push(b'\n');
}
