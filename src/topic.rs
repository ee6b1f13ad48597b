//! Topic names, topic filters, and which filter matches which name.
//!
//! A value of a type in here has been checked: whoever holds a [`TopicName`] or a [`TopicFilter`]
//! need not ask again. Nothing here knows packets or subscribers.
//!
//! Specification: MQTT 5.0 chapters 4.7 and 4.8.

use std::error::Error;
use std::fmt;
use std::str::Split;

/// What a message is published to: one byte or more, no wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// Checks `name` and keeps it as it is; no character is normalised [MQTT-4.7.3-4].
    ///
    /// # Errors
    ///
    /// [`TopicError::Empty`], [`TopicError::TooLong`], [`TopicError::NulCharacter`] or
    /// [`TopicError::WildcardInName`].
    // On the path of every PUBLISH: one pass without branches finds nearly always nothing, and only
    // then is it worth asking what was found. NUL and the wildcards are ASCII, and no byte of a
    // longer UTF-8 sequence looks like ASCII.
    pub fn new(name: &'a str) -> Result<Self, TopicError> {
        check_len(name)?;
        let special = |found, byte| found | (byte == 0) | (byte == b'+') | (byte == b'#');
        if name.bytes().fold(false, special) {
            return Err(
                match name.bytes().find(|byte| matches!(byte, 0 | b'+' | b'#')) {
                    Some(b'+') => TopicError::WildcardInName('+'), // [MQTT-4.7.0-1]
                    Some(b'#') => TopicError::WildcardInName('#'),
                    _ => TopicError::NulCharacter,
                },
            );
        }
        Ok(Self(name))
    }

    /// The name as the client wrote it.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The levels between the slashes, empty ones too.
    #[must_use]
    pub fn levels(self) -> Split<'a, char> {
        self.0.split('/')
    }

    /// How many levels there are: one more than slashes.
    #[must_use]
    pub fn level_count(self) -> usize {
        level_count(self.0)
    }
}

impl fmt::Display for TopicName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What a subscriber asks for: a topic name whose levels may be `+`, and whose last may be `#`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter<'a>(&'a str);

impl<'a> TopicFilter<'a> {
    /// Checks `filter` and keeps it as it is. `$share/...` is an ordinary filter here; see
    /// [`SubscriptionFilter`].
    ///
    /// # Errors
    ///
    /// [`TopicError::Empty`], [`TopicError::TooLong`], [`TopicError::NulCharacter`], or one of the
    /// errors of wildcards: [`TopicError::MultiLevelNotLast`], [`TopicError::WildcardNotAlone`].
    pub fn new(filter: &'a str) -> Result<Self, TopicError> {
        check_len(filter)?;
        if filter.bytes().any(|byte| byte == 0) {
            return Err(TopicError::NulCharacter); // [MQTT-4.7.3-2]
        }
        let mut levels = filter.split('/').peekable();
        while let Some(level) = levels.next() {
            if level == "#" && levels.peek().is_some() {
                return Err(TopicError::MultiLevelNotLast); // [MQTT-4.7.1-1]
            }
            if level.len() > 1
                && let Some(wildcard) = level.chars().find(|c| matches!(c, '+' | '#'))
            {
                return Err(TopicError::WildcardNotAlone(wildcard)); // [MQTT-4.7.1-1, -2]
            }
        }
        Ok(Self(filter))
    }

    /// The filter as the client wrote it.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The levels between the slashes, wildcards and empty ones too.
    #[must_use]
    pub fn levels(self) -> Split<'a, char> {
        self.0.split('/')
    }

    /// How many levels there are: one more than slashes.
    #[must_use]
    pub fn level_count(self) -> usize {
        level_count(self.0)
    }

    /// Whether a message published to `name` is one this filter asks for.
    ///
    /// This is the specification in its plainest form, and what every faster way is tested
    /// against.
    #[must_use]
    pub fn matches(self, name: TopicName<'_>) -> bool {
        // `$SYS` and its like are not for those who ask for everything [MQTT-4.7.2-1].
        if name.0.starts_with('$') && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut names = name.levels();
        for level in self.levels() {
            if level == "#" {
                // It stands for its parent too: `a/#` matches `a`.
                return true;
            }
            match names.next() {
                Some(name) if level == "+" || level == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }
}

impl fmt::Display for TopicFilter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The topic filter of a SUBSCRIBE or an UNSUBSCRIBE, with a shared subscription taken apart.
///
/// `$share/ShareName/filter` is split in every version. MQTT 3.1.1 does not know it, but brokers
/// at large offer it to clients of 3.1.1, and a filter that means something else there would only
/// match topics beginning with `$share/`, which nobody publishes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriptionFilter<'a> {
    /// What messages are matched against, without `$share/ShareName/`.
    pub filter: TopicFilter<'a>,
    /// The share name, if the subscription is shared.
    pub share: Option<&'a str>,
    /// All of it, as the client wrote it.
    pub full: &'a str,
}

impl<'a> SubscriptionFilter<'a> {
    /// Takes `full` apart and checks each part.
    ///
    /// # Errors
    ///
    /// Those of [`TopicFilter::new`], and for a shared subscription
    /// [`TopicError::ShareNameEmpty`], [`TopicError::WildcardInShareName`] or
    /// [`TopicError::ShareWithoutFilter`].
    pub fn new(full: &'a str) -> Result<Self, TopicError> {
        // The length of the whole counts: it is what is stored, and what came in the packet.
        check_len(full)?;
        let Some(shared) = full.strip_prefix("$share/") else {
            let filter = TopicFilter::new(full)?;
            return Ok(Self {
                filter,
                share: None,
                full,
            });
        };
        let (share, filter) = shared.split_once('/').unwrap_or((shared, ""));
        if share.is_empty() {
            return Err(TopicError::ShareNameEmpty); // [MQTT-4.8.2-1]
        }
        if let Some(wildcard) = share.chars().find(|c| matches!(c, '+' | '#')) {
            return Err(TopicError::WildcardInShareName(wildcard)); // [MQTT-4.8.2-2]
        }
        if share.contains('\0') {
            return Err(TopicError::NulCharacter); // [MQTT-4.7.3-2]
        }
        if filter.is_empty() {
            return Err(TopicError::ShareWithoutFilter); // [MQTT-4.8.2-2]
        }
        let filter = TopicFilter::new(filter)?;
        Ok(Self {
            filter,
            share: Some(share),
            full,
        })
    }
}

/// Why a text is no topic name or no topic filter. The text itself is the caller's to add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicError {
    /// It has no character at all [MQTT-4.7.3-1].
    Empty,
    /// It has more bytes (given) than a packet can say: 65,535 [MQTT-4.7.3-3].
    TooLong(usize),
    /// It has U+0000 in it [MQTT-4.7.3-2].
    NulCharacter,
    /// A topic name has a wildcard (given) in it [MQTT-4.7.0-1].
    WildcardInName(char),
    /// `#` is a level, but not the last [MQTT-4.7.1-1].
    MultiLevelNotLast,
    /// The wildcard (given) shares its level with something else [MQTT-4.7.1-1, -2].
    WildcardNotAlone(char),
    /// `$share//filter` [MQTT-4.8.2-1].
    ShareNameEmpty,
    /// The share name has a wildcard (given) in it [MQTT-4.8.2-2].
    WildcardInShareName(char),
    /// `$share/ShareName` or `$share/ShareName/` [MQTT-4.8.2-2].
    ShareWithoutFilter,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "must not be empty"),
            Self::TooLong(len) => write!(f, "{len} bytes are more than {TOPIC_LEN_MAX}"),
            Self::NulCharacter => write!(f, "must not contain U+0000"),
            Self::WildcardInName(wildcard) => write!(f, "must not contain '{wildcard}'"),
            Self::MultiLevelNotLast => write!(f, "'#' must be the last level"),
            Self::WildcardNotAlone(wildcard) => {
                write!(f, "'{wildcard}' must stand alone in its level")
            }
            Self::ShareNameEmpty => write!(f, "the share name must not be empty"),
            Self::WildcardInShareName(wildcard) => {
                write!(f, "the share name must not contain '{wildcard}'")
            }
            Self::ShareWithoutFilter => write!(f, "no filter follows the share name"),
        }
    }
}

impl Error for TopicError {}

fn check_len(text: &str) -> Result<(), TopicError> {
    match text.len() {
        0 => Err(TopicError::Empty),
        len if len > TOPIC_LEN_MAX => Err(TopicError::TooLong(len)),
        _ => Ok(()),
    }
}

fn level_count(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'/').count() + 1
}

/// In bytes: the length stands in two bytes of a packet [MQTT-4.7.3-3].
const TOPIC_LEN_MAX: usize = 65_535;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn matches(filter: &str, name: &str) -> bool {
        TopicFilter::new(filter)
            .unwrap()
            .matches(TopicName::new(name).unwrap())
    }

    #[test]
    fn accepts_any_name_without_wildcard() {
        let longest = "x".repeat(65_535);
        for name in [
            "a",
            "/",
            "//",
            " ",
            "a b",
            "$SYS",
            "é/\u{feff}/🦀",
            longest.as_str(),
        ] {
            assert_eq!(TopicName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn rejects_names() {
        let too_long = "x".repeat(65_536);
        for (name, error) in [
            ("", TopicError::Empty),
            (too_long.as_str(), TopicError::TooLong(65_536)),
            ("a/\0", TopicError::NulCharacter),
            ("a/+/b", TopicError::WildcardInName('+')),
            ("a#", TopicError::WildcardInName('#')),
        ] {
            assert_eq!(TopicName::new(name), Err(error), "{name:?}");
        }
    }

    #[test]
    fn accepts_filters() {
        for filter in [
            "#", "+", "/#", "+/#", "a/+", "+/+", "a//b", "/", "$SYS/#", "é/+", "a /#",
        ] {
            assert_eq!(TopicFilter::new(filter).unwrap().as_str(), filter);
        }
    }

    #[test]
    fn rejects_filters() {
        let too_long = "x/".repeat(40_000);
        for (filter, error) in [
            ("", TopicError::Empty),
            (too_long.as_str(), TopicError::TooLong(80_000)),
            ("\0", TopicError::NulCharacter),
            ("a/#/b", TopicError::MultiLevelNotLast),
            ("#/", TopicError::MultiLevelNotLast),
            ("##", TopicError::WildcardNotAlone('#')),
            ("a#", TopicError::WildcardNotAlone('#')),
            ("a/#b", TopicError::WildcardNotAlone('#')),
            ("a+", TopicError::WildcardNotAlone('+')),
            ("+a/b", TopicError::WildcardNotAlone('+')),
            ("é+/b", TopicError::WildcardNotAlone('+')),
        ] {
            assert_eq!(TopicFilter::new(filter), Err(error), "{filter:?}");
        }
    }

    #[test]
    fn matches_as_the_specification_says() {
        for (filter, name) in [
            ("a", "a"),
            ("#", "a"),
            ("#", "/"),
            ("a/#", "a"), // [MQTT-4.7.1-2] in prose: the parent too
            ("a/#", "a/"),
            ("a/#", "a/b/c"),
            ("+", "a"),
            ("+/+", "/a"),
            ("/+", "/a"),
            ("+/", "a/"),
            ("a/+/c", "a//c"),
            ("a/+/#", "a/b"),
            ("$SYS/#", "$SYS/a"),
            ("$SYS/+", "$SYS/a"),
            ("a/#", "a/$SYS"),
            ("+/#", "é/🦀"),
        ] {
            assert!(matches(filter, name), "{filter:?} should match {name:?}");
        }
        for (filter, name) in [
            ("a", "A"), // [MQTT-4.7.3-4]
            ("a", "/a"),
            ("a", "a/"),
            ("a/#", "ab"),
            ("a/+", "a"),
            ("a/+", "a/b/c"),
            ("+", "/a"),
            ("+", "a/b"),
            ("a/+/#", "a"),
            ("#", "$SYS/a"), // [MQTT-4.7.2-1]
            ("+/a", "$SYS/a"),
            ("+", "$SYS"),
        ] {
            assert!(
                !matches(filter, name),
                "{filter:?} should not match {name:?}"
            );
        }
    }

    #[test]
    fn counts_levels() {
        for (text, count) in [("a", 1), ("/", 2), ("a//b", 3)] {
            let name = TopicName::new(text).unwrap();
            assert_eq!((name.level_count(), name.levels().count()), (count, count));
            let filter = TopicFilter::new(text).unwrap();
            assert_eq!(
                (filter.level_count(), filter.levels().count()),
                (count, count)
            );
        }
    }

    #[test]
    fn takes_shared_subscriptions_apart() {
        for (full, share, filter) in [
            ("a/#", None, "a/#"),
            ("$share", None, "$share"),
            ("$shared/g/a", None, "$shared/g/a"),
            ("$share/g/a", Some("g"), "a"),
            ("$share/g/a/#", Some("g"), "a/#"),
            ("$share/g//", Some("g"), "/"),
            ("$share/g/$SYS/+", Some("g"), "$SYS/+"),
        ] {
            let got = SubscriptionFilter::new(full).unwrap();
            assert_eq!(
                (got.full, got.share, got.filter.as_str()),
                (full, share, filter)
            );
        }
    }

    #[test]
    fn rejects_broken_shared_subscriptions() {
        for (full, error) in [
            ("$share/", TopicError::ShareNameEmpty),
            ("$share//a", TopicError::ShareNameEmpty),
            ("$share/+/a", TopicError::WildcardInShareName('+')),
            ("$share/g#/a", TopicError::WildcardInShareName('#')),
            ("$share/\0/a", TopicError::NulCharacter),
            ("$share/g", TopicError::ShareWithoutFilter),
            ("$share/g/", TopicError::ShareWithoutFilter),
            ("$share/g/a#", TopicError::WildcardNotAlone('#')),
        ] {
            assert_eq!(SubscriptionFilter::new(full), Err(error), "{full:?}");
        }
    }
}
