//! The requests that write children.

use crds::contract::OPERATOR;
use std::collections::BTreeSet;

use crds::PrometheusMirror;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};

use super::decide::{Decision, decide};
use super::{By, Difference, Error, advice, misfit, overruled};
use crate::cluster::answer::{Refusal, needs_a_write, refusal, words};
use crate::cluster::caches::Caches;
use crate::cluster::kind::Kind;
use crate::cluster::store::Kept as _;
use crate::cluster::written::ObjectName;
use crate::controller::begun;
use crate::controller::build::Child;
use crate::controller::validate::ValidatedMirror;

/// Writes the children of one resource.
pub(super) struct Writer<'a> {
    pub(super) client: &'a Client,
    pub(super) caches: &'a Caches,
    pub(super) mirror: &'a ValidatedMirror,
    /// What pods of a new Deployment begin with.
    pub(super) configuration: &'a str,
}

impl Writer<'_> {
    pub(super) fn api(&self, kind: Kind) -> Api<DynamicObject> {
        let namespace = &self.mirror.namespace;
        Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
    }

    /// The child as the cache has it.
    pub(super) async fn cached(&self, child: &Child) -> Result<Option<DynamicObject>, Error> {
        let namespace = &self.mirror.namespace;
        let there = self
            .caches
            .whole_child(self.client, child.kind, namespace, child.name());
        there.await.map_err(failed(child))
    }

    /// Whether the resource still exists, according to the API server.
    pub(super) async fn resource_exists(&self) -> Result<bool, Error> {
        let api = Api::<PrometheusMirror>::namespaced(self.client.clone(), &self.mirror.namespace);
        // A list, because that is what the operator has the right to anyway.
        let named = ListParams::default().fields(&format!("metadata.name={}", self.mirror.name));
        let found = api.list_metadata(&named).await;
        let found = found.map_err(|source| Error::Resource {
            name: self.mirror.name.clone(),
            source,
        })?;
        Ok(found.items.iter().any(|there| {
            there.metadata.uid.as_ref() == Some(&self.mirror.uid)
                && there.metadata.deletion_timestamp.is_none()
        }))
    }

    /// What the object that the API server has means for a child.
    pub(super) async fn read(&self, child: &Child) -> Result<Decision, Error> {
        let there = self.api(child.kind).get_opt(child.name()).await;
        Ok(there
            .map_err(failed(child))?
            .map_or(Decision::Create, |there| {
                decide(child, &there, &self.mirror.uid)
            }))
    }

    /// Who wrote the first of these fields of a child. The cache does not know.
    pub(super) async fn last_manager(
        &self,
        child: &Child,
        fields: &[Difference],
    ) -> Result<By, Error> {
        let there = self.api(child.kind).get_opt(child.name()).await;
        let there = there.map_err(failed(child))?;
        let both = there.zip(fields.first());
        let manager = both.and_then(|(there, field)| overruled::manager(&there, field));
        Ok(By::Another(manager))
    }

    /// Creates or updates a child. Returns what was done, which is something else if another object
    /// has the name by now.
    pub(super) async fn write(
        &self,
        child: &Child,
        mut decision: Decision,
    ) -> Result<Decision, Error> {
        if child.kind == Kind::Deployment {
            self.keep_replicas(child).await?;
        }
        if decision == Decision::Create {
            decision = self.create(child).await?;
        }
        if let Decision::Update { .. } = decision {
            self.patch(child, &decision, false).await?;
        }
        Ok(decision)
    }

    /// Creates a child, or finds out what the object means that exists already.
    async fn create(&self, child: &Child) -> Result<Decision, Error> {
        match self.patch(child, &Decision::Create, false).await {
            Err(error) if error.is_conflict() => {
                return match self.read(child).await? {
                    // It is gone by now.
                    Decision::Create => Err(error),
                    there => Ok(there),
                };
            }
            created => drop(created?),
        }
        if child.kind == Kind::Deployment {
            self.start_at_min_replicas(child).await?;
        }
        Ok(Decision::Create)
    }

    /// Applies a child. Returns what the API server made of it; none if a dry run is not possible.
    pub(super) async fn patch(
        &self,
        child: &Child,
        decision: &Decision,
        dry_run: bool,
    ) -> Result<Option<DynamicObject>, Error> {
        let mut manifest = child.manifest.clone();
        decision.add_condition(&mut manifest);
        let mut params = PatchParams::apply(OPERATOR).force();
        if child.kind == Kind::Deployment {
            if *decision == Decision::Create {
                begun::say(&mut manifest, self.configuration);
            }
            // A misspelt field of a pod template would be dropped without a word.
            params = params.validation_strict();
        }
        params.dry_run = dry_run;
        let api = self.api(child.kind);
        let mut patched = api
            .patch(child.name(), &params, &Patch::Apply(&manifest))
            .await;
        if matches!(decision, Decision::Update { uid: Some(_) }) && conflicts(&patched) {
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
        match patched {
            // It is asked when the object is written.
            Err(source) if dry_run && needs_a_write(&source) => Ok(None),
            Err(source) => Err(refused(child, source)),
            Ok(answer) => Ok(Some(answer)),
        }
    }

    /// The resource's children that are not wanted, with their uids.
    pub(super) fn unwanted(
        &self,
        wanted: &BTreeSet<(Kind, &str)>,
    ) -> Vec<(ObjectName, Option<String>)> {
        let mut unwanted = Vec::new();
        let ValidatedMirror { namespace, uid, .. } = self.mirror;
        for kind in Kind::ALL {
            let mut found = self.caches.children_of(kind, namespace, uid);
            found.retain(|object| !object.is_ending && !wanted.contains(&(kind, object.name())));
            unwanted.extend(found.iter().map(|object| {
                let name = object.name().to_owned();
                (ObjectName { kind, name }, Some(object.uid.to_string()))
            }));
        }
        unwanted
    }

    /// Deletes an object. False if there was nothing to delete.
    pub(super) async fn delete(
        &self,
        object: &ObjectName,
        uid: Option<String>,
    ) -> Result<bool, Error> {
        let preconditions = Preconditions {
            uid,
            resource_version: None,
        };
        let params = DeleteParams::background().preconditions(preconditions);
        match self.api(object.kind).delete(&object.name, &params).await {
            Ok(_) => Ok(true),
            // Gone already, or another one has its name by now.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(false),
            Err(source) => Err(Error::Failed {
                object: object.clone(),
                source,
            }),
        }
    }
}

/// The error of a request about a child.
pub(super) fn failed(child: &Child) -> impl FnOnce(kube::Error) -> Error {
    let object = child.object();
    |source| Error::Failed { object, source }
}

/// The error of a write, which may be the API server's last word.
pub(super) fn refused(child: &Child, source: kube::Error) -> Error {
    let object = child.object();
    let mut message = words(&source);
    if let Some(field) = misfit::field(&child.manifest, &message) {
        message = format!("{field}: {message}");
    }
    match refusal(&source) {
        Some(Refusal::Invalid) => {
            let message = advice::with_hint(&object, message);
            Error::Refused { object, message }
        }
        Some(Refusal::Denied) => Error::Denied { object, message },
        Some(Refusal::Forbidden) | None => Error::Failed { object, source },
    }
}

/// Whether an object is invalid as it would be after server-side apply.
fn conflicts<T>(result: &kube::Result<T>) -> bool {
    let Err(error) = result else { return false };
    let code = matches!(error, kube::Error::Api(status) if [400, 422].contains(&status.code));
    code && refusal(error) == Some(Refusal::Invalid)
}
