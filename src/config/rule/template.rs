//! Texts with gaps that a message fills: `{site}`, `{payload.temp}`, `room {topic}`.

use super::filter::RuleFilter;

/// A text whose gaps are filled from a message.
///
/// In braces stand the name of a level of the rule's filter, `topic`, `client_id`, `user_name`,
/// `payload`, or a path into a payload that is JSON, `payload.a.b.0`: keys and positions in arrays,
/// with dots between them. `{{` and `}}` are a brace each; all else stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// What the text is made of; never empty.
    pub parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// This text.
    Text(String),
    /// The level of the topic at this position, from 0.
    Level(usize),
    /// The topic.
    Topic,
    /// The client's id.
    ClientId,
    /// The client's user name.
    UserName,
    /// What the payload, which is JSON, has at this path; the whole payload at the empty one.
    Payload(Vec<String>),
}

impl Template {
    /// Reads a template for topics of `filter`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn new(text: &str, filter: &RuleFilter) -> Result<Self, String> {
        // Whoever forgets the braces would store the same word with every point.
        if text == "payload" || text.starts_with("payload.") {
            return Err(format!("expected {{{text}}}, in braces"));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = brace.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = brace.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else if let Some((gap, after)) = brace
                .strip_prefix('{')
                .and_then(|inside| inside.split_once('}'))
            {
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(part(gap, filter)?);
                rest = after;
            } else {
                return Err("a brace has no other one; {{ and }} are plain braces".to_owned());
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        match parts.is_empty() {
            true => Err("must not be empty".to_owned()),
            false => Ok(Self { parts }),
        }
    }

    /// The template that is one level of the topic.
    pub(super) fn level(position: usize) -> Self {
        Self {
            parts: vec![Part::Level(position)],
        }
    }

    /// The template that is the topic.
    pub(super) fn topic() -> Self {
        Self {
            parts: vec![Part::Topic],
        }
    }

    /// Whether every message of one topic gives the same text.
    #[must_use]
    pub fn is_of_topic(&self) -> bool {
        let is_of_topic =
            |part: &Part| matches!(part, Part::Text(_) | Part::Level(_) | Part::Topic);
        self.parts.iter().all(is_of_topic)
    }

    /// Whether it has a path into a payload, which must then be JSON.
    #[must_use]
    pub fn needs_json(&self) -> bool {
        let is_path = |part: &Part| matches!(part, Part::Payload(path) if !path.is_empty());
        self.parts.iter().any(is_path)
    }
}

/// What stands between two braces.
fn part(gap: &str, filter: &RuleFilter) -> Result<Part, String> {
    Ok(match gap {
        "topic" => Part::Topic,
        "client_id" => Part::ClientId,
        "user_name" => Part::UserName,
        "payload" => Part::Payload(Vec::new()),
        _ => match (gap.strip_prefix("payload."), filter.position(gap)) {
            (Some(path), _) => Part::Payload(steps(path)?),
            (None, Some(position)) => Part::Level(position),
            (None, None) => {
                return Err(format!(
                    "{{{gap}}} is no level of the filter; expected one of its names, topic, \
                     client_id, user_name, payload or payload.PATH"
                ));
            }
        },
    })
}

/// The steps of a dotted path.
fn steps(path: &str) -> Result<Vec<String>, String> {
    let steps: Vec<String> = path.split('.').map(str::to_owned).collect();
    match steps.iter().any(String::is_empty) {
        true => Err(format!("the path {path:?} has an empty step")),
        false => Ok(steps),
    }
}

/// Reads a path where nothing but one is expected: `{payload.a.b}`, or `{payload}`.
pub(super) fn path(text: &str) -> Result<Vec<String>, String> {
    let expected = || "expected a path such as {payload.a.b}".to_owned();
    let gap = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'));
    match gap.ok_or_else(expected)? {
        "payload" => Ok(Vec::new()),
        gap => steps(gap.strip_prefix("payload.").ok_or_else(expected)?),
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, RuleFilter, Template};

    #[test]
    fn reads_gaps_and_braces() {
        let filter = RuleFilter::new("s/{site}/#").expect("a good filter");
        let parts = |text| Template::new(text, &filter).map(|template| template.parts);
        let text = |text: &str| Part::Text(text.to_owned());
        let path = |steps: &[&str]| Part::Payload(steps.iter().map(|&it| it.to_owned()).collect());
        assert_eq!(parts("a b"), Ok(vec![text("a b")]));
        assert_eq!(
            parts("at {site}: {payload.a.0}"),
            Ok(vec![
                text("at "),
                Part::Level(1),
                text(": "),
                path(&["a", "0"])
            ])
        );
        assert_eq!(
            parts("{{{topic}}}{client_id}{user_name}"),
            Ok(vec![
                text("{"),
                Part::Topic,
                text("}"),
                Part::ClientId,
                Part::UserName
            ])
        );
        assert_eq!(parts("{payload}"), Ok(vec![path(&[])]));
        for (bad, reason) in [
            ("", "must not be empty"),
            ("payload.a", "expected {payload.a}, in braces"),
            ("a{", "a brace has no other one; {{ and }} are plain braces"),
            (
                "a}b",
                "a brace has no other one; {{ and }} are plain braces",
            ),
            ("{payload.a..b}", "the path \"a..b\" has an empty step"),
        ] {
            assert_eq!(parts(bad), Err(reason.to_owned()), "{bad:?}");
        }
        let said = parts("{room}").expect_err("no such level");
        assert!(
            said.starts_with("{room} is no level of the filter; expected "),
            "{said}"
        );
    }
}
