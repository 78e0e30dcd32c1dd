//! An EndpointSlice of a headless Service, as far as the operator looks at it: which pods there are
//! and how they are reached. Nothing else of it is kept, or built while an answer of the API server
//! is read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Resource;
use kube::core::ObjectMeta;
use serde::{Deserialize, Deserializer};

use super::store::{Kept, Watched, name_of, namespace_of};

/// The label by which Kubernetes marks the slices of headless Services. Those of other Services,
/// which are most, are not watched.
pub const HEADLESS: &str = "service.kubernetes.io/headless";

/// The label with the name of the Service.
const SERVICE: &str = "kubernetes.io/service-name";

/// A part of the pods of a headless Service.
#[derive(Clone, Debug, Default, PartialEq, Resource)]
#[resource(inherit = EndpointSlice)]
pub struct Slice {
    /// Its names and its version.
    metadata: ObjectMeta,
    /// The Service.
    pub service: String,
    /// The numbers of the pods' ports, by the names of the Service's.
    pub ports: BTreeMap<String, i32>,
    /// The pods.
    pub endpoints: Vec<Endpoint>,
}

impl Kept for Slice {
    fn namespace(&self) -> &str {
        namespace_of(self)
    }

    fn name(&self) -> &str {
        name_of(self)
    }

    /// Its Service.
    fn group(&self) -> Option<&str> {
        Some(&self.service)
    }
}

impl Watched for Slice {
    type Kept = Self;

    fn kept(&self) -> Self {
        self.clone()
    }
}

/// A pod. Whether it is ready is not kept: a server that does not answer is still one that has a
/// part of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name, or its address if the slice names none.
    pub pod: String,
    /// Where it is reached.
    pub address: IpAddr,
    /// The name that DNS knows below the Service's, if the pod has one.
    pub hostname: Option<String>,
    /// It is being deleted.
    pub ends: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    metadata: ObjectMeta,
    #[serde(default)]
    ports: Option<Vec<Port>>,
    #[serde(default)]
    endpoints: Option<Vec<Found>>,
}

#[derive(Deserialize)]
struct Port {
    name: Option<String>,
    port: Option<i32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    #[serde(default)]
    addresses: Vec<String>,
    hostname: Option<String>,
    conditions: Option<Conditions>,
    target_ref: Option<TargetRef>,
}

#[derive(Deserialize)]
struct Conditions {
    terminating: Option<bool>,
}

#[derive(Deserialize)]
struct TargetRef {
    name: Option<String>,
}

impl Found {
    /// Only the first address counts: that is the contract of the API. A slice of host names, which
    /// somebody wrote by hand, has none.
    fn endpoint(self) -> Option<Endpoint> {
        let address: IpAddr = self.addresses.first()?.parse().ok()?;
        let pod = self.target_ref.and_then(|target| target.name);
        let conditions = self.conditions;
        Some(Endpoint {
            pod: pod.unwrap_or_else(|| address.to_string()),
            address,
            hostname: self.hostname.filter(|name| !name.is_empty()),
            ends: conditions.is_some_and(|conditions| conditions.terminating == Some(true)),
        })
    }
}

impl<'de> Deserialize<'de> for Slice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let whole = Whole::deserialize(deserializer)?;
        let mut labels = whole.metadata.labels.unwrap_or_default();
        let ports = whole.ports.unwrap_or_default().into_iter();
        let endpoints = whole.endpoints.unwrap_or_default().into_iter();
        Ok(Self {
            metadata: ObjectMeta {
                name: whole.metadata.name,
                namespace: whole.metadata.namespace,
                uid: whole.metadata.uid,
                resource_version: whole.metadata.resource_version,
                ..ObjectMeta::default()
            },
            service: labels.remove(SERVICE).unwrap_or_default(),
            ports: ports
                .filter_map(|port| Some((port.name.unwrap_or_default(), port.port?)))
                .collect(),
            endpoints: endpoints.filter_map(Found::endpoint).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_slice_only_the_pods_and_their_ports_are_kept() {
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": "p-abc12", "namespace": "monitoring", "resourceVersion": "7", "uid": "u",
                "labels": {"kubernetes.io/service-name": "p", "service.kubernetes.io/headless": ""},
                "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "t"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "p", "uid": "s"}],
            },
            "ports": [{"name": "web", "port": 9090, "protocol": "TCP"}, {"port": null}],
            "endpoints": [
                {
                    "addresses": ["10.0.0.7"], "hostname": "p-0", "nodeName": "n", "zone": "z",
                    "conditions": {"ready": false, "serving": true, "terminating": true},
                    "targetRef": {"kind": "Pod", "name": "p-0", "namespace": "monitoring"},
                },
                {"addresses": ["fd00::8"], "conditions": {}},
                {"addresses": ["host.example.com"]},
            ],
        });
        let expected = Slice {
            metadata: ObjectMeta {
                name: Some("p-abc12".to_owned()),
                namespace: Some("monitoring".to_owned()),
                uid: Some("u".to_owned()),
                resource_version: Some("7".to_owned()),
                ..ObjectMeta::default()
            },
            service: "p".to_owned(),
            ports: [("web".to_owned(), 9090)].into(),
            endpoints: vec![
                Endpoint {
                    pod: "p-0".to_owned(),
                    address: "10.0.0.7".parse().unwrap(),
                    hostname: Some("p-0".to_owned()),
                    ends: true,
                },
                Endpoint {
                    pod: "fd00::8".to_owned(),
                    address: "fd00::8".parse().unwrap(),
                    hostname: None,
                    ends: false,
                },
            ],
        };
        assert_eq!(serde_json::from_value::<Slice>(slice).unwrap(), expected);
    }
}
