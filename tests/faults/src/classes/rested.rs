//! Class 0 besides the runs that are the reference: nothing goes wrong, and nothing is written for
//! two minutes.

use std::time::Duration;

use super::{Trials, trial};
use crate::reference::Reference;
use crate::snapshot::Comparison;
use crate::story::Step;
use crate::trial::Harness;

/// How long nothing may be written.
const QUIET: Duration = Duration::from_secs(120);

/// The trial of the class.
#[must_use]
pub fn trials<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let name = "two minutes after each step".to_owned();
    vec![trial(harness, 0, name, 1, async move |trial| {
        for step in Step::ALL {
            trial.step(step, reference).await?;
            let expected = &reference.steps[&step].snapshot;
            trial.stays_for(QUIET, expected, &Comparison::EXACT).await?;
        }
        Ok(())
    })]
}
