//! The table.

use crate::arrivals::Faults;
use crate::measure::Measure;
use crate::scenario::{Headline, Scenario};

/// What all runs of one broker found in one scenario.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) broker: String,
    pub(crate) runs: Vec<Measure>,
    /// Why there is no, or no further, run.
    pub(crate) failure: Option<String>,
}

/// The head of the table, in Markdown.
pub(crate) fn head() -> String {
    let columns = columns();
    let names: Vec<&str> = columns.iter().map(|column| column.0).collect();
    format!(
        "| scenario | broker | {} | first to this | least to most | faults |\n|{}",
        names.join(" | "),
        "---|".repeat(columns.len() + 5),
    )
}

/// The rows of one scenario. The first one, ours unless it was left out, is compared with the
/// others.
pub(crate) fn rows(scenario: &Scenario, rows: &[Row]) -> String {
    let headline = scenario.headline;
    let first = rows
        .first()
        .and_then(|row| median(row, |measure| headline.of(measure)));
    let line = |(index, row): (usize, &Row)| {
        let figures: Vec<String> = columns()
            .iter()
            .map(|(_, figure)| median(row, figure).map_or_else(|| "-".to_owned(), rounded))
            .collect();
        let theirs = median(row, |measure| headline.of(measure));
        let ratio = match (first, theirs) {
            (Some(first), Some(theirs)) if index > 0 && theirs > 0.0 => {
                format!("{:.2} of {}", first / theirs, headline.name())
            }
            _ => "-".to_owned(),
        };
        format!(
            "| {} | {} | {} | {ratio} | {} | {} |",
            scenario.name,
            row.broker,
            figures.join(" | "),
            spread(row, headline),
            faults(row),
        )
    };
    let lines: Vec<String> = rows.iter().enumerate().map(line).collect();
    lines.join("\n")
}

/// What [`faults`] says when nothing went wrong.
pub(crate) const NO_FAULTS: &str = "no";

/// What went wrong in all runs together.
pub(crate) fn faults(row: &Row) -> String {
    let faults: Faults = row.runs.iter().map(|measure| measure.faults).sum();
    let stored_amiss: u64 = row.runs.iter().map(|measure| measure.stored_amiss).sum();
    let counts = [
        (faults.lost, "lost"),
        (faults.surplus, "surplus"),
        (faults.late, "late"),
        (stored_amiss, "too few or too many stored"),
    ];
    let mut parts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    parts.extend(row.failure.clone());
    if parts.is_empty() {
        NO_FAULTS.to_owned()
    } else {
        parts.join(", ")
    }
}

type Figure = fn(&Measure) -> Option<f64>;

fn columns() -> [(&'static str, Figure); 9] {
    [
        ("per second", |measure| measure.rate),
        ("broker µs", |measure| measure.broker_us),
        ("generator µs", |measure| measure.generator_us),
        ("influxd µs", |measure| measure.influx_us),
        ("MiB", |measure| measure.resident_mib),
        ("KiB each", |measure| measure.connection_kib),
        ("p50 µs", |measure| {
            measure.latency.map(|latency| latency.p50)
        }),
        ("p99 µs", |measure| {
            measure.latency.map(|latency| latency.p99)
        }),
        ("p99.9 µs", |measure| {
            measure.latency.map(|latency| latency.p999)
        }),
    ]
}

/// The middle one, or the mean of the middle two.
fn median(row: &Row, figure: impl Fn(&Measure) -> Option<f64>) -> Option<f64> {
    let mut figures: Vec<f64> = row.runs.iter().filter_map(figure).collect();
    figures.sort_unstable_by(f64::total_cmp);
    let upper = figures.get(figures.len() / 2)?;
    let lower = figures.get((figures.len() - 1) / 2)?;
    Some((upper + lower) / 2.0)
}

/// How far the runs lie apart in what is compared.
fn spread(row: &Row, headline: Headline) -> String {
    let figures = row.runs.iter().filter_map(|measure| headline.of(measure));
    let least = figures.clone().reduce(f64::min);
    let most = figures.reduce(f64::max);
    match (least, most) {
        (Some(least), Some(most)) => format!("{} to {}", rounded(least), rounded(most)),
        _ => "-".to_owned(),
    }
}

/// Three digits or more, and thousands apart.
fn rounded(figure: f64) -> String {
    match figure {
        0.0..10.0 => format!("{figure:.2}"),
        10.0..100.0 => format!("{figure:.1}"),
        _ => {
            let digits = format!("{figure:.0}");
            let first = digits.len() % 3;
            let (head, tail) = digits.split_at(first);
            let mut groups: Vec<&str> = Vec::new();
            if !head.is_empty() {
                groups.push(head);
            }
            let mut tail = tail;
            while let Some((group, rest)) = tail.split_at_checked(3) {
                groups.push(group);
                tail = rest;
            }
            groups.join(",")
        }
    }
}
