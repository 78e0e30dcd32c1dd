//! Which resources refer to an object. An index, because every change of any Secret, ConfigMap or
//! Service of the cluster asks.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::api::DynamicObject;
use kube::runtime::watcher::Event;

use super::packed::Packed;
use super::references::{NamespacedName, References, key};

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
    /// The namespace that it is in.
    Namespace(String),
}

/// The index.
#[derive(Debug, Default)]
pub struct Referrers(Mutex<Index>);

#[derive(Debug, Default)]
struct Index {
    referents: HashMap<NamespacedName, Vec<Referent>>,
    referrers: HashMap<Referent, BTreeSet<NamespacedName>>,
    /// What the present list has named so far.
    listed: HashSet<NamespacedName>,
}

impl Referrers {
    /// Takes in what the watch of the resources says. From the watch and not from the store, which
    /// has nothing of a list before the list is whole: after a start, what refers to a Secret would
    /// stay unknown until the resource itself changes.
    pub fn note(&self, event: &Event<Packed>) {
        match event {
            Event::Init => self.lock().listed.clear(),
            Event::InitApply(mirror) => {
                let name = key(mirror);
                let referents = referents(&name.0, &mirror.unpack());
                let mut index = self.lock();
                index.listed.insert(name.clone());
                index.set(name, referents);
            }
            Event::InitDone => self.lock().keep_listed(),
            Event::Apply(mirror) => {
                let name = key(mirror);
                let referents = referents(&name.0, &mirror.unpack());
                self.lock().set(name, referents);
            }
            Event::Delete(mirror) => self.lock().set(key(mirror), Vec::new()),
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

impl Index {
    /// A resource refers to these now, and to nothing else.
    fn set(&mut self, name: NamespacedName, referents: Vec<Referent>) {
        for referent in self.referents.remove(&name).unwrap_or_default() {
            if let Some(referrers) = self.referrers.get_mut(&referent) {
                referrers.remove(&name);
                if referrers.is_empty() {
                    self.referrers.remove(&referent);
                }
            }
        }
        for referent in &referents {
            let referrers = self.referrers.entry(referent.clone()).or_default();
            referrers.insert(name.clone());
        }
        if !referents.is_empty() {
            self.referents.insert(name, referents);
        }
    }

    /// Forgets what went while nothing was watched: what a whole list did not name.
    fn keep_listed(&mut self) {
        let listed = std::mem::take(&mut self.listed);
        let known = self.referents.keys();
        let gone: Vec<_> = known
            .filter(|name| !listed.contains(*name))
            .cloned()
            .collect();
        for name in gone {
            self.set(name, Vec::new());
        }
    }
}

/// An invalid spec refers to nothing but its namespace, and waits for a change of its own.
fn referents(namespace: &str, mirror: &DynamicObject) -> Vec<Referent> {
    let spec = mirror.data.get("spec").cloned().unwrap_or_default();
    let here = Referent::Namespace(namespace.to_owned());
    let Ok(spec) = serde_json::from_value(spec) else {
        return vec![here];
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
    objects.chain(prometheuses).chain([here]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A resource whose targets are a Service and a Prometheus object.
    fn mirror(namespace: &str, name: &str, secret: &str) -> Packed {
        let targets = json!([
            {"name": "a", "service": {"name": "s", "namespace": "other", "port": 9090}},
            {"name": "b", "prometheus": {"name": "p"}, "tls": {"caConfigMapRef": {"name": "ca", "key": "ca.crt"}}},
        ]);
        packed(
            namespace,
            name,
            json!({"apiKeySecretRef": {"name": secret}, "targets": targets}),
        )
    }

    fn packed(namespace: &str, name: &str, spec: serde_json::Value) -> Packed {
        let metadata = json!({"namespace": namespace, "name": name});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    fn name(namespace: &str, name: &str) -> NamespacedName {
        (namespace.to_owned(), name.to_owned())
    }

    #[test]
    fn an_object_concerns_the_resources_that_refer_to_it_now() {
        let referrers = Referrers::default();
        let [a, b, c] = [("n", "a"), ("n", "b"), ("m", "c")].map(|(at, of)| name(at, of));
        let invalid = name("n", "invalid");
        referrers.note(&Event::Apply(mirror("n", "a", "key")));
        referrers.note(&Event::Apply(mirror("n", "b", "another")));
        referrers.note(&Event::Apply(mirror("m", "c", "key")));
        referrers.note(&Event::Apply(packed("n", "invalid", json!({}))));
        let secret = Referent::Secret(name("n", "key"));
        assert_eq!(referrers.of(&secret), std::slice::from_ref(&a));
        let service = Referent::Service(name("other", "s"));
        assert_eq!(referrers.of(&service), [c, a.clone(), b.clone()]);
        let config_map = Referent::ConfigMap(name("n", "ca"));
        assert_eq!(referrers.of(&config_map), [a.clone(), b.clone()]);
        let prometheus = Referent::PrometheusIn("n".to_owned());
        assert_eq!(referrers.of(&prometheus), [a.clone(), b.clone()]);
        let here = Referent::Namespace("n".to_owned());
        assert_eq!(referrers.of(&here), [a.clone(), b.clone(), invalid]);

        referrers.note(&Event::Apply(mirror("n", "a", "another")));
        assert!(referrers.of(&secret).is_empty());
        referrers.note(&Event::Delete(mirror("n", "a", "another")));
        assert_eq!(referrers.of(&prometheus), [b]);
    }

    #[test]
    fn what_a_list_names_is_known_before_its_end_and_what_it_does_not_name_until_then() {
        let referrers = Referrers::default();
        let prometheus = Referent::PrometheusIn("n".to_owned());
        let known = |event: Event<Packed>| {
            referrers.note(&event);
            let known = referrers.of(&prometheus).into_iter();
            known.map(|(_, name)| name).collect::<Vec<_>>()
        };
        let listed = |name: &str| Event::InitApply(mirror("n", name, "key"));
        let events = [
            Event::Init,
            listed("a"),
            listed("b"),
            Event::InitDone,
            // The watch broke off.
            Event::Init,
            listed("b"),
            // Once more, in the middle of the list.
            Event::Init,
            listed("c"),
            Event::InitDone,
        ];
        let all = [
            &[][..],
            &["a"],
            &["a", "b"],
            &["a", "b"],
            &["a", "b"],
            &["a", "b"],
            &["a", "b"],
            &["a", "b", "c"],
            &["c"],
        ];
        assert_eq!(events.map(known), all);
    }
}
