//! Fields that something else in the cluster sets each time the operator applies them: an admission
//! policy that rewrites an image, a controller that sets an annotation. Writing them again and
//! again helps nobody, so they are left as they are and reported.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crds::contract::{OPERATOR, annotations, sha256};
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::difference::Difference;
use crate::cluster::references::NamespacedName;
use crate::cluster::written::ObjectName;
use crate::controller::build::Child;

/// So often is the same difference fixed within [`SOON`]; then it is left.
const MOST_FIXES: usize = 5;
/// So long a fix counts.
const SOON: Duration = Duration::from_secs(3600);

/// Fields of a child that are not as the operator wants them, and stay so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overruled {
    /// The child.
    pub object: ObjectName,
    /// What differs.
    pub fields: Vec<Difference>,
    /// Who sets them.
    pub by: By,
}

/// Who sets fields to other values than the operator does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The API server itself answers so.
    Admission,
    /// Something changes them afterwards: the field manager, if it is known.
    Another(Option<String>),
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admission => f.write_str("an admission policy or webhook sets it"),
            Self::Another(Some(manager)) => write!(f, "{manager} sets it again and again"),
            Self::Another(None) => {
                f.write_str("another controller or user sets it again and again")
            }
        }
    }
}

impl fmt::Display for Overruled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// A condition is no place for more.
        const MOST: usize = 5;
        let fields: Vec<_> = self
            .fields
            .iter()
            .take(MOST)
            .map(Difference::to_string)
            .collect();
        write!(f, "{}: {}", self.object, fields.join(", "))?;
        if self.fields.len() > MOST {
            write!(f, " and {} more", self.fields.len() - MOST)?;
        }
        write!(f, " ({})", self.by)
    }
}

/// What is known of children that differ although they were applied. It is in memory only: after a
/// restart, a dry run finds it out again.
#[derive(Debug, Default)]
pub struct Contested(Mutex<HashMap<NamespacedName, HashMap<String, Known>>>);

#[derive(Debug, Default)]
struct Known {
    /// What was applied, and the state that the API server made of it.
    settled: Option<(String, String)>,
    /// The hash of what was applied last. The child's annotation says the same, unless something
    /// takes it away or changes it.
    applied: Option<String>,
    /// When each difference was fixed.
    fixes: Vec<(String, Instant)>,
    /// Who sets the fields that were fixed in vain, once it was asked.
    by: Option<By>,
}

impl Contested {
    /// Whether the API server is known to leave this state of a child as it is.
    pub(super) fn is_settled(
        &self,
        of: &NamespacedName,
        child: &Child,
        there: &DynamicObject,
    ) -> bool {
        let settled = self.known(of, there, |known| known.settled.clone());
        settled == Some((stamp(child), state(there)))
    }

    /// The API server leaves this state as it is.
    pub(super) fn settle(&self, of: &NamespacedName, child: &Child, there: &DynamicObject) {
        let settled = Some((stamp(child), state(there)));
        self.known(of, there, |known| known.settled = settled);
    }

    /// Whether exactly this was applied to an object last: its annotation says so, or it is
    /// remembered, where something takes the annotation away. After a restart it is applied once
    /// more.
    pub(super) fn was_applied(
        &self,
        of: &NamespacedName,
        child: &Child,
        there: &DynamicObject,
    ) -> bool {
        let stamp = stamp(child);
        let last = there.annotations().get(annotations::APPLIED);
        last == Some(&stamp)
            || self.known(of, there, |known| known.applied.as_ref() == Some(&stamp))
    }

    /// This was applied to the object with this uid.
    pub(super) fn note_applied(&self, of: &NamespacedName, child: &Child, uid: &str) {
        let stamp = stamp(child);
        self.known_by(of, uid, |known| known.applied = Some(stamp));
    }

    /// Whether a difference was fixed so often that fixing it again is in vain; otherwise it is
    /// noted as fixed.
    pub(super) fn is_in_vain(
        &self,
        of: &NamespacedName,
        there: &DynamicObject,
        fields: &[Difference],
        now: Instant,
    ) -> bool {
        let difference = sha256(format!("{fields:?}"));
        self.known(of, there, |Known { fixes, .. }| {
            fixes.retain(|(_, fixed)| now.saturating_duration_since(*fixed) < SOON);
            let same = fixes.iter().filter(|(fixed, _)| *fixed == difference);
            if same.count() >= MOST_FIXES {
                return true;
            }
            fixes.push((difference, now));
            false
        })
    }

    /// Who sets the fields that were fixed in vain, if it was asked.
    pub(super) fn by(&self, of: &NamespacedName, there: &DynamicObject) -> Option<By> {
        self.known(of, there, |known| known.by.clone())
    }

    /// It was asked who sets them.
    pub(super) fn note(&self, of: &NamespacedName, there: &DynamicObject, by: &By) {
        self.known(of, there, |known| known.by = Some(by.clone()));
    }

    /// A resource is gone, and its children with it.
    pub fn forget(&self, resource: &NamespacedName) {
        self.lock().remove(resource);
    }

    /// What is known of a child of a resource.
    fn known<T>(
        &self,
        of: &NamespacedName,
        there: &DynamicObject,
        ask: impl FnOnce(&mut Known) -> T,
    ) -> T {
        self.known_by(of, there.metadata.uid.as_deref().unwrap_or_default(), ask)
    }

    fn known_by<T>(&self, of: &NamespacedName, uid: &str, ask: impl FnOnce(&mut Known) -> T) -> T {
        let mut all = self.lock();
        let children = all.entry(of.clone()).or_default();
        ask(children.entry(uid.to_owned()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NamespacedName, HashMap<String, Known>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hash of a child, as its annotation has it.
fn stamp(child: &Child) -> String {
    let stamp = &child.manifest["metadata"]["annotations"][annotations::APPLIED];
    stamp.as_str().unwrap_or_default().to_owned()
}

/// The field manager that wrote a field last, apart from the operator.
pub(super) fn manager(there: &DynamicObject, field: &Difference) -> Option<String> {
    let entries = there.managed_fields().iter();
    let others = entries.filter(|entry| {
        let fields = entry.fields_v1.as_ref();
        entry.manager.as_deref() != Some(OPERATOR)
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
            && fields.is_some_and(|fields| has_field(&fields.0, &field.path))
    });
    let last = others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    last.manager.clone()
}

/// Whether a field of this path is among managed fields; its last name is enough.
fn has_field(fields: &Value, path: &str) -> bool {
    fields.as_object().is_some_and(|fields| {
        fields.iter().any(|(name, below)| {
            let name = name.strip_prefix("f:").unwrap_or_default();
            let last = path.strip_suffix(name).filter(|_| !name.is_empty());
            last.is_some_and(|before| before.ends_with('.')) || has_field(below, path)
        })
    })
}

/// Whether two answers show the same state of an object.
pub(super) fn is_same(one: &DynamicObject, other: &DynamicObject) -> bool {
    state(one) == state(other)
}

/// An object without what changes by itself, as a hash.
fn state(object: &DynamicObject) -> String {
    let mut value = json!(object);
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !["apiVersion", "kind", "status"].contains(&name.as_str()));
    }
    if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
        let moving = ["managedFields", "resourceVersion", "generation"];
        metadata.retain(|name, _| !moving.contains(&name.as_str()));
    }
    // Keys of an object are in order.
    sha256(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_that_wrote_a_field_last_is_named() {
        let entry = |manager: &str, time: &str, fields: Value| json!({"manager": manager, "operation": "Update", "time": time, "fieldsV1": fields});
        let annotation = json!({"f:metadata": {"f:annotations": {"f:a.example/b": {}}}});
        let there: DynamicObject =
            serde_json::from_value(json!({"metadata": {"name": "a", "managedFields": [
                entry(OPERATOR, "2026-01-03T00:00:00Z", annotation.clone()),
                entry("balancer", "2026-01-02T00:00:00Z", annotation.clone()),
                entry("kubectl", "2026-01-01T00:00:00Z", annotation),
                entry("other", "2026-01-04T00:00:00Z", json!({"f:metadata": {"f:labels": {}}})),
            ]}}))
            .unwrap();
        let of = |path: &str| {
            let (path, wanted, found) = (path.to_owned(), Value::Null, Value::Null);
            manager(
                &there,
                &Difference {
                    path,
                    wanted,
                    found,
                },
            )
        };
        let balancer = Some("balancer".to_owned());
        assert_eq!(of("metadata.annotations.a.example/b"), balancer);
        assert_eq!(of("spec.replicas"), None);
    }

    #[test]
    fn the_same_difference_is_fixed_five_times_an_hour() {
        let there: DynamicObject =
            serde_json::from_value(json!({"metadata": {"name": "a", "uid": "u"}})).unwrap();
        let field = |found: &str| {
            [Difference {
                path: "spec.x".to_owned(),
                wanted: json!("a"),
                found: json!(found),
            }]
        };
        let contested = Contested::default();
        let resource = ("n".to_owned(), "a".to_owned());
        let start = Instant::now();
        let in_vain = |found: &str, minute: u64| {
            let now = start + Duration::from_secs(60 * minute);
            contested.is_in_vain(&resource, &there, &field(found), now)
        };
        let tries = [0, 1, 2, 3, 4, 5, 6].map(|minute| in_vain("b", minute));
        assert_eq!(tries, [false, false, false, false, false, true, true]);
        assert!(!in_vain("c", 6), "another difference");
        assert!(!in_vain("b", 60), "the first fix is an hour ago");
    }
}
