//! What the pods say about themselves, asked on their admin port. Makes no request to the API server.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use http::header::CONNECTION;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use serde::Deserialize;

use super::caches::Caches;
use crate::names::{
    ADMIN_PORT_NUMBER, CONFIGURATION_ANNOTATION, CONTAINER, INSTANCE_LABEL, NAME, NAME_LABEL,
};

/// How long a pod may take to answer.
const TIMEOUT: Duration = Duration::from_secs(8);
/// The longest answer that is read. 64 targets with long messages are far below.
const MOST_BYTES: usize = 1 << 20;
/// How many pods of a mirror are asked at once.
const AT_ONCE: usize = 8;

/// A pod of a mirror.
#[derive(Clone, Debug, PartialEq)]
pub struct PodReport {
    /// `metadata.name`.
    pub name: String,
    /// The value of [`CONFIGURATION_ANNOTATION`].
    pub told: Option<String>,
    /// What keeps its container from running, in its own words.
    pub trouble: Option<String>,
    /// What it answered; none if it does not run yet or did not answer.
    pub answer: Option<Answer>,
}

/// What a pod answers on its admin port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The hash of the document it serves.
    pub document: Option<String>,
    /// It has a newer document and refuses it.
    pub newer_document_refused: bool,
    /// The targets as it sees them.
    pub targets: Vec<ProbedTarget>,
}

/// A target as a pod sees it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct ProbedTarget {
    /// Its name in the document.
    pub name: String,
    /// None: not known.
    pub reachable: Option<bool>,
    /// The version that it reports.
    pub version: Option<String>,
    /// Why not.
    pub message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Readiness {
    document: Option<ServedDocument>,
    newer_document_refused: bool,
}

#[derive(Deserialize)]
struct ServedDocument {
    hash: String,
}

#[derive(Deserialize)]
struct Targets {
    targets: Vec<ProbedTarget>,
}

/// Asks every pod of a mirror that is not about to end.
pub async fn observe(
    http: &reqwest::Client,
    caches: &Caches,
    namespace: &str,
    mirror: &str,
) -> Vec<PodReport> {
    let mut reports: Vec<_> = futures::stream::iter(pods(caches, namespace, mirror))
        .map(|pod| async move {
            let status = pod.status.as_ref();
            let running = status.is_some_and(|status| status.phase.as_deref() == Some("Running"));
            let answer = match status.and_then(|status| status.pod_ip.as_deref()) {
                Some(ip) if running => ask(http, ip).await,
                _ => None,
            };
            let annotations = pod.metadata.annotations.as_ref();
            PodReport {
                name: pod.metadata.name.clone().unwrap_or_default(),
                told: annotations.and_then(|all| all.get(CONFIGURATION_ANNOTATION).cloned()),
                trouble: trouble(&pod),
                answer,
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    reports.sort_by(|a, b| a.name.cmp(&b.name));
    reports
}

fn pods(caches: &Caches, namespace: &str, mirror: &str) -> Vec<Arc<Pod>> {
    caches.pods.filter(|pod| {
        let labels = pod.metadata.labels.as_ref();
        let label = |name: &str| {
            labels
                .and_then(|labels| labels.get(name))
                .map(String::as_str)
        };
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        pod.metadata.namespace.as_deref() == Some(namespace)
            && label(INSTANCE_LABEL) == Some(mirror)
            && label(NAME_LABEL) == Some(NAME)
            && pod.metadata.deletion_timestamp.is_none()
            // What was evicted or ended stays as a record only.
            && !matches!(phase, Some("Failed" | "Succeeded"))
    })
}

async fn ask(http: &reqwest::Client, ip: &str) -> Option<Answer> {
    let host = if ip.contains(':') {
        format!("[{ip}]")
    } else {
        ip.to_owned()
    };
    let url = |path: &str| format!("http://{host}:{ADMIN_PORT_NUMBER}{path}");
    let readiness: Readiness = get(http.get(url("/readyz"))).await?;
    // Over the same connection, which is not wanted after that: thousands of pods are asked. Older mirrors do not have it.
    let last = http.get(url("/targets")).header(CONNECTION, "close");
    let targets: Option<Targets> = get(last).await;
    Some(Answer {
        document: readiness.document.map(|document| document.hash),
        newer_document_refused: readiness.newer_document_refused,
        targets: targets.map(|found| found.targets).unwrap_or_default(),
    })
}

/// The body is what counts: a pod that drains or starts answers with 503.
async fn get<T: serde::de::DeserializeOwned>(request: reqwest::RequestBuilder) -> Option<T> {
    let read = async {
        let mut response = request.send().await.ok()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BYTES {
                return None;
            }
        }
        serde_json::from_slice(&body).ok()
    };
    tokio::time::timeout(TIMEOUT, read).await.ok().flatten()
}

/// Why the mirror's container does not run, if it tried.
fn trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    if let Some(container) = containers
        .clone()
        .find(|container| container.name == CONTAINER)
    {
        return container_trouble(container);
    }
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    unscheduled.map(|condition| {
        format!(
            "not scheduled: {}",
            condition.message.clone().unwrap_or_default()
        )
    })
}

fn container_trouble(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let ended = state
        .and_then(|state| state.terminated.as_ref())
        .or_else(|| {
            container
                .last_state
                .as_ref()
                .and_then(|state| state.terminated.as_ref())
        });
    let running = state.is_some_and(|state| state.running.is_some());
    if running && container.ready {
        return None;
    }
    if let Some(ended) = ended {
        let said = ended.message.clone().unwrap_or_default();
        let why = ended
            .reason
            .as_deref()
            .filter(|reason| *reason != "Error")
            .map_or(String::new(), |reason| format!(" ({reason})"));
        return Some(format!(
            "ended with exit code {}{why}: {}",
            ended.exit_code,
            last_lines(&said)
        ));
    }
    let waiting = waiting?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    // On the way to running, not in trouble.
    (!["ContainerCreating", "PodInitializing"].contains(&reason)).then(|| {
        format!(
            "{reason}: {}",
            waiting.message.as_deref().unwrap_or_default()
        )
    })
}

/// The end of what a container said, without the lines of its log that are in JSON.
fn last_lines(said: &str) -> String {
    let lines: Vec<_> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('{'))
        .collect();
    lines[lines.len().saturating_sub(5)..].join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn troubles(status: Value) -> Option<String> {
        trouble(
            &serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap(),
        )
    }

    #[test]
    fn trouble_is_told_in_the_containers_own_words() {
        let container = |state: Value, last: Value| json!({"containerStatuses": [{"name": "mirror", "image": "i", "imageID": "", "ready": false, "restartCount": 1, "state": state, "lastState": last}]});
        let ended = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "{\"level\":\"INFO\"}\nprometheus-mirror: spec.x: is wrong\n"}});
        let waiting = |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
        assert_eq!(
            [
                troubles(container(
                    waiting("CrashLoopBackOff", "back-off"),
                    ended.clone()
                )),
                troubles(container(ended, json!({}))),
                troubles(container(
                    waiting("ErrImageNeverPull", "no image"),
                    json!({})
                )),
                troubles(container(waiting("ContainerCreating", ""), json!({}))),
                troubles(
                    json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "no node"}]})
                ),
            ],
            [
                Some("ended with exit code 1: prometheus-mirror: spec.x: is wrong".to_owned()),
                Some("ended with exit code 1: prometheus-mirror: spec.x: is wrong".to_owned()),
                Some("ErrImageNeverPull: no image".to_owned()),
                None,
                Some("not scheduled: no node".to_owned()),
            ]
        );
    }
}
