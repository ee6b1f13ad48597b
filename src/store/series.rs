//! What the points of one topic have in common.

use super::line::{KEY_LEN_MAX, KEY_SEPARATOR, is_escaped_in_names};

/// The longest name of a field, in bytes as escaped; room for it is left in every series key.
pub(super) const FIELD_NAME_LEN_MAX: usize = 520;

/// The longest series key that leaves room for the name of any field, in bytes as escaped.
pub(super) const SERIES_KEY_LEN_MAX: usize = KEY_LEN_MAX - KEY_SEPARATOR.len() - FIELD_NAME_LEN_MAX;

/// Stands at the end of a tag for the rest of a topic, or for a topic that has nothing.
const CUT: char = '\u{2026}';

/// What every point of a topic begins with, escaped once. Worth keeping per topic.
///
/// A tag cannot hold every topic. What it cannot hold has a readable stand-in there, and each point
/// then has the exact topic in the field `topic_exact`. Two topics may so share a series; their
/// points stay apart, since no two have the same timestamp.
///
/// | in the topic | in the tag |
/// |---|---|
/// | newline | `␊` (U+240A) |
/// | `\` at the end, or before `,` `=` space | `＼` (U+FF3C) |
/// | `#`, which no MQTT topic has | `＃` (U+FF03) |
/// | what goes beyond about 65,000 bytes, as escaped | `…` (U+2026) |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Measurement, tag, and the space before the fields.
    head: Box<[u8]>,
    /// The topic, where the tag could not hold it.
    topic_exact: Option<Box<str>>,
}

impl Series {
    /// The series of a topic; `measurement` is escaped already.
    pub(super) fn new(measurement: &str, topic: &str) -> Self {
        let mut head = String::with_capacity(measurement.len() + topic.len() + 16);
        head.push_str(measurement);
        head.push_str(",topic=");
        let is_exact = push_tag_value(topic, &mut head);
        head.push(' ');
        Self {
            head: head.into_bytes().into_boxed_slice(),
            topic_exact: (!is_exact).then(|| topic.into()),
        }
    }

    /// The line up to its fields.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The topic, where the tag could not hold it.
    pub(super) fn topic_exact(&self) -> Option<&str> {
        self.topic_exact.as_deref()
    }
}

/// Appends `topic` as the value of a tag to a series key, and says whether all of it reads back.
pub(super) fn push_tag_value(topic: &str, key: &mut String) -> bool {
    if topic.is_empty() {
        key.push(CUT);
        return false;
    }

    let mut is_exact = true;
    let mut chars = topic.chars().peekable();
    while let Some(c) = chars.next() {
        if key.len() + c.len_utf8().max(2) > SERIES_KEY_LEN_MAX - CUT.len_utf8() {
            key.push(CUT);
            return false;
        }
        if is_escaped_in_names(c) {
            key.push('\\');
            key.push(c);
            continue;
        }
        let stand_in = match c {
            // It would end the line.
            '\n' => '\u{240a}',
            // At the end it would escape the space after the series. Before an escape influxd takes
            // it for one, and may then see a quoted string begin in the topic `\ \="`, in which
            // the next lines drown.
            '\\' if chars.peek().is_none_or(|&next| is_escaped_in_names(next)) => '\u{ff3c}',
            // After a restart influxd splits its keys at the first `KEY_SEPARATOR`: with one in the
            // tag, or begun there, the point would move to another series.
            '#' => '\u{ff03}',
            _ => c,
        };
        is_exact &= stand_in == c;
        key.push(stand_in);
    }
    is_exact
}

#[cfg(test)]
mod tests {
    use super::{SERIES_KEY_LEN_MAX, Series};

    #[test]
    fn escapes_topics() {
        for (topic, tag) in [
            ("a/b", "a/b"),
            ("a b,c=d\"e'", r#"a\ b\,c\=d"e'"#),
            (r"a\b\\c", r"a\b\\c"),
            (r#"\"a\"#, r#"\"a＼"#),
            (r"a\n", r"a\n"),
            (" ", r"\ "),
            ("😀 é", r"😀\ é"),
            ("a\rb\tc\0d\u{7f}", "a\rb\tc\0d\u{7f}"),
            ("$SYS/x", "$SYS/x"),
            // Not as they are.
            ("a\nb\n", "a␊b␊"),
            (r"a\", "a＼"),
            (r"a\\", r"a\＼"),
            (r"a\,b", r"a＼\,b"),
            (r#"\ \="x"#, r#"＼\ ＼\="x"#),
            ("a\\\n", r"a\␊"),
            ("#!~#", "＃!~＃"),
            ("", "…"),
        ] {
            let series = Series::new("mqtt", topic);
            assert_eq!(text(&series), format!("mqtt,topic={tag} "), "{topic:?}");
            let is_exact = !tag.contains(['␊', '＼', '＃', '…']);
            assert_eq!(
                series.topic_exact(),
                (!is_exact).then_some(topic),
                "{topic:?}"
            );
        }
    }

    #[test]
    fn cuts_long_topics_between_characters() {
        for topic in ["x".repeat(60_000), "é".repeat(30_000), " ".repeat(30_000)] {
            assert_eq!(Series::new("mqtt", &topic).topic_exact(), None);
        }
        for (piece, escaped) in [
            ("x", "x"),
            ("é", "é"),
            ("😀", "😀"),
            (" ", r"\ "),
            (r"\", r"\"),
        ] {
            for shift in 0..4 {
                let topic = format!(
                    "{}{}",
                    "x".repeat(shift),
                    piece.repeat(65_535 / piece.len())
                );
                let series = Series::new("mqtt", &topic);
                let key = text(&series).strip_suffix(' ').expect("a space");
                assert!((SERIES_KEY_LEN_MAX - 5..=SERIES_KEY_LEN_MAX).contains(&key.len()));
                assert!(key.ends_with(&format!("{escaped}…")));
                assert!(series.topic_exact() == Some(&topic));
            }
        }
    }

    fn text(series: &Series) -> &str {
        str::from_utf8(series.head()).expect("UTF-8 in, UTF-8 out")
    }
}
