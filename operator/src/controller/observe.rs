//! What the pods say about themselves, asked on their admin port. Makes no request to the API server.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use http::header::CONNECTION;
use kube::ResourceExt as _;
use serde::Deserialize;

use super::caches::Caches;
use super::pod::MirrorPod;
use crate::names::ADMIN_PORT_NUMBER;

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
    /// What was skipped or looks odd in its document, beside the targets. It works all the same.
    pub notices: Vec<String>,
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
    /// What was skipped or looks odd in its part of the document. It works all the same. Older mirrors do not say.
    #[serde(default)]
    pub notices: Vec<String>,
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
    #[serde(default)]
    notices: Vec<String>,
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
            let answer = match pod.address() {
                Some(ip) => ask(http, ip).await,
                None => None,
            };
            PodReport {
                name: pod.name_any(),
                told: pod.told.clone(),
                trouble: pod.trouble.clone(),
                answer,
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    reports.sort_by(|a, b| a.name.cmp(&b.name));
    reports
}

fn pods(caches: &Caches, namespace: &str, mirror: &str) -> Vec<Arc<MirrorPod>> {
    caches
        .pods
        .filter(|pod| pod.runs_for(mirror) && pod.is_in(namespace) && !pod.is_over())
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
    let (targets, notices) = targets
        .map(|found| (found.targets, found.notices))
        .unwrap_or_default();
    Some(Answer {
        document: readiness.document.map(|document| document.hash),
        newer_document_refused: readiness.newer_document_refused,
        targets,
        notices,
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
