//! The file that says who may publish and read what, with Mosquitto's syntax and meaning.
//!
//! ```text
//! # Before any user: for clients without a user name, and for nobody else.
//! topic read public/#
//!
//! user bob
//! topic readwrite rooms/+/light
//! topic deny rooms/vault/light
//!
//! # For everybody, wherever it stands.
//! pattern write devices/%c/state
//! pattern read users/%u/#
//! ```
//!
//! A line grants `read`, `write` or `readwrite` (which is also meant when nothing is said), or it
//! is `deny`. The client's own `topic` lines are asked first and then the `pattern` lines; within
//! each, `deny` comes before everything else, and then the order of the file. What no line grants is
//! denied. Topics that begin with `$` are matched only by lines that begin with `$`. In patterns
//! `%u` is the user name and `%c` the client identifier; a pattern with `%u` says nothing about a
//! client without one.
//!
//! A `user` line may come more than once for a user. A comment has a line of its own. Only spaces
//! separate words, and a topic may have spaces inside if what it grants stands before it.
//!
//! # Stricter than Mosquitto 2.0.11
//! The user name and the client identifier are the client's choice, and must not widen a line:
//!
//! - With `+` or `#` in one of them no pattern grants anything. Mosquitto does the same.
//! - With `/` in the name that a pattern has, that pattern grants nothing: `users/%u/#` would give
//!   a client called `bob/private` a part of what is bob's. Mosquitto grants it.
//! - A name that begins with `$` does not turn `%c/#` into a line for `$` topics such as `$SYS/#`.
//!   In Mosquitto it does.
//!
//! `deny` patterns hold for such names all the same, as they are written.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::rights::{Grant, Rule};
use super::{FileError, Rights};
use crate::topic::TopicFilter;

/// The lines of the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Acl {
    anonymous: Rules,
    users: HashMap<Box<str>, Rules>,
    patterns: Rules,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The user name; `None` is an anonymous client.
    pub user_name: Option<&'a str>,
    /// The client identifier.
    pub client_id: &'a str,
}

/// Rules in the order in which they are asked.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rules {
    denying: Vec<Rule>,
    granting: Vec<Rule>,
}

impl Rules {
    fn add(&mut self, rule: Rule) {
        match rule.grant {
            Grant::Deny => self.denying.push(rule),
            Grant::Read | Grant::Write | Grant::ReadWrite => self.granting.push(rule),
        }
    }

    fn is_empty(&self) -> bool {
        self.denying.is_empty() && self.granting.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.denying.iter().chain(&self.granting)
    }
}

impl Acl {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or the first line that is wrong.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let bytes = fs::read(path)
            .map_err(|error| FileError::whole(path, format!("cannot be read: {error}")))?;
        Self::parse(path, &bytes)
    }

    /// Reads `bytes`, which are those of the file at `path`.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, FileError> {
        let mut acl = Self::default();
        let mut user: Option<Box<str>> = None;
        for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
            let wrong = |what: String| FileError::at(path, number, what);
            let line = str::from_utf8(line).map_err(|_| wrong("not UTF-8".to_owned()))?;
            match Line::parse(line).map_err(wrong)? {
                Line::Nothing => {}
                Line::User(name) => user = Some(name.into()),
                Line::Pattern(rule) => acl.patterns.add(rule),
                Line::Topic(rule) => match &user {
                    Some(name) => acl.users.entry(name.clone()).or_default().add(rule),
                    None => acl.anonymous.add(rule),
                },
            }
        }
        Ok(acl)
    }

    /// Whether some line is for a user by name.
    #[must_use]
    pub fn names_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// What the client may do.
    #[must_use]
    pub fn rights(&self, identity: &Identity<'_>) -> Rights {
        let own = match identity.user_name {
            Some(name) => self.users.get(name),
            None => Some(&self.anonymous),
        };
        let own = own.into_iter().flat_map(Rules::iter).cloned();
        if self.patterns.is_empty() || identity.could_be_a_filter() {
            return Rights::of_rules(own);
        }
        let patterns = self.patterns.iter();
        Rights::of_rules(own.chain(patterns.filter_map(|rule| identity.fill_in(rule))))
    }

    /// Whether the client may publish to `topic`.
    #[must_use]
    pub fn may_write(&self, identity: &Identity<'_>, topic: &str) -> bool {
        self.rights(identity).may_write(topic)
    }

    /// Whether a message for `topic` may be delivered to the client.
    #[must_use]
    pub fn may_read(&self, identity: &Identity<'_>, topic: &str) -> bool {
        self.rights(identity).may_read(topic)
    }
}

impl Identity<'_> {
    /// Whether a wildcard could come into a pattern.
    fn could_be_a_filter(&self) -> bool {
        let names = self.user_name.into_iter().chain([self.client_id]);
        names.into_iter().any(|name| name.contains(['+', '#']))
    }

    /// The pattern for this client; `None` if it says nothing about it.
    fn fill_in(&self, pattern: &Rule) -> Option<Rule> {
        let mut filter = String::with_capacity(pattern.filter.len());
        let mut used = String::new();
        // Each `%` begins a new part; what is filled in is not looked at again.
        let mut parts = pattern.filter.split('%');
        filter.push_str(parts.next()?);
        for part in parts {
            let (name, rest) = if let Some(rest) = part.strip_prefix('c') {
                (self.client_id, rest)
            } else if let Some(rest) = part.strip_prefix('u') {
                (self.user_name?, rest)
            } else {
                ("%", part)
            };
            used.push_str(name);
            filter.push_str(name);
            filter.push_str(rest);
        }
        let widens =
            used.contains('/') || filter.starts_with('$') != pattern.filter.starts_with('$');
        if widens && pattern.grant != Grant::Deny {
            return None;
        }
        Some(Rule {
            grant: pattern.grant,
            filter: filter.into(),
        })
    }
}

/// What one line says.
enum Line<'a> {
    Nothing,
    User(&'a str),
    Topic(Rule),
    Pattern(Rule),
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Result<Self, String> {
        if line.starts_with('#') {
            return Ok(Self::Nothing);
        }
        let line = line.trim_end().trim_start_matches(' ');
        let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
        match keyword {
            "" => Ok(Self::Nothing),
            "user" => match rest.trim() {
                "" => Err("a user name is missing".to_owned()),
                name => Ok(Self::User(name)),
            },
            "topic" => rule(rest).map(Self::Topic),
            "pattern" => rule(rest).map(Self::Pattern),
            _ => Err(format!(
                "expected user, topic, pattern or # for a comment, not {keyword:?}"
            )),
        }
    }
}

/// Reads what follows `topic` or `pattern`.
fn rule(text: &str) -> Result<Rule, String> {
    let text = text.trim_start_matches(' ');
    let (grant, filter) = match text.split_once(' ') {
        None => (Grant::ReadWrite, text),
        Some((grant, filter)) => (self::grant(grant)?, filter.trim()),
    };
    TopicFilter::new(filter).map_err(|error| format!("topic {filter:?}: {error}"))?;
    Ok(Rule {
        grant,
        filter: filter.into(),
    })
}

fn grant(word: &str) -> Result<Grant, String> {
    match word {
        "read" => Ok(Grant::Read),
        "write" => Ok(Grant::Write),
        "readwrite" => Ok(Grant::ReadWrite),
        "deny" => Ok(Grant::Deny),
        _ => Err(format!(
            "expected read, write, readwrite or deny, not {word:?}"
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Acl, String> {
        Acl::parse(Path::new("acl"), text.as_bytes()).map_err(|error| error.to_string())
    }

    fn client<'a>(user_name: Option<&'a str>, client_id: &'a str) -> Identity<'a> {
        Identity {
            user_name,
            client_id,
        }
    }

    #[test]
    fn grants_what_the_lines_say_and_nothing_else() {
        let acl = parse(
            "topic read public/#\nuser bob\ntopic a/b c\n\ntopic readwrite a/+\r\n# note\n\
             topic deny a/secret\ntopic write w\nuser al\n  topic  read   x y \nuser bob\n\
             topic read late\n",
        );
        // A topic with a space wants its access first.
        assert_eq!(
            acl.unwrap_err(),
            "acl: line 3: expected read, write, readwrite or deny, not \"a/b\""
        );
        let acl = parse(
            "topic read public/#\nuser bob\ntopic a/b\n\ntopic readwrite a/+\r\n# note\n\
             topic deny a/secret\ntopic write w\nuser al\n  topic  read   x y \nuser bob\n\
             topic read late\n",
        )
        .unwrap();
        let (nobody, bob, al) = (
            client(None, "c"),
            client(Some("bob"), "c"),
            client(Some("al"), "c"),
        );
        for (identity, topic, read, write) in [
            (nobody, "public", true, false),
            (nobody, "public/x", true, false),
            (nobody, "a/b", false, false),
            (bob, "public/x", false, false),
            (bob, "a/b", true, true),
            (bob, "a/x", true, true),
            (bob, "a/secret", false, false),
            (bob, "a", false, false),
            (bob, "w", false, true),
            (bob, "late", true, false),
            (al, "x y", true, false),
            (al, "late", false, false),
            (client(Some("eve"), "c"), "public", false, false),
        ] {
            assert_eq!(acl.may_read(&identity, topic), read, "{identity:?} {topic}");
            assert_eq!(
                acl.may_write(&identity, topic),
                write,
                "{identity:?} {topic}"
            );
        }
    }

    #[test]
    fn fills_in_names_once() {
        let acl = parse("pattern read %u/%c/%%c\npattern write only/%c").unwrap();
        let tricky = client(Some("%c"), "%u");
        assert!(acl.may_read(&tricky, "%c/%u/%%u"));
        assert!(!acl.may_read(&client(None, "c"), "%u/c/%c"));
        assert!(acl.may_write(&client(None, "c"), "only/c"));
        assert!(!acl.may_write(&client(None, "c"), "only/d"));
    }

    #[test]
    fn is_not_widened_by_names() {
        let acl = parse(
            "user a+\ntopic own\npattern readwrite users/%u/#\npattern read %c/#\n\
             pattern read all/+\npattern deny all/%c",
        )
        .unwrap();
        let wild = client(Some("a+"), "c");
        assert!(acl.may_read(&wild, "own") && !acl.may_read(&wild, "all/x"));
        assert!(!acl.may_read(&client(None, "#"), "c/x"));
        let part = client(Some("bob/private"), "c");
        assert!(!acl.may_read(&part, "users/bob/private/x"));
        assert!(acl.may_read(&part, "all/x") && !acl.may_read(&part, "all/c"));
        assert!(!acl.may_read(&client(None, "$SYS"), "$SYS/x"));
    }

    /// A name with a slash takes a grant away, but never a refusal.
    #[test]
    fn denies_by_pattern_whatever_the_name() {
        let acl = parse("pattern read #\npattern read $SYS/#\npattern deny %c/x").unwrap();
        assert!(!acl.may_read(&client(None, "a/b"), "a/b/x"));
        assert!(!acl.may_read(&client(None, "$SYS"), "$SYS/x"));
        assert!(acl.may_read(&client(None, "a/b"), "a/x"));
    }

    #[test]
    fn names_the_line_that_is_wrong() {
        for (text, said) in [
            (
                "\ntopics a",
                "acl: line 2: expected user, topic, pattern or # for a comment, not \"topics\"",
            ),
            ("user ", "acl: line 1: a user name is missing"),
            ("topic", "acl: line 1: topic \"\": "),
            ("topic read", ""),
            (
                "topic writes a",
                "acl: line 1: expected read, write, readwrite or deny, not \"writes\"",
            ),
            ("topic read a/#/b", "acl: line 1: topic \"a/#/b\": "),
            ("pattern write a+", "acl: line 1: topic \"a+\": "),
        ] {
            match parse(text) {
                Err(error) => assert!(error.starts_with(said) && !said.is_empty(), "{error}"),
                // As in Mosquitto, a single word is a topic, whatever the word.
                Ok(acl) => {
                    assert_eq!(said, "", "{text}");
                    assert!(acl.may_write(&client(None, "c"), "read"));
                }
            }
        }
    }
}
