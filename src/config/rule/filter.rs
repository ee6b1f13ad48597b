//! Which topics a rule is for.

use crate::topic::{TopicFilter, TopicName};

/// A topic filter whose levels may have names: `sensors/{site}/{device}/+`, `home/#`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFilter {
    /// As the operator wrote it.
    text: String,
    /// The same with `+` in place of names.
    filter: String,
    /// The names of the levels, by position; a level need not have one.
    names: Vec<Option<String>>,
}

/// Names that stand for something else in a template.
const RESERVED: [&str; 4] = ["payload", "topic", "client_id", "user_name"];

impl RuleFilter {
    /// Reads a filter.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let mut names = Vec::new();
        let mut levels = Vec::new();
        for level in text.split('/') {
            let Some(name) = name_in(level) else {
                if level.contains(['{', '}']) {
                    return Err(format!(
                        "a name must stand alone in its level, not {level:?}"
                    ));
                }
                names.push(None);
                levels.push(level);
                continue;
            };
            check_name(name)?;
            if names.iter().flatten().any(|other| other == name) {
                return Err(format!("two levels have the name {name}"));
            }
            names.push(Some(name.to_owned()));
            levels.push("+");
        }
        let filter = levels.join("/");
        TopicFilter::new(&filter).map_err(|error| error.to_string())?;
        Ok(Self {
            text: text.to_owned(),
            filter,
            names,
        })
    }

    /// The filter as the operator wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the rule is for `topic`.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        match (TopicFilter::new(&self.filter), TopicName::new(topic)) {
            (Ok(filter), Ok(name)) => filter.matches(name),
            _ => false,
        }
    }

    /// The position of the level called `name`, from 0.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.names
            .iter()
            .position(|found| found.as_deref() == Some(name))
    }

    /// How many levels a topic must have; `None` where it may have any number from some on.
    pub(super) fn level_count(&self) -> Option<usize> {
        (!self.filter.ends_with('#')).then_some(self.names.len())
    }
}

/// What stands between the braces of `{name}`.
fn name_in(level: &str) -> Option<&str> {
    level.strip_prefix('{')?.strip_suffix('}')
}

fn check_name(name: &str) -> Result<(), String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(is_word) {
        return Err(format!(
            "the name of a level has letters, digits and _ only, not {name:?}"
        ));
    }
    match RESERVED.contains(&name) {
        true => Err(format!("{{{name}}} stands for something else already")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::RuleFilter;

    #[test]
    fn matches_as_a_subscription_would() {
        for (filter, topic, expected) in [
            ("a/{x}/+", "a/b/c", true),
            ("a/{x}/+", "a/b", false),
            ("a/{x}/+", "a/b/c/d", false),
            ("{x}/#", "a", true),
            ("{x}/#", "a/b/c", true),
            ("{x}", "$SYS", false),
            ("#", "a/b", true),
            ("a", "b", false),
        ] {
            let filter = RuleFilter::new(filter).expect("a good filter");
            assert_eq!(filter.matches(topic), expected, "{filter:?} {topic:?}");
        }
        let filter = RuleFilter::new("a/{x}/{y}").expect("a good filter");
        assert_eq!(
            (filter.position("y"), filter.position("z")),
            (Some(2), None)
        );
    }

    #[test]
    fn says_what_is_wrong() {
        for (filter, reason) in [
            ("", "must not be empty"),
            ("a/#/b", "'#' must be the last level"),
            ("a/b+", "'+' must stand alone in its level"),
            (
                "a/x{y}",
                "a name must stand alone in its level, not \"x{y}\"",
            ),
            (
                "{a b}",
                "the name of a level has letters, digits and _ only, not \"a b\"",
            ),
            (
                "{}",
                "the name of a level has letters, digits and _ only, not \"\"",
            ),
            ("{x}/{x}", "two levels have the name x"),
            ("{topic}", "{topic} stands for something else already"),
        ] {
            assert_eq!(
                RuleFilter::new(filter),
                Err(reason.to_owned()),
                "{filter:?}"
            );
        }
    }
}
