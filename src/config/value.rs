//! Checks that turn the text of one setting into its typed value.
//!
//! An error is what was expected, as the end of a sentence: the caller puts the setting, the value
//! and the place in front of it.

use std::fmt::Display;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::choice::Choice;

/// What a check says of a value that it refuses.
pub(super) type Refusal = String;

/// A whole number within `range`.
pub(super) fn count<T>(value: &str, range: &RangeInclusive<T>) -> Result<T, Refusal>
where
    T: FromStr + PartialOrd + Display,
{
    let number = all_digits(value).then(|| value.parse().ok()).flatten();
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            format!(
                "expected a whole number from {} to {}",
                range.start(),
                range.end()
            )
        })
}

/// A number of bytes within `range`, with an optional suffix `k`, `M` or `G` for powers of 1024.
pub(super) fn size(value: &str, range: &RangeInclusive<usize>) -> Result<usize, Refusal> {
    let (digits, factor) = match value.char_indices().last() {
        Some((at, 'k' | 'K')) => (value.get(..at), 1 << 10),
        Some((at, 'm' | 'M')) => (value.get(..at), 1 << 20),
        Some((at, 'g' | 'G')) => (value.get(..at), 1 << 30),
        _ => (Some(value), 1),
    };
    let Some(digits) = digits.filter(|digits| all_digits(digits)) else {
        return Err("not a size (bytes, or with a suffix k, M, G)".to_owned());
    };
    // Too many digits for a usize are out of range as well.
    let bytes = digits
        .parse()
        .ok()
        .and_then(|number: usize| number.checked_mul(factor));
    bytes
        .filter(|bytes| range.contains(bytes))
        .ok_or_else(|| format!("expected from {} to {} bytes", range.start(), range.end()))
}

/// A number of bytes per second, at most 1 GiB; 0 is no limit.
pub(super) fn rate(value: &str) -> Result<u32, Refusal> {
    let bytes = size(value, &(0..=1 << 30))?;
    u32::try_from(bytes).map_err(|error| error.to_string())
}

/// A time span within `range`: `500ms`, `10s`, `5m`, `1h`, or a plain number of seconds.
pub(super) fn duration(value: &str, range: &RangeInclusive<Duration>) -> Result<Duration, Refusal> {
    let (digits, unit_ms) = if let Some(digits) = value.strip_suffix("ms") {
        (digits, 1)
    } else if let Some(digits) = value.strip_suffix('s') {
        (digits, 1_000)
    } else if let Some(digits) = value.strip_suffix('m') {
        (digits, 60_000)
    } else if let Some(digits) = value.strip_suffix('h') {
        (digits, 3_600_000)
    } else {
        (value, 1_000)
    };
    if !all_digits(digits) {
        return Err("not a duration (seconds, or with a suffix ms, s, m, h)".to_owned());
    }
    let millis = digits
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(unit_ms));
    millis
        .map(Duration::from_millis)
        .filter(|span| range.contains(span))
        .ok_or_else(|| format!("expected from {:?} to {:?}", range.start(), range.end()))
}

/// `true` or `false`.
pub(super) fn switch(value: &str) -> Result<bool, Refusal> {
    value
        .parse()
        .map_err(|_| "expected true or false".to_owned())
}

/// One of the words of `T`.
pub(super) fn choice<T: Choice>(value: &str) -> Result<T, Refusal> {
    let found = T::WORDS.iter().find(|(word, _)| *word == value);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        match words.split_last() {
            Some((last, others)) => format!("expected {} or {last}", others.join(", ")),
            None => "no value is possible".to_owned(),
        }
    })
}

/// A text with at least one character, and none that would break a line of a protocol or of the
/// log.
pub(super) fn name(value: &str) -> Result<String, Refusal> {
    if value.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if value.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(value.to_owned())
}

/// Like [`name`]; an empty text is no value, so that a stronger source can take away what a weaker
/// one has set.
pub(super) fn optional_name(value: &str) -> Result<Option<String>, Refusal> {
    if value.is_empty() {
        Ok(None)
    } else {
        name(value).map(Some)
    }
}

/// The path of a URL: visible ASCII behind a slash, with neither query nor fragment.
pub(super) fn path(value: &str) -> Result<String, Refusal> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
    if value.starts_with('/') && value.bytes().all(is_plain) {
        Ok(value.to_owned())
    } else {
        Err("expected a path such as /mqtt, in ASCII and without ? and #".to_owned())
    }
}

/// Like [`name`], and one that can stand at the beginning of a line of InfluxDB's line protocol:
/// there `#` begins a comment, and a backslash would escape the comma that ends the name.
pub(super) fn measurement(value: &str) -> Result<String, Refusal> {
    if value.starts_with('#') || value.ends_with('\\') {
        return Err("must not begin with # or end with a backslash".to_owned());
    }
    name(value)
}

/// The addresses to listen on that `ADDR:PORT` names. A host name may stand for several; it is
/// looked up here, so that a wrong one is an error at start. Numeric addresses cause no look-up.
pub(super) fn listen_addresses(value: &str) -> Result<Vec<SocketAddr>, Refusal> {
    let form = || "expected ADDR:PORT, such as 0.0.0.0:1883 or [::]:1883".to_owned();
    let (host, port) = value.rsplit_once(':').ok_or_else(form)?;
    // `::1:1883` may mean two things; an IPv6 address stands in brackets.
    let is_bare_ipv6 = host.contains(':') && !host.starts_with('[');
    if host.is_empty() || is_bare_ipv6 || !all_digits(port) || port.parse::<u16>().is_err() {
        return Err(form());
    }
    let found = value
        .to_socket_addrs()
        .map_err(|error| format!("cannot be resolved: {error}"))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        Err("has no address".to_owned())
    } else {
        Ok(addresses)
    }
}

/// The root of InfluxDB's HTTP interface, without a slash at its end.
pub(super) fn influx_url(value: &str) -> Result<String, Refusal> {
    let url = reqwest::Url::parse(value)
        .ok()
        .filter(|_| value.starts_with("http://") || value.starts_with("https://"))
        .ok_or_else(|| "expected http[s]://HOST[:PORT][/PREFIX]".to_owned())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "a user does not belong into the URL, use --influx-username \
                    and --influx-password-file"
                .to_owned(),
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("expected http[s]://HOST[:PORT][/PREFIX], without ? and #".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Numbers are plain digits here: `parse` alone would also take `+5`.
fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::super::choice::{KeepPayload, StoreKind};
    use super::*;

    #[test]
    fn reads_counts() {
        assert_eq!(count("64", &(1..=64_u16)), Ok(64));
        for bad in ["", "0", "65", "+5", "-1", "1.0", "1e3", "99999999", " 1"] {
            assert_eq!(
                count(bad, &(1..=64_u16)),
                Err("expected a whole number from 1 to 64".to_owned()),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn reads_sizes() {
        let range = 2..=268_435_460;
        for (text, bytes) in [
            ("2", 2),
            ("1k", 1024),
            ("1K", 1024),
            ("16M", 16 << 20),
            ("256m", 256 << 20),
        ] {
            assert_eq!(size(text, &range), Ok(bytes), "{text:?}");
        }
        for bad in [
            "", "M", "10x", "1.5M", "-1", "+1", "1 M", "10MB", "1é", "k1",
        ] {
            let refusal = Err("not a size (bytes, or with a suffix k, M, G)".to_owned());
            assert_eq!(size(bad, &range), refusal, "{bad:?}");
        }
        for bad in ["1", "1G", "99999999999999999999999", "9999999999999999999G"] {
            let refusal = Err("expected from 2 to 268435460 bytes".to_owned());
            assert_eq!(size(bad, &range), refusal, "{bad:?}");
        }
    }

    #[test]
    fn reads_durations() {
        let range = Duration::from_millis(100)..=Duration::from_secs(3_600);
        for (text, millis) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("10", 10_000),
        ] {
            assert_eq!(
                duration(text, &range),
                Ok(Duration::from_millis(millis)),
                "{text:?}"
            );
        }
        for bad in ["", "s", "ms", "1.5s", "10 s", "1d", "-1s", "s10"] {
            let refusal = Err("not a duration (seconds, or with a suffix ms, s, m, h)".to_owned());
            assert_eq!(duration(bad, &range), refusal, "{bad:?}");
        }
        for bad in ["99ms", "2h", "18446744073709551615h"] {
            let refusal = Err("expected from 100ms to 3600s".to_owned());
            assert_eq!(duration(bad, &range), refusal, "{bad:?}");
        }
    }

    #[test]
    fn reads_words() {
        assert_eq!(switch("true"), Ok(true));
        assert_eq!(switch("yes"), Err("expected true or false".to_owned()));
        assert_eq!(choice("off"), Ok(StoreKind::Off));
        assert_eq!(
            choice::<StoreKind>("on"),
            Err("expected influx or off".to_owned())
        );
        assert_eq!(
            choice::<KeepPayload>("Never"),
            Err("expected lossy, always or never".to_owned())
        );
    }

    #[test]
    fn reads_names() {
        assert_eq!(name("mqtt data"), Ok("mqtt data".to_owned()));
        assert_eq!(name(""), Err("must not be empty".to_owned()));
        assert_eq!(
            name("a\nb"),
            Err("must not contain control characters".to_owned())
        );
        assert_eq!(measurement("a b,c=d\\e"), Ok("a b,c=d\\e".to_owned()));
        for bad in ["#a", "a\\"] {
            let refusal = "must not begin with # or end with a backslash".to_owned();
            assert_eq!(measurement(bad), Err(refusal), "{bad:?}");
        }
        assert_eq!(measurement(""), Err("must not be empty".to_owned()));
        assert_eq!(optional_name(""), Ok(None));
        assert_eq!(optional_name("a"), Ok(Some("a".to_owned())));
    }

    #[test]
    fn reads_paths() {
        for text in ["/", "/mqtt", "/a/b.c"] {
            assert_eq!(path(text), Ok(text.to_owned()));
        }
        for bad in ["", "mqtt", "/a b", "/a?b", "/a#b", "/\u{e9}", "/\n"] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn reads_listen_addresses() {
        for text in ["0.0.0.0:1883", "127.0.0.1:0", "[::1]:1883", "[::]:65535"] {
            assert_eq!(listen_addresses(text), Ok(vec![text.parse().unwrap()]));
        }
        let local = listen_addresses("localhost:1883").unwrap();
        assert!(
            local.iter().all(|address| address.ip().is_loopback()),
            "{local:?}"
        );
        for bad in [
            "", "1883", ":1883", "::1:1883", "0.0.0.0", "0.0.0.0:", "a:65536", "a:+1",
        ] {
            let refusal = Err("expected ADDR:PORT, such as 0.0.0.0:1883 or [::]:1883".to_owned());
            assert_eq!(listen_addresses(bad), refusal, "{bad:?}");
        }
        // A label has at most 63 letters, so that no server is asked for this one.
        let refusal = listen_addresses(&format!("{}:1883", "a".repeat(64))).unwrap_err();
        assert!(refusal.starts_with("cannot be resolved: "), "{refusal}");
    }

    #[test]
    fn reads_influx_urls() {
        for (text, root) in [
            ("http://localhost:8086", "http://localhost:8086"),
            ("http://localhost:8086/", "http://localhost:8086"),
            ("http://[::1]:8086/influx/", "http://[::1]:8086/influx"),
            ("https://db.example/influx", "https://db.example/influx"),
        ] {
            assert_eq!(influx_url(text), Ok(root.to_owned()));
        }
        for (bad, refusal) in [
            ("localhost:8086", "expected http[s]://HOST[:PORT][/PREFIX]"),
            ("http://", "expected http[s]://HOST[:PORT][/PREFIX]"),
            ("http:a", "expected http[s]://HOST[:PORT][/PREFIX]"),
            ("", "expected http[s]://HOST[:PORT][/PREFIX]"),
            (
                "http://a/?db=x",
                "expected http[s]://HOST[:PORT][/PREFIX], without ? and #",
            ),
            (
                "http://me:pw@a",
                "a user does not belong into the URL, use --influx-username and \
                 --influx-password-file",
            ),
        ] {
            assert_eq!(influx_url(bad), Err(refusal.to_owned()), "{bad:?}");
        }
    }
}
