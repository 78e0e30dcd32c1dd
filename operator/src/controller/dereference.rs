//! Step 1: reads what a spec refers to, and nothing else.
//!
//! Of a Secret it learns which keys there are. The values are skipped while the answer is read: the pods that mount them are the
//! only ones to see them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use kube::api::DynamicObject;
use kube::{Client, ResourceExt as _};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::caches::Caches;
use super::references::{NamespacedName, References};

/// What was found. A name that is not in a map was not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dereferenced {
    /// By name. None: there is no such Secret.
    pub secrets: BTreeMap<String, Option<SecretFacts>>,
    /// Or why it leads to no URL.
    pub services: BTreeMap<NamespacedName, Result<ServiceFacts, String>>,
    /// Or why it leads to no URL.
    pub prometheuses: BTreeMap<NamespacedName, Result<PrometheusFacts, String>>,
}

/// What there is to know of a Secret without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFacts {
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
#[error("cannot read Secret {name}: {source}")]
pub struct Error {
    /// The Secret.
    pub name: String,
    /// Why.
    pub source: kube::Error,
}

/// The keys of Secrets, remembered until the Secret changes.
#[derive(Default)]
pub struct SecretKeys(Mutex<HashMap<NamespacedName, SecretFacts>>);

/// Reads what `references` names, from the caches where they have it.
///
/// # Errors
/// If a Secret that exists cannot be read.
pub async fn dereference(
    client: &Client,
    caches: &Caches,
    known: &SecretKeys,
    namespace: &str,
    references: &References,
) -> Result<Dereferenced, Error> {
    let mut found = Dereferenced::default();
    for name in references.secrets.keys() {
        let facts = known
            .facts(client, caches, namespace, name)
            .await
            .map_err(|source| Error {
                name: name.clone(),
                source,
            })?;
        found.secrets.insert(name.clone(), facts);
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

impl SecretKeys {
    async fn facts(
        &self,
        client: &Client,
        caches: &Caches,
        namespace: &str,
        name: &str,
    ) -> kube::Result<Option<SecretFacts>> {
        let at = (namespace.to_owned(), name.to_owned());
        let Some(metadata) = caches.secrets.get(namespace, name) else {
            self.lock().remove(&at);
            return Ok(None);
        };
        let version = metadata.resource_version();
        if let Some(facts) = self.lock().get(&at)
            && Some(&facts.version) == version.as_ref()
        {
            return Ok(Some(facts.clone()));
        }
        let facts = read_keys(client, namespace, name).await?;
        if let Some(facts) = &facts {
            self.lock().insert(at, facts.clone());
        }
        Ok(facts)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<NamespacedName, SecretFacts>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A Secret without its values.
#[derive(Clone, Debug, Deserialize)]
struct KeysOnly {
    metadata: kube::core::ObjectMeta,
    #[serde(default)]
    data: BTreeMap<String, IgnoredAny>,
}

async fn read_keys(
    client: &Client,
    namespace: &str,
    name: &str,
) -> kube::Result<Option<SecretFacts>> {
    let path =
        <k8s_openapi::api::core::v1::Secret as kube::Resource>::url_path(&(), Some(namespace));
    let request = kube::core::Request::new(path)
        .get(name, &kube::api::GetParams::default())
        .map_err(kube::Error::BuildRequest)?;
    match client.request::<KeysOnly>(request).await {
        Ok(secret) => Ok(Some(SecretFacts {
            version: secret.metadata.resource_version.unwrap_or_default(),
            keys: secret.data.into_keys().collect(),
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
    let facts = facts(&object);
    let sharing = caches.prometheuses.filter(|other| {
        other.metadata.namespace == object.metadata.namespace
            && self::facts(other).service == facts.service
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

fn facts(prometheus: &DynamicObject) -> PrometheusFacts {
    let spec = &prometheus.data["spec"];
    let text =
        |value: &serde_json::Value, default: &str| value.as_str().unwrap_or(default).to_owned();
    PrometheusFacts {
        service: text(&spec["serviceName"], "prometheus-operated"),
        route_prefix: text(&spec["routePrefix"], "/"),
        tls: !spec["web"]["tlsConfig"].is_null(),
    }
}
