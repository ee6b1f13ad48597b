//! Rules at work: which one is for a topic, and which points a message becomes by it.
//!
//! [`Rules`] binds a topic to its rule once, as `bound`; the publisher keeps that. A message of the
//! topic then fills the gaps of the rule's templates (`scope`), and each value must fit its field
//! (`value`). A point that does not fit is a [`Refusal`]: it is kept aside, with the reason, as the
//! line that the default mapping makes of it, so that nothing of the message is lost, and so that
//! an operator who sends it once more stores it by default.

mod bound;
mod line_protocol;
mod scope;
mod series_guard;
mod timestamp;
mod value;

use std::sync::Arc;

pub use bound::Bound;

use super::mapping::{Mapping, MappingError};
use super::series::Series;
use crate::config::rule::Rule;
use crate::config::{Config, KeepPayload};
use series_guard::SeriesGuard;

/// Most points of one message. So many timestamps are taken for each message that may become more
/// than one point: when it comes again, each point has its own timestamp again.
pub(super) const POINTS_MAX: usize = 1_000;

/// All rules, and the default mapping for topics that have none.
#[derive(Debug)]
pub struct Rules {
    default: Mapping,
    rules: Vec<Arc<Active>>,
}

/// A rule with what its messages share.
#[derive(Debug)]
struct Active {
    rule: Rule,
    default: Mapping,
    /// Makes the lines of points that are refused: the whole payload stands in each.
    refusals: Mapping,
    guard: Option<SeriesGuard>,
}

impl Rules {
    /// The rules and the default mapping of `config`.
    ///
    /// # Errors
    /// [`MappingError`] says what is wrong with the name of the default measurement.
    pub fn new(config: &Config) -> Result<Self, MappingError> {
        let default = Mapping::new(&config.measurement, config.keep_payload)?;
        let refusals = Mapping::new(&config.measurement, KeepPayload::Always)?;
        let active = |rule: &Rule| {
            let guard = rule.series_max.map(SeriesGuard::new);
            Arc::new(Active {
                rule: rule.clone(),
                default: default.clone(),
                refusals: refusals.clone(),
                guard,
            })
        };
        let rules = config.rules.iter().map(active).collect();
        Ok(Self { default, rules })
    }

    /// How messages of `topic` become points. Worth keeping for the topic's next message.
    #[must_use]
    pub fn bind(&self, topic: &str) -> TopicMapping {
        let found = self.rules.iter().find(|it| it.rule.filter.matches(topic));
        match found {
            Some(active) => TopicMapping::Rule(Box::new(Bound::new(Arc::clone(active), topic))),
            None => TopicMapping::Default(self.default.series(topic)),
        }
    }

    /// Appends the points of `message` as lines to `out`, those that do not fit their rule to
    /// `refusals`, and returns how many are in `out`.
    pub fn push_points(
        &self,
        topic: &TopicMapping,
        message: &Message<'_>,
        out: &mut Vec<u8>,
        refusals: &mut Vec<Refusal>,
    ) -> usize {
        match topic {
            TopicMapping::Default(series) => {
                self.default
                    .push_point(series, message.payload, message.timestamp_ns, out);
                1
            }
            TopicMapping::Rule(bound) => bound.push_points(message, out, refusals),
        }
    }
}

/// How messages of one topic become points.
#[derive(Debug)]
pub enum TopicMapping {
    /// By the default mapping.
    Default(Series),
    /// By a rule.
    Rule(Box<Bound>),
}

impl TopicMapping {
    /// How many timestamps in a row each message needs.
    #[must_use]
    pub fn timestamps(&self) -> usize {
        match self {
            Self::Default(_) => 1,
            Self::Rule(bound) => bound.timestamps(),
        }
    }

    /// The rule that holds for the topic; `None` is the default mapping.
    #[must_use]
    pub fn rule(&self) -> Option<&Rule> {
        match self {
            Self::Default(_) => None,
            Self::Rule(bound) => Some(bound.rule()),
        }
    }
}

/// A message whose topic is bound.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its payload.
    pub payload: &'a [u8],
    /// Whether it has the retain flag.
    pub retain: bool,
    /// The id of the client that publishes it; empty where it is not known.
    pub client_id: &'a str,
    /// The user name of that client; empty where it has none.
    pub user_name: &'a str,
    /// The first of its timestamps, in nanoseconds since 1970.
    pub timestamp_ns: i64,
}

/// A point that does not fit its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The line that the default mapping makes of it, without a newline after it.
    pub line: Vec<u8>,
    /// What does not fit.
    pub reason: String,
}

#[cfg(test)]
mod tests;
