//! Leadership: of several replicas one works, and another takes over when it is gone.
//!
//! The record is a `Lease`, written only with the `resourceVersion` that was read, so that of two
//! writers one fails. Another replica's clock is never trusted: a record counts as expired when it
//! has not changed for its duration as measured here. A leader that cannot renew gives up well
//! before anybody else may take over.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt as _};
use tokio::time::Instant;

use super::client::Term;

/// How long a record counts after its last change.
const DURATION: Duration = Duration::from_secs(15);
/// A leader that could not renew for so long stops working.
const RENEW_DEADLINE: Duration = Duration::from_secs(12);
/// How often a leader renews and another tries.
const PERIOD: Duration = Duration::from_secs(2);
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

// A leader must have given up before another may begin, and one lost request is no reason to give
// up.
const _: () = assert!(RENEW_DEADLINE.as_secs() < DURATION.as_secs());
const _: () =
    assert!(2 * (PERIOD.as_secs() + REQUEST_TIMEOUT.as_secs()) < RENEW_DEADLINE.as_secs());

/// One replica's view of the lease.
pub struct Leadership {
    api: Api<Lease>,
    name: String,
    identity: String,
    /// Extended with each renewal; nothing is written after it.
    term: Term,
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
    pub fn new(client: Client, namespace: &str, name: &str, identity: String, term: Term) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            term,
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
        let began = Instant::now();
        let attempt = tokio::time::timeout(REQUEST_TIMEOUT, self.request());
        let attempt = attempt
            .await
            .map_err(|_| "the API server does not answer".to_owned())?
            .map_err(|error| error.to_string())?;
        if attempt == Attempt::Held {
            self.term.lasts_until((began + RENEW_DEADLINE).into_std());
        }
        Ok(attempt)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a replica that never speaks to an API server.
    fn leadership() -> Leadership {
        let unreachable = tower::service_fn(async |_: http::Request<kube::client::Body>| {
            Err::<http::Response<kube::client::Body>, _>("not asked")
        });
        let client = Client::new(unreachable, "n");
        Leadership::new(client, "n", "lease", "us".to_owned(), Term::default())
    }

    fn record(holder: &str, renewed: i64, seconds: Option<i32>) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            renew_time: Timestamp::from_second(renewed).ok().map(MicroTime),
            lease_duration_seconds: seconds,
            ..LeaseSpec::default()
        }
    }

    impl Leadership {
        /// As if what was seen last had been seen so much earlier.
        fn earlier(&mut self, seconds: u64) {
            if let Some((.., since)) = &mut self.seen {
                *since -= Duration::from_secs(seconds);
            }
        }
    }

    #[tokio::test]
    async fn a_record_expires_when_it_has_not_changed_for_its_duration_by_our_own_clock() {
        let mut ours = leadership();
        // Its clock is far behind, or far ahead: that says nothing.
        for renewed in [0, 4_000_000_000] {
            let record = record("them", renewed, Some(15));
            assert!(!ours.expired(&record), "seen for the first time");
            ours.earlier(14);
            assert!(!ours.expired(&record));
            ours.earlier(2);
            assert!(ours.expired(&record));
        }
    }

    #[tokio::test]
    async fn a_renewed_record_and_one_of_another_holder_begin_anew() {
        let mut ours = leadership();
        for next in [
            record("them", 1, Some(15)),
            record("them", 2, Some(15)),
            record("others", 2, Some(15)),
        ] {
            assert!(!ours.expired(&next));
            ours.earlier(16);
        }
        assert!(ours.expired(&record("others", 2, Some(15))));
    }

    #[tokio::test]
    async fn a_record_without_a_duration_or_with_nonsense_counts_for_the_usual_time() {
        for seconds in [None, Some(-1)] {
            let mut ours = leadership();
            let record = record("them", 1, seconds);
            assert!(!ours.expired(&record));
            ours.earlier(14);
            assert!(!ours.expired(&record));
            ours.earlier(2);
            assert!(ours.expired(&record));
        }
    }

    #[test]
    fn a_released_lease_has_no_holder() {
        let held_by = |name: Option<&str>| Lease {
            spec: Some(LeaseSpec {
                holder_identity: name.map(str::to_owned),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        };
        assert_eq!(holder(&held_by(None)), None);
        assert_eq!(holder(&held_by(Some(""))), None);
        assert_eq!(holder(&held_by(Some("us"))).map(String::as_str), Some("us"));
        assert_eq!(holder(&Lease::default()), None);
    }
}
