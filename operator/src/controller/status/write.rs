//! Writes a status. The only part of this step that does I/O.

use crds::contract::OPERATOR;
use crds::{PrometheusMirror, PrometheusMirrorStatus};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

/// Writes a status, the whole of it: what others wrote into it goes, or it would be read as the
/// operator's.
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
    let name = object.name_any();
    let mut patch = json!({
        "apiVersion": crds::API_VERSION,
        "kind": crds::KIND,
        // With its uid, or a status could land on a resource of the same name that came later.
        "metadata": { "name": name, "uid": object.metadata.uid },
        "status": status,
    });
    let params = PatchParams::apply(OPERATOR).force();
    let applied = api
        .patch_status(&name, &params, &Patch::Apply(&patch))
        .await;
    let applied = match applied {
        Ok(applied) => applied.status.unwrap_or_default(),
        Err(error) => return unless_gone(error),
    };
    if applied == *status {
        return Ok(());
    }
    // Apply leaves what other managers own, such as the status of a backup. Merging replaces lists.
    if let (Value::Object(there), Value::Object(wanted)) = (json!(applied), &mut patch["status"]) {
        for field in there.into_iter().map(|(field, _)| field) {
            wanted.entry(field).or_insert(Value::Null);
        }
    }
    let params = PatchParams {
        field_manager: Some(OPERATOR.to_owned()),
        ..PatchParams::default()
    };
    let merged = api.patch_status(&name, &params, &Patch::Merge(patch)).await;
    merged.map(|_| ()).or_else(unless_gone)
}

fn unless_gone(error: kube::Error) -> kube::Result<()> {
    match error {
        kube::Error::Api(answer) if [404, 409].contains(&answer.code) => Ok(()),
        error => Err(error),
    }
}
