//! What the cluster does with every pod, and a mirror's pods must leave to it.

use std::time::Duration;

use clap::ValueEnum;
use kube::Client;

/// The API group by which OpenShift is recognised: that of its SecurityContextConstraints, which
/// give each namespace users and groups of its own. Every client may ask which groups there are.
const GROUP: &str = "security.openshift.io";

/// The pause before asking again. To take another platform for granted would replace every pod.
const PAUSE: Duration = Duration::from_secs(2);

/// Whether the cluster is OpenShift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Openshift {
    /// If it serves the API group security.openshift.io
    #[default]
    Auto,
    /// Yes: pods get no user and no groups from the operator, because the platform assigns them
    True,
    /// No: pods run as user 65532
    False,
}

impl Openshift {
    /// Whether it is, according to the API server if need be. Waits until that answers.
    pub async fn is_so(self, client: &Client) -> bool {
        match self {
            Self::True => true,
            Self::False => false,
            Self::Auto => loop {
                match client.list_api_groups().await {
                    Ok(list) => break list.groups.iter().any(|group| group.name == GROUP),
                    Err(error) => {
                        tracing::warn!(%error, "cannot see whether this is OpenShift; trying again");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            },
        }
    }
}
