//! Honest counts from layers that keep what the socket does not take.

use std::mem;

/// Whether a layer has taken a byte that it reported as not taken.
///
/// A layer seals bytes, by encrypting or framing them, before it can know how many of them the
/// socket will take. When it has sealed all it was given and keeps some of that, somebody must come
/// again to send it. So it reports all but the last byte: the caller, who has begun a packet and
/// must go on with it, comes with that byte, which is then passed over.
#[derive(Debug, Default)]
pub(super) struct Owed(bool);

impl Owed {
    /// How many of the bytes that come now are sealed already.
    pub(super) fn settle(&mut self) -> usize {
        usize::from(mem::take(&mut self.0))
    }

    /// What to report when `sealed` of `len` bytes are sealed, and whether all that was sealed has
    /// left.
    pub(super) fn report(&mut self, sealed: usize, len: usize, all_left: bool) -> usize {
        self.0 = sealed == len && !all_left;
        sealed - usize::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_back_one_byte_until_all_has_left() {
        let mut owed = Owed::default();
        assert_eq!(owed.settle(), 0);
        assert_eq!(owed.report(10, 10, false), 9);
        // The last byte comes once more, and nothing has left meanwhile.
        let sealed = owed.settle();
        assert_eq!((sealed, owed.report(sealed, 1, false)), (1, 0));
        // It comes again, with others behind it.
        let sealed = owed.settle();
        assert_eq!((sealed, owed.report(sealed, 100, false)), (1, 1));
        assert_eq!(owed.settle(), 0);
        assert_eq!(owed.report(99, 99, true), 99);
        assert_eq!(owed.settle(), 0);
    }
}
