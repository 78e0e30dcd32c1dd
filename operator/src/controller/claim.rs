//! Which operator looks after a resource, if several see it: two releases that watch the same
//! namespaces, or an old one and its successor elsewhere. They would undo each other's work for
//! ever, as each takes the other's for drift.
//!
//! The status names the operator. One that finds another's name puts its own there, and waits
//! before it does anything else. If the other still works, it does the same at once; so whoever
//! finds a foreign name again soon after its own knows that the other lives, and stands back. If
//! the other is gone, nothing happens, and the successor begins. No clock of another is read, and
//! nothing is written while all is well.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crds::contract::OPERATOR;
use crds::{PrometheusMirror, PrometheusMirrorStatus};
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::runtime::controller::Action;
use serde_json::json;

use super::{Context, Error};
use crate::cluster::references::{NamespacedName, key};
use crate::telemetry::events;

/// So long an operator waits for an answer to its name.
const WAIT: Duration = Duration::from_secs(10);
/// A foreign name so soon after our own is an answer to it.
const SOON: Duration = Duration::from_secs(60);
/// So long an operator stands back before it puts its name there again.
const REST: Duration = Duration::from_secs(600);

/// What is known of resources that had another operator's name.
#[derive(Debug, Default)]
pub struct Claims(Mutex<HashMap<NamespacedName, Claim>>);

#[derive(Clone, Copy, Debug)]
struct Claim {
    /// The version of the resource with our name.
    version: u64,
    /// When our name was put there, or since when we stand back.
    since: Instant,
    stands_back: bool,
}

/// What an operator does with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Looks after it.
    Acts,
    /// Puts its name there.
    Claims,
    /// Looks again after so long.
    Waits(Duration),
    /// Leaves it to the other for so long.
    StandsBack {
        rest: Duration,
        /// Whether it begins now, and is to be reported.
        begins: bool,
    },
}

impl Claims {
    /// What we do with a resource of this `version` that has the name of `holder` in its status.
    fn standing(
        &self,
        resource: &NamespacedName,
        (holder, ours): (Option<&str>, &str),
        version: u64,
        now: Instant,
    ) -> Standing {
        let mut all = self.lock();
        let known = all.get(resource).copied().filter(|claim| {
            let lasts = if claim.stands_back { REST } else { SOON };
            now.saturating_duration_since(claim.since) < lasts
        });
        let is_ours = holder.is_none_or(|holder| holder == ours);
        let Some(claim) = known else {
            all.remove(resource);
            return if is_ours {
                Standing::Acts
            } else {
                Standing::Claims
            };
        };
        let passed = now.saturating_duration_since(claim.since);
        match (claim.stands_back, is_ours) {
            (true, true) => {
                all.remove(resource);
                Standing::Acts
            }
            (true, false) => Standing::StandsBack {
                rest: REST - passed,
                begins: false,
            },
            (false, true) if passed < WAIT => Standing::Waits(WAIT - passed),
            (false, true) => Standing::Acts,
            // The cache has not seen our name yet.
            (false, false) if version <= claim.version => {
                Standing::Waits(WAIT.saturating_sub(passed).max(Duration::from_secs(1)))
            }
            (false, false) => {
                let stands_back = true;
                let since = now;
                all.insert(
                    resource.clone(),
                    Claim {
                        since,
                        stands_back,
                        ..claim
                    },
                );
                Standing::StandsBack {
                    rest: REST,
                    begins: true,
                }
            }
        }
    }

    /// Our name was put into this version of a resource.
    pub fn note(&self, resource: NamespacedName, version: u64, now: Instant) {
        let claim = Claim {
            version,
            since: now,
            stands_back: false,
        };
        self.lock().insert(resource, claim);
    }

    /// The resource is gone.
    pub fn forget(&self, resource: &NamespacedName) {
        self.lock().remove(resource);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NamespacedName, Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing if this operator looks after a resource with the status `before`; otherwise when to look
/// again. Writes no more than its own name.
///
/// # Errors
/// If the name cannot be written.
pub(super) async fn unless_ours(
    object: &DynamicObject,
    before: &PrometheusMirrorStatus,
    context: &Context,
) -> Result<Option<Action>, Error> {
    let (resource, ours) = (key(object), context.claimant.as_str());
    let holder = before.operator.as_deref();
    let claims = &context.claims;
    let standing = claims.standing(&resource, (holder, ours), version(object), Instant::now());
    let holder = holder.unwrap_or_default();
    let wait = match standing {
        Standing::Acts => return Ok(None),
        Standing::Waits(wait) => wait,
        Standing::StandsBack { rest, begins } => {
            if begins {
                context.metrics.failed("claim", "AnotherOperator");
                tracing::warn!(another = holder, ours, "stands back");
                let event = events::another_operator(holder, ours);
                events::publish(&context.recorder, object, vec![event]).await;
            }
            rest
        }
        Standing::Claims => {
            tracing::info!(
                another = holder,
                ours,
                "takes over, unless the other answers"
            );
            let claimed = write(context, object, ours).await.map_err(Error::Status)?;
            claims.note(resource, version(&claimed), Instant::now());
            WAIT
        }
    };
    Ok(Some(Action::requeue(wait)))
}

/// Puts our name into the status, and leaves the rest as it is.
async fn write(
    context: &Context,
    object: &DynamicObject,
    ours: &str,
) -> kube::Result<PrometheusMirror> {
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<PrometheusMirror> = Api::namespaced(context.client.clone(), &namespace);
    let patch = json!({
        // With its uid, or the name could land on a resource that came later.
        "metadata": { "uid": object.metadata.uid },
        "status": { "operator": ours },
    });
    let params = PatchParams {
        field_manager: Some(OPERATOR.to_owned()),
        ..PatchParams::default()
    };
    let name = object.name_any();
    api.patch_status(&name, &params, &Patch::Merge(patch)).await
}

/// Versions of one resource can be compared: later ones are larger numbers.
fn version(object: &impl kube::ResourceExt) -> u64 {
    let version = object.resource_version().unwrap_or_default();
    version.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "here/operator";
    const OTHERS: Option<&str> = Some("there/operator");

    struct Case {
        claims: Claims,
        resource: NamespacedName,
        start: Instant,
    }

    impl Case {
        fn new() -> Self {
            Self {
                claims: Claims::default(),
                resource: ("n".to_owned(), "a".to_owned()),
                start: Instant::now(),
            }
        }

        fn after(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn standing(&self, seconds: u64, holder: Option<&str>, version: u64) -> Standing {
            let now = self.after(seconds);
            self.claims
                .standing(&self.resource, (holder, OURS), version, now)
        }

        fn claim(&self, seconds: u64, version: u64) {
            let now = self.after(seconds);
            self.claims.note(self.resource.clone(), version, now);
        }
    }

    const fn waits(seconds: u64) -> Standing {
        Standing::Waits(Duration::from_secs(seconds))
    }

    const fn stands_back(seconds: u64, begins: bool) -> Standing {
        let rest = Duration::from_secs(seconds);
        Standing::StandsBack { rest, begins }
    }

    #[test]
    fn a_resource_of_nobody_or_ours_is_looked_after() {
        let case = Case::new();
        let standings = [None, Some(OURS)].map(|holder| case.standing(0, holder, 5));
        assert_eq!(standings, [Standing::Acts; 2]);
    }

    #[test]
    fn an_operator_that_does_not_answer_is_succeeded() {
        let case = Case::new();
        assert_eq!(case.standing(0, OTHERS, 5), Standing::Claims);
        case.claim(0, 7);
        assert_eq!(case.standing(1, OTHERS, 5), waits(9), "an old cache");
        assert_eq!(case.standing(1, OTHERS, 6), waits(9), "its last words");
        assert_eq!(case.standing(4, Some(OURS), 7), waits(6));
        assert_eq!(case.standing(10, Some(OURS), 7), Standing::Acts);
    }

    #[test]
    fn whoever_is_answered_stands_back_and_tries_again_later() {
        let case = Case::new();
        case.claim(0, 7);
        assert_eq!(case.standing(1, OTHERS, 8), stands_back(600, true));
        assert_eq!(case.standing(300, OTHERS, 9), stands_back(301, false));
        assert_eq!(case.standing(601, OTHERS, 10), Standing::Claims);
    }

    #[test]
    fn whoever_answers_goes_on() {
        let case = Case::new();
        assert_eq!(case.standing(0, Some(OURS), 4), Standing::Acts);
        assert_eq!(case.standing(1, OTHERS, 5), Standing::Claims);
        case.claim(1, 6);
        assert_eq!(case.standing(11, Some(OURS), 6), Standing::Acts);
        // The next try of the other, ten minutes later.
        assert_eq!(case.standing(602, OTHERS, 9), Standing::Claims);
    }

    #[test]
    fn a_resource_that_the_other_lets_go_is_looked_after_at_once() {
        let case = Case::new();
        case.claim(0, 7);
        assert_eq!(case.standing(1, OTHERS, 8), stands_back(600, true));
        assert_eq!(case.standing(2, None, 9), Standing::Acts);
    }
}
