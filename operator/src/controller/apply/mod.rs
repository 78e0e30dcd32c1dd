//! Step 4: makes the cluster hold what was built. The only code that writes children.
//!
//! Server-side apply with one field manager: fields of others (an autoscaler's replicas, an
//! injected sidecar, annotations) stay. A child is written only if it differs, see [`decide`]; one
//! of somebody else is never touched: what is made is made under the condition that there is
//! nothing of its name, see [`UNMADE`].

mod difference;

use std::collections::BTreeSet;

use crds::PrometheusMirror;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use kube::{Client, Resource, ResourceExt as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use self::difference::contains;
use super::build::Child;
use super::validate::ValidatedMirror;
use crate::cluster::caches::Caches;
use crate::cluster::kind::Kind;
use crate::cluster::owner::owned_by;
use crate::cluster::packed::Packed;
use crate::cluster::watched::Cache;
use crate::cluster::written::{Change, Written};
use crate::names::{APPLIED_ANNOTATION, OPERATOR};

/// Holds the replicas of a Deployment from when an autoscaler is asked for until it sets them.
const REPLICAS_MANAGER: &str = "prometheus-mirror-operator-replicas";

/// The version of a child that is not there. The API server compares it with that of the object, if
/// there is one: no object has it, as the first write to etcd makes version 2. If there is none,
/// the version is ignored and the object made; so it is in Kubernetes 1.29 to 1.37 (`Store.Update`
/// of k8s.io/apiserver's generic registry, with `forceAllowCreate`).
const UNMADE: &str = "1";

/// What applying came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// What was written.
    pub written: Vec<Written>,
    /// What could not be made because something else has its name.
    pub taken: Vec<String>,
    /// What could not be made yet: an earlier resource's child of that name is about to go.
    pub leaving: Vec<String>,
    /// What could not be made because its kind is not to be had, and why.
    pub missing: Vec<String>,
}

/// Why applying failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server will never take this; the spec must change. Nothing was written.
    #[error("{object}: {message}")]
    Refused {
        /// `Kind name`
        object: String,
        /// What the API server said.
        message: String,
    },
    /// The resource has been deleted, and the cache has not heard yet.
    #[error("the resource is gone")]
    Gone,
    /// The request failed; another try may not.
    #[error("cannot write {object}: {source}")]
    Failed {
        /// `Kind name`
        object: String,
        /// Why.
        source: kube::Error,
    },
}

/// What is to be done for a child.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Decision {
    Nothing,
    /// There is none.
    Create,
    /// Ours, but different. The uid guards against writing to a successor of the same name.
    Update {
        uid: Option<String>,
    },
    /// An earlier resource's of the same name: the garbage collector is about to take it.
    Leaving,
    /// Somebody else's.
    Taken,
}

/// Makes what is in `children`, and removes what belongs to the resource and is not.
///
/// Of a `new` resource, of which no status tells yet, there are most likely none: they are made
/// without asking first.
///
/// # Errors
/// At the first request that fails.
pub async fn apply(
    client: &Client,
    caches: &Caches,
    mirror: &ValidatedMirror,
    children: Vec<Child>,
    new: bool,
) -> Result<Applied, Error> {
    let step = Apply {
        client,
        caches,
        mirror,
        new,
    };
    let mut applied = Applied::default();
    let mut wanted = BTreeSet::new();
    let mut writes = Vec::new();
    for child in children {
        wanted.insert((child.kind, child.name().to_owned()));
        if let Some(why) = caches
            .children
            .get(&child.kind)
            .and_then(Cache::unavailable)
        {
            applied.missing.push(format!("{}: {why}", describe(&child)));
            continue;
        }
        let child = sealed(child);
        match step.decide(&child).await? {
            decision @ (Decision::Create | Decision::Update { .. }) => {
                writes.push((child, decision));
            }
            settled => applied.note(&child, &settled),
        }
    }
    // The deletion of children may be heard of before that of the resource: each kind has a watch
    // of its own. Those that are made for a new one that is gone again are removed by the garbage
    // collector.
    if !new
        && writes
            .iter()
            .any(|(_, decision)| *decision == Decision::Create)
        && !step.is_there().await?
    {
        return Err(Error::Gone);
    }
    // Before anything is written: a pod template that the API server refuses must leave the other
    // children as they are.
    for (child, decision) in &writes {
        if child.kind == Kind::Deployment && (*decision != Decision::Create || step.shapes_pods()) {
            match step.patch(child, decision, true).await {
                // Told when its turn comes.
                Err(error) if *decision == Decision::Create && in_the_way(&error) => {}
                checked => checked?,
            }
        }
    }
    for (child, decision) in writes {
        let came_to = step.write(&child, decision).await?;
        applied.note(&child, &came_to);
    }
    for (kind, object) in step.unwanted(&wanted) {
        if step.delete(kind, &object).await? {
            let object = format!("{} {}", kind.resource().kind, object.name_any());
            applied.written.push(Written {
                what: Change::Deleted,
                object,
            });
        }
    }
    Ok(applied)
}

/// Whether something that was to be made is there.
fn in_the_way(error: &Error) -> bool {
    matches!(error, Error::Failed { source: kube::Error::Api(status), .. } if status.code == 409)
}

fn describe(child: &Child) -> String {
    format!("{} {}", child.kind.resource().kind, child.name())
}

/// The child with the hash of what it is, so that a field which is no longer wanted is noticed.
fn sealed(mut child: Child) -> Child {
    let hash: String = Sha256::digest(child.manifest.to_string())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    child.manifest["metadata"]["annotations"][APPLIED_ANNOTATION] = json!(hash);
    child
}

/// What an object that is there means for a child of the resource with `owner` as uid.
fn decide(child: &Child, there: &DynamicObject, owner: &str) -> Decision {
    if !owned_by(there, owner) {
        let same_name = |other: &&OwnerReference| {
            let wanted = &child.manifest["metadata"]["ownerReferences"][0];
            other.controller == Some(true)
                && wanted["kind"] == other.kind
                && wanted["name"] == other.name
        };
        return if there
            .owner_references()
            .iter()
            .any(|other| same_name(&other))
        {
            Decision::Leaving
        } else {
            Decision::Taken
        };
    }
    if there.metadata.deletion_timestamp.is_some() {
        return Decision::Leaving;
    }
    let mut wanted = child.manifest.clone();
    if let Some(fields) = wanted.as_object_mut() {
        // Items of a list come without them.
        fields.retain(|name, _| !["apiVersion", "kind"].contains(&name.as_str()));
    }
    if contains(&json!(there), &wanted) {
        Decision::Nothing
    } else {
        Decision::Update {
            uid: there.metadata.uid.clone(),
        }
    }
}

/// What the API server has against an object, if that is why a request failed.
fn refusal<T>(result: &kube::Result<T>) -> Option<String> {
    match result {
        Err(kube::Error::Api(status)) if [400, 422].contains(&status.code) => {
            Some(status.message.clone())
        }
        _ => None,
    }
}

impl Decision {
    /// Puts into a manifest what must be so of the object when it is written.
    fn condition(&self, manifest: &mut Value) {
        match self {
            Self::Create => manifest["metadata"]["resourceVersion"] = json!(UNMADE),
            Self::Update { uid: Some(uid) } => manifest["metadata"]["uid"] = json!(uid),
            Self::Update { uid: None } | Self::Nothing | Self::Leaving | Self::Taken => {}
        }
    }
}

impl Applied {
    /// What came of a child.
    fn note(&mut self, child: &Child, decision: &Decision) {
        let object = describe(child);
        let what = match decision {
            Decision::Nothing => return,
            Decision::Taken => return self.taken.push(object),
            Decision::Leaving => return self.leaving.push(object),
            Decision::Create => Change::Created,
            Decision::Update { .. } => Change::Updated,
        };
        self.written.push(Written { what, object });
    }
}

/// What is there under the name of a child, as far as the cache knows. Read from the API server
/// where the cache does not have all of it: nobody's child is so large unless somebody else made it
/// so.
///
/// # Errors
/// If it cannot be read.
pub async fn known(
    client: &Client,
    caches: &Caches,
    kind: Kind,
    namespace: &str,
    name: &str,
) -> Result<Option<DynamicObject>, Error> {
    let Some(there) = caches.child(kind, namespace, name) else {
        return Ok(None);
    };
    if there.oversize().is_none() {
        return Ok(Some(there.unpack()));
    }
    let resource = kind.resource();
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    api.get_opt(name).await.map_err(|source| Error::Failed {
        object: format!("{} {name}", resource.kind),
        source,
    })
}

struct Apply<'a> {
    client: &'a Client,
    caches: &'a Caches,
    mirror: &'a ValidatedMirror,
    new: bool,
}

impl Apply<'_> {
    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(
            self.client.clone(),
            &self.mirror.namespace,
            &kind.resource(),
        )
    }

    /// Whether the spec says something of pods that only the API server can judge.
    fn shapes_pods(&self) -> bool {
        let spec = &self.mirror.spec;
        spec.pod_template.is_some() || spec.resources.is_some()
    }

    async fn cached(&self, child: &Child) -> Result<Option<DynamicObject>, Error> {
        let namespace = &self.mirror.namespace;
        known(
            self.client,
            self.caches,
            child.kind,
            namespace,
            child.name(),
        )
        .await
    }

    /// Whether the resource is there still, asked of the API server.
    async fn is_there(&self) -> Result<bool, Error> {
        let api = Api::<PrometheusMirror>::namespaced(self.client.clone(), &self.mirror.namespace);
        // A list, because that is what the operator has the right to anyway.
        let named = ListParams::default().fields(&format!("metadata.name={}", self.mirror.name));
        let found = api.list_metadata(&named).await;
        let found = found.map_err(|source| Error::Failed {
            object: format!("children of {}", self.mirror.name),
            source,
        })?;
        Ok(found.items.iter().any(|there| {
            there.metadata.uid.as_ref() == Some(&self.mirror.uid)
                && there.metadata.deletion_timestamp.is_none()
        }))
    }

    async fn decide(&self, child: &Child) -> Result<Decision, Error> {
        if let Some(there) = self.cached(child).await? {
            return Ok(decide(child, &there, &self.mirror.uid));
        }
        // The cache holds only what carries our label, and may be a moment behind.
        if self.new {
            return Ok(Decision::Create);
        }
        self.ask(child).await
    }

    /// What the object that the API server has means for a child.
    async fn ask(&self, child: &Child) -> Result<Decision, Error> {
        let there = self.api(child.kind).get_opt(child.name()).await;
        let there = there.map_err(|source| Error::Failed {
            object: describe(child),
            source,
        })?;
        Ok(there.map_or(Decision::Create, |there| {
            decide(child, &there, &self.mirror.uid)
        }))
    }

    /// Makes or changes a child, and tells what it came to: something may be in the way by now.
    async fn write(&self, child: &Child, mut decision: Decision) -> Result<Decision, Error> {
        if child.kind == Kind::Deployment {
            self.hand_over_replicas(child).await?;
        }
        if decision == Decision::Create {
            decision = self.create(child).await?;
        }
        if let Decision::Update { .. } = decision {
            self.patch(child, &decision, false).await?;
        }
        Ok(decision)
    }

    /// Makes a child, or tells what the object means that is there.
    async fn create(&self, child: &Child) -> Result<Decision, Error> {
        match self.patch(child, &Decision::Create, false).await {
            Err(error) if in_the_way(&error) => {
                return match self.ask(child).await? {
                    // It is gone by now.
                    Decision::Create => Err(error),
                    there => Ok(there),
                };
            }
            made => made?,
        }
        if child.kind == Kind::Deployment {
            self.start_with_the_fewest(child).await?;
        }
        Ok(Decision::Create)
    }

    async fn patch(&self, child: &Child, decision: &Decision, dry_run: bool) -> Result<(), Error> {
        let mut manifest = child.manifest.clone();
        decision.condition(&mut manifest);
        let mut params = PatchParams::apply(OPERATOR).force();
        if child.kind == Kind::Deployment {
            // A misspelt field of a pod template would be dropped without a word.
            params = params.validation_strict();
        }
        params.dry_run = dry_run;
        let api = self.api(child.kind);
        let mut patched = api
            .patch(child.name(), &params, &Patch::Apply(&manifest))
            .await;
        if matches!(decision, Decision::Update { uid: Some(_) }) && refusal(&patched).is_some() {
            // Somebody may have put an item into a list that ours cannot be beside, such as another
            // port of the same name. Merging replaces lists as a whole.
            let params = PatchParams {
                dry_run,
                field_manager: Some(OPERATOR.to_owned()),
                ..PatchParams::default()
            };
            let merged = api
                .patch(child.name(), &params, &Patch::Merge(&manifest))
                .await;
            if merged.is_ok() {
                patched = merged;
            }
        }
        if let Some(message) = refusal(&patched) {
            return Err(Error::Refused {
                object: describe(child),
                message,
            });
        }
        patched.map(|_| ()).map_err(|source| Error::Failed {
            object: describe(child),
            source,
        })
    }

    /// When an autoscaler takes over, the field that the operator no longer sends would fall back
    /// to one replica.
    async fn hand_over_replicas(&self, child: &Child) -> Result<(), Error> {
        let Some(there) = self.cached(child).await? else {
            return Ok(());
        };
        let replicas = &there.data["spec"]["replicas"];
        if !child.manifest["spec"]["replicas"].is_null() || replicas.is_null() {
            return Ok(());
        }
        self.set_replicas(child, there.metadata.uid.as_deref(), replicas)
            .await
    }

    /// A new Deployment without a number has one replica, until the autoscaler looks: with its
    /// fewest, there is no such time.
    async fn start_with_the_fewest(&self, child: &Child) -> Result<(), Error> {
        match &self.mirror.spec.autoscaling {
            Some(asked) if asked.min_replicas > 1 => {
                self.set_replicas(child, None, &json!(asked.min_replicas))
                    .await
            }
            _ => Ok(()),
        }
    }

    /// The number of a Deployment that is there, until the autoscaler sets it.
    async fn set_replicas(
        &self,
        child: &Child,
        uid: Option<&str>,
        replicas: &Value,
    ) -> Result<(), Error> {
        let resource = child.kind.resource();
        let mut manifest = json!({
            "apiVersion": resource.api_version, "kind": resource.kind,
            "metadata": {"name": child.name()},
            "spec": {"replicas": replicas},
        });
        if let Some(uid) = uid {
            manifest["metadata"]["uid"] = json!(uid);
        }
        let params = PatchParams::apply(REPLICAS_MANAGER).force();
        let patched = self
            .api(child.kind)
            .patch(child.name(), &params, &Patch::Apply(manifest))
            .await;
        patched.map(|_| ()).map_err(|source| Error::Failed {
            object: describe(child),
            source,
        })
    }

    fn unwanted(&self, wanted: &BTreeSet<(Kind, String)>) -> Vec<(Kind, std::sync::Arc<Packed>)> {
        let of_kind = |(kind, cache): (&Kind, &Cache<Packed>)| {
            let kind = *kind;
            let found = cache.filter(|object| {
                object.meta().namespace.as_deref() == Some(&self.mirror.namespace)
                    && owned_by(object, &self.mirror.uid)
                    && object.meta().deletion_timestamp.is_none()
                    && !wanted.contains(&(kind, object.name_any()))
            });
            found.into_iter().map(move |object| (kind, object))
        };
        self.caches.children.iter().flat_map(of_kind).collect()
    }

    /// Whether there was something to delete.
    async fn delete(&self, kind: Kind, object: &Packed) -> Result<bool, Error> {
        let preconditions = Preconditions {
            uid: object.uid(),
            resource_version: None,
        };
        let params = DeleteParams::background().preconditions(preconditions);
        match self.api(kind).delete(&object.name_any(), &params).await {
            Ok(_) => Ok(true),
            // Gone already, or another one under its name by now.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(false),
            Err(source) => Err(Error::Failed {
                object: format!("{} {}", kind.resource().kind, object.name_any()),
                source,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
