//! Reconciling: the steps in order, and what happens when one of them stops.
//!
//! Each step returns what the next one needs, or an error that becomes a [`Stop`]: the only channel
//! by which a reconcile ends early.

pub mod apply;
pub mod build;
pub mod dereference;
pub mod injection;
pub mod notify;
pub mod observe;
pub mod restart;
pub mod sidecars;
pub mod status;
pub mod triggers;
pub mod validate;

mod begun;
mod claim;
mod lists;
mod quantity;
mod requeue;
mod stop;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crds::{Mode, PrometheusMirrorStatus};
use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use kube::runtime::controller::Action;
use kube::runtime::events::Recorder;
use kube::{Client, Resource as _, ResourceExt as _};

use self::apply::Contested;
use self::build::{Built, Defaults, Sidecar, deployment_name};
pub use self::claim::Claims;
use self::dereference::{KnownKeys, Referrer};
use self::injection::Injection;
use self::observe::PodReport;
use self::restart::{Evictions, Restart};
use self::sidecars::{Sidecars, Wanted};
use self::status::throttle::Throttle;
use self::status::{Conclusion, Progress};
pub use self::stop::{Error, Stop};
use self::validate::ValidatedMirror;
use crate::cluster::caches::Caches;
use crate::cluster::kind::Kind;
use crate::cluster::labelled::LabelledPod;
use crate::cluster::packed::Packed;
use crate::cluster::policy::Policy;
use crate::cluster::references::{NamespacedName, References, key};
use crate::telemetry::events;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::waiting::Waiting;

/// From this failure in a row on, the status says that the API server fails. Two that pass are
/// nobody's concern.
const MOST_SILENT_FAILURES: u32 = 3;

/// What every reconcile works with.
pub struct Context {
    /// For what is not in the caches.
    pub client: Client,
    /// The same, but it never tries a request again by itself.
    pub impatient: Client,
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
    /// Which fields of children are set by others, too.
    pub contested: Contested,
    /// Whether a policy can add sidecars in this cluster.
    pub injection: Injection,
    /// Which pods were restarted last.
    pub evictions: Evictions,
    /// Which statuses wait to be written.
    pub throttle: Throttle,
    /// What this operator is called in statuses: the namespace and name of its Lease.
    pub claimant: String,
    /// Which resources had another operator's name.
    pub claims: Claims,
}

/// Brings the cluster nearer to what a resource says.
///
/// # Errors
/// If the API server fails; the resource is tried again.
pub async fn reconcile(object: Arc<Packed>, context: Arc<Context>) -> Result<Action, Error> {
    let resource = key(object.as_ref());
    if object.meta().deletion_timestamp.is_some() {
        context.forget(&resource);
        // Children carry owner references: the garbage collector removes them.
        return Ok(Action::await_change());
    }
    context.caches.settled().await;
    if let Some(waited) = context.waiting.take(&resource) {
        context.metrics.waited(waited);
    }
    if !context.caches.selects(&resource.0) {
        // A change of the namespace's labels is an event.
        return Ok(Action::await_change());
    }
    context.metrics.began();
    let began = Instant::now();
    let result = settle(&object, &context).await;
    context.metrics.ended(began.elapsed());
    if result.is_ok() {
        context.lock_failures().remove(&resource);
    }
    result
}

/// Runs the steps, and reports how they ended.
async fn settle(packed: &Packed, context: &Context) -> Result<Action, Error> {
    let object = &packed.unpack();
    let before = previous(object);
    if let Some(later) = claim::unless_ours(object, &before, context).await? {
        return Ok(later);
    }
    let conclusion = match run_steps(object, packed, &before, context).await {
        Ok(progress) => Conclusion::Applied(Box::new(progress)),
        Err(Stop::Retry(error)) => {
            let failures = context.failures_of(&key(object));
            if error.is_answer() && failures + 1 >= MOST_SILENT_FAILURES {
                let failing = Conclusion::Failing(error.to_string());
                // The error itself is what counts.
                let reported = report(object, &before, &failing, context).await;
                reported
                    .inspect_err(|error| tracing::debug!(%error, "not reported"))
                    .ok();
            }
            return Err(error);
        }
        Err(Stop::Gone) => return Ok(Action::await_change()),
        Err(Stop::Paused) => Conclusion::Paused,
        Err(Stop::Stalled(invalid)) => {
            let reason = invalid.reason.as_str();
            context.metrics.failed("validate", reason);
            Conclusion::Invalid(invalid, rendered(object, packed, context))
        }
    };
    report(object, &before, &conclusion, context).await
}

/// The steps before the status.
async fn run_steps(
    object: &DynamicObject,
    packed: &Packed,
    before: &PrometheusMirrorStatus,
    context: &Context,
) -> Result<Progress, Stop> {
    let (client, caches) = (&context.client, context.caches.as_ref());
    let namespace = object.namespace().unwrap_or_default();
    let referrer = Referrer {
        namespace: &namespace,
        cross_namespace: context.policy.cross_namespace,
    };
    let keys = &context.known_keys;
    // The CRD's default for what no operator has seen is -1.
    let new = before.observed_generation.is_none_or(|seen| seen < 0);

    let spec = validate::admit(object, packed.oversize(), &context.policy)?;
    let references = References::of(&spec, &namespace);
    validate::check_readable(caches, &references)?;
    let found = dereference::dereference(client, caches, keys, referrer, &references).await?;
    let mirror = validate::validate(object, spec, &found)?;
    let built = build::build(&mirror, &context.defaults);
    let applied = apply::apply(client, caches, &context.contested, &mirror, &built, new).await?;
    let deployment = observe::deployment(client, caches, &mirror, &built).await?;
    let labelled = match built.sidecar {
        Some(_) => sidecars::labelled(caches, &mirror),
        None => Vec::new(),
    };
    let (http, checks) = (&context.http, mirror.spec.pod_checks);
    let pods = match &deployment {
        Some(deployment) => observe::pods(http, caches, deployment, checks).await,
        None => observe::labelled(http, &labelled, checks).await,
    };
    let of = (&mirror, deployment.as_ref());
    let notified = notify::notify(client, of, &pods, &built.document).await?;
    let of = (labelled.as_slice(), pods.as_slice());
    let (sidecars, restart) = look_after(context, before, (&mirror, &built), of).await?;
    let ended = match &deployment {
        // Only a message about pods that are missing names it.
        Some(it) if it.data["status"]["readyReplicas"] != it.data["spec"]["replicas"] => {
            caches.ended_of(it)
        }
        Some(_) => None,
        None if sidecars.is_some() => caches.ended_for(&mirror.namespace, &mirror.name),
        None => None,
    };
    // Again: it may have changed while the pods were asked.
    let deployment = observe::deployment(client, caches, &mirror, &built).await?;
    Ok(Progress {
        mirror,
        built,
        applied,
        deployment,
        pods,
        ended,
        sidecars,
        restart,
        notified,
    })
}

/// In mode Sidecar: finds out what the labelled pods carry, and restarts one if that is asked for.
async fn look_after(
    context: &Context,
    before: &PrometheusMirrorStatus,
    (mirror, built): (&ValidatedMirror, &Built),
    of: (&[Arc<LabelledPod>], &[PodReport]),
) -> Result<(Option<Sidecars>, Restart), Stop> {
    let Some(sidecar) = &built.sidecar else {
        return Ok((None, Restart::Nothing));
    };
    let injection = context
        .injection
        .asked(&context.client, &context.caches.scope);
    let wanted = Wanted {
        sidecar,
        document: &built.document.hash,
        api_port: mirror.spec.port,
    };
    let sidecars = sidecars::judged(injection, wanted, before, of).await;
    let restart =
        restart::restart(&context.impatient, &context.evictions, mirror, &sidecars).await?;
    Ok((Some(sidecars), restart))
}

/// In mode Sidecar: what pods should carry while the resource cannot be built, for example because
/// its Secret is not there yet. A pod that starts meanwhile would otherwise go without.
fn rendered(object: &DynamicObject, packed: &Packed, context: &Context) -> Option<Sidecar> {
    let spec = validate::admit(object, packed.oversize(), &context.policy).ok()?;
    let uid = object.uid().unwrap_or_default();
    let namespace = object.namespace().unwrap_or_default();
    let mirror = ValidatedMirror::unresolved(object.name_any(), namespace, uid, spec);
    let is_sidecar = mirror.spec.mode == Mode::Sidecar;
    is_sidecar.then(|| Sidecar::of(&mirror, &context.defaults))
}

/// The last step: writes the status and publishes events, as far as there is something new.
async fn report(
    object: &DynamicObject,
    before: &PrometheusMirrorStatus,
    conclusion: &Conclusion,
    context: &Context,
) -> Result<Action, Error> {
    let resource = key(object);
    let now = Timestamp::now();
    let believed = match conclusion {
        Conclusion::Applied(_) => before.clone(),
        _ if runs(object, context) => before.clone(),
        _ => status::without_pods(before),
    };
    let mut after = status::status(conclusion, &believed, object.metadata.generation, now);
    after.operator = Some(context.claimant.clone());
    let is_failure = matches!(conclusion, Conclusion::Failing(_));
    let wait = match !is_failure && status::is_progress(before, &after) {
        true => context.throttle.wait(&resource, Instant::now()),
        false => None,
    };
    // Writes are reported now; conditions are news when they are written.
    let reported = if wait.is_some() { before } else { &after };
    let mut events = events::events(before, reported, conclusion.written());
    events.extend(conclusion.evicted().map(events::evicted));
    if after != *before && wait.is_none() {
        status::write(&context.client, object, &after)
            .await
            .map_err(Error::Status)?;
        context.throttle.written(&resource, Instant::now());
    }
    events::publish(&context.recorder, object, events).await;
    Ok(requeue::next(conclusion, &after, wait, now))
}

/// Whether something may run for a resource: not without a Deployment of its own.
fn runs(object: &DynamicObject, context: &Context) -> bool {
    let is_sidecar = object.data["spec"]["mode"] == "Sidecar";
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let deployments = context.caches.children.get(&Kind::Deployment);
    let here = object.namespace().unwrap_or_default();
    is_sidecar
        || deployments.is_none_or(|deployments| {
            let found = deployments.get(&here, &deployment_name(&object.name_any()));
            deployments.unavailable().is_some() || found.is_some_and(|it| it.is_controlled_by(uid))
        })
}

fn previous(object: &DynamicObject) -> PrometheusMirrorStatus {
    let status = object.data.get("status").cloned().unwrap_or_default();
    // A status that is not one of ours is replaced.
    serde_json::from_value(status).unwrap_or_default()
}

/// Tries again, later each time: 1 s, 2 s, 4 s, … up to a minute.
#[must_use]
pub fn error_policy(object: Arc<Packed>, error: &Error, context: Arc<Context>) -> Action {
    let step = error.step();
    context.metrics.failed(step, "RequestFailed");
    let failures = {
        let mut all = context.lock_failures();
        let failures = all.entry(key(object.as_ref())).or_default();
        *failures = failures.saturating_add(1);
        *failures
    };
    let delay = requeue::after_failures(failures);
    tracing::warn!(%error, step, failures, ?delay, "will try again");
    Action::requeue(delay)
}

impl Context {
    fn lock_failures(&self) -> std::sync::MutexGuard<'_, HashMap<NamespacedName, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often a resource has failed in a row.
    fn failures_of(&self, resource: &NamespacedName) -> u32 {
        let all = self.lock_failures();
        all.get(resource).copied().unwrap_or_default()
    }

    /// The resource is gone, or about to go.
    fn forget(&self, resource: &NamespacedName) {
        self.waiting.take(resource);
        self.throttle.forget(resource);
        self.contested.forget(resource);
        self.evictions.forget(resource);
        self.claims.forget(resource);
        self.lock_failures().remove(resource);
    }
}
