//! What goes wrong, and when: an ordered list of rules that the proxy asks for every request, and
//! counts.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use tokio::sync::Notify;

use crate::kubernetes::ApiRequest;
use crate::trial::PATIENCE;

/// What is done to one request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The operator is killed; the request goes nowhere.
    KillBefore,
    /// The API server answers; the operator is killed and started again before it hears.
    KillAfter,
    /// The API server never sees it and the operator gets this answer.
    Answer {
        /// HTTP status.
        code: u16,
        /// Seconds, for the header of that name.
        retry_after: Option<u32>,
    },
    /// The API server never sees it, and nobody answers for as long as the operator cares to wait.
    Silence,
    /// The API server never sees it, and the connection breaks.
    Disconnect,
    /// The API server does it, and the connection breaks before the operator hears.
    LoseResponse,
    /// A watch begins and says at once that its version is too old.
    Expired,
    /// A list is answered with the one that was answered before the operator was started last.
    Replay,
    /// Held where it is until the harness has done something.
    Hold(Gate, Side),
}

/// Whether a held request has been seen by the API server yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Side {
    Before,
    After,
}

/// Where a request waits.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Notify, Notify)>);

impl Gate {
    /// The proxy: tells that a request has come, and waits until it may go on.
    pub async fn pass(&self) {
        self.0.0.notify_one();
        self.0.1.notified().await;
    }

    /// The harness: waits until a request has come.
    ///
    /// # Errors
    /// If none comes.
    pub async fn reached(&self) -> anyhow::Result<()> {
        tokio::time::timeout(PATIENCE, self.0.0.notified())
            .await
            .context("the request never came")
    }

    /// The harness: lets it go on.
    pub fn open(&self) {
        self.0.1.notify_one();
    }
}

/// Which requests meet a fault.
pub struct Rule {
    /// What the injections are counted under.
    pub label: &'static str,
    /// Of these requests …
    pub when: Box<dyn Fn(&ApiRequest) -> bool + Send + Sync>,
    /// … so many go through first …
    pub skip: usize,
    /// … and so many then do not.
    pub times: usize,
    /// Whether that is counted for every object and verb by itself.
    pub for_each: bool,
    /// What happens to them.
    pub fault: Fault,
}

impl Rule {
    /// Holds one request, after `skip` others, until the harness has done something.
    pub fn hold(
        label: &'static str,
        when: impl Fn(&ApiRequest) -> bool + Send + Sync + 'static,
        skip: usize,
        gate: &Gate,
        side: Side,
    ) -> Self {
        Self {
            label,
            when: Box::new(when),
            skip,
            times: 1,
            for_each: false,
            fault: Fault::Hold(gate.clone(), side),
        }
    }
}

#[derive(Default)]
struct State {
    rules: Vec<(Rule, HashMap<String, usize>)>,
    injected: BTreeMap<&'static str, usize>,
}

/// The rules in force.
#[derive(Default)]
pub struct Plan(Mutex<State>);

impl Plan {
    /// Replaces the rules; what they count begins at nought, what was injected stays counted.
    pub fn set(&self, rules: Vec<Rule>) {
        let rules = rules.into_iter().map(|rule| (rule, HashMap::new()));
        self.lock().rules = rules.collect();
    }

    /// The fault that a request meets, if any. Asking counts.
    pub fn fault(&self, request: &ApiRequest) -> Option<Fault> {
        let mut state = self.lock();
        let State { rules, injected } = &mut *state;
        for (rule, seen) in rules {
            if !(rule.when)(request) {
                continue;
            }
            let key = if rule.for_each {
                request.to_string()
            } else {
                String::new()
            };
            let seen = seen.entry(key).or_default();
            *seen += 1;
            if *seen > rule.skip && *seen <= rule.skip + rule.times {
                *injected.entry(rule.label).or_default() += 1;
                return Some(rule.fault.clone());
            }
        }
        None
    }

    /// Counts what was injected elsewhere than into a request.
    pub fn count(&self, label: &'static str, number: usize) {
        *self.lock().injected.entry(label).or_default() += number;
    }

    /// How often what was injected.
    #[must_use]
    pub fn injected(&self) -> BTreeMap<&'static str, usize> {
        self.lock().injected.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn a_rule_lets_some_through_then_meets_some_and_counts() {
        let plan = Plan::default();
        let of = |name: &str| {
            let path = format!("/api/v1/namespaces/n/services/{name}");
            ApiRequest::parse(&Method::PATCH, &path, "")
        };
        let rule = |for_each| Rule {
            label: "lost",
            when: Box::new(|request| request.resource == "services"),
            skip: 1,
            times: 1,
            for_each,
            fault: Fault::LoseResponse,
        };
        let meets = |names: [&str; 5]| names.map(|name| plan.fault(&of(name)).is_some());
        plan.set(vec![rule(false)]);
        assert_eq!(
            meets(["a", "b", "a", "b", "b"]),
            [false, true, false, false, false]
        );
        plan.set(vec![rule(true)]);
        assert_eq!(
            meets(["a", "b", "a", "b", "b"]),
            [false, false, true, true, false]
        );
        assert_eq!(plan.injected(), BTreeMap::from([("lost", 3)]));
    }
}
