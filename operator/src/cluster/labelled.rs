//! Somebody else's pod that is labelled to carry a sidecar, as far as the operator looks at it. Of
//! a pod that takes kilobytes only this is kept.
//!
//! Anybody who may make pods in a namespace can label them, so what is kept of one is bounded.

use crds::contract::{
    ADMIN_PORT_NUMBER, SIDECAR_CONTAINER, SIDECAR_VOLUME, annotations, environment, labels, sha256,
};
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube::core::ObjectMeta;
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::pod::{Phase, Vitals, is_ready};
use super::problem::{End, Problem, cut};
use super::store::{Kept, Watched, name_of, namespace_of};

/// So many ports of a pod are kept.
const MOST_PORTS: usize = 64;

/// What controls a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// `apiVersion`
    pub api_version: String,
    /// `kind`
    pub kind: String,
    /// `name`
    pub name: String,
    /// `uid`
    pub uid: String,
}

/// The container of the sidecar's name in a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// There is none.
    Nothing,
    /// There is none, and something else has the name of its volume.
    NothingBesideVolume,
    /// It runs something else.
    Foreign,
    /// The policy added it; the hash of what it added.
    Injected(String),
    /// It is in the pod's template.
    Pasted {
        /// The hash of what was printed, if the template still has it.
        hash: Option<String>,
        /// What is compared of it, see [`fingerprint`].
        fingerprint: String,
    },
}

/// A port that another container of the pod declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredPort {
    /// The container.
    pub container: String,
    /// Its number.
    pub number: i32,
}

/// What is known of a labelled pod.
#[derive(Clone, Debug, PartialEq, Resource)]
#[resource(inherit = Pod)]
pub struct LabelledPod {
    /// Its names, its uid and version, when it was made, and whether it is being deleted.
    metadata: ObjectMeta,
    /// The resource whose sidecar it should carry.
    pub mirror: String,
    /// What controls it.
    pub owner: Option<Owner>,
    /// What it carries.
    pub carried: Carried,
    /// The ports of its other containers.
    pub ports: Vec<DeclaredPort>,
    /// All of its containers are ready.
    pub is_ready: bool,
    /// What is reported of it.
    pub vitals: Vitals,
    /// What keeps another container of it from running.
    pub beside: Option<Problem>,
    /// Why it ended, if Kubernetes ended it, which is rare.
    pub end: Option<Box<End>>,
    phase: Phase,
    ip: Option<String>,
}

impl LabelledPod {
    /// Whether it has ended: it stays as a record only.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Whether it is about to end.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// `metadata.uid`.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        self.metadata.uid.as_deref()
    }

    /// When it was made.
    #[must_use]
    pub fn made_at(&self) -> Option<Timestamp> {
        let time = self.metadata.creation_timestamp.as_ref();
        time.map(|time| time.0)
    }

    /// The IP address at which its sidecar can be asked, once it runs.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.ip
            .as_deref()
            .filter(|_| self.phase != Phase::Over && self.has_mirror())
    }

    /// Whether it carries a mirror.
    #[must_use]
    pub fn has_mirror(&self) -> bool {
        matches!(self.carried, Carried::Injected(_) | Carried::Pasted { .. })
    }
}

impl Kept for LabelledPod {
    fn namespace(&self) -> &str {
        namespace_of(self)
    }

    fn name(&self) -> &str {
        name_of(self)
    }

    /// The resource whose sidecar it should carry.
    fn group(&self) -> Option<&str> {
        Some(&self.mirror)
    }
}

impl Watched for LabelledPod {
    type Kept = Self;

    fn kept(&self) -> Self {
        self.clone()
    }
}

/// What of a sidecar in a pod's template is compared with the current one: the image, but not where
/// it is pulled from; its arguments and settings. Probes and resources are the template's own
/// business, and others add variables.
#[must_use]
pub fn fingerprint(container: &Container) -> String {
    let image = container.image.as_deref().unwrap_or_default();
    let image = image.rsplit('/').next();
    let env = container.env.iter().flatten();
    let mut settings: Vec<_> = env
        .filter(|variable| environment::ALL.contains(&variable.name.as_str()))
        .map(|variable| (&variable.name, &variable.value))
        .collect();
    settings.sort();
    sha256(json!([image, container.command, container.args, settings]).to_string())
}

/// `injected` and `pasted` are the hashes in the pod's annotations.
fn carried(pod: &Pod, injected: Option<String>, pasted: Option<String>) -> Carried {
    let spec = pod.spec.as_ref();
    let named = |container: &&Container| container.name == SIDECAR_CONTAINER;
    let mut plain = spec.into_iter().flat_map(|spec| &spec.containers);
    let mut first = spec
        .into_iter()
        .flat_map(|spec| spec.init_containers.iter().flatten());
    let stays = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let (container, runs) = match (first.find(named), plain.find(named)) {
        (Some(container), _) => (container, stays(&container)),
        (None, Some(container)) => (container, true),
        (None, None) => {
            let volumes = spec.into_iter().flat_map(|spec| spec.volumes.iter());
            let mut volumes = volumes.flatten();
            return match volumes.any(|volume| volume.name == SIDECAR_VOLUME) {
                true => Carried::NothingBesideVolume,
                false => Carried::Nothing,
            };
        }
    };
    let mut env = container.env.iter().flatten();
    if !runs || !env.any(|variable| variable.name == environment::FILE) {
        return Carried::Foreign;
    }
    match injected {
        Some(hash) => Carried::Injected(hash),
        None => Carried::Pasted {
            hash: pasted,
            fingerprint: fingerprint(container),
        },
    }
}

fn ports(pod: &Pod) -> Vec<DeclaredPort> {
    let spec = pod.spec.as_ref();
    let plain = spec.into_iter().flat_map(|spec| &spec.containers);
    let first = spec
        .into_iter()
        .flat_map(|spec| spec.init_containers.iter().flatten())
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let others = plain
        .chain(first)
        .filter(|other| other.name != SIDECAR_CONTAINER);
    let ports = others.flat_map(|container| {
        let ports = container.ports.iter().flatten();
        ports
            .filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP")
            .map(|port| DeclaredPort {
                container: container.name.clone(),
                number: port.container_port,
            })
    });
    ports.take(MOST_PORTS).collect()
}

impl DeclaredPort {
    /// Whether a mirror with this API port could not listen beside it.
    #[must_use]
    pub fn collides_with(&self, api_port: i32) -> bool {
        [api_port, i32::from(ADMIN_PORT_NUMBER)].contains(&self.number)
    }
}

impl From<Pod> for LabelledPod {
    fn from(mut pod: Pod) -> Self {
        let problem = Problem::of_container_named(&pod, SIDECAR_CONTAINER);
        let beside = Problem::of_another(&pod, SIDECAR_CONTAINER);
        let vitals = Vitals::of(&pod, problem);
        let annotations = pod.metadata.annotations.take().unwrap_or_default();
        let mut labels = pod.metadata.labels.take().unwrap_or_default();
        let hash = |name: &str| annotations.get(name).map(|hash| cut(hash));
        let (injected, pasted) = (hash(annotations::SIDECAR), hash(annotations::PASTED));
        let status = pod.status.as_ref();
        let owners = pod.metadata.owner_references.take().into_iter().flatten();
        let mut owners = owners.filter(|owner| owner.controller == Some(true));
        Self {
            mirror: labels.remove(labels::INJECT).unwrap_or_default(),
            owner: owners.next().map(|owner| Owner {
                api_version: owner.api_version,
                kind: owner.kind,
                name: owner.name,
                uid: owner.uid,
            }),
            carried: carried(&pod, injected, pasted),
            ports: ports(&pod),
            is_ready: is_ready(&pod),
            vitals,
            beside,
            end: End::of(&pod),
            phase: Phase::of(&pod),
            ip: status.and_then(|status| status.pod_ip.clone()),
            metadata: ObjectMeta {
                name: pod.metadata.name,
                namespace: pod.metadata.namespace,
                uid: pod.metadata.uid,
                resource_version: pod.metadata.resource_version,
                creation_timestamp: pod.metadata.creation_timestamp,
                deletion_timestamp: pod.metadata.deletion_timestamp,
                ..ObjectMeta::default()
            },
        }
    }
}

impl<'de> Deserialize<'de> for LabelledPod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Pod::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests;
