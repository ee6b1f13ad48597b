//! Payloads that are line protocol already: each line is checked, so that none can do harm to the
//! lines of others that are written with it.
//!
//! The rules are stricter than those of influxd, whose scanners do not agree about a backslash
//! before an escape, and which ends a name of its files at `#!~#`.

use super::timestamp;
use crate::config::rule::Precision;
use crate::store::line::KEY_SEPARATOR;
use crate::store::number::Number;
use crate::store::series::{FIELD_NAME_LEN_MAX, SERIES_KEY_LEN_MAX};

/// A good line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Measurement and tags.
    pub(super) series: &'a str,
    pub(super) fields: &'a str,
    /// In nanoseconds since 1970; `None` where the line leaves it to the server.
    pub(super) timestamp_ns: Option<i64>,
}

/// A line that is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadLine<'a> {
    /// Up to its newline.
    pub(super) text: &'a str,
    /// What is wrong with it.
    pub(super) reason: &'static str,
}

/// Takes `text` apart into its lines. Empty ones and comments are left out.
pub(super) fn lines(
    text: &str,
    precision: Precision,
) -> impl Iterator<Item = Result<Line<'_>, BadLine<'_>>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(['\n', '\r', ' ']);
        while rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            rest = rest.trim_start_matches(['\n', '\r', ' ']);
        }
        if rest.is_empty() {
            return None;
        }
        let whole = rest;
        Some(match line(whole, precision) {
            Ok((line, after)) => {
                rest = after;
                Ok(line)
            }
            // A string that does not end may have swallowed good lines.
            Err(reason) => {
                let (text, after) = whole.split_once('\n').unwrap_or((whole, ""));
                rest = after;
                Err(BadLine { text, reason })
            }
        })
    })
}

const NO_END: &str = "it ends within a name";

/// Reads the first line, and returns what comes after it.
fn line(whole: &str, precision: Precision) -> Result<(Line<'_>, &str), &'static str> {
    let mut rest = name(whole, &[',', ' '])?;
    while let Some(tag) = rest.strip_prefix(',') {
        let value = name(tag, &['='])?.strip_prefix('=');
        rest = name(value.ok_or("a tag has no value")?, &[',', ' ', '='])?;
    }
    let series = before(whole, rest);
    if series.len() > SERIES_KEY_LEN_MAX || series.contains(KEY_SEPARATOR) {
        return Err("measurement and tags are too long, or have #!~# in them");
    }
    let from_fields = rest.strip_prefix(' ').ok_or("there is no field")?;
    rest = from_fields;
    loop {
        let at_equals = name(rest, &['='])?;
        if before(rest, at_equals).len() > FIELD_NAME_LEN_MAX {
            return Err("the name of a field is too long");
        }
        rest = value(at_equals.strip_prefix('=').ok_or("a field has no value")?)?;
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => break,
        }
    }
    let fields = before(from_fields, rest);
    let (end, after) = rest.split_once('\n').unwrap_or((rest, ""));
    let timestamp_ns = match end.trim_matches([' ', '\r']) {
        "" => None,
        text => {
            let read = timestamp::from_text(text, precision).filter(|_| !text.contains('.'));
            Some(read.ok_or("the timestamp is none")?)
        }
    };
    let line = Line {
        series,
        fields,
        timestamp_ns,
    };
    Ok((line, after))
}

/// Passes over a name or the value of a tag, up to one of `stops`, and returns the rest from there.
fn name<'a>(text: &'a str, stops: &[char]) -> Result<&'a str, &'static str> {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.clone().next() {
                Some((_, ',' | '=' | ' ')) => {
                    chars.next();
                }
                None | Some((_, '\\' | '\n' | '\r')) => {
                    return Err("a backslash stands at the end of a name or before another one");
                }
                Some(_) => {}
            },
            '\n' => return Err(NO_END),
            c if c.is_control() => return Err("a name has a control character"),
            c if stops.contains(&c) => {
                let (passed, rest) = text.split_at_checked(at).unwrap_or_default();
                return if passed.is_empty() {
                    Err("a name is empty")
                } else {
                    Ok(rest)
                };
            }
            // One of the others that end a name must have an escape, except in a measurement.
            '=' if stops.contains(&',') => {}
            ',' | ' ' => return Err("a name has a comma or a space without a backslash"),
            _ => {}
        }
    }
    Err(NO_END)
}

/// Passes over the value of a field, and returns the rest.
fn value(text: &str) -> Result<&str, &'static str> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut chars = quoted.chars();
        loop {
            match chars.next().ok_or("a string has no end")? {
                '"' => break,
                '\\' => {
                    chars.next();
                }
                _ => {}
            }
        }
        let rest = chars.as_str();
        return match rest.starts_with([',', ' ', '\n', '\r']) || rest.is_empty() {
            true => Ok(rest),
            false => Err("something stands behind a string"),
        };
    }
    let end = text.find([',', ' ', '\n', '\r']).unwrap_or(text.len());
    let (plain, rest) = text.split_at_checked(end).unwrap_or_default();
    let is_good = match plain.strip_suffix('i') {
        Some(integer) => integer.parse::<i64>().is_ok() && !integer.starts_with('+'),
        None => {
            matches!(
                plain,
                "t" | "T" | "true" | "True" | "TRUE" | "f" | "F" | "false" | "False" | "FALSE"
            ) || Number::parse(plain.as_bytes()).is_some()
        }
    };
    match is_good {
        true => Ok(rest),
        false => Err("a value is no number, integer, boolean or string in quotes"),
    }
}

/// `whole` without `rest`, which is its end.
fn before<'a>(whole: &'a str, rest: &str) -> &'a str {
    whole
        .split_at_checked(whole.len().saturating_sub(rest.len()))
        .unwrap_or_default()
        .0
}

#[cfg(test)]
mod tests {
    use super::{Line, lines};
    use crate::config::rule::Precision;
    use crate::store::points::split;

    #[test]
    fn passes_good_lines() {
        let text =
            "# note\nm a=1\r\n\nm,t=x\\ y,u=z a=1i,b=\"q\\\"\n,\",c=t 5 \nn\\,o a\\==-1e3 -7";
        let good: Vec<_> = lines(text, Precision::Milliseconds)
            .map(|line| line.expect("a good line"))
            .collect();
        let line = |series, fields, timestamp_ns| Line {
            series,
            fields,
            timestamp_ns,
        };
        assert_eq!(
            good,
            [
                line("m", "a=1", None),
                line("m,t=x\\ y,u=z", "a=1i,b=\"q\\\"\n,\",c=t", Some(5_000_000)),
                line("n\\,o", "a\\==-1e3", Some(-7_000_000)),
            ]
        );
        // Put together again, they are told apart as they were.
        let body: String = good
            .iter()
            .map(|it| format!("{} {} 1\n", it.series, it.fields))
            .collect();
        assert_eq!(split(body.as_bytes()).count(), good.len());
    }

    #[test]
    fn stops_bad_lines_and_no_others() {
        for bad in [
            "m",
            "m ",
            "m a",
            "m a=",
            "m a=x",
            "m a=1u",
            "m a=+1",
            "m a=NaN",
            "m a=1 x",
            "m a=1 1.5",
            "m a=\"x",
            "m a=\"x\"y",
            "m,t a=1",
            "m,t= a=1",
            "m,=x a=1",
            ",t=x a=1",
            "m\\\\ a=1",
            "m,t=x\\",
            "m,t=x=y a=1",
            "m,a#!~#b=c a=1",
            "m a=1,",
            "m a=1,b",
            "m a=9223372036854775808i",
            "m a=1 9223372036854775807",
            "m\ta=1",
            "m a=1 1 1",
        ] {
            let text = format!("{bad}\nok a=1 1");
            let read: Vec<_> = lines(&text, Precision::Nanoseconds).collect();
            let reasons: Vec<_> = read.iter().map(Result::is_ok).collect();
            assert_eq!(reasons, [false, true], "{bad:?}: {read:?}");
        }
    }
}
