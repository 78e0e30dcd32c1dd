//! Placeholder until the module proper is merged.

use crate::settings::Settings;

/// The targets of one document.
pub struct Targets;

impl Targets {
    /// Clients for every target of `settings`.
    #[must_use]
    pub fn new(_settings: &Settings) -> Self {
        Self
    }
}
