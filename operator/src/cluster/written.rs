//! What an apply wrote: input for events and for the status.

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What was done.
    pub what: Change,
    /// `Kind name`
    pub object: String,
}

/// What was done to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Change {
    Created,
    Updated,
    Deleted,
}
