//! The verbs of an administrator.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Config, ResourceExt as _};
use serde_json::{Value, json};

use crate::kinds::{Kind, MIRROR, kind, resource};
use crate::manifests;

/// The operator's name in `dist/install.yaml`.
pub const OPERATOR: &str = "prometheus-mirror-operator";
/// Its namespace.
pub const SYSTEM: &str = "prometheus-mirror-system";
/// The field manager of what tests apply.
const MANAGER: &str = "fault-harness";

/// The cluster.
#[derive(Clone)]
pub struct Cluster {
    /// An administrator's.
    pub client: Client,
    /// Where it is, and whom to trust.
    pub config: Config,
}

impl Cluster {
    /// That of `KUBECONFIG`.
    ///
    /// # Errors
    /// If there is none.
    pub async fn connect() -> Result<Self> {
        let config = Config::infer().await.context("KUBECONFIG")?;
        let client = Client::try_from(config.clone())?;
        Ok(Self { client, config })
    }

    /// The API of a kind.
    #[must_use]
    pub fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource(kind))
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource(kind))
        }
    }

    /// Applies a manifest.
    ///
    /// # Errors
    /// If the API server refuses it.
    pub async fn apply(&self, manifest: &Value) -> Result<DynamicObject> {
        self.apply_as(manifest, MANAGER).await
    }

    /// Applies a manifest in another name.
    ///
    /// # Errors
    /// If the API server refuses it.
    pub async fn apply_as(&self, manifest: &Value, manager: &str) -> Result<DynamicObject> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&manifest["metadata"]["name"]);
        let kind = kind(&text(&manifest["kind"]))?;
        let api = self.api(kind, &text(&manifest["metadata"]["namespace"]));
        let params = PatchParams::apply(manager).force();
        api.patch(&name, &params, &Patch::Apply(manifest))
            .await
            .with_context(|| format!("cannot apply {} {name}", kind.2))
    }

    /// Creates an object that is not there yet.
    ///
    /// # Errors
    /// If the API server refuses it.
    pub async fn create(&self, kind: Kind, manifest: &Value) -> Result<DynamicObject> {
        let object: DynamicObject = serde_json::from_value(manifest.clone())?;
        let api = self.api(kind, &object.namespace().unwrap_or_default());
        let created = api.create(&PostParams::default(), &object).await;
        created.with_context(|| format!("cannot create {} {}", kind.2, object.name_any()))
    }

    /// Puts a manifest in the place of what is there, so that fields it does not have go.
    ///
    /// # Errors
    /// If the API server refuses it.
    pub async fn replace(&self, kind: Kind, manifest: &Value) -> Result<DynamicObject> {
        let mut object: DynamicObject = serde_json::from_value(manifest.clone())?;
        let api = self.api(kind, &object.namespace().unwrap_or_default());
        for _ in 0..20 {
            let there = api.get(&object.name_any()).await?;
            object.metadata.resource_version = there.metadata.resource_version;
            match api
                .replace(&object.name_any(), &PostParams::default(), &object)
                .await
            {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                other => return Ok(other?),
            }
        }
        bail!("{} {} changes too often", kind.2, object.name_any())
    }

    /// Merges a patch.
    ///
    /// # Errors
    /// If the API server refuses it.
    pub async fn merge(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<()> {
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        self.api(kind, namespace)
            .patch(name, &params, &Patch::Merge(patch))
            .await
            .with_context(|| format!("cannot change {} {name}", kind.2))?;
        Ok(())
    }

    /// Merges a patch into a status.
    ///
    /// # Errors
    /// If the API server refuses it.
    pub async fn merge_status(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        status: &Value,
    ) -> Result<()> {
        let patch = json!({ "status": status });
        self.api(kind, namespace)
            .patch_status(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .with_context(|| format!("cannot change the status of {} {name}", kind.2))?;
        Ok(())
    }

    /// Whether the API server takes a manifest as a new resource. If so, it is there.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn takes(&self, manifest: &Value) -> Result<bool> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&manifest["metadata"]["name"]);
        let api = self.api(MIRROR, &text(&manifest["metadata"]["namespace"]));
        let params = PatchParams::apply(MANAGER).validation_strict();
        taken(api.patch(&name, &params, &Patch::Apply(manifest)).await)
    }

    /// Whether the API server takes a spec in the place of a resource's. If so, it is there.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn takes_spec(&self, namespace: &str, name: &str, spec: &Value) -> Result<bool> {
        let patch = json!([{"op": "replace", "path": "/spec", "value": spec}]);
        let patch = Patch::<Value>::Json(serde_json::from_value(patch)?);
        let params = PatchParams::default().validation_strict();
        let api = self.api(MIRROR, namespace);
        taken(api.patch(name, &params, &patch).await)
    }

    /// Everything of a kind in a namespace; nothing if the kind is not installed.
    ///
    /// # Errors
    /// If the request fails otherwise.
    pub async fn list(&self, kind: Kind, namespace: &str) -> Result<Vec<DynamicObject>> {
        match self.api(kind, namespace).list(&ListParams::default()).await {
            Ok(list) => Ok(list.items),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(vec![]),
            Err(error) => Err(error).with_context(|| format!("cannot list {}", kind.3)),
        }
    }

    /// One object.
    ///
    /// # Errors
    /// If the request fails.
    pub async fn get(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<DynamicObject>> {
        Ok(self.api(kind, namespace).get_opt(name).await?)
    }

    /// Deletes an object, if it is there.
    ///
    /// # Errors
    /// If the request fails.
    pub async fn delete(&self, kind: Kind, namespace: &str, name: &str) -> Result<()> {
        let deleted = self
            .api(kind, namespace)
            .delete(name, &DeleteParams::background())
            .await;
        match deleted {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot delete {} {name}", kind.2)),
        }
    }

    /// Applies every document of a file, those of a kind in `without` aside.
    ///
    /// # Errors
    /// If the file cannot be read or applied.
    pub async fn apply_file(&self, path: &Path, without: &[&str]) -> Result<()> {
        for manifest in manifests(path)? {
            if !without.contains(&manifest["kind"].as_str().unwrap_or_default()) {
                self.apply(&manifest).await?;
            }
        }
        Ok(())
    }

    /// Installs a definition that takes any fields, and waits until it is served.
    ///
    /// # Errors
    /// If that takes too long.
    pub async fn define(&self, kind: Kind) -> Result<()> {
        let (group, version, name, plural) = kind;
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        self.apply(&json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {
                "name": format!("{plural}.{group}"),
                "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
            },
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"kind": name, "plural": plural, "singular": name.to_lowercase()},
                "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
            },
        }))
        .await?;
        for _ in 0..100 {
            if self
                .api(kind, "default")
                .list(&ListParams::default())
                .await
                .is_ok()
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("{name} is not served")
    }

    /// A token of the operator's service account, as it is installed, for some hours.
    ///
    /// # Errors
    /// If there is no such account.
    pub async fn operator_token(&self) -> Result<String> {
        let accounts = Api::<ServiceAccount>::namespaced(self.client.clone(), SYSTEM);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(6 * 60 * 60),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(OPERATOR, &PostParams::default(), &request)
            .await
            .context("a token of the operator's service account")?;
        Ok(answer.status.context("an answer without a token")?.token)
    }
}

fn taken<T>(answer: kube::Result<T>) -> Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        // What server-side apply cannot read as the kind's type is an internal error to the API
        // server.
        Err(kube::Error::Api(status))
            if (400..500).contains(&status.code)
                || status
                    .message
                    .starts_with("failed to create typed patch object") =>
        {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
