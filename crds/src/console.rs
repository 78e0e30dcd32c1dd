//! The page on which people try queries.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A page on which people try queries, for the browser.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Console {
    /// Serves the page on port 9902, which only kubectl port-forward reaches: the mirror listens on
    /// the pod's loopback address. The page asks for the API key.
    #[serde(default)]
    pub enabled: bool,
}
