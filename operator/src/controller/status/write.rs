//! Writes a status. The only part of this step that does I/O.

use crds::contract::OPERATOR;
use crds::{PrometheusMirror, PrometheusMirrorStatus};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

/// Writes a status.
///
/// # Errors
/// If the request fails. A resource that is gone is no error.
pub async fn write(
    client: &Client,
    object: &DynamicObject,
    status: &PrometheusMirrorStatus,
) -> kube::Result<()> {
    let api: Api<PrometheusMirror> =
        Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let patch = json!({
        "apiVersion": crds::API_VERSION,
        "kind": crds::KIND,
        // With its uid, or a status could land on a resource of the same name that came later.
        "metadata": { "name": object.name_any(), "uid": object.metadata.uid },
        "status": status,
    });
    match api
        .patch_status(
            &object.name_any(),
            &PatchParams::apply(OPERATOR).force(),
            &Patch::Apply(patch),
        )
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(answer)) if [404, 409].contains(&answer.code) => Ok(()),
        Err(error) => Err(error),
    }
}
