//! Telegraf's way to name levels of a topic: `_/site/device/_`, a word for each level, and `_` for
//! those that do not matter.

use super::filter::RuleFilter;
use super::template::Template;

/// Whether a measurement is written in this way: then its level is called `measurement`.
pub(super) fn is_measurement(text: &str) -> bool {
    text.contains('/')
        && text.split('/').any(|word| word == MEASUREMENT)
        && text
            .split('/')
            .all(|word| matches!(word, "_" | MEASUREMENT))
}

const MEASUREMENT: &str = "measurement";

/// The names in `text` with the levels that they stand for.
///
/// # Errors
/// When it cannot have so many levels.
pub(super) fn levels(text: &str, filter: &RuleFilter) -> Result<Vec<(String, Template)>, String> {
    let count = text.split('/').count();
    if let Some(expected) = filter.level_count()
        && expected != count
    {
        return Err(format!(
            "expected a word for each of the {expected} levels of the filter, as in _/site/_, \
             found {count}"
        ));
    }
    let words = text.split('/').enumerate();
    let named = words.filter(|(_, word)| *word != "_");
    Ok(named
        .map(|(position, word)| (word.to_owned(), Template::level(position)))
        .collect())
}
