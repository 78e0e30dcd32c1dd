//! Step 1: reads what a spec refers to, and nothing else.
//!
//! Of a Secret or ConfigMap it learns which keys there are. The values are skipped while the answer is read: the pods that mount them
//! are the only ones to see them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use kube::api::{DynamicObject, PartialObjectMeta};
use kube::{Client, Resource};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::caches::Caches;
use super::references::{NamespacedName, References};

/// What was found. A name that is not in a map was not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dereferenced {
    /// By name. None: there is no such Secret.
    pub secrets: BTreeMap<String, Option<KeyFacts>>,
    /// By name. None: there is no such ConfigMap.
    pub config_maps: BTreeMap<String, Option<KeyFacts>>,
    /// Or why it leads to no URL.
    pub services: BTreeMap<NamespacedName, Result<ServiceFacts, String>>,
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
}

/// A Service's ports: name and number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFacts {
    /// In the Service's order.
    pub ports: Vec<(Option<String>, i32)>,
}

/// How the Prometheus Operator serves a Prometheus object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusFacts {
    /// The governing Service.
    pub service: String,
    /// `spec.routePrefix`.
    pub route_prefix: String,
    /// Whether `spec.web.tlsConfig` is there.
    pub tls: bool,
}

/// The API server did not say what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {kind} {name}: {source}")]
pub struct Error {
    /// Secret or ConfigMap.
    pub kind: &'static str,
    /// Which.
    pub name: String,
    /// Why.
    pub source: kube::Error,
}

/// The keys of Secrets and ConfigMaps, remembered until the object changes.
#[derive(Default)]
pub struct KnownKeys {
    secrets: Known,
    config_maps: Known,
}

type Known = Mutex<HashMap<NamespacedName, KeyFacts>>;

/// Reads what `references` names, from the caches where they have it.
///
/// # Errors
/// If a Secret or ConfigMap that exists cannot be read.
pub async fn dereference(
    client: &Client,
    caches: &Caches,
    known: &KnownKeys,
    namespace: &str,
    references: &References,
) -> Result<Dereferenced, Error> {
    let at = |name: &String| (namespace.to_owned(), name.clone());
    let mut found = Dereferenced::default();
    for name in references.secrets.keys() {
        let cached = caches.secrets.get(namespace, name);
        let facts = facts(client, cached.as_deref(), &known.secrets, at(name)).await?;
        found.secrets.insert(name.clone(), facts);
    }
    for name in references.config_maps.keys() {
        let cached = caches.config_maps.get(namespace, name);
        let facts = facts(client, cached.as_deref(), &known.config_maps, at(name)).await?;
        found.config_maps.insert(name.clone(), facts);
    }
    for at in &references.services {
        found.services.insert(at.clone(), service(caches, at));
    }
    for at in &references.prometheuses {
        found
            .prometheuses
            .insert(at.clone(), prometheus(caches, at));
    }
    Ok(found)
}

/// The keys of an object of which the cache has this, or nothing.
async fn facts<K: Resource<DynamicType = ()>>(
    client: &Client,
    cached: Option<&PartialObjectMeta<K>>,
    known: &Known,
    at: NamespacedName,
) -> Result<Option<KeyFacts>, Error> {
    let lock = || known.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(cached) = cached else {
        lock().remove(&at);
        return Ok(None);
    };
    if let Some(facts) = lock().get(&at)
        && Some(&facts.version) == cached.metadata.resource_version.as_ref()
    {
        return Ok(Some(facts.clone()));
    }
    let facts = read_keys::<K>(client, &at).await.map_err(|source| Error {
        kind: if K::kind(&()) == "Secret" {
            "Secret"
        } else {
            "ConfigMap"
        },
        name: at.1.clone(),
        source,
    })?;
    if let Some(facts) = &facts {
        lock().insert(at, facts.clone());
    }
    Ok(facts)
}

/// A Secret or ConfigMap without its values.
#[derive(Clone, Debug, Deserialize)]
struct KeysOnly {
    metadata: kube::core::ObjectMeta,
    #[serde(default)]
    data: BTreeMap<String, IgnoredAny>,
    #[serde(default, rename = "binaryData")]
    binary_data: BTreeMap<String, IgnoredAny>,
}

async fn read_keys<K: Resource<DynamicType = ()>>(
    client: &Client,
    (namespace, name): &NamespacedName,
) -> kube::Result<Option<KeyFacts>> {
    let request = kube::core::Request::new(K::url_path(&(), Some(namespace)))
        .get(name, &kube::api::GetParams::default())
        .map_err(kube::Error::BuildRequest)?;
    match client.request::<KeysOnly>(request).await {
        Ok(object) => Ok(Some(KeyFacts {
            version: object.metadata.resource_version.unwrap_or_default(),
            keys: object
                .data
                .into_keys()
                .chain(object.binary_data.into_keys())
                .collect(),
        })),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

fn service(caches: &Caches, (namespace, name): &NamespacedName) -> Result<ServiceFacts, String> {
    if !caches.scope.sees(namespace) {
        return Err(format!(
            "the operator does not watch namespace {namespace} (hint: write the Service's url instead)"
        ));
    }
    let service = caches
        .services
        .get(namespace, name)
        .ok_or_else(|| format!("there is no Service {name} in namespace {namespace}"))?;
    let ports = service
        .spec
        .iter()
        .flat_map(|spec| spec.ports.iter().flatten());
    Ok(ServiceFacts {
        ports: ports.map(|port| (port.name.clone(), port.port)).collect(),
    })
}

fn prometheus(
    caches: &Caches,
    (namespace, name): &NamespacedName,
) -> Result<PrometheusFacts, String> {
    if let Some(why) = caches.prometheuses.unavailable() {
        return Err(format!(
            "Prometheus objects (monitoring.coreos.com) cannot be read: {why}"
        ));
    }
    if !caches.scope.sees(namespace) {
        return Err(format!("the operator does not watch namespace {namespace}"));
    }
    let object = caches
        .prometheuses
        .get(namespace, name)
        .ok_or_else(|| format!("there is no Prometheus {name} in namespace {namespace}"))?;
    let facts = prometheus_facts(&object);
    let sharing = caches.prometheuses.filter(|other| {
        other.metadata.namespace == object.metadata.namespace
            && prometheus_facts(other).service == facts.service
    });
    if sharing.len() > 1 {
        // A query would be answered by any of them.
        return Err(format!(
            "Service {} leads to {} Prometheus objects of namespace {namespace} (hint: make a Service for this one and name it under service)",
            facts.service,
            sharing.len()
        ));
    }
    Ok(facts)
}

fn prometheus_facts(prometheus: &DynamicObject) -> PrometheusFacts {
    let spec = &prometheus.data["spec"];
    let text =
        |value: &serde_json::Value, default: &str| value.as_str().unwrap_or(default).to_owned();
    PrometheusFacts {
        service: text(&spec["serviceName"], "prometheus-operated"),
        route_prefix: text(&spec["routePrefix"], "/"),
        tls: !spec["web"]["tlsConfig"].is_null(),
    }
}
