//! The objects, their versions, and what changed.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::Refusal;
use super::request::Asked;

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    resource: String,
    name: String,
    namespace: String,
}

/// A write.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) resource: String,
    pub(super) version: u64,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

/// All objects.
#[derive(Default)]
pub(super) struct Store {
    objects: BTreeMap<Key, Value>,
    /// What each field manager applied last.
    applied: BTreeMap<(Key, String), Value>,
    changes: Vec<Change>,
    /// etcd's first write makes version 2.
    writes: u64,
}

impl Key {
    pub(super) fn asked(asked: &Asked) -> Self {
        Self {
            resource: asked.resource.clone(),
            name: asked.name.clone().unwrap_or_default(),
            namespace: asked.namespace.clone().unwrap_or_default(),
        }
    }

    pub(super) fn of(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = GroupVersionKind::gvk("", "", &text(&object["kind"]));
        Self {
            resource: ApiResource::from_gvk(&kind).plural,
            name: text(&object["metadata"]["name"]),
            namespace: text(&object["metadata"]["namespace"]),
        }
    }
}

/// `deployments/shop`
impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.resource, self.name)
    }
}

impl Store {
    pub(super) fn version(&self) -> u64 {
        self.writes + 1
    }

    pub(super) fn since(&self, version: u64) -> impl Iterator<Item = &Change> {
        self.changes
            .iter()
            .filter(move |change| change.version > version)
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    pub(super) fn named(&self, what: &str) -> Option<Value> {
        let mut objects = self.objects.iter();
        objects.find_map(|(key, object)| (key.to_string() == what).then(|| object.clone()))
    }

    pub(super) fn of(&self, resource: &str) -> impl Iterator<Item = &Value> {
        let objects = self.objects.iter();
        objects.filter_map(move |(key, object)| (key.resource == resource).then_some(object))
    }

    /// Stores an object if it differs from what is there.
    pub(super) fn put(&mut self, key: Key, mut object: Value) -> Option<Change> {
        let before = self.objects.get(&key).cloned();
        let metadata = &mut object["metadata"];
        match &before {
            Some(before) => {
                for field in ["uid", "resourceVersion", "generation"] {
                    metadata[field] = before["metadata"][field].clone();
                }
                if *before == object {
                    return None;
                }
                if before["spec"] != object["spec"] {
                    let generation = before["metadata"]["generation"].as_i64().unwrap_or(0);
                    object["metadata"]["generation"] = json!(generation + 1);
                }
            }
            None => {
                metadata["generation"] = json!(1);
                if metadata["uid"].is_null() {
                    metadata["uid"] = json!(format!("uid-{}-{}", key, self.writes));
                }
            }
        }
        self.writes += 1;
        let version = self.version();
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        self.objects.insert(key.clone(), object.clone());
        Some(self.note(key.resource, before, Some(object)))
    }

    /// Server-side apply, always by force. Lists are replaced as a whole.
    pub(super) fn apply(
        &mut self,
        key: &Key,
        asked: &Asked,
        rewrite: impl Fn(&mut Value),
    ) -> Result<(Value, Option<Change>), Refusal> {
        let mut manifest = asked.body.clone();
        let there = self.objects.get(key);
        self.check(there, &mut manifest)?;
        let part = asked.subresource.clone().unwrap_or_default();
        if there.is_none() && !part.is_empty() {
            return Err(Refusal::not_found(&key.to_string()));
        }
        let manager = (key.clone(), format!("{} {part}", asked.manager));
        let mut object = there.cloned().unwrap_or_else(|| json!({}));
        if let Some(earlier) = self.applied.get(&manager) {
            let others = self.applied.iter();
            let others = others.filter(|((at, by), _)| at == key && *by != manager.1);
            let others: Vec<_> = others.map(|(_, applied)| applied).collect();
            take_away(&mut object, earlier, &manifest, &others);
        }
        merge(&mut object, &manifest);
        object["metadata"]["namespace"] = json!(key.namespace);
        rewrite(&mut object);
        if asked.dry_run {
            return Ok((object, None));
        }
        self.applied.insert(manager, manifest);
        Ok((object.clone(), self.put(key.clone(), object)))
    }

    /// A JSON merge patch.
    pub(super) fn merge(
        &mut self,
        key: &Key,
        asked: &Asked,
    ) -> Result<(Value, Option<Change>), Refusal> {
        let there = self.objects.get(key);
        let mut object = there
            .cloned()
            .ok_or_else(|| Refusal::not_found(&key.to_string()))?;
        let mut patch = asked.body.clone();
        self.check(there, &mut patch)?;
        merge(&mut object, &patch);
        let change = if asked.dry_run {
            None
        } else {
            self.put(key.clone(), object.clone())
        };
        Ok((object, change))
    }

    /// Whether what a manifest says of the object that is there is true. It is not stored.
    fn check(&self, there: Option<&Value>, manifest: &mut Value) -> Result<(), Refusal> {
        let metadata = manifest["metadata"].as_object_mut().unwrap();
        let (version, uid) = (metadata.remove("resourceVersion"), metadata.remove("uid"));
        let nothing = Value::Null;
        let there = there.map(|there| &there["metadata"]);
        if uid.is_some_and(|uid| there.unwrap_or(&nothing)["uid"] != uid) {
            return Err(Refusal::conflict("Precondition failed: UID"));
        }
        let other =
            |there: &Value| version.is_some_and(|version| there["resourceVersion"] != version);
        if there.is_some_and(other) {
            return Err(Refusal::conflict("the object has been modified"));
        }
        Ok(())
    }

    /// Takes an object away, and what it owns.
    pub(super) fn remove(&mut self, what: &str) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut keys: Vec<_> = self.objects.keys().cloned().collect();
        keys.retain(|key| key.to_string() == what);
        while let Some(key) = keys.pop() {
            let Some(gone) = self.objects.remove(&key) else {
                continue;
            };
            self.applied.retain(|(applied, _), _| *applied != key);
            let owned = self.objects.iter().filter(|(_, object)| {
                let owners = object["metadata"]["ownerReferences"].as_array();
                let mut owners = owners.into_iter().flatten();
                owners.any(|owner| owner["uid"] == gone["metadata"]["uid"])
            });
            keys.extend(owned.map(|(key, _)| key.clone()));
            self.writes += 1;
            changes.push(self.note(key.resource, Some(gone), None));
        }
        changes
    }

    fn note(&mut self, resource: String, before: Option<Value>, after: Option<Value>) -> Change {
        let version = self.version();
        let change = Change {
            resource,
            version,
            before,
            after,
        };
        self.changes.push(change.clone());
        change
    }
}

fn merge(object: &mut Value, patch: &Value) {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            for (name, value) in patch {
                match value {
                    Value::Null => drop(object.remove(name)),
                    value => merge(object.entry(name).or_insert(Value::Null), value),
                }
            }
        }
        (object, Value::Object(_)) => {
            *object = json!({});
            merge(object, patch);
        }
        (object, patch) => *object = patch.clone(),
    }
}

/// Takes away what a manager applied earlier and applies no more, and no other manager applied.
fn take_away(object: &mut Value, earlier: &Value, now: &Value, others: &[&Value]) {
    let (Value::Object(object), Value::Object(earlier)) = (object, earlier) else {
        return;
    };
    for (name, before) in earlier {
        let others: Vec<_> = others.iter().filter_map(|other| other.get(name)).collect();
        match (now.get(name), object.get_mut(name)) {
            (Some(now), Some(object)) => take_away(object, before, now, &others),
            (None, _) if others.is_empty() => drop(object.remove(name)),
            _ => {}
        }
    }
}
