//! The known name that a mistyped one was probably meant to be.

/// The candidate with the fewest edits from `typed`, if it is near enough to be a typing mistake.
pub(super) fn nearest<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let (distance, candidate) = candidates
        .into_iter()
        .map(|candidate| (edits(typed, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)?;
    // A third of the letters: `prot` is `port`, but `tls` is nothing that we know.
    let allowed = typed.chars().count() / 3 + 1;
    (distance <= allowed).then_some(candidate)
}

/// How many letters must be inserted, removed or replaced to turn `from` into `to` (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    // Entry `i` of a row: the edits from the letters of `from` seen up to now to the first `i`
    // letters of `to`.
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (seen, from_letter) in from.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut left = seen + 1;
        next.push(left);
        for (above, to_letter) in row.windows(2).zip(&to) {
            let [diagonal, above] = above else { continue };
            let replaced = diagonal + usize::from(from_letter != *to_letter);
            left = replaced.min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        for (from, to, count) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("port", "prot", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edits(from, to), count, "{from} {to}");
        }
    }

    #[test]
    fn finds_what_was_meant_and_nothing_far_away() {
        let names = ["port", "listen", "keep-payload"];
        assert_eq!(nearest("keep-paylaod", names), Some("keep-payload"));
        assert_eq!(nearest("prot", names), Some("port"));
        assert_eq!(nearest("tls-certificate", names), None);
    }
}
