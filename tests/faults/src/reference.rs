//! Clean runs: what the story leaves behind when nothing goes wrong, and proof that the comparison
//! sees nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::record::{self, Lives};
use crate::snapshot::{self, Comparison, MASKS, Snapshot};
use crate::story::{NAME, Step};
use crate::trial::{Harness, Trial};

/// After so long without a write a clean run has come to rest: longer than the operator waits
/// before it says that pods are ready.
const REST: Duration = Duration::from_secs(7);

/// Clean runs start so far apart: Kubernetes' times are whole seconds, and a time that is the same
/// in all runs proves nothing.
const APART: Duration = Duration::from_millis(1700);

/// What a step comes to.
pub struct Clean {
    /// What there is after it.
    pub snapshot: Snapshot,
    /// What was made and removed on the way.
    pub lives: BTreeMap<String, Lives>,
    /// How many requests wrote, or tried to.
    pub writes: usize,
}

/// The reference run.
pub struct Reference {
    /// By step.
    pub steps: BTreeMap<Step, Clean>,
    /// How many differences each mask hid between the clean runs.
    pub hidden: Vec<usize>,
}

/// Runs the story `runs` times without faults, compares the runs with each other, and returns the
/// first.
///
/// # Errors
/// If two clean runs differ where no mask says so, or a mask hides nothing.
pub async fn reference(harness: &Harness, runs: usize) -> Result<Reference> {
    let clean = futures::future::join_all((0..runs).zip(0..).map(async |(number, delays)| {
        tokio::time::sleep(APART * delays).await;
        let mut steps = BTreeMap::new();
        let name = format!("clean run {}", number + 1);
        harness
            .trial(0, &name, 1, async |trial| {
                steps = run(trial).await?;
                Ok(())
            })
            .await;
        steps
    }))
    .await;
    ensure!(
        clean.iter().all(|steps| steps.len() == Step::ALL.len()),
        "a clean run did not come to its end"
    );
    let mut clean = clean.into_iter();
    let steps = clean.next().unwrap_or_default();
    let mut hidden = vec![0; MASKS.len()];
    for other in clean {
        for step in Step::ALL {
            let (one, other) = (&steps[&step], &other[&step]);
            let unexplained = Comparison::EXACT.differences(&one.snapshot, &other.snapshot);
            let unexplained: Vec<_> = unexplained.iter().map(ToString::to_string).collect();
            ensure!(
                unexplained.is_empty(),
                "clean runs differ in step {step:?}: {}",
                unexplained.join("; ")
            );
            ensure!(
                one.lives == other.lives,
                "clean runs differ in step {step:?}: {:?}, {:?}",
                one.lives,
                other.lives
            );
            for difference in snapshot::differences(&one.snapshot, &other.snapshot) {
                for (mask, hidden) in MASKS.iter().zip(&mut hidden) {
                    *hidden += usize::from(mask.hides(&difference));
                }
            }
        }
    }
    for (mask, hidden) in MASKS.iter().zip(&hidden) {
        ensure!(
            *hidden > 0,
            "the mask of {} {} hides nothing",
            mask.kind,
            mask.path
        );
    }
    Ok(Reference { steps, hidden })
}

async fn run(trial: &Trial<'_>) -> Result<BTreeMap<Step, Clean>> {
    let mut steps = BTreeMap::new();
    for step in Step::ALL {
        let from = trial.proxy.record.len();
        trial.set(step.spec().as_ref()).await?;
        let snapshot = trial.rests(NAME, REST).await?;
        let entries = trial.proxy.record.since(from);
        let asked = entries.iter().map(|entry| &entry.request);
        let clean = Clean {
            snapshot,
            lives: record::lives(&entries),
            writes: asked
                .filter(|request| request.verb.writes() && !request.is_lease())
                .count(),
        };
        steps.insert(step, clean);
    }
    Ok(steps)
}
