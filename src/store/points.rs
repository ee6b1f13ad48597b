//! Points on their way: lines with what must be known of them without reading them.

/// Points as lines of line protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Points<'a> {
    /// The lines, a newline after each point. A string value may have newlines too.
    pub(super) lines: &'a [u8],
    /// How many points.
    pub(super) count: usize,
    /// When the first of their messages came, in nanoseconds since 1970. A rule may have given the
    /// points themselves other timestamps.
    pub(super) first_ns: i64,
    /// When the last one came.
    pub(super) last_ns: i64,
}

/// Takes `body` apart into lines, one point each, without their newlines. Empty lines are left out.
pub(super) fn split(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body;
    let lines = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, after) = rest.split_at(line_len(rest));
        rest = after.get(1..).unwrap_or_default();
        Some(line)
    });
    lines.filter(|line| !line.is_empty())
}

/// How long the first line is: up to the first newline that is not within a string value.
fn line_len(body: &[u8]) -> usize {
    // A quote means something only where the value of a field begins or goes on: in tags and in
    // the names of fields it is a character like any other.
    let (mut in_fields, mut in_value, mut in_quotes, mut is_escaped) = (false, false, false, false);
    for (at, byte) in body.iter().enumerate() {
        if std::mem::take(&mut is_escaped) {
            continue;
        }
        match byte {
            b'\\' => is_escaped = true,
            b'"' if in_value => in_quotes = !in_quotes,
            b'\n' if !in_quotes => return at,
            _ if in_quotes => {}
            b' ' => in_fields = true,
            b'=' if in_fields => in_value = true,
            b',' => in_value = false,
            _ => {}
        }
    }
    body.len()
}

/// The topic of a line's message: the field `topic_exact`, or else the tag `topic`.
pub(super) fn topic(line: &[u8]) -> Option<String> {
    const EXACT: &[u8] = b"topic_exact=\"";
    const TAG: &[u8] = b",topic=";

    let after = |name: &[u8]| {
        let start = line.windows(name.len()).position(|window| window == name)?;
        line.get(start + name.len()..)
    };
    // In a string value its quote would have an escape before it, so this is the field itself.
    let (rest, ends): (_, fn(u8) -> bool) = match after(EXACT) {
        Some(rest) => (rest, |byte| byte == b'"'),
        None => (after(TAG)?, |byte| matches!(byte, b',' | b' ')),
    };
    let mut topic = Vec::new();
    let mut bytes = rest.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if ends(byte) {
            return String::from_utf8(topic).ok();
        }
        let escapes = |next: &u8| matches!(next, b',' | b'=' | b' ' | b'"' | b'\\');
        match bytes.next_if(|next| byte == b'\\' && escapes(next)) {
            Some(escaped) => topic.push(escaped),
            None => topic.push(byte),
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::super::mapping::Mapping;
    use super::*;
    use crate::config::KeepPayload;

    const TOPICS: [&str; 12] = [
        "a", "a b", "a,b=c", "\"", "a\"=\"b", "\\", "a\\", "a\\ b", "\\ \\=\"", "a\nb", "ü",
        "topic",
    ];

    const PAYLOADS: [&str; 12] = [
        "1",
        "text",
        "two\nlines",
        "\n",
        "\"",
        "\\",
        "\\\"\n",
        "a,topic=b c=1\n",
        ",topic_exact=\"no\"",
        "{\"a\\\"b\":\"x\\ny\",\"c d\":1}",
        "m a=\"\n",
        "",
    ];

    #[test]
    fn takes_a_body_apart_as_it_was_put_together() {
        let mapping = Mapping::new("mqtt", KeepPayload::Lossy).unwrap();
        let (mut body, mut lines, mut topics) = (Vec::new(), Vec::new(), Vec::new());
        for topic in TOPICS {
            for payload in PAYLOADS {
                let mut line = Vec::new();
                let series = mapping.series(topic);
                mapping.push_point(&series, payload.as_bytes(), 17, &mut line);
                body.extend_from_slice(&line);
                line.pop();
                lines.push(line);
                topics.push(topic.to_owned());
            }
        }
        assert!(split(&body).eq(&lines));
        let told: Vec<_> = lines.iter().map(|line| topic(line).unwrap()).collect();
        assert_eq!(told, topics);
    }

    #[test]
    fn takes_what_is_not_whole_for_a_line() {
        let lines = |body: &'static str| split(body.as_bytes()).collect::<Vec<_>>();
        assert_eq!(lines("m a=1"), [b"m a=1"]);
        assert_eq!(lines("m a=\"\n"), [b"m a=\"\n"]);
        assert!(lines("").is_empty() && lines("\n\n").is_empty());
        assert_eq!(topic(b"m a=1 1"), None);
        assert_eq!(topic(b"m,topic=a"), None);
    }
}
