//! Step 1: reads what a spec refers to, and nothing else.
//!
//! Of a Secret or ConfigMap it learns which keys there are. The values are skipped while the answer
//! is read: the pods that mount them are the only ones to see them.

mod keys;
mod prometheuses;
mod referrer;
mod services;

use std::collections::{BTreeMap, BTreeSet};

use crds::DataKind;
use k8s_openapi::jiff::Timestamp;
use kube::Client;

pub use self::keys::KnownKeys;
pub use self::referrer::Referrer;
use crate::cluster::answer::words;
use crate::cluster::caches::Caches;
use crate::cluster::references::{NamespacedName, References};

/// What was found. A name that is not in a map was not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dereferenced {
    /// By name. None: there is no such Secret.
    pub secrets: BTreeMap<String, Option<KeyFacts>>,
    /// By name. None: there is no such ConfigMap.
    pub config_maps: BTreeMap<String, Option<KeyFacts>>,
    /// Or why it leads to no URL.
    pub services: BTreeMap<NamespacedName, Result<ServiceFacts, String>>,
    /// The pods of Services that are asked one by one, or why they are not known.
    pub pods: BTreeMap<NamespacedName, Result<Vec<PodFacts>, String>>,
    /// Or why it leads to no URL.
    pub prometheuses: BTreeMap<NamespacedName, Result<PrometheusFacts, String>>,
}

/// What there is to know of a Secret or ConfigMap without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// `metadata.resourceVersion`.
    pub version: String,
    /// The names of its keys.
    pub keys: BTreeSet<String>,
    /// If it is immutable: when it was created.
    pub immutable_since: Option<Timestamp>,
}

/// How a Service leads to its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Its ports, name and number, in the Service's order.
    pub ports: Vec<(Option<String>, i32)>,
    /// Whether DNS knows its pods.
    pub is_headless: bool,
    /// Whether it has a selector.
    pub selects: bool,
    /// Of a headless Service: the number that the pods have a port under, by the Service's number,
    /// where it is another one. DNS leads past the Service to the pods.
    pub pod_ports: BTreeMap<i32, i32>,
    /// Of type ExternalName: the name that it is an alias of.
    pub external_name: Option<String>,
}

/// A pod of a headless Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// The host of a URL that leads to it: a name, or an address.
    pub host: String,
    /// The numbers of its ports, by the names of the Service's.
    pub ports: BTreeMap<String, i32>,
}

/// How the Prometheus Operator serves a Prometheus object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrometheusFacts {
    /// The governing Service.
    pub service: String,
    /// `spec.routePrefix`.
    pub route_prefix: String,
    /// Whether `spec.web.tlsConfig` is there.
    pub tls: bool,
    /// How many shards there are.
    pub shards: usize,
    /// How many replicas each of them has.
    pub replicas: usize,
    /// Whether nothing but its own pods can connect to it.
    pub listens_locally: bool,
    /// Whether the governing Service leads to other Prometheus objects, too. How many is not said:
    /// they may not be open to this namespace.
    pub shares_service: bool,
}

/// The API server did not say what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {kind} {name}: {}", words(source))]
pub struct Error {
    /// Secret or ConfigMap.
    pub kind: &'static str,
    /// Which.
    pub name: String,
    /// Why.
    pub source: kube::Error,
}

/// Reads what `references` names, from the caches where they have it.
///
/// # Errors
/// If a Secret or ConfigMap that exists cannot be read.
pub async fn dereference(
    client: &Client,
    caches: &Caches,
    known: &KnownKeys,
    from: Referrer<'_>,
    references: &References,
) -> Result<Dereferenced, Error> {
    let namespace = from.namespace;
    let at = |name: &String| (namespace.to_owned(), name.clone());
    let mut found = Dereferenced::default();
    for name in references.secrets.keys() {
        let cached = caches.secrets.get(namespace, name);
        let cached = cached.as_deref();
        let facts = known.of(client, DataKind::Secret, at(name), cached).await?;
        found.secrets.insert(name.clone(), facts);
    }
    for name in references.config_maps.keys() {
        let cached = caches.config_maps.get(namespace, name);
        let cached = cached.as_deref();
        let facts = known
            .of(client, DataKind::ConfigMap, at(name), cached)
            .await?;
        found.config_maps.insert(name.clone(), facts);
    }
    for at in &references.services {
        let facts = services::service(caches, from, at);
        found.services.insert(at.clone(), facts);
    }
    for at in &references.pods_of {
        let pods = services::pods(caches, from, at);
        found.pods.insert(at.clone(), pods);
    }
    for at in &references.prometheuses {
        let facts = prometheuses::prometheus(caches, from, at);
        found.prometheuses.insert(at.clone(), facts);
    }
    Ok(found)
}
