//! `mqtt-server try-rule`.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use super::TaskError;
use crate::config::{Config, Trial};
use crate::store::rules::{Message, Rules};
use crate::topic::TopicName;

pub(super) fn run(config: &Config, trial: &Trial, out: &mut impl Write) -> Result<(), TaskError> {
    let refused = |reason: &dyn std::fmt::Display| TaskError::Refused {
        what: reason.to_string(),
    };
    TopicName::new(&trial.topic).map_err(|error| refused(&format!("the topic {error}")))?;
    let rules = Rules::new(config).map_err(|error| refused(&error))?;
    let topic = rules.bind(&trial.topic);
    match topic.rule() {
        Some(rule) => writeln!(out, "rule {}: {}", rule.number, rule.filter.as_str())?,
        None => writeln!(out, "no rule: the default mapping")?,
    }
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let message = Message {
        payload: trial.payload.as_bytes(),
        retain: trial.retain,
        client_id: &trial.client_id,
        user_name: &trial.user_name,
        timestamp_ns: i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX),
    };
    let (mut lines, mut refusals) = (Vec::new(), Vec::new());
    rules.push_points(&topic, &message, &mut lines, &mut refusals);
    out.write_all(&lines)?;
    for refusal in &refusals {
        writeln!(out, "rejected: {}", refusal.reason)?;
        write!(out, "kept aside: ")?;
        out.write_all(&refusal.line)?;
        writeln!(out)?;
    }
    if lines.is_empty() && refusals.is_empty() {
        writeln!(out, "not stored")?;
    }
    Ok(())
}
