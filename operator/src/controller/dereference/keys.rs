//! Which keys a Secret or ConfigMap has. The values are skipped while an answer is read.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use crds::DataKind;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Client, Resource};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Error, KeyFacts};
use crate::cluster::known::Known;
use crate::cluster::references::NamespacedName;

/// The keys of Secrets and ConfigMaps, remembered until the object changes.
#[derive(Default)]
pub struct KnownKeys {
    secrets: Facts,
    config_maps: Facts,
}

type Facts = Mutex<HashMap<NamespacedName, KeyFacts>>;

impl KnownKeys {
    /// The keys of an object that the cache has as `cached`.
    pub(super) async fn of(
        &self,
        client: &Client,
        kind: DataKind,
        at: NamespacedName,
        cached: Option<&Known>,
    ) -> Result<Option<KeyFacts>, Error> {
        let known = match kind {
            DataKind::Secret => &self.secrets,
            DataKind::ConfigMap => &self.config_maps,
        };
        let lock = || known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(cached) = cached else {
            lock().remove(&at);
            return Ok(None);
        };
        if let Some(facts) = lock().get(&at)
            && *facts.version == *cached.version
        {
            return Ok(Some(facts.clone()));
        }
        let read = match kind {
            DataKind::Secret => read_keys::<Secret>(client, &at).await,
            DataKind::ConfigMap => read_keys::<ConfigMap>(client, &at).await,
        };
        let facts = read.map_err(|source| Error {
            kind: kind.as_str(),
            name: at.1.clone(),
            source,
        })?;
        if let Some(facts) = &facts {
            lock().insert(at, facts.clone());
        }
        Ok(facts)
    }
}

/// A Secret or ConfigMap without its values.
#[derive(Clone, Debug, Deserialize)]
struct KeysOnly {
    metadata: kube::core::ObjectMeta,
    #[serde(default)]
    immutable: bool,
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
            immutable_since: object
                .metadata
                .creation_timestamp
                .filter(|_| object.immutable)
                .map(|time| time.0),
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
