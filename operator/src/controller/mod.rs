//! Reconciling: the five steps in order, and what happens when one fails.

pub mod apply;
pub mod build;
pub mod dereference;
pub mod notify;
pub mod observe;
pub mod status;
pub mod triggers;
pub mod validate;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crds::{PrometheusMirrorSpec, PrometheusMirrorStatus};
use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use kube::runtime::controller::Action;
use kube::runtime::events::Recorder;
use kube::{Client, Resource as _, ResourceExt as _};

use self::apply::Applied;
use self::build::{Built, Defaults};
use self::dereference::KnownKeys;
use self::observe::PodReport;
use self::status::throttle::Throttle;
use self::status::{Outcome, Progress};
use self::validate::{Invalid, ValidatedMirror};
use crate::cluster::caches::Caches;
use crate::cluster::kind::Kind;
use crate::cluster::owner::owned_by;
use crate::cluster::packed::{Oversize, Packed};
use crate::cluster::policy::Policy;
use crate::cluster::references::{NamespacedName, References, key};
use crate::cluster::written::Written;
use crate::telemetry::events;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::waiting::Waiting;

/// Between two looks at a mirror in which everything is fine.
const STEADY: Duration = Duration::from_secs(30);
/// Between two looks while something is not as it should be that no watch tells about.
const UNEASY: Duration = Duration::from_secs(10);
/// Between two looks while pods take over a configuration; longer the longer it takes, up to
/// [`UNEASY`].
const CHANGING: Duration = Duration::from_secs(1);

/// What every reconcile works with.
pub struct Context {
    /// For what is not in the caches.
    pub client: Client,
    /// What is known of the cluster.
    pub caches: Arc<Caches>,
    /// The keys of Secrets and ConfigMaps.
    pub known_keys: KnownKeys,
    /// Asks pods.
    pub http: reqwest::Client,
    /// What resources may do.
    pub policy: Policy,
    /// For builders.
    pub defaults: Defaults,
    /// One for all, so that repeated events become one.
    pub recorder: Recorder,
    /// The instruments.
    pub metrics: Arc<Metrics>,
    /// What waits for its reconcile.
    pub waiting: Arc<Waiting>,
    /// How often each resource has failed in a row.
    pub failures: Mutex<HashMap<NamespacedName, u32>>,
    /// Which statuses wait to be written.
    pub throttle: Throttle,
}

/// What may be different when it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Step 1.
    #[error(transparent)]
    Dereference(#[from] dereference::Error),
    /// Step 4.
    #[error(transparent)]
    Apply(#[from] apply::Error),
    /// Step 5.
    #[error("cannot write the status: {0}")]
    Status(#[source] kube::Error),
}

/// What the steps before the status came to.
struct Made {
    mirror: ValidatedMirror,
    built: Built,
    applied: Applied,
    deployment: Option<DynamicObject>,
    pods: Vec<PodReport>,
    told: bool,
}

/// Why there is nothing to report of pods.
enum Unmade {
    Invalid(Invalid),
    Paused,
    Gone,
}

/// Brings the cluster nearer to what a resource says.
///
/// # Errors
/// If the API server fails; the resource is tried again.
pub async fn reconcile(object: Arc<Packed>, context: Arc<Context>) -> Result<Action, Error> {
    if object.meta().deletion_timestamp.is_some() {
        context.forget(&key(object.as_ref()));
        // Children carry owner references: the garbage collector removes them.
        return Ok(Action::await_change());
    }
    context.caches.settled().await;
    if let Some(waited) = context.waiting.take(&key(object.as_ref())) {
        context.metrics.waited(waited);
    }
    if !context
        .caches
        .selects(&object.namespace().unwrap_or_default())
    {
        // A change of the namespace's labels is an event.
        return Ok(Action::await_change());
    }
    context.metrics.began();
    let began = Instant::now();
    let result = steps(&object, &context).await;
    context.metrics.ended(began.elapsed());
    if result.is_ok() {
        context.lock_failures().remove(&key(object.as_ref()));
    }
    result
}

async fn steps(packed: &Packed, context: &Context) -> Result<Action, Error> {
    let object = &packed.unpack();
    let before = previous(object);
    let made = make(object, packed.oversize(), &before, context).await?;
    let outcome = match &made {
        Ok(made) => Outcome::Applied(Box::new(Progress {
            mirror: &made.mirror,
            built: &made.built,
            applied: &made.applied,
            deployment: made.deployment.as_ref(),
            pods: &made.pods,
            told: made.told,
        })),
        Err(Unmade::Invalid(invalid)) => {
            context.metrics.failed("validate", invalid.reason);
            Outcome::Invalid(invalid)
        }
        Err(Unmade::Paused) => Outcome::Paused,
        Err(Unmade::Gone) => return Ok(Action::await_change()),
    };
    let after = status::status(
        &outcome,
        &before,
        object.metadata.generation,
        Timestamp::now(),
    );
    let wait = match status::is_progress(&before, &after) {
        true => context.throttle.wait(&key(object), Instant::now()),
        false => None,
    };
    let written: &[Written] = made.as_ref().map_or(&[], |made| &made.applied.written);
    let events = if wait.is_some() {
        // What was done is told now; conditions are news when they are written.
        events::events(&before, &before, written)
    } else {
        events::events(&before, &after, written)
    };
    if after != before && wait.is_none() {
        status::write(&context.client, object, &after)
            .await
            .map_err(Error::Status)?;
        context.throttle.written(&key(object), Instant::now());
    }
    events::publish(&context.recorder, object, events).await;
    Ok(match wait {
        Some(wait) => Action::requeue(wait.min(changing_since(&after))),
        None => next_look(&made, &after),
    })
}

/// Steps 1 to 4, and a look at the pods.
async fn make(
    object: &DynamicObject,
    oversize: Option<Oversize>,
    before: &PrometheusMirrorStatus,
    context: &Context,
) -> Result<Result<Made, Unmade>, Error> {
    let (client, caches) = (&context.client, &context.caches);
    let namespace = object.namespace().unwrap_or_default();
    let spec = match admitted(object, oversize, &context.policy) {
        Ok(spec) => spec,
        Err(unmade) => return Ok(Err(unmade)),
    };
    let references = References::of(&spec, &namespace);
    if let Some(message) = caches.blind(&references) {
        let reason = "Forbidden";
        return Ok(Err(Unmade::Invalid(Invalid { reason, message })));
    }
    let from = dereference::Referrer {
        namespace: &namespace,
        cross_namespace: context.policy.cross_namespace,
    };
    let keys = &context.known_keys;
    let found = dereference::dereference(client, caches, keys, from, &references).await;
    let found = match unless_stalled(found)? {
        Ok(found) => found,
        Err(unmade) => return Ok(Err(unmade)),
    };
    let mirror = match validate::validate(object, spec, &found) {
        Ok(mirror) => mirror,
        Err(invalid) => return Ok(Err(Unmade::Invalid(invalid))),
    };
    let built = build::build(&mirror, &context.defaults);
    // The CRD's default for what no operator has seen is -1.
    let new = before.observed_generation.is_none_or(|seen| seen < 0);
    let applied = apply::apply(client, caches, &mirror, built.children.clone(), new).await;
    let applied = match unless_stalled(applied)? {
        Ok(applied) => applied,
        Err(unmade) => return Ok(Err(unmade)),
    };
    let pods = match deployment_of(client, caches, &mirror, &built).await? {
        Some(deployment) => observe::observe(&context.http, caches, &deployment).await,
        None => Vec::new(),
    };
    let told = notify::notify(client, &namespace, &pods, &built.document).await;
    let told = match unless_stalled(told)? {
        Ok(told) => told,
        Err(unmade) => return Ok(Err(unmade)),
    };
    // Once more: it may have changed while the pods were asked.
    let deployment = deployment_of(client, caches, &mirror, &built).await?;
    Ok(Ok(Made {
        mirror,
        built,
        applied,
        deployment,
        pods,
        told,
    }))
}

/// The spec, if it is to be built.
fn admitted(
    object: &DynamicObject,
    oversize: Option<Oversize>,
    policy: &Policy,
) -> Result<PrometheusMirrorSpec, Unmade> {
    if object.data["spec"]["paused"] == true && oversize.is_some() {
        return Err(Unmade::Paused);
    }
    validate::check_size(oversize).map_err(Unmade::Invalid)?;
    let spec = validate::parse(object).map_err(Unmade::Invalid)?;
    if spec.paused {
        return Err(Unmade::Paused);
    }
    validate::check_policy(policy, &spec).map_err(Unmade::Invalid)?;
    Ok(spec)
}

/// What a step came to, if it did not fail in a way that a condition tells of.
fn unless_stalled<T>(result: Result<T, impl Into<Error>>) -> Result<Result<T, Unmade>, Error> {
    let error = match result {
        Ok(made) => return Ok(Ok(made)),
        Err(error) => error.into(),
    };
    if matches!(error, Error::Apply(apply::Error::Gone)) {
        return Ok(Err(Unmade::Gone));
    }
    match stalled_by(&error) {
        Some(invalid) => Ok(Err(Unmade::Invalid(invalid))),
        None => Err(error),
    }
}

/// An answer of the API server that will be the same next time.
fn stalled_by(error: &Error) -> Option<Invalid> {
    let reason = match error {
        Error::Apply(apply::Error::Refused { .. }) => "Refused",
        Error::Apply(apply::Error::Failed { source, .. })
        | Error::Dereference(dereference::Error { source, .. })
            if matches!(source, kube::Error::Api(status) if status.code == 403) =>
        {
            "Forbidden"
        }
        _ => return None,
    };
    let message = error.to_string();
    Some(Invalid { reason, message })
}

fn previous(object: &DynamicObject) -> PrometheusMirrorStatus {
    let status = object.data.get("status").cloned().unwrap_or_default();
    // A status that is not one of ours is written anew.
    serde_json::from_value(status).unwrap_or_default()
}

/// When to look again, if no watch tells of a change before.
fn next_look(made: &Result<Made, Unmade>, status: &PrometheusMirrorStatus) -> Action {
    let is = |type_: &str, value: &str| {
        status
            .conditions
            .iter()
            .any(|condition| condition.type_ == type_ && condition.status == value)
    };
    match made {
        Err(Unmade::Paused | Unmade::Gone) => Action::await_change(),
        // What it refers to is watched, except what the API server thinks.
        Err(Unmade::Invalid(invalid)) if ["Refused", "Forbidden"].contains(&invalid.reason) => {
            Action::requeue(STEADY)
        }
        Err(Unmade::Invalid(_)) => Action::await_change(),
        Ok(_) if is("Reconciling", "True") => Action::requeue(changing_since(status)),
        Ok(_) if is("Ready", "True") && is("TargetsReachable", "True") => Action::requeue(STEADY),
        Ok(_) => Action::requeue(UNEASY),
    }
}

/// A tenth of how long it has been reconciling.
fn changing_since(status: &PrometheusMirrorStatus) -> Duration {
    let since = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Reconciling");
    let seconds = since.map_or(0, |condition| {
        Timestamp::now().as_second() - condition.last_transition_time.0.as_second()
    });
    Duration::from_secs(u64::try_from(seconds / 10).unwrap_or_default()).clamp(CHANGING, UNEASY)
}

/// Tries again, later each time: 1 s, 2 s, 4 s, … up to a minute.
#[must_use]
pub fn error_policy(object: Arc<Packed>, error: &Error, context: Arc<Context>) -> Action {
    let (step, reason) = match error {
        Error::Dereference(_) => ("dereference", "RequestFailed"),
        Error::Apply(_) => ("apply", "RequestFailed"),
        Error::Status(_) => ("status", "RequestFailed"),
    };
    context.metrics.failed(step, reason);
    let failures = {
        let mut all = context.lock_failures();
        let failures = all.entry(key(object.as_ref())).or_default();
        *failures = failures.saturating_add(1);
        *failures
    };
    let delay =
        Duration::from_secs(1 << failures.saturating_sub(1).min(6)).min(Duration::from_secs(60));
    tracing::warn!(%error, step, failures, ?delay, "will try again");
    Action::requeue(delay)
}

impl Context {
    fn lock_failures(&self) -> std::sync::MutexGuard<'_, HashMap<NamespacedName, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The resource is gone, or about to go.
    fn forget(&self, resource: &NamespacedName) {
        self.waiting.take(resource);
        self.throttle.forget(resource);
        self.lock_failures().remove(resource);
    }
}

/// The Deployment that runs a resource's pods, if there is one by now and it is the resource's.
async fn deployment_of(
    client: &Client,
    caches: &Caches,
    mirror: &ValidatedMirror,
    built: &Built,
) -> Result<Option<DynamicObject>, apply::Error> {
    let mut children = built.children.iter();
    let Some(child) = children.find(|child| child.kind == Kind::Deployment) else {
        return Ok(None);
    };
    let there = apply::known(client, caches, child.kind, &mirror.namespace, child.name()).await?;
    Ok(there.filter(|there| owned_by(there, &mirror.uid)))
}
