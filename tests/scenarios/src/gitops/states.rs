//! Every state of a resource, as Argo CD and Flux see it.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::health::{Expected, Health, Seen, expected};
use crate::operator_pods;
use crate::programs::feed;
use crate::scene::Scene;
use crate::wait::eventually;

const NAME: &str = "production";
/// The namespace of the saved resources.
const NAMESPACE: &str = "demo";

/// The mirror that goes through all states.
struct Resource<'a> {
    scene: &'a Scene,
    demo: Scene,
    health: Health,
    expected: Vec<Expected>,
    files: TempDir,
    save: bool,
}

fn usual() -> Value {
    json!({
        "apiKeySecretRef": {"name": "mirror-key"},
        "targets": [{"name": "cluster", "url": "http://prometheus.monitoring.svc:9090"}],
    })
}

/// The same with other fields.
fn with(fields: Value) -> Value {
    let mut spec = usual();
    if let (Value::Object(spec), Value::Object(fields)) = (&mut spec, fields) {
        spec.extend(fields);
    }
    spec
}

/// With SAVE in the environment, what is seen becomes the test data of `tests/gitops-test`.
pub(super) async fn argo_cd_and_flux_see_every_state(scene: &Scene) -> Result<()> {
    let demo = scene.within(NAMESPACE);
    demo.open().await?;
    demo.secret("empty-key", &[("apiKey", "")]).await?;
    let resource = Resource {
        scene,
        demo,
        health: Health::new(scene.place()).await?,
        expected: expected(scene.place())?,
        files: tempfile::tempdir()?,
        save: std::env::var_os("SAVE").is_some(),
    };
    let seen = resource.goes_through_all().await?;
    let mut missed = resource.expected.iter().map(|state| state.name.as_str());
    let missed = missed.find(|name| !seen.iter().any(|seen| seen == name));
    ensure!(missed.is_none(), "{missed:?} is saved and was not tried");
    if resource.save {
        resource.save_cases().await?;
    }
    resource.demo.delete("PrometheusMirror", NAME).await?;
    resource.demo.close().await
}

impl Resource<'_> {
    /// Returns the states that were seen.
    async fn goes_through_all(&self) -> Result<Vec<&'static str>> {
        let serving = ("healthy_serving", "serve the current configuration");
        let waiting = "Waiting for the operator.";
        operator_pods::scale(0).await?;
        self.pipeline_applies(usual()).await?;
        let mut seen = vec![];
        self.is("progressing_fresh", waiting, &mut seen).await?;
        operator_pods::scale(2).await?;
        self.is(serving.0, serving.1, &mut seen).await?;
        let nowhere = json!([{"name": "cluster", "url": "http://nowhere.monitoring.svc:9090"}]);
        let unscheduled = json!({"spec": {"nodeSelector": {"there": "is-none"}}});
        let key = |name: &str| json!({"apiKeySecretRef": {"name": name}});
        for (fields, state, message) in [
            (
                json!({"targets": nowhere}),
                "healthy_target_unreachable",
                "cluster:",
            ),
            (
                json!({"replicas": 0}),
                "suspended_scaled_to_zero",
                "No pod is wanted",
            ),
            (
                json!({"podTemplate": unscheduled}),
                "progressing_unschedulable",
                "not scheduled",
            ),
            (
                key("missing-key"),
                "degraded_secret_missing",
                "there is no Secret missing-key",
            ),
            (
                key("empty-key"),
                "degraded_configuration_refused",
                "is empty",
            ),
            (json!({}), serving.0, serving.1),
            (
                json!({"paused": true}),
                "suspended_paused",
                "changes nothing until",
            ),
        ] {
            self.pipeline_applies(with(fields)).await?;
            self.is(state, message, &mut seen).await?;
        }
        operator_pods::scale(0).await?;
        self.pipeline_applies(with(json!({"workers": 9}))).await?;
        // Its conditions are about the generation before.
        self.is("progressing_changed", waiting, &mut seen).await?;
        operator_pods::scale(2).await?;
        self.is(serving.0, serving.1, &mut seen).await?;
        Ok(seen)
    }

    /// Applies it with this spec and nothing of the one before, as a pipeline does.
    async fn pipeline_applies(&self, spec: Value) -> Result<()> {
        let manifest = cluster_client::mirror(NAMESPACE, NAME, &spec);
        self.demo.cluster().apply_as(&manifest, "pipeline").await?;
        Ok(())
    }

    /// Waits until Argo CD and Flux see a saved state, with this text in the message.
    async fn is(
        &self,
        state: &'static str,
        message: &str,
        seen: &mut Vec<&'static str>,
    ) -> Result<()> {
        let file = self.files.path().join(format!("{state}.yaml"));
        let expected = self.expected.iter().find(|expected| expected.name == state);
        let expected = expected.with_context(|| format!("{state} is in no table"))?;
        let found = eventually(state, async || {
            std::fs::write(&file, self.read().await?)?;
            let found = self.health.of(&file).await?;
            let holds = found.health == expected.health
                && found.status == expected.status
                && found.message.contains(message);
            ensure!(holds, "{found:?}");
            Ok(found)
        })
        .await?;
        let Seen {
            health,
            status,
            message,
        } = found;
        self.scene.claim(format!(
            "{state}: {health} for Argo CD, {status} for Flux: {message}"
        ));
        if self.save {
            let saved = format!("examples/argocd/testdata/{state}.yaml");
            std::fs::copy(&file, self.scene.place().file(&saved))?;
        }
        seen.push(state);
        Ok(())
    }

    /// The resource as it is, without what differs from run to run for no reason, as kubectl writes
    /// it.
    async fn read(&self) -> Result<String> {
        let mut resource = self.demo.object("PrometheusMirror", NAME).await?;
        if let Some(metadata) = resource["metadata"].as_object_mut() {
            for field in ["managedFields", "uid", "resourceVersion", "annotations"] {
                metadata.remove(field);
            }
        }
        // Removes a label that is not there: that changes nothing but the format.
        let format = ["label", "--local", "-f", "-", "-o", "yaml", "nothing-"];
        let text = feed("kubectl", &format, &resource.to_string()).await?;
        Ok(text.replace("\n  labels: {}\n", "\n"))
    }

    /// The saved resources as cases for the health check, with the messages that it has for them
    /// now.
    async fn save_cases(&self) -> Result<()> {
        let mut cases = "tests:\n".to_owned();
        for Expected { name, .. } in &self.expected {
            let path = format!("testdata/{name}.yaml");
            let saved = self.scene.place().file(&format!("examples/argocd/{path}"));
            let Seen {
                health, message, ..
            } = self.health.of(saved.as_ref()).await?;
            let message = json!(message);
            cases.push_str(&format!(
                "- healthStatus:\n    status: {health}\n    message: {message}\n  inputPath: {path}\n"
            ));
        }
        let file = self.scene.place().file("examples/argocd/health_test.yaml");
        Ok(std::fs::write(file, cases)?)
    }
}
