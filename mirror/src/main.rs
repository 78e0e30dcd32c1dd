//! The mirror binary.
fn main() {}
