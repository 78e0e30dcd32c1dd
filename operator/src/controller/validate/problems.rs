//! Whether everything that a spec refers to was found, and is as it must be.

use std::collections::BTreeMap;

use crds::{DataKind, Fault, HttpUrl, Reason};

use super::urls::{prometheus_url, service_url};
use super::{Invalid, invalid, list};
use crate::cluster::references::Keys;
use crate::controller::dereference::{Dereferenced, KeyFacts};

/// All problems; the first one's reason stands for them.
#[derive(Default)]
pub(super) struct Problems {
    reason: Option<Reason>,
    faults: Vec<Fault>,
}

impl Problems {
    fn add(&mut self, reason: Reason, fault: Fault) {
        self.reason.get_or_insert(reason);
        self.faults.push(fault);
    }

    /// The versions of the objects of a kind. All needed keys must be in them.
    pub(super) fn versions(
        &mut self,
        kind: DataKind,
        namespace: &str,
        needed: &BTreeMap<String, Keys>,
        found: &BTreeMap<String, Option<KeyFacts>>,
    ) -> BTreeMap<String, String> {
        let (object_missing, key_missing) = match kind {
            DataKind::Secret => (Reason::SecretMissing, Reason::SecretKeyMissing),
            DataKind::ConfigMap => (Reason::ConfigMapMissing, Reason::ConfigMapKeyMissing),
        };
        let kind = kind.as_str();
        let mut versions = BTreeMap::new();
        for (name, keys) in needed {
            let Some(Some(there)) = found.get(name) else {
                let field = keys.needed.values().next().map_or("spec", String::as_str);
                let message = format!("there is no {kind} {name} in namespace {namespace}");
                let fault = Fault::new(field, message);
                self.add(object_missing, fault.hint("create it, or name another one"));
                continue;
            };
            versions.insert(name.clone(), there.version.clone());
            for (key, field) in &keys.needed {
                if !there.keys.contains(key) {
                    let fault = Fault::new(field, format!("{kind} {name} has no key {key}"));
                    let hint = format!("its keys: {}", list(&there.keys));
                    self.add(key_missing, fault.hint(hint));
                }
            }
        }
        versions
    }

    /// Replaces a target's reference to a server by the server's URL.
    pub(super) fn resolve(
        &mut self,
        path: &str,
        target: &mut crds::Target,
        namespace: &str,
        found: &Dereferenced,
    ) {
        let at = |other: &Option<String>, name: &str| {
            let namespace = other.as_deref().unwrap_or(namespace);
            (namespace.to_owned(), name.to_owned())
        };
        if let Some(service) = target.service.take() {
            let at = at(&service.namespace, &service.name);
            let facts = found.services.get(&at).cloned();
            let facts = facts.unwrap_or_else(|| Err("was not looked for".to_owned()));
            match facts.and_then(|facts| service_url(&service, &at.0, &facts)) {
                Ok(url) => target.url = Some(HttpUrl(url)),
                Err(message) => {
                    let fault = Fault::new(format!("{path}.service"), message);
                    self.add(Reason::ServiceMissing, fault);
                }
            }
        }
        if let Some(prometheus) = target.prometheus.take() {
            let at = at(&prometheus.namespace, &prometheus.name);
            match found.prometheuses.get(&at) {
                Some(Ok(facts)) => target.url = Some(HttpUrl(prometheus_url(facts, &at.0))),
                Some(Err(message)) => {
                    let fault = Fault::new(format!("{path}.prometheus"), message.clone());
                    self.add(Reason::PrometheusMissing, fault);
                }
                None => {}
            }
        }
    }

    pub(super) fn none_or_invalid(self) -> Result<(), Invalid> {
        self.reason
            .map_or(Ok(()), |reason| Err(invalid(reason, &self.faults)))
    }
}
