//! Chance that is the same in every run.

/// Small, and good enough to break things with (Numerical Recipes' constants).
pub(crate) struct Random(u32);

impl Random {
    /// Always the same numbers for one seed.
    pub(crate) fn seeded(seed: u32) -> Self {
        Self(seed)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // The high bits are the good ones.
        self.0.to_be_bytes()[0]
    }

    /// From 0 to `end` - 1; `end` is at most 65,536.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(u16::from_be_bytes([self.byte(), self.byte()])) % end
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }
}
