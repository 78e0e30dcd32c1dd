//! The labels of the upstream metrics.

use std::fmt;

use prometheus_client::encoding::{EncodeLabel as _, EncodeLabelSet, LabelSetEncoder};

use super::outcome::Outcome;

/// One target.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TargetLabel {
    target: String,
}

impl TargetLabel {
    pub(super) fn of(target: &str) -> Self {
        let target = target.to_owned();
        Self { target }
    }
}

/// One server of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::prometheus) struct ServerLabels {
    pub(in crate::prometheus) target: String,
    /// Its URL. None where the target has no other, or servers are not told apart.
    pub(in crate::prometheus) server: Option<String>,
}

impl EncodeLabelSet for ServerLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        ("target", self.target.as_str()).encode(encoder.encode_label())?;
        match &self.server {
            Some(server) => ("server", server.as_str()).encode(encoder.encode_label()),
            None => Ok(()),
        }
    }
}

/// An outcome of calls of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CallLabels {
    #[prometheus(flatten)]
    pub(super) server: ServerLabels,
    pub(super) outcome: Outcome,
}
