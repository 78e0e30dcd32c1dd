//! Class 5: the API server refuses, is silent, breaks off, or does what it was asked and the answer
//! is lost; by verb and kind.
//!
//! A trial has one fault and a few kinds. In every step of the story the first request of each verb
//! for each object of these kinds meets the fault; a restart at the beginning lets the first lists
//! and watches meet it, too.

use anyhow::{Result, ensure};

use super::{Trials, trial};
use crate::plan::{Fault, Rule};
use crate::record;
use crate::reference::Reference;
use crate::snapshot::Comparison;
use crate::story::Step;
use crate::trial::{Harness, Trial};

/// What goes wrong. What takes longest comes first.
const FAULTS: [(&str, Fault); 7] = [
    ("time-outs", Fault::Silence),
    ("409", answer(409, None)),
    ("429 with Retry-After", answer(429, Some(1))),
    ("500", answer(500, None)),
    ("503", answer(503, None)),
    ("broken connections", Fault::Disconnect),
    ("lost responses", Fault::LoseResponse),
];

const fn answer(code: u16, retry_after: Option<u32>) -> Fault {
    Fault::Answer { code, retry_after }
}

/// Whose requests.
const KINDS: [&[&str]; 7] = [
    &["configmaps", "services"],
    &["serviceaccounts", "deployments"],
    &["poddisruptionbudgets", "networkpolicies", "ingresses"],
    &["horizontalpodautoscalers", "httproutes", "servicemonitors"],
    &["prometheusmirrors", "prometheusmirrors/status"],
    &["pods", "replicasets"],
    &["secrets", "events", "prometheuses", "endpointslices"],
];

/// The same may be asked so often within a second, and no more.
const MOST_PER_SECOND: usize = 5;

/// All trials of the class.
#[must_use]
pub fn trials<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let all = FAULTS.into_iter().flat_map(|(label, fault)| {
        KINDS
            .iter()
            .map(move |kinds| (label, fault.clone(), *kinds))
    });
    all.map(|(label, fault, kinds)| {
        let name = format!("{label} for {}", kinds.join(", "));
        trial(harness, 5, name, 1, async move |trial| {
            story(trial, reference, label, &fault, kinds).await
        })
    })
    .collect()
}

async fn story(
    trial: &Trial<'_>,
    reference: &Reference,
    label: &'static str,
    fault: &Fault,
    kinds: &'static [&'static str],
) -> Result<()> {
    // Each time-out takes half a minute, so there is one a step, and none of a watch, which may be
    // silent.
    let silence = matches!(fault, Fault::Silence);
    let rule = || Rule {
        label,
        when: Box::new(move |request| {
            kinds.contains(&request.resource.as_str()) && (request.verb.writes() || !silence)
        }),
        skip: 0,
        times: 1,
        for_each: !silence,
        fault: fault.clone(),
    };
    trial.plan(vec![rule()]);
    trial.operator().restart().await?;
    // Where a response is lost, what was done is done: as many creates as without.
    for step in Step::ALL {
        trial.step(step, reference).await?;
        if step == Step::OptionsOff {
            let expected = &reference.steps[&step].snapshot;
            let how = Comparison::EXACT;
            trial.stays(expected, &how).await?;
        }
        trial.plan(vec![rule()]);
    }
    let mut entries = trial.proxy.record.since(0);
    // Each is another one, without a name in its request.
    entries.retain(|entry| !entry.request.is_event() && !entry.request.is_lease());
    let (most, request) = record::busiest_second(&entries);
    ensure!(
        most <= MOST_PER_SECOND,
        "{request}: {most} times within a second"
    );
    Ok(())
}
