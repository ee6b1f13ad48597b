//! The log: one event, one line on standard error.
//!
//! A line begins with a tag in brackets. Most tags are the level (`[INFO]`); an event that people
//! or programs wait for brings its own, as in `[LISTENING] Server is listening on 0.0.0.0:1883`.
//! What a client sends can reach a line, so whatever could end it, start another or command a
//! terminal is escaped.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::Level;

/// Sends the log to standard error.
///
/// `filter` says which events are logged, as in `RUST_LOG`; with `timestamps` each line begins
/// with its time.
///
/// # Errors
///
/// There is a logger already.
pub fn init(filter: &str, timestamps: bool) -> Result<(), log::SetLoggerError> {
    env_logger::Builder::new()
        .parse_filters(filter)
        .format(move |out, record| {
            let time = timestamps.then(SystemTime::now);
            out.write_all(line(time, record.level(), &record.args().to_string()).as_bytes())
        })
        .try_init()
}

/// One line of the log, with its newline.
fn line(time: Option<SystemTime>, level: Level, message: &str) -> String {
    let mut line = String::with_capacity(message.len() + 40);
    if let Some(time) = time {
        // A clock before 1970 is not set yet; the line matters more than its time.
        push_rfc3339(
            &mut line,
            time.duration_since(UNIX_EPOCH).unwrap_or_default(),
        );
        line.push(' ');
    }
    if !begins_with_tag(message) {
        line.push('[');
        line.push_str(level.as_str());
        line.push_str("] ");
    }
    for c in message.chars() {
        if is_dangerous(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}

/// Whether `message` begins with a tag such as `[UNKNOWN PACKET TYPE]`. The address `[::1]:1883`
/// and a JSON array are no tags.
fn begins_with_tag(message: &str) -> bool {
    let Some((tag, _)) = message
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    else {
        return false;
    };
    tag.starts_with(|c: char| c.is_ascii_uppercase())
        && tag
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == ' ')
}

/// Whether `c` could break the line, command a terminal, or show a line in another order than it
/// is written in.
fn is_dangerous(c: char) -> bool {
    let ends_line = matches!(c, '\u{2028}' | '\u{2029}');
    let marks_direction = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}');
    let turns_direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || ends_line || marks_direction || turns_direction
}

/// Appends the time `since_epoch` in UTC, as in `2024-02-29T23:59:59.042Z`.
pub(crate) fn push_rfc3339(line: &mut String, since_epoch: Duration) {
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let millis = since_epoch.subsec_millis();
    // Writing to a String cannot fail.
    let _ = write!(
        line,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
    );
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01.
///
/// Years are counted from March here, so that the leap day is the last one of its year.
fn civil_date(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970: u64 = 719_468; // from 0000-03-01
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    // Take out the leap days that are past: one in 4 years, none in 100, one in 400.
    let leap_days = day_of_era / 1_460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March on, five months always have 153 days.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(level: Level, message: &str) -> String {
        line(None, level, message)
    }

    #[test]
    fn begins_with_the_level() {
        assert_eq!(plain(Level::Error, "it broke"), "[ERROR] it broke\n");
        assert_eq!(plain(Level::Warn, "it bent"), "[WARN] it bent\n");
        assert_eq!(plain(Level::Info, ""), "[INFO] \n");
        assert_eq!(plain(Level::Debug, "a ] b"), "[DEBUG] a ] b\n");
        assert_eq!(plain(Level::Trace, "ü"), "[TRACE] ü\n");
    }

    #[test]
    fn keeps_the_tag_of_a_message() {
        for message in [
            "[LISTENING] Server is listening on 0.0.0.0:1883",
            "[UNKNOWN PACKET TYPE] 0 from 10.0.0.9:51712",
            "[QOS 2] x",
        ] {
            assert_eq!(plain(Level::Info, message), format!("{message}\n"));
        }
    }

    #[test]
    fn takes_nothing_else_in_brackets_for_a_tag() {
        for message in [
            "[::1]:1883 closed",
            "[1,2]",
            "[]",
            "[ A]",
            "[LISTENING",
            "[info] x",
            "[",
        ] {
            assert_eq!(plain(Level::Info, message), format!("[INFO] {message}\n"));
        }
    }

    #[test]
    fn escapes_what_forges_a_line() {
        for (message, escaped) in [
            ("a\n[ERROR] b", r"a\n[ERROR] b"),
            ("a\r\tb", r"a\r\tb"),
            ("\u{1b}[2J", r"\u{1b}[2J"),
            ("\0\u{7f}\u{9b}", r"\u{0}\u{7f}\u{9b}"),
            ("\u{2028}\u{202e}\u{2066}", r"\u{2028}\u{202e}\u{2066}"),
            ("it's \"quoted\" \\ 😀", "it's \"quoted\" \\ 😀"),
        ] {
            assert_eq!(plain(Level::Info, message), format!("[INFO] {escaped}\n"));
        }
        assert_eq!(plain(Level::Info, "[A\nB] c"), "[INFO] [A\\nB] c\n");
    }

    #[test]
    fn begins_with_the_time_if_asked() {
        let time = UNIX_EPOCH + Duration::from_millis(1_709_251_199_042);
        assert_eq!(
            line(Some(time), Level::Info, "x"),
            "2024-02-29T23:59:59.042Z [INFO] x\n"
        );
        assert_eq!(
            line(Some(time), Level::Info, "[A] x"),
            "2024-02-29T23:59:59.042Z [A] x\n"
        );
        let unset = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(
            line(Some(unset), Level::Info, "x"),
            "1970-01-01T00:00:00.000Z [INFO] x\n"
        );
    }

    #[test]
    fn knows_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
        ] {
            let mut line = String::new();
            push_rfc3339(&mut line, Duration::from_secs(seconds));
            assert_eq!(line, text);
        }
    }
}
