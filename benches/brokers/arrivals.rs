//! Whether every message arrived, once, and in order.

use std::iter::Sum;
use std::ops::{Add, Range};

/// What one subscriber has of the messages of one publisher.
///
/// Their order counts over all topics together, which is more than MQTT asks of a broker: for that
/// it is the order within each topic [MQTT-4.6.0-6].
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals {
    /// The number that comes next, if all is well.
    next: u32,
    /// Numbers below `next` that have not come: ranges in ascending order.
    missing: Vec<Range<u32>>,
    faults: Faults,
}

/// What went wrong with messages. All counts are of deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Never came.
    pub(crate) lost: u64,
    /// Came once more, or to a subscriber that it was not for.
    pub(crate) surplus: u64,
    /// Came behind a later one of the same publisher.
    pub(crate) late: u64,
}

impl Arrivals {
    /// Takes note of the message of this number.
    pub(crate) fn add(&mut self, number: u32) {
        if number == self.next {
            self.next += 1;
        } else {
            self.add_out_of_order(number);
        }
    }

    /// How many of the numbers below `sent` never came, and what else went wrong.
    pub(crate) fn faults(&self, sent: u32) -> Faults {
        let gaps: u64 = self
            .missing
            .iter()
            .map(|gap| u64::from(gap.end - gap.start))
            .sum();
        Faults {
            lost: gaps + u64::from(sent.saturating_sub(self.next)),
            // What was not sent to this subscriber.
            surplus: self.faults.surplus + u64::from(self.next.saturating_sub(sent)),
            late: self.faults.late,
        }
    }

    #[cold]
    fn add_out_of_order(&mut self, number: u32) {
        if number > self.next {
            self.missing.push(self.next..number);
            self.next = number + 1;
            return;
        }
        let Some(index) = self.missing.iter().rposition(|gap| gap.contains(&number)) else {
            self.faults.surplus += 1;
            return;
        };
        self.faults.late += 1;
        let gap = self.missing[index].clone();
        let parts = [gap.start..number, number + 1..gap.end];
        self.missing.splice(
            index..=index,
            parts.into_iter().filter(|part| !part.is_empty()),
        );
    }
}

impl Add for Faults {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            lost: self.lost + other.lost,
            surplus: self.surplus + other.surplus,
            late: self.late + other.late,
        }
    }
}

impl Sum for Faults {
    fn sum<I: Iterator<Item = Self>>(faults: I) -> Self {
        faults.fold(Self::default(), Add::add)
    }
}
