//! Tells pods that there is something new for them to read.

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, DeleteParams, PartialObjectMeta, Patch, PatchParams};
use serde_json::json;

use super::apply::Error;
use super::build::Document;
use super::observe::PodReport;
use super::status::is_told;
use crate::names::CONFIGURATION_ANNOTATION;

/// Tells pods that they have something new to read, by changing an annotation: the kubelet then
/// looks at their volumes at once and not within its minute.
///
/// Returns whether a pod was told of another configuration than the one it began with.
///
/// # Errors
/// If a request fails. A pod that is gone is no error.
pub async fn notify(
    client: &Client,
    namespace: &str,
    pods: &[PodReport],
    document: &Document,
) -> Result<bool, Error> {
    let api: Api<PartialObjectMeta<Pod>> = Api::namespaced(client.clone(), namespace);
    let mut changed = false;
    for pod in pods {
        let Some(told) = to_tell(pod, document) else {
            continue;
        };
        changed |= pod.told.is_some();
        if gave_up(pod) {
            // Its container would be tried again only after minutes. Another pod takes its place
            // and reads what is new at once.
            delete_pod(&api, &pod.name).await?;
            continue;
        }
        let patch = json!({ "metadata": { "annotations": { CONFIGURATION_ANNOTATION: told } } });
        match api
            .patch_metadata(&pod.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
        {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(source) => {
                return Err(Error::Failed {
                    object: format!("Pod {}", pod.name),
                    source,
                });
            }
        }
    }
    Ok(changed)
}

/// Whether a pod's container has ended although it was told of a configuration: of the one before,
/// when there is something to tell.
fn gave_up(pod: &PodReport) -> bool {
    pod.told.is_some()
        && pod
            .trouble
            .as_ref()
            .is_some_and(|trouble| trouble.starts_with("ended "))
}

async fn delete_pod(api: &Api<PartialObjectMeta<Pod>>, name: &str) -> Result<(), Error> {
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(Error::Failed {
            object: format!("Pod {name}"),
            source,
        }),
    }
}

/// What to tell a pod, if anything: the configuration, or that it looked too early and should look
/// again (`<configuration>.1`, …).
fn to_tell(pod: &PodReport, document: &Document) -> Option<String> {
    /// After so many times the kubelet's own minute has passed.
    const MOST_REMINDERS: u32 = 60;
    if !is_told(pod, &document.configuration) {
        return Some(document.configuration.clone());
    }
    let serves_another = pod.answer.as_ref().is_some_and(|answer| {
        !answer.newer_document_refused
            && answer
                .document
                .as_ref()
                .is_some_and(|served| *served != document.hash)
    });
    let told = pod.told.as_deref().unwrap_or_default();
    let reminders = told
        .split_once('.')
        .map_or(0, |(_, count)| count.parse().unwrap_or(MOST_REMINDERS));
    (serves_another && reminders < MOST_REMINDERS)
        .then(|| format!("{}.{}", document.configuration, reminders + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::observe::Answer;

    #[test]
    fn a_pod_is_told_once_and_reminded_while_it_serves_another_document() {
        let document = Document {
            text: String::new(),
            hash: "new".to_owned(),
            configuration: "c2".to_owned(),
        };
        let pod = |told: Option<&str>, served: Option<&str>, refused: bool| PodReport {
            name: "p".to_owned(),
            told: told.map(str::to_owned),
            trouble: None,
            answer: served.map(|served| Answer {
                document: Some(served.to_owned()),
                newer_document_refused: refused,
                targets: vec![],
                notices: vec![],
            }),
        };
        let told = [
            pod(None, None, false),
            pod(Some("c1.4"), Some("old"), false),
            pod(Some("c2"), None, false),
            pod(Some("c2"), Some("new"), false),
            pod(Some("c2"), Some("old"), false),
            pod(Some("c2.7"), Some("old"), false),
            pod(Some("c2.60"), Some("old"), false),
            pod(Some("c2"), Some("old"), true),
        ]
        .map(|pod| to_tell(&pod, &document));
        let expected = [
            Some("c2"),
            Some("c2"),
            None,
            None,
            Some("c2.1"),
            Some("c2.8"),
            None,
            None,
        ];
        assert_eq!(told, expected.map(|told| told.map(str::to_owned)));
    }
}
