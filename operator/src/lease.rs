//! Leadership: of several replicas one works, and another takes over when it is gone.
//!
//! The record is a `Lease`, written only with the `resourceVersion` that was read, so that of two writers one fails. Another
//! replica's clock is never trusted: a record counts as expired when it has not changed for its duration as measured here.
//! A leader that cannot renew gives up well before anybody else may take over.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt as _};
use tokio::time::Instant;

/// How long a record counts after its last change.
const DURATION: Duration = Duration::from_secs(15);
/// A leader that could not renew for so long stops working.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often a leader renews and another tries.
const PERIOD: Duration = Duration::from_secs(2);
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

// A leader must have given up before another may begin, and an attempt must fit in between.
const _: () = assert!(RENEW_DEADLINE.as_secs() < DURATION.as_secs());
const _: () = assert!(PERIOD.as_secs() + REQUEST_TIMEOUT.as_secs() < RENEW_DEADLINE.as_secs());

/// One replica's view of the lease.
pub struct Leadership {
    api: Api<Lease>,
    name: String,
    identity: String,
    /// Another's record: holder, renew time, and since when it has not changed.
    seen: Option<(Option<String>, Option<MicroTime>, Instant)>,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    Held,
    HeldByAnother,
}

impl Leadership {
    /// `client` must not retry by itself: an answer that arrives late is worth nothing here.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            seen: None,
        }
    }

    /// Returns when this replica leads.
    pub async fn acquire(&mut self) {
        loop {
            match self.attempt().await {
                Ok(Attempt::Held) => return,
                Ok(Attempt::HeldByAnother) => {}
                Err(error) => tracing::warn!(%error, "cannot try for the lease"),
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Keeps renewing; returns when this replica leads no more.
    pub async fn hold(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(PERIOD).await;
            let began = Instant::now();
            match self.attempt().await {
                Ok(Attempt::Held) => renewed = began,
                Ok(Attempt::HeldByAnother) => return,
                Err(error) => tracing::warn!(%error, "cannot renew the lease"),
            }
            // One more attempt would end too late.
            if renewed.elapsed() + PERIOD + REQUEST_TIMEOUT > RENEW_DEADLINE {
                return;
            }
        }
    }

    /// Lets go of the lease, so that another need not wait for its end.
    pub async fn release(&self) {
        let released = tokio::time::timeout(REQUEST_TIMEOUT, async {
            let Some(mut lease) = self.api.get_opt(&self.name).await? else {
                return Ok(());
            };
            if holder(&lease) != Some(&self.identity) {
                return Ok(());
            }
            let spec = lease.spec.get_or_insert_default();
            spec.holder_identity = None;
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            spec.lease_duration_seconds = Some(1);
            self.api
                .replace(&self.name, &PostParams::default(), &lease)
                .await
                .map(|_| ())
        });
        match released.await {
            Ok(Ok(())) => tracing::info!("lease released"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot release the lease; it will expire"),
            Err(_) => tracing::warn!("cannot release the lease in time; it will expire"),
        }
    }

    async fn attempt(&mut self) -> Result<Attempt, String> {
        let attempt = tokio::time::timeout(REQUEST_TIMEOUT, self.request());
        attempt
            .await
            .map_err(|_| "the API server does not answer".to_owned())?
            .map_err(|error| error.to_string())
    }

    async fn request(&mut self) -> kube::Result<Attempt> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let metadata = ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            };
            let lease = Lease {
                metadata,
                spec: Some(self.record(now, 0, None)),
            };
            return written(self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let held = holder(&lease) == Some(&self.identity);
        if !held && holder(&lease).is_some() && !self.expired(&spec) {
            return Ok(Attempt::HeldByAnother);
        }
        let transitions = spec.lease_transitions.unwrap_or_default();
        lease.spec = Some(if held {
            self.record(now, transitions, spec.acquire_time)
        } else {
            self.record(now, transitions.saturating_add(1), None)
        });
        // `resourceVersion` came with the object: whoever wrote in between wins.
        debug_assert!(lease.resource_version().is_some());
        written(
            self.api
                .replace(&self.name, &PostParams::default(), &lease)
                .await,
        )
    }

    fn record(&self, now: MicroTime, transitions: i32, acquired: Option<MicroTime>) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            acquire_time: Some(acquired.unwrap_or_else(|| now.clone())),
            renew_time: Some(now),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    /// Whether another's record has not changed for as long as it said it would count.
    fn expired(&mut self, spec: &LeaseSpec) -> bool {
        let record = (spec.holder_identity.clone(), spec.renew_time.clone());
        match &self.seen {
            Some((holder, renewed, since)) if (holder, renewed) == (&record.0, &record.1) => {
                let seconds = spec
                    .lease_duration_seconds
                    .and_then(|seconds| u64::try_from(seconds).ok());
                since.elapsed() > seconds.map_or(DURATION, Duration::from_secs)
            }
            _ => {
                self.seen = Some((record.0, record.1, Instant::now()));
                false
            }
        }
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    lease
        .spec
        .as_ref()?
        .holder_identity
        .as_ref()
        .filter(|holder| !holder.is_empty())
}

fn written(result: kube::Result<Lease>) -> kube::Result<Attempt> {
    match result {
        Ok(_) => Ok(Attempt::Held),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Attempt::HeldByAnother),
        Err(error) => Err(error),
    }
}
