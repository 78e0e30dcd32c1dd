//! `/targets` on the admin port: which targets can this process reach? Asked by the operator, for
//! the resource's status.
//!
//! Targets are asked when somebody wants to know, at most every few seconds, with a query that
//! needs no data. It takes its turn like any other query; when no worker is free in time, nothing
//! is known.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crds::contract::{Reachability, TargetReachability};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use crate::api::state::AppState;
use crate::model::time::Timestamp;
use crate::prometheus::{Call, Data, Deadline, Store, StoreError, Target};

/// How long a target may take. Less than whoever asks waits.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer whoever asks from another runtime waits.
const GRACE: Duration = Duration::from_secs(1);
/// The longest version that a resource's status has room for, in characters.
const LONGEST_VERSION: usize = 64;
/// How long an answer is good for.
const FRESH: Duration = Duration::from_secs(5);

/// Asks the targets of the document being served.
#[derive(Default)]
pub struct Probe {
    serving: OnceLock<(Arc<AppState>, Handle)>,
    /// When which document's targets were asked last.
    last: Mutex<Option<(Instant, String, Reachability)>>,
}

impl Probe {
    /// From now on there is something to ask. Targets are asked by the runtime that this is called
    /// in.
    pub fn starts(&self, state: Arc<AppState>) {
        // A process serves one state; a second one would be a mistake of little consequence.
        let _ = self.serving.set((state, Handle::current()));
    }

    /// As [`Probe::reachability`], for callers in another runtime than the one that asks targets.
    /// None, too, if that runtime is too busy to answer in time.
    pub async fn reachability_from_elsewhere(self: &Arc<Self>) -> Option<Reachability> {
        let (_, runtime) = self.serving.get()?;
        let probe = Arc::clone(self);
        let asked = runtime.spawn(async move { probe.reachability().await });
        let patience = TIMEOUT + GRACE;
        // A look that comes too late is still of use to the next caller.
        tokio::time::timeout(patience, asked).await.ok()?.ok()?
    }

    /// What can be reached now; none before the first document is served. Callers at the same time
    /// share one look.
    pub async fn reachability(&self) -> Option<Reachability> {
        let serving = self.serving.get()?.0.serving();
        let mut last = self.last.lock().await;
        if let Some((at, document, found)) = &*last
            && at.elapsed() < FRESH
            && *document == serving.settings.document_hash
        {
            return Some(found.clone());
        }
        // What a version was is still so while a target asks to slow down: the resource's status
        // must not flap.
        let before = match &*last {
            Some((_, document, found)) if *document == serving.settings.document_hash => {
                found.targets.clone()
            }
            _ => Vec::new(),
        };
        let version = |target: &Target| {
            let name = target.settings().name.to_string();
            let found = before.iter().find(|found| found.name == name);
            found.and_then(|found| found.version.clone())
        };
        let targets = serving.targets.declared().iter();
        let asked = targets.map(|target| ask(target, version(target)));
        let mut targets = futures::future::join_all(asked).await;
        let mut notices = Vec::new();
        for notice in &serving.settings.notices {
            let mut of_target = targets.iter_mut().enumerate();
            let of_target = of_target
                .find(|(index, _)| notice.path.starts_with(&format!("spec.targets[{index}].")));
            match of_target {
                Some((_, target)) => target.notices.push(notice.to_string()),
                None => notices.push(notice.to_string()),
            }
        }
        let found = Reachability { targets, notices };
        *last = Some((
            Instant::now(),
            serving.settings.document_hash.clone(),
            found.clone(),
        ));
        Some(found)
    }
}

/// `known` is the version that the target told the last time.
async fn ask(target: &Target, known: Option<String>) -> TargetReachability {
    let deadline = Deadline(Instant::now() + TIMEOUT);
    let call = Call::Instant {
        promql: "vector(1)".to_owned(),
        at: Timestamp::now(),
    };
    let asked = match target.throttled() {
        Some(throttled) => Err(throttled),
        None => target.call(call, deadline).await.map(|_| ()),
    };
    let (reachable, version, message) = match asked {
        Ok(()) => (Some(true), version(target, deadline, known).await, None),
        // It answers, and asking more often is just what it does not want.
        Err(error @ StoreError::Throttled { .. }) => (Some(true), known, Some(error.to_string())),
        Err(StoreError::QueueFull | StoreError::ExpiredInQueue | StoreError::OutOfMemory) => {
            (None, None, None)
        }
        Err(error) => (Some(false), None, Some(error.to_string())),
    };
    TargetReachability {
        name: target.settings().name.to_string(),
        reachable,
        version,
        message,
        notices: Vec::new(),
        servers: Vec::new(),
    }
}

/// Many stores that speak Prometheus' API have no version to tell: that is no fault.
async fn version(target: &Target, deadline: Deadline, known: Option<String>) -> Option<String> {
    let answer = match target.call(Call::BuildInfo, deadline).await {
        Ok(answer) => answer,
        Err(StoreError::Throttled { .. }) => return known,
        Err(_) => return None,
    };
    match &answer.data {
        Data::Version(version) if !version.is_empty() => {
            Some(version.chars().take(LONGEST_VERSION).collect())
        }
        _ => None,
    }
}
