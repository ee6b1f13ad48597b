//! Rules: what is stored of the messages of some topics, and how. They stand in the file of
//! settings, as `[[rule]]` tables; the first whose filter matches a topic holds for it.
//!
//! ```toml
//! [[rule]]
//! filter = "sensors/{site}/{device}/climate"  # + and # as in a subscription, {name} for a level
//! payload = "json"                            # auto, number, text, line-protocol or base64
//! measurement = "climate"
//! tags = { site = "{site}", device = "{device}", by = "{client_id}" }
//! fields = { t = "{payload.air.t}", n = "{payload.n}" }
//! types = { n = "integer" }                   # or float, string, boolean
//! points = "{payload.readings}"               # an array: each element is a point
//! timestamp = "{payload.ts}"
//! precision = "ms"                            # s, ms, us or ns
//! max-series = 10000
//!
//! [[rule]]
//! filter = "noise/#"
//! store = false                               # or retained = false, empty = false
//! ```
//!
//! What a rule does not say is as by default. Two points of one series with the same timestamp are
//! one point to InfluxDB, which keeps the later: the server's own timestamps never are the same,
//! those in payloads can be.

mod filter;
mod positional;
mod read;
mod template;

pub use filter::RuleFilter;
pub(super) use read::read;
pub use template::{Part, Template};

use super::choice::Choice;

/// One rule, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which one it is in the file, from 1.
    pub number: usize,
    /// The topics that it is for.
    pub filter: RuleFilter,
    /// Whether messages are stored at all.
    pub store: bool,
    /// Whether messages with the retain flag are stored.
    pub retained: bool,
    /// Whether messages without a payload are stored.
    pub empty: bool,
    /// How payloads are read.
    pub payload: PayloadKind,
    /// The measurement; `None` is that of the settings.
    pub measurement: Option<Template>,
    /// The tags in the order of their names, which need no escape for being what they are.
    pub tags: Vec<(String, Template)>,
    /// Whether a topic that its tag cannot hold exactly is a field too: where the rule leaves the
    /// tag `topic` as it is by default.
    pub topic_exact: bool,
    /// The fields that the rule names, in the order of their names.
    pub fields: Vec<RuleField>,
    /// Whether points also have the fields that they would have without `fields`.
    pub payload_fields: bool,
    /// The type of a payload that is a number.
    pub value_type: FieldType,
    /// Where in a payload the array stands of which each element is a point.
    pub points: Option<Vec<String>>,
    /// Where the timestamp stands, in an element where there are such.
    pub timestamp: Option<Vec<String>>,
    /// The unit of timestamps in payloads.
    pub precision: Precision,
    /// Most series that the rule may make while the server runs.
    pub series_max: Option<usize>,
}

/// A field that a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleField {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub value: Template,
    /// Its type.
    pub field_type: FieldType,
}

/// How payloads are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadKind {
    /// By what they are.
    Auto,
    /// As JSON.
    Json,
    /// As one number.
    Number,
    /// As UTF-8 text.
    Text,
    /// As points that are ready, a line each.
    LineProtocol,
    /// As bytes, whatever they are.
    Base64,
}

impl Choice for PayloadKind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("json", Self::Json),
        ("number", Self::Number),
        ("text", Self::Text),
        ("line-protocol", Self::LineProtocol),
        ("base64", Self::Base64),
    ];
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// By the value: numbers and booleans (1 and 0) are floats, all else is a string.
    ByValue,
    /// A float.
    Float,
    /// An integer of 64 bits with a sign.
    Integer,
    /// A string.
    String,
    /// A boolean.
    Boolean,
}

impl Choice for FieldType {
    // `int` and `bool` are for tables that come from Telegraf.
    const WORDS: &'static [(&'static str, Self)] = &[
        ("float", Self::Float),
        ("integer", Self::Integer),
        ("string", Self::String),
        ("boolean", Self::Boolean),
        ("int", Self::Integer),
        ("bool", Self::Boolean),
    ];
}

/// The unit of a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

impl Precision {
    /// How many digits of nanoseconds one unit has after its first.
    #[must_use]
    pub fn digits(self) -> usize {
        match self {
            Self::Seconds => 9,
            Self::Milliseconds => 6,
            Self::Microseconds => 3,
            Self::Nanoseconds => 0,
        }
    }
}

impl Choice for Precision {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("s", Self::Seconds),
        ("ms", Self::Milliseconds),
        ("us", Self::Microseconds),
        ("ns", Self::Nanoseconds),
    ];
}
