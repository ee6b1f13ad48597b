//! The `mqtt-server` binary.
fn main() {}
