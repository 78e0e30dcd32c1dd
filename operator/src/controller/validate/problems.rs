//! Whether everything that a spec refers to was found, and is as it must be.

use std::collections::BTreeMap;

use crds::{DataKind, Fault, Reason};

use super::urls::Dead;
use super::{Invalid, invalid, list};
use crate::cluster::references::Keys;
use crate::controller::dereference::KeyFacts;

/// All problems; the first one's reason stands for them.
#[derive(Default)]
pub(super) struct Problems {
    reason: Option<Reason>,
    faults: Vec<Fault>,
}

impl Problems {
    pub(super) fn add(&mut self, reason: Reason, fault: Fault) {
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

    /// What a field leads to, if it leads anywhere; otherwise the reason is noted.
    pub(super) fn noted<T>(&mut self, field: &str, found: Result<T, Dead>) -> Option<T> {
        match found {
            Ok(found) => Some(found),
            Err(Dead { reason, message }) => {
                self.add(reason, Fault::new(field, message));
                None
            }
        }
    }

    pub(super) fn none_or_invalid(self) -> Result<(), Invalid> {
        self.reason
            .map_or(Ok(()), |reason| Err(invalid(reason, &self.faults)))
    }
}
