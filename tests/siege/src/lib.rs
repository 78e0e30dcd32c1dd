//! What the siege and the count of steps have in common: a store that answers badly on purpose.

pub mod hostile;
