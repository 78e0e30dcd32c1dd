//! Classes 1 and 2: the operator is killed at each of its writes in turn, after the API server has
//! done it or before it sees it.
//!
//! A trial goes through the whole story and kills at the n-th write of every step, so that as many
//! trials as the longest step has writes are enough. Dry runs, status, events and notifications of
//! pods count as writes, the lease does not.

use anyhow::Result;

use super::{Trials, trial};
use crate::plan::{Fault, Rule};
use crate::reference::Reference;
use crate::story::Step;
use crate::trial::{Harness, Trial};

/// All trials of class 1 or 2.
#[must_use]
pub fn trials<'a>(harness: &'a Harness, reference: &'a Reference, class: u8) -> Trials<'a> {
    let most = reference.steps.values().map(|step| step.writes).max();
    // A kill may add a write: one more than the reference run has, which should find nothing to
    // kill at.
    let positions = 1..=most.unwrap_or_default() + 1;
    positions
        .map(|position| {
            let when = if class == 1 { "after" } else { "before" };
            let name = format!("killed {when} write {position} of each step");
            trial(harness, class, name, 1, async move |trial| {
                story(trial, reference, class, position).await
            })
        })
        .collect()
}

async fn story(trial: &Trial<'_>, reference: &Reference, class: u8, position: usize) -> Result<()> {
    for step in Step::ALL {
        let (label, fault) = match class {
            1 => ("kills after a write", Fault::KillAfter),
            _ => ("kills before a write", Fault::KillBefore),
        };
        trial.plan(vec![Rule {
            label,
            when: Box::new(|request| request.verb.writes() && !request.is_lease()),
            skip: position - 1,
            times: 1,
            for_each: false,
            fault,
        }]);
        // Where there is most that could go on changing, and at the end.
        match step {
            Step::OptionsOn | Step::Delete => trial.step_and_rest(step, reference).await?,
            _ => trial.step(step, reference).await?,
        }
    }
    Ok(())
}
