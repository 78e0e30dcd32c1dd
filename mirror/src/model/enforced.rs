//! Label matchers that a target enforces. [`crate::plan::enforce`] puts them into each query.

/// Labels and the one value that each must have. Empty: nothing is enforced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enforced(pub Vec<(String, String)>);
