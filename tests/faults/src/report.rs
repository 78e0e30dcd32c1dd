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
                let told = format!("{name}: {error:#}");
                println!("DIVERGED: class {class}: {told} ({took} s)");
                count.divergences.push(told);
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
         Written by the fault harness (`tests/cluster/fault-test`), its last section by `scripts/siege`; not to be\n\
         edited by hand.\n\n\
         The operator runs as a process against a real API server, with the rights of its service account, through a proxy that\n\
         understands Kubernetes' requests and injects faults. After each the cluster must come to look as after the same story without\n\
         a fault: **O1** every child, ReplicaSet, pod and the resource with its status, object by object and field by field; **O2** every\n\
         object made and deleted as often; **O3** no write after that; **O4** no panic and no exit; **O5** every field of the resource\n\
         shows in the children or the status, and its removal removes it there. {settings}\n\n\
         The story: create a resource; change its document, pods and their number; ask for every optional child; take that back; delete it.\n\n\
         | class | fault | what was compared | runs | left out | injections | objects compared | divergences |\n|--:|---|---|--:|--:|---|--:|--:|\n"
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
        "\nWrites of the operator in the reference run, dry runs and events included: {}.\n\n\
         ## What may differ\n\n\
         Names that every run has anew stand for what they name: the namespace, every uid. Fields that other programs manage are compared,\n\
         the record of who manages them only as far as it is the operator's. The status of children other than the Deployment is left out:\n\
         the operator neither writes nor reads it. Events are left out of O1. Besides, these may differ, and each of them does between\n\
         clean runs; a field that is missing altogether is a divergence even here.\n\n\
         | kind | field | why | differed between clean runs |\n|---|---|---|--:|\n",
        writes.join(", ")
    );
    for (mask, hidden) in MASKS.iter().zip(&reference.hidden) {
        let _ = writeln!(text, "{} {hidden} |", row(mask));
    }
    text.push_str(
        "\nIn the classes 3, 4, 7 to 12, 15, 17 and 18, where things are changed more often or otherwise than in the reference run, these\n\
         may differ, too, and ReplicaSets without pods are left out:\n\n| kind | field | why |\n|---|---|---|\n",
    );
    for mask in HISTORY {
        let _ = writeln!(text, "{}", row(mask));
    }
    let diverged: Vec<_> = counts
        .iter()
        .flat_map(|(class, count)| count.divergences.iter().map(move |told| (class, told)))
        .collect();
    if !diverged.is_empty() {
        text.push_str("\n## Divergences\n\n");
        for (class, told) in diverged {
            let _ = writeln!(text, "- class {class}: {}", told.replace('\n', " "));
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
