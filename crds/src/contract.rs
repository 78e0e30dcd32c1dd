//! What the operator and the mirror must agree on, beside the document itself. Each fact is here
//! once.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Labels of everything that is made for a resource. Selectors and other people's tools read them.
pub mod labels {
    /// Says which program an object belongs to.
    pub const NAME: &str = "app.kubernetes.io/name";
    /// The value of [`NAME`].
    pub const PROGRAM: &str = "prometheus-mirror";
    /// Says which resource an object belongs to.
    pub const INSTANCE: &str = "app.kubernetes.io/instance";
    /// Says who made an object; the watches of children select by it.
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// Says which part an object is, where a resource has two of a kind.
    pub const COMPONENT: &str = "app.kubernetes.io/component";
    /// On pods: the name of the resource whose sidecar they should carry.
    pub const INJECT: &str = "prometheus-mirror.io/inject";
}

/// Annotations of this project.
pub mod annotations {
    /// On children: SHA-256 of what was applied last. Applying the same again would change nothing.
    pub const APPLIED: &str = "prometheus-mirror.io/applied";
    /// On pods: what they should be serving. Changing it makes the kubelet look at the pod's
    /// volumes at once. On a Deployment: what those of its pods began with that do not have it.
    pub const CONFIGURATION: &str = "prometheus-mirror.io/configuration";
    /// On a Service or Prometheus object: the namespaces whose resources may refer to it, separated
    /// by commas, or `*` for all.
    pub const ALLOW_FROM: &str = "prometheus-mirror.io/allow-from";
    /// On pods with a sidecar: the hash of the sidecar that they were made with.
    pub const SIDECAR: &str = "prometheus-mirror.io/sidecar";
    /// On pods whose template has the sidecar: the hash of the one that was pasted.
    pub const PASTED: &str = "prometheus-mirror.io/pasted-sidecar";
}

/// Environment variables of the mirror that the operator sets; each is also a flag.
pub mod environment {
    /// The document.
    pub const FILE: &str = "PROMETHEUS_MIRROR_FILE";
    /// The folder of Secrets. That of ConfigMaps is beside it.
    pub const SECRETS_DIR: &str = "PROMETHEUS_MIRROR_SECRETS_DIR";
    /// Where the API listens.
    pub const LISTEN: &str = "PROMETHEUS_MIRROR_LISTEN";
    /// Where the admin port listens.
    pub const ADMIN_LISTEN: &str = "PROMETHEUS_MIRROR_ADMIN_LISTEN";
    /// How long a pod that ends goes on accepting.
    pub const DRAIN_DELAY: &str = "PROMETHEUS_MIRROR_DRAIN_DELAY";
    /// How long its requests under way may take after that.
    pub const DRAIN_TIMEOUT: &str = "PROMETHEUS_MIRROR_DRAIN_TIMEOUT";
    /// How log lines are written.
    pub const LOG_FORMAT: &str = "PROMETHEUS_MIRROR_LOG_FORMAT";
    /// Whether a mirror without a document that it can serve waits for one, instead of ending.
    pub const WAIT_FOR_DOCUMENT: &str = "PROMETHEUS_MIRROR_WAIT_FOR_DOCUMENT";

    /// The key that programs which ask a mirror show it. No mirror reads it, and no pod has it.
    pub const API_KEY: &str = "PROMETHEUS_MIRROR_API_KEY";

    /// What a mirror reads.
    pub const ALL: &[&str] = &[
        FILE,
        SECRETS_DIR,
        LISTEN,
        ADMIN_LISTEN,
        DRAIN_DELAY,
        DRAIN_TIMEOUT,
        LOG_FORMAT,
        WAIT_FOR_DOCUMENT,
    ];
}

/// How a program writes its log lines: the value of [`environment::LOG_FORMAT`], and of the flag of
/// both programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The operator's name: field manager, reporter of events, value of [`labels::MANAGED_BY`].
pub const OPERATOR: &str = "prometheus-mirror-operator";

/// The name of the mirror's container.
pub const CONTAINER: &str = "mirror";
/// The name of the same container where it is a sidecar in somebody else's pod.
pub const SIDECAR_CONTAINER: &str = "prometheus-mirror";
/// The name of the sidecar's volume. Others in the pod keep theirs.
pub const SIDECAR_VOLUME: &str = "prometheus-mirror-configuration";
/// The name of the sidecar's API port. The Service targets the name, so that it reaches only pods
/// that have the sidecar. Before Kubernetes 1.33, Services find ports of ordinary containers only.
pub const SIDECAR_API_PORT: &str = "mirror-api";
/// The name of the sidecar's admin port.
pub const SIDECAR_ADMIN_PORT: &str = "mirror-admin";
/// The name of the port where the Mirror API answers.
pub const API_PORT: &str = "api";
/// That port, unless `spec.port` names another one.
pub const API_PORT_NUMBER: u16 = 9900;
/// The name of the port where health checks and metrics answer.
pub const ADMIN_PORT: &str = "admin";
/// That port. A rule keeps `spec.port` away from it.
pub const ADMIN_PORT_NUMBER: u16 = 9901;
/// The port of the page for people, on the loopback address. While there is one, a rule keeps
/// `spec.port` away from it.
pub const CONSOLE_PORT_NUMBER: u16 = 9902;

/// Where the document, the Secrets and the ConfigMaps are mounted.
pub const CONFIGURATION_DIR: &str = "/etc/prometheus-mirror";
/// The document's key in the ConfigMap and its file name in the pod.
pub const DOCUMENT: &str = "mirror.yaml";

/// The key of the API key, where `apiKeySecretRef` names none.
pub const API_KEY: &str = "apiKey";
/// Beside the API key while it is being replaced; it may be absent.
pub const PREVIOUS_API_KEY: &str = "previousApiKey";

/// The fields of `spec` that the mirror reads. The others are about what runs it: changing one of
/// those does not change the document in the pods.
pub const DOCUMENT_FIELDS: &[&str] = &[
    "apiKeySecretRef",
    "server",
    "targets",
    "defaultTarget",
    "requestTargets",
    "workers",
    "limits",
    "logging",
    "cache",
    "port",
    "console",
];

/// SHA-256 in hex. The hash of a document is that of its bytes.
#[must_use]
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Pages of the admin port.
pub mod pages {
    /// 200 unless the process has to be killed.
    pub const LIVENESS: &str = "/livez";
    /// 200 while requests are welcome, with a [`Readiness`](super::Readiness) either way.
    pub const READINESS: &str = "/readyz";
    /// [`Reachability`](super::Reachability).
    pub const TARGETS: &str = "/targets";
    /// Metrics in the text formats of Prometheus.
    pub const METRICS: &str = "/metrics";
}

/// Where a mirror is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Requests are welcome.
    Ready,
    /// A signal to end came; requests are still answered, but the next ones should go elsewhere.
    Draining,
    /// No document is being served yet. A phase that this version does not know is read as this.
    #[default]
    #[serde(other)]
    Starting,
}

/// What `/readyz` answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Readiness {
    /// Where the process is in its life. Ready is 200, the others are 503.
    #[serde(default)]
    pub status: Phase,
    /// The document being served.
    pub document: Option<ServedDocument>,
    /// A newer document was refused because of faults; the log has them.
    pub newer_document_refused: bool,
}

/// The document that a mirror serves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ServedDocument {
    /// `metadata.name`.
    #[serde(default)]
    pub name: String,
    /// [`sha256`] of its bytes.
    pub hash: String,
}

/// What `/targets` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Reachability {
    /// The declared targets, in the document's order.
    pub targets: Vec<TargetReachability>,
    /// What was skipped or looks odd in the document, beside the targets, such as in the API port's
    /// certificate. It works all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// A target as one mirror sees it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct TargetReachability {
    /// Its name in the document.
    pub name: String,
    /// Whether it answered. Absent when the query did not get its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reachable: Option<bool>,
    /// The version that it reports, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why it is not reachable, or that it asks to slow down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What was skipped or looks odd in its part of the document. It works all the same. Older
    /// mirrors do not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// Each server, where the target has several. Older mirrors do not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerReachability>,
}

/// One of a target's servers as one mirror sees it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ServerReachability {
    /// Its base URL.
    pub url: String,
    /// Whether it answered. Absent when the query did not get its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reachable: Option<bool>,
    /// The version that it reports, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why it is not reachable, or that it asks to slow down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The rule about `spec.port` is written in CEL and has the number in it.
    #[test]
    fn the_rule_of_the_api_port_names_the_admin_port() {
        let rule = &crate::rules::API_PORT[0];
        let port = ADMIN_PORT_NUMBER.to_string();
        assert!(rule.cel.contains(&port) && rule.message.contains(&port));
        assert!(!(rule.holds)(&json!(ADMIN_PORT_NUMBER)));
    }

    #[test]
    fn the_rule_of_the_console_names_its_port() {
        let rule = crate::rules::CONSOLE_PORT;
        let port = CONSOLE_PORT_NUMBER.to_string();
        assert!(rule.cel.contains(&port) && rule.message.contains(&port));
        let holds = |enabled: bool, port: u16| {
            (rule.holds)(&json!({"console": {"enabled": enabled}, "port": port}))
        };
        assert!(!holds(true, CONSOLE_PORT_NUMBER));
        assert!(holds(false, CONSOLE_PORT_NUMBER) && holds(true, 9900));
    }

    #[test]
    fn every_field_of_the_document_is_a_field_of_the_spec() {
        let properties = &crate::definition::schema()["properties"]["spec"]["properties"];
        let missing = |name: &&&str| properties[**name] == Value::Null;
        assert_eq!(DOCUMENT_FIELDS.iter().find(missing), None);
    }

    #[test]
    fn answers_of_a_mirror_are_read_as_they_are_written() {
        let ready = json!({"status": "ready", "document": {"name": "a", "hash": "h"}, "newerDocumentRefused": false});
        let readiness: Readiness = serde_json::from_value(ready.clone()).unwrap();
        assert_eq!(json!(readiness), ready);
        let targets =
            json!({"targets": [{"name": "a", "reachable": true}, {"name": "b", "notices": ["n"]}]});
        let reachability: Reachability = serde_json::from_value(targets.clone()).unwrap();
        assert_eq!(json!(reachability), targets);
    }

    /// Operator and mirror may be of different versions.
    #[test]
    fn a_phase_of_another_version_is_read() {
        let answer = json!({"status": "resting", "document": null, "newerDocumentRefused": true});
        let expected = Readiness {
            status: Phase::Starting,
            document: None,
            newer_document_refused: true,
        };
        let read = serde_json::from_value::<Readiness>(answer);
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn a_hash_is_lower_case_hex() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(""), empty);
    }
}
