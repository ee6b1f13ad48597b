//! Topic aliases towards one client.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::Arc;

/// What a connection's topic aliases stand for, in the direction of the client [MQTT-3.3.2-12].
///
/// The first topics get one each and keep it: those that matter come early, and an alias that
/// changes hands costs more than it saves. Aliases belong to a connection, not to a session.
#[derive(Debug, Default)]
pub struct TopicAliases {
    max: u16,
    by_topic: HashMap<Arc<str>, NonZeroU16>,
}

/// An alias for the topic of a packet that is about to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alias {
    /// The client knows it: it takes the topic's place.
    Known(NonZeroU16),
    /// It is to be sent beside the topic, and then [`TopicAliases::learn`] is called.
    New(NonZeroU16),
}

/// Most aliases of one connection, whatever the client would take: each is a topic that is kept.
const ALIASES_MAX: u16 = 64;

/// An alias takes three bytes itself.
const TOPIC_LEN_MIN: usize = 4;

impl TopicAliases {
    /// None yet, and never one above `max`, which the client gave [MQTT-3.1.2-26]; 0 is none at all
    /// [MQTT-3.1.2-27].
    #[must_use]
    pub fn up_to(max: u16) -> Self {
        Self {
            max: max.min(ALIASES_MAX),
            by_topic: HashMap::new(),
        }
    }

    /// The alias for `topic`, unless all are in use or it would not be worth it.
    #[must_use]
    pub fn find(&self, topic: &str) -> Option<Alias> {
        if self.max == 0 || topic.len() < TOPIC_LEN_MIN {
            return None;
        }
        if let Some(alias) = self.by_topic.get(topic) {
            return Some(Alias::Known(*alias));
        }
        let next = u16::try_from(self.by_topic.len() + 1).ok()?;
        NonZeroU16::new(next)
            .filter(|_| next <= self.max)
            .map(Alias::New)
    }

    /// The packet that tells the client what `alias` stands for is on its way.
    pub fn learn(&mut self, topic: &Arc<str>, alias: NonZeroU16) {
        self.by_topic.insert(Arc::clone(topic), alias);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn gives_an_alias_to_the_first_topics() {
        let number = |n| NonZeroU16::new(n).unwrap();
        let mut aliases = TopicAliases::up_to(2);
        assert_eq!(aliases.find("a/b/c"), Some(Alias::New(number(1))));
        // What was not sent is not learned.
        assert_eq!(aliases.find("d/e/f"), Some(Alias::New(number(1))));
        aliases.learn(&"a/b/c".into(), number(1));
        assert_eq!(aliases.find("a/b/c"), Some(Alias::Known(number(1))));
        aliases.learn(&"d/e/f".into(), number(2));
        assert_eq!(aliases.find("g/h/i"), None);
        assert_eq!(aliases.find("a/b/c"), Some(Alias::Known(number(1))));
        assert_eq!(TopicAliases::up_to(0).find("a/b/c"), None);
        assert_eq!(TopicAliases::up_to(9).find("a/b"), None, "not worth it");
    }
}
