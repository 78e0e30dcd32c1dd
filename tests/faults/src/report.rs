//! What came of it: counted while it runs, and written down.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::classes::CLASSES;
use crate::reference::Reference;
use crate::snapshot::{HISTORY, MASKS, Mask};

/// What came of a class.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// Trials.
    pub runs: usize,
    /// Faults by what they were.
    pub injected: BTreeMap<&'static str, usize>,
    /// Objects compared.
    pub compared: usize,
    /// Trials that there was no time for.
    pub left_out: usize,
    /// Trials that did not end as they should.
    pub divergences: Vec<String>,
}

/// What came of all.
#[derive(Default)]
pub struct Tally(Mutex<BTreeMap<u8, Count>>);

impl Tally {
    /// Adds faults.
    pub fn injected(&self, class: u8, faults: &BTreeMap<&'static str, usize>) {
        let mut all = self.lock();
        let injected = &mut all.entry(class).or_default().injected;
        for (label, number) in faults {
            *injected.entry(label).or_default() += number;
        }
    }

    /// Adds comparisons.
    pub fn compared(&self, class: u8, objects: usize) {
        self.lock().entry(class).or_default().compared += objects;
    }

    /// Adds a trial that was not begun.
    pub fn left_out(&self, class: u8) {
        self.lock().entry(class).or_default().left_out += 1;
    }

    /// Adds a trial, and says so.
    pub fn ran(&self, class: u8, name: &str, took: Duration, failed: Option<anyhow::Error>) {
        let mut all = self.lock();
        let count = all.entry(class).or_default();
        count.runs += 1;
        let took = took.as_secs();
        match failed {
            None => println!("ok: class {class}: {name} ({took} s)"),
            Some(error) => {
                let divergence = format!("{name}: {error:#}");
                println!("DIVERGED: class {class}: {divergence} ({took} s)");
                count.divergences.push(divergence);
            }
        }
    }

    /// By class.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<u8, Count> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u8, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the section begins that `scripts/siege` writes.
pub const SIEGE: &str = "\n## The mirror under siege";

/// The report, in Markdown.
#[must_use]
pub fn markdown(counts: &BTreeMap<u8, Count>, reference: &Reference, settings: &str) -> String {
    let mut text = format!(
        "# Reliability\n\n\
         Written by the fault harness (`tests/cluster/fault-test`), except for the last section, which\n\
         `scripts/siege` writes. Do not edit it by hand.\n\n\
         The operator runs as a process against a real API server, with the rights of its service\n\
         account, through a proxy that understands Kubernetes' requests and injects faults. After each\n\
         fault the cluster must end up as it does after the same story without a fault:\n\n\
         * **O1**: every child, ReplicaSet and pod, and the resource with its status, are equal, field\n  \
           by field.\n\
         * **O2**: every object was created and deleted as often.\n\
         * **O3**: nothing is written after that.\n\
         * **O4**: the operator neither panics nor exits.\n\
         * **O5**: every field of the resource shows in the children or the status, and disappears\n  \
           there when it is removed.\n\n\
         {settings}\n\n\
         The story: create a resource; change its document, its pods and their number; ask for every\n\
         optional child; take that back; delete the resource.\n\n\
         | class | fault | what was compared | runs | left out | injections | objects compared | \
         divergences |\n|--:|---|---|--:|--:|---|--:|--:|\n"
    );
    for class in &CLASSES {
        let count = counts.get(&class.number).cloned().unwrap_or_default();
        let injected: Vec<_> = count
            .injected
            .iter()
            .map(|(label, number)| format!("{number} {label}"))
            .collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            class.number,
            class.title,
            class.compared,
            count.runs,
            count.left_out,
            injected.join(", "),
            count.compared,
            count.divergences.len()
        );
    }
    let writes: Vec<_> = reference
        .steps
        .iter()
        .map(|(step, clean)| format!("{step:?} {}", clean.writes))
        .collect();
    let _ = write!(
        text,
        "\nWrites of the operator in the reference run, including dry runs and events: {}.\n\n\
         ## What may differ\n\n\
         Names that are new in each run, such as the namespace and each uid, stand for what they name.\n\
         Fields that other programs manage are compared; of the record of who manages which field, only\n\
         the operator's entries are. The status of children other than the Deployment is left out,\n\
         because the operator neither writes nor reads it. Events are left out of O1. The fields below\n\
         may also differ, and each of them does between clean runs. A field that exists in only one of\n\
         two runs is a divergence even here.\n\n\
         | kind | field | why | differed between clean runs |\n|---|---|---|--:|\n",
        writes.join(", ")
    );
    for (mask, hidden) in MASKS.iter().zip(&reference.hidden) {
        let _ = writeln!(text, "{} {hidden} |", row(mask));
    }
    text.push_str(
        "\nClasses 3, 4, 7 to 12, 15, 17 and 18 change things more often than the reference run, or in\n\
         another way. There, these may differ too, and ReplicaSets without pods are left out:\n\n\
         | kind | field | why |\n|---|---|---|\n",
    );
    for mask in HISTORY {
        let _ = writeln!(text, "{}", row(mask));
    }
    let diverged: Vec<_> = counts
        .iter()
        .flat_map(|(class, count)| {
            count
                .divergences
                .iter()
                .map(move |divergence| (class, divergence))
        })
        .collect();
    if !diverged.is_empty() {
        text.push_str("\n## Divergences\n\n");
        for (class, divergence) in diverged {
            let _ = writeln!(text, "- class {class}: {}", divergence.replace('\n', " "));
        }
    }
    text
}

fn row(mask: &Mask) -> String {
    let kind = match mask.kind {
        "" => "any",
        kind => kind,
    };
    let path = mask.path.replace('/', ".").replace('|', "/");
    format!("| {kind} | `{path}` | {} |", mask.why)
}
