//! Step 6: notifies pods that there is something new for them to read.

use crds::contract::annotations;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, DynamicObject, PartialObjectMeta, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use super::begun;
use super::build::Document;
use super::observe::PodReport;
use super::validate::ValidatedMirror;
use crate::cluster::answer::words;
use crate::cluster::kind::Kind;
use crate::cluster::problem::Problem;
use crate::cluster::written::ObjectName;

/// A pod could not be notified, or it could not be noted that all were.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {object}: {}", words(source))]
pub struct Error {
    /// The pod or the Deployment.
    pub object: String,
    /// Why.
    pub source: kube::Error,
}

/// Notifies pods that they have something new to read, by changing an annotation: the kubelet then
/// looks at their volumes at once and not within its minute.
///
/// So it is with sidecars, too: a new key must count within seconds, and an annotation of a pod
/// restarts nothing and is no part of what its owner compares.
///
/// The pods of the Deployment are the operator's own; other pods with a sidecar are somebody
/// else's, and the kubelet starts their mirror again.
///
/// Returns whether a pod was notified of another configuration than the one it began with.
///
/// # Errors
/// If a request fails. A pod that is gone is no error.
pub async fn notify(
    client: &Client,
    (mirror, deployment): (&ValidatedMirror, Option<&DynamicObject>),
    pods: &[PodReport],
    document: &Document,
) -> Result<bool, Error> {
    let are_own = deployment.is_some();
    let api: Api<PartialObjectMeta<Pod>> = Api::namespaced(client.clone(), &mirror.namespace);
    let (mut changed, mut written_to_any) = (false, false);
    for pod in pods {
        let Some(configuration) = notification(pod, document, are_own) else {
            continue;
        };
        changed |= pod.notified.is_some();
        written_to_any = true;
        let written = if are_own && gave_up(pod) {
            // Its container would be tried again only after minutes. Another pod takes its place
            // and reads what is new at once.
            let deleted = api.delete(&pod.name, &DeleteParams::default()).await;
            deleted.map(|_| ())
        } else {
            let annotations = json!({ annotations::CONFIGURATION: configuration });
            let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
            let params = PatchParams::default();
            let patched = api.patch_metadata(&pod.name, &params, &patch).await;
            patched.map(|_| ())
        };
        match written {
            Ok(()) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(source) => {
                let object = format!("Pod {}", pod.name);
                return Err(Error { object, source });
            }
        }
    }
    // A Deployment that says another was not written to when its pods were: the answer of the last
    // one was lost, or the operator ended.
    if let Some(deployment) = deployment
        && let said = begun::said_by(deployment)
        && (written_to_any || said.is_some())
        && said != Some(document.configuration.as_str())
    {
        let written = begun::write(client, mirror, deployment, &document.configuration).await;
        written.map_err(|source| {
            let (kind, name) = (Kind::Deployment, deployment.name_any());
            let object = ObjectName { kind, name }.to_string();
            Error { object, source }
        })?;
    }
    Ok(changed)
}

/// Whether a pod's container has ended with the configuration that it was notified of, which is not
/// the present one.
fn gave_up(pod: &PodReport) -> bool {
    pod.notified.is_some() && matches!(pod.problem, Some(Problem::Ended { .. }))
}

/// What to notify a pod of, if anything: the configuration, or that it looked too early and should
/// look again (`<configuration>.1`, …).
///
/// Only a sidecar answers without any document: a mirror of its own pods ends without one.
fn notification(pod: &PodReport, document: &Document, is_own: bool) -> Option<String> {
    /// After so many reminders the kubelet's own minute has passed.
    const MOST_REMINDERS: u32 = 60;
    if !pod.is_notified_of(&document.configuration) {
        return Some(document.configuration.clone());
    }
    let serves_another = pod.answer.as_ref().is_some_and(|answer| {
        let served = answer.document.as_ref();
        !answer.newer_document_refused && served.map_or(!is_own, |served| *served != document.hash)
    });
    let notified = pod.notified.as_deref().unwrap_or_default();
    let reminders = notified
        .split_once('.')
        .map_or(0, |(_, count)| count.parse().unwrap_or(MOST_REMINDERS));
    (serves_another && reminders < MOST_REMINDERS)
        .then(|| format!("{}.{}", document.configuration, reminders + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::observe::PodAnswer;

    #[test]
    fn a_pod_is_notified_once_and_reminded_while_it_serves_another() {
        let document = Document {
            text: String::new(),
            hash: "new".to_owned(),
            configuration: "c2".to_owned(),
        };
        let pod = |notified: Option<&str>, served: Option<&str>, refused: bool| PodReport {
            name: "p".to_owned(),
            notified: notified.map(str::to_owned),
            problem: None,
            answer: served.map(|served| PodAnswer {
                document: Some(served.to_owned()),
                newer_document_refused: refused,
                targets: vec![],
                notices: vec![],
            }),
            ..PodReport::default()
        };
        let sent = [
            pod(None, None, false),
            pod(Some("c1.4"), Some("old"), false),
            pod(Some("c2"), None, false),
            pod(Some("c2"), Some("new"), false),
            pod(Some("c2"), Some("old"), false),
            pod(Some("c2.7"), Some("old"), false),
            pod(Some("c2.60"), Some("old"), false),
            pod(Some("c2"), Some("old"), true),
        ]
        .map(|pod| notification(&pod, &document, true));
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
        assert_eq!(sent, expected.map(|text| text.map(str::to_owned)));
        // One that waits for its first document.
        let mut waiting = pod(Some("c2"), Some("any"), false);
        waiting.answer.as_mut().unwrap().document = None;
        let sent = [true, false].map(|is_own| notification(&waiting, &document, is_own));
        assert_eq!(sent, [None, Some("c2.1".to_owned())]);
    }
}
