//! Which resources refer to an object. An index, because every change of any Secret, ConfigMap or
//! Service of the cluster asks.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::api::DynamicObject;

use super::references::{NamespacedName, References};

/// What a resource refers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Referent {
    /// A Secret.
    Secret(NamespacedName),
    /// A ConfigMap.
    ConfigMap(NamespacedName),
    /// A Service.
    Service(NamespacedName),
    /// The pods of a headless Service.
    PodsOf(NamespacedName),
    /// Any Prometheus object of a namespace.
    PrometheusIn(String),
}

/// The index.
#[derive(Debug, Default)]
pub struct Referrers(Mutex<Index>);

#[derive(Debug, Default)]
struct Index {
    referents: HashMap<NamespacedName, Vec<Referent>>,
    referrers: HashMap<Referent, BTreeSet<NamespacedName>>,
}

impl Referrers {
    /// A resource is like this now, or is gone.
    pub fn note(&self, name: &NamespacedName, mirror: Option<&DynamicObject>) {
        let mut index = self.lock();
        for referent in index.referents.remove(name).unwrap_or_default() {
            if let Some(referrers) = index.referrers.get_mut(&referent) {
                referrers.remove(name);
                if referrers.is_empty() {
                    index.referrers.remove(&referent);
                }
            }
        }
        let referents = mirror.map_or_else(Vec::new, |mirror| referents(&name.0, mirror));
        for referent in &referents {
            let referrers = index.referrers.entry(referent.clone()).or_default();
            referrers.insert(name.clone());
        }
        if !referents.is_empty() {
            index.referents.insert(name.clone(), referents);
        }
    }

    /// The resources that refer to an object.
    #[must_use]
    pub fn of(&self, referent: &Referent) -> Vec<NamespacedName> {
        let index = self.lock();
        let referrers = index.referrers.get(referent);
        referrers.into_iter().flatten().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An invalid spec refers to nothing, and waits for a change of its own.
fn referents(namespace: &str, mirror: &DynamicObject) -> Vec<Referent> {
    let spec = mirror.data.get("spec").cloned().unwrap_or_default();
    let Ok(spec) = serde_json::from_value(spec) else {
        return Vec::new();
    };
    let references = References::of(&spec, namespace);
    let secrets = references.secrets.into_keys();
    let secrets = secrets.map(|name| Referent::Secret((namespace.to_owned(), name)));
    let config_maps = references.config_maps.into_keys();
    let config_maps = config_maps.map(|name| Referent::ConfigMap((namespace.to_owned(), name)));
    let services = references.services.into_iter().map(Referent::Service);
    let pods = references.pods_of.into_iter().map(Referent::PodsOf);
    let prometheuses = references.prometheuses.into_iter();
    let prometheuses = prometheuses.map(|(namespace, _)| Referent::PrometheusIn(namespace));
    let objects = secrets.chain(config_maps).chain(services).chain(pods);
    objects.chain(prometheuses).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mirror(secret: &str) -> DynamicObject {
        let targets = json!([
            {"name": "a", "service": {"name": "s", "namespace": "other", "port": 9090}},
            {"name": "b", "prometheus": {"name": "p"}, "tls": {"caConfigMapRef": {"name": "ca", "key": "ca.crt"}}},
        ]);
        let spec = json!({"apiKeySecretRef": {"name": secret}, "targets": targets});
        serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap()
    }

    fn name(namespace: &str, name: &str) -> NamespacedName {
        (namespace.to_owned(), name.to_owned())
    }

    #[test]
    fn an_object_concerns_the_resources_that_refer_to_it_now() {
        let referrers = Referrers::default();
        let [a, b, c, d] =
            [("n", "a"), ("n", "b"), ("m", "c"), ("n", "d")].map(|(at, of)| name(at, of));
        referrers.note(&a, Some(&mirror("key")));
        referrers.note(&b, Some(&mirror("another")));
        referrers.note(&c, Some(&mirror("key")));
        let invalid = serde_json::from_value(json!({"metadata": {}, "spec": {}})).unwrap();
        referrers.note(&d, Some(&invalid));
        let secret = Referent::Secret(name("n", "key"));
        assert_eq!(referrers.of(&secret), std::slice::from_ref(&a));
        let service = Referent::Service(name("other", "s"));
        assert_eq!(referrers.of(&service), [c, a.clone(), b.clone()]);
        let config_map = Referent::ConfigMap(name("n", "ca"));
        assert_eq!(referrers.of(&config_map), [a.clone(), b.clone()]);
        let prometheus = Referent::PrometheusIn("n".to_owned());
        assert_eq!(referrers.of(&prometheus), [a.clone(), b.clone()]);

        referrers.note(&a, Some(&mirror("another")));
        assert!(referrers.of(&secret).is_empty());
        referrers.note(&a, None);
        assert_eq!(referrers.of(&prometheus), [b]);
    }
}
