//! What a message of the bench says: who sent it, as which of its messages, and when.
//!
//! Text of 64 bytes, since text is what a broker that stores messages finds in them. Numbers stand
//! in it in base 16 with the letters `a` to `p`: eight digits are written or read in a few
//! instructions, and the generator must be cheap.

/// The length of every payload, in bytes.
pub(crate) const PAYLOAD_LEN: usize = 64;

/// Where in the payload the message's number stands.
pub(crate) const NUMBER_AT: usize = 8;

/// Where in the payload the time of sending stands.
pub(crate) const TIME_AT: usize = 16;

/// The end of the time.
const TIME_END: usize = TIME_AT + 16;

const LETTER_A: u64 = 0x6161_6161_6161_6161;

/// What a payload says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Which publisher sent it.
    pub(crate) publisher: u32,
    /// Which of the publisher's messages it is, counted from 0.
    pub(crate) number: u32,
}

/// A payload whose number and time are 0.
pub(crate) fn payload(publisher: u32) -> [u8; PAYLOAD_LEN] {
    let mut payload = [b'.'; PAYLOAD_LEN];
    payload[..NUMBER_AT].copy_from_slice(&letters(publisher));
    payload[NUMBER_AT..TIME_AT].copy_from_slice(&letters(0));
    payload[TIME_AT..TIME_END].copy_from_slice(&time_letters(0));
    payload
}

/// Who sent `payload` as which message; `None` for what the bench has not sent.
pub(crate) fn stamp(payload: &[u8]) -> Option<Stamp> {
    let (publisher, rest) = payload.split_first_chunk()?;
    let number = rest.first_chunk()?;
    (payload.len() == PAYLOAD_LEN).then_some(Stamp {
        publisher: number_of(*publisher),
        number: number_of(*number),
    })
}

/// When `payload` was sent, in nanoseconds of the generator's clock.
pub(crate) fn time_ns(payload: &[u8]) -> Option<u64> {
    let (high, low) = payload.get(TIME_AT..TIME_END)?.split_first_chunk()?;
    let high = u64::from(number_of(*high));
    Some(high << 32 | u64::from(number_of(*low.first_chunk()?)))
}

/// A time in nanoseconds as it stands at [`TIME_AT`].
pub(crate) fn time_letters(time_ns: u64) -> [u8; 16] {
    let mut all = [0; 16];
    let (high, low) = all.split_at_mut(8);
    high.copy_from_slice(&letters((time_ns >> 32) as u32));
    low.copy_from_slice(&letters((time_ns & u64::from(u32::MAX)) as u32));
    all
}

/// A number as it stands at [`NUMBER_AT`].
pub(crate) fn letters(number: u32) -> [u8; 8] {
    // Each step moves the upper half of every group to a group of its own.
    let mut digits = u64::from(number);
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff;
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff;
    digits = (digits | digits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    (digits + LETTER_A).to_be_bytes()
}

/// The reverse of [`letters`]; of other text it makes a number without meaning.
fn number_of(letters: [u8; 8]) -> u32 {
    let mut digits = u64::from_be_bytes(letters).wrapping_sub(LETTER_A) & 0x0f0f_0f0f_0f0f_0f0f;
    digits = (digits | digits >> 4) & 0x00ff_00ff_00ff_00ff;
    digits = (digits | digits >> 8) & 0x0000_ffff_0000_ffff;
    ((digits | digits >> 16) & u64::from(u32::MAX)) as u32
}
