//! What one client may publish and read.

use crate::topic::{TopicFilter, TopicName};

/// What one client may publish and read, ready to be asked. Answering allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Everything,
    /// The first rule that matches and says something about the access decides; none: no.
    Rules(Box<[Rule]>),
}

/// What a rule says about the topics that its filter matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) grant: Grant,
    /// A valid topic filter.
    pub(super) filter: Box<str>,
}

/// What a rule grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    Read,
    Write,
    ReadWrite,
    /// Neither, whatever a later rule says.
    Deny,
}

/// What somebody wants to do with a topic.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Read,
    Write,
}

impl Rights {
    /// For where there is no access-control file.
    #[must_use]
    pub fn everything() -> Self {
        Self(Kind::Everything)
    }

    /// For somebody who must not be here any more.
    #[must_use]
    pub fn nothing() -> Self {
        Self(Kind::Rules(Box::default()))
    }

    pub(super) fn of_rules(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self(Kind::Rules(rules.into_iter().collect()))
    }

    /// Whether a message for `topic` may be delivered to the client.
    #[must_use]
    pub fn may_read(&self, topic: &str) -> bool {
        self.may(Wish::Read, topic)
    }

    /// Whether the client may publish to `topic`.
    #[must_use]
    pub fn may_write(&self, topic: &str) -> bool {
        self.may(Wish::Write, topic)
    }

    fn may(&self, wish: Wish, topic: &str) -> bool {
        let Kind::Rules(rules) = &self.0 else {
            return true;
        };
        // What is no topic name is nobody's.
        let Ok(topic) = TopicName::new(topic) else {
            return false;
        };
        rules
            .iter()
            .filter(|rule| rule.matches(topic))
            .find_map(|rule| match (rule.grant, wish) {
                (Grant::Deny, _) => Some(false),
                (Grant::ReadWrite, _) | (Grant::Read, Wish::Read) | (Grant::Write, Wish::Write) => {
                    Some(true)
                }
                (Grant::Read, Wish::Write) | (Grant::Write, Wish::Read) => None,
            })
            .unwrap_or(false)
    }
}

impl Rule {
    fn matches(&self, topic: TopicName<'_>) -> bool {
        // Too long after a name was put into it: then it is longer than every topic as well.
        TopicFilter::new(&self.filter).is_ok_and(|filter| filter.matches(topic))
    }
}
