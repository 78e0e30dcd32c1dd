//! The configuration that the pods of a Deployment began with, in an annotation of the Deployment.
//! A pod that says nothing of its own was made when this was the configuration, or later: so a new
//! pod need not be written, and most pods never are.
//!
//! A new Deployment is made with the annotation. When the configuration changes, it stays as it is
//! until every pod has been notified: an operator that ends in between begins again. It is not in
//! the pods' template, where a change would replace them. A Deployment without it, of an earlier
//! version, gets it when its pods are notified the next time.

use crds::contract::annotations;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::validate::ValidatedMirror;
use crate::cluster::kind::Kind;

/// The field manager that changes the annotation. The Deployment's own manager sends what is there.
const MANAGER: &str = "prometheus-mirror-operator-configuration";

/// What a Deployment says.
#[must_use]
pub(super) fn said_by(deployment: &DynamicObject) -> Option<&str> {
    let annotations = deployment.metadata.annotations.as_ref()?;
    annotations
        .get(annotations::CONFIGURATION)
        .map(String::as_str)
}

/// Leaves what a Deployment says as it is.
pub(super) fn keep(manifest: &mut Value, there: &DynamicObject) {
    if let Some(configuration) = said_by(there) {
        say(manifest, configuration);
    }
}

/// Has the manifest of a Deployment say this.
pub(super) fn say(manifest: &mut Value, configuration: &str) {
    manifest["metadata"]["annotations"][annotations::CONFIGURATION] = json!(configuration);
}

/// Has a Deployment say this, all pods of which have been notified of it. One that is gone, or that
/// has a successor, is no error.
pub(super) async fn write(
    client: &Client,
    mirror: &ValidatedMirror,
    deployment: &DynamicObject,
    configuration: &str,
) -> kube::Result<()> {
    let resource = Kind::Deployment.resource();
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), &mirror.namespace, &resource);
    let mut patch = json!({"metadata": {"uid": deployment.metadata.uid}});
    say(&mut patch, configuration);
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    match api
        .patch_metadata(name, &params, &Patch::Merge(patch))
        .await
    {
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
        written => written.map(|_| ()),
    }
}
