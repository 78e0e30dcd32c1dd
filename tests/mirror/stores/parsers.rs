//! Completed expressions as the stores' own parsers read them: those of Prometheus 3 and of
//! VictoriaMetrics, built from their Go modules. Every selector has the enforced matchers, and
//! without them an expression is what its user wrote.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows a test's functions, not their helpers"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mirror::model::enforced::Enforced;
use mirror::plan::enforce::EnforceError;
use mirror::plan::kind::QueryKind;
use serde::Deserialize;

use crate::generated::{Generator, KNOWN};

/// So many expressions are made up.
const EXPRESSIONS: usize = 2_500;

/// What is enforced. No expression has the same by itself: VictoriaMetrics makes one of two equal
/// filters.
const MATCHERS: [(&str, &str); 2] = [("team", "a\"b\\\n"), ("cluster", "only this")];

/// How a parser reads an expression.
#[derive(Clone, Debug, Deserialize)]
struct Reading {
    /// Why it cannot.
    #[serde(default)]
    error: Option<String>,
    /// How many selectors there are.
    selectors: usize,
    /// How many lack a matcher.
    without: usize,
    /// The expression without the matchers, in one form for all ways of writing it.
    rest: String,
}

fn programs() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/build");
    let output = Command::new(script)
        .arg("promql")
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "needs Go and the Go module proxy");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// All expressions as one of the programs reads them.
fn read(program: &str, enforced: bool, expressions: &[String]) -> Vec<Reading> {
    let pairs = MATCHERS.map(|(label, value)| format!("{label}={value}"));
    let mut process = Command::new(programs().join(program))
        .args(pairs.iter().filter(|_| enforced))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<_> = expressions
        .iter()
        .map(|promql| serde_json::to_string(promql).unwrap())
        .collect();
    let mut input = process.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(lines.join("\n").as_bytes()).unwrap());
    let output = process.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let readings: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(readings.len(), expressions.len());
    readings
}

fn complete(promql: &str) -> Result<String, EnforceError> {
    let pairs = MATCHERS.map(|(label, value)| (label.to_owned(), value.to_owned()));
    let kind = QueryKind::Expression {
        promql: promql.to_owned(),
        matchers: Vec::new(),
    };
    let completed = Enforced(pairs.to_vec()).kind(kind)?;
    Ok(completed.metric().to_owned())
}

/// What was wrong with how `program` reads the completed expressions, and how many it read at all.
fn faults(program: &str, originals: &[String], completed: &[String]) -> (Vec<String>, usize) {
    let before = read(program, false, originals);
    let after = read(program, true, completed);
    let mut faults = Vec::new();
    let mut both = 0;
    for ((original, completed), (before, after)) in originals
        .iter()
        .zip(completed)
        .zip(before.iter().zip(&after))
    {
        let fault = match (&before.error, &after.error) {
            // The store refuses it.
            (Some(_), Some(_)) => None,
            (None, Some(error)) => Some(error.clone()),
            _ if after.without > 0 => Some(format!("{} selectors are open", after.without)),
            (Some(_), None) => None,
            (None, None) => {
                both += 1;
                let same = before.selectors == after.selectors && before.rest == after.rest;
                (!same).then(|| format!("{}\n    {}", before.rest, after.rest))
            }
        };
        faults.extend(fault.map(|fault| format!("{original}\n  {completed}\n    {fault}")));
    }
    (faults, both)
}

#[test]
fn both_stores_read_the_matchers_in_every_selector_and_else_what_was_written() {
    let mut generator = Generator::new(13);
    let made_up = (0..EXPRESSIONS).map(|_| generator.expression());
    let (mut originals, mut completed) = (Vec::new(), Vec::new());
    for promql in KNOWN.iter().map(|known| (*known).to_owned()).chain(made_up) {
        if let Ok(complete) = complete(&promql) {
            originals.push(promql);
            completed.push(complete);
        }
    }
    // Most of what is made up is PromQL.
    assert!(
        originals.len() > EXPRESSIONS * 8 / 10,
        "{}",
        originals.len()
    );
    for program in ["prometheus-selectors", "metricsql-selectors"] {
        let (faults, both) = faults(program, &originals, &completed);
        assert!(both > EXPRESSIONS * 7 / 10, "{program} reads only {both}");
        assert!(
            faults.is_empty(),
            "{program}: {} faults\n{}",
            faults.len(),
            faults[..faults.len().min(12)].join("\n")
        );
    }
}
