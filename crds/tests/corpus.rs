//! Documents that must be accepted and documents that must be refused, with the words they must be
//! refused with.
//!
//! Each file in `invalid/` starts with one `# expect: FAULT` line per fault (its beginning is
//! enough). The API server uses the same words for rules; where it uses its own, a line `#
//! expect-api: TEXT` has them, for the tests against a real one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use kube::core::cel::Validator;
use serde_json::Value;

struct Document {
    file: String,
    expected: Vec<String>,
    value: Value,
}

fn documents(folder: &str) -> Vec<Document> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(paths.len() > 3, "the corpus is gone");
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let expected = text
                .lines()
                .filter_map(|line| line.strip_prefix("# expect: "))
                .map(str::to_owned);
            Document {
                file: path.file_name().unwrap().to_string_lossy().into_owned(),
                expected: expected.collect(),
                value: serde_yaml::from_str(&text).unwrap(),
            }
        })
        .collect()
}

fn lines(document: &Value) -> Vec<String> {
    crds::validate(document)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn valid_documents_have_no_fault_and_survive_a_round_trip() {
    for document in documents("valid") {
        assert_eq!(
            lines(&document.value),
            Vec::<String>::new(),
            "{}",
            document.file
        );
        let parsed = crds::parse(&document.value).unwrap();
        let written = serde_json::to_value(&parsed).unwrap();
        assert_eq!(
            lines(&written),
            Vec::<String>::new(),
            "{}: written again",
            document.file
        );
        assert_eq!(
            crds::parse(&written).unwrap(),
            parsed,
            "{}: read again",
            document.file
        );
    }
}

#[test]
fn each_mistake_of_an_invalid_document_is_one_fault_in_the_expected_words() {
    for document in documents("invalid") {
        let found = lines(&document.value);
        // The message of a rule of the whole document stands alone; elsewhere the path comes first.
        let as_expected = found.len() == document.expected.len()
            && document.expected.iter().all(|expected| {
                found
                    .iter()
                    .any(|fault| fault.starts_with(expected.as_str()))
            });
        assert!(
            as_expected,
            "{}:\nexpected {:#?}\nfound {found:#?}",
            document.file, document.expected
        );
        assert!(crds::parse(&document.value).is_err(), "{}", document.file);
    }
}

#[test]
fn every_rule_has_a_document_that_breaks_it() {
    let broken: BTreeSet<String> = documents("invalid")
        .iter()
        .flat_map(|d| crds::validate(&d.value))
        .map(|f| f.message)
        .collect();
    let unproven: Vec<_> = crds::rules::ALL
        .iter()
        .copied()
        .flatten()
        .filter(|rule| !broken.contains(rule.message))
        .map(|rule| rule.message)
        .collect();
    assert_eq!(unproven, Vec::<&str>::new());
}

#[test]
fn rules_in_rust_say_what_their_cel_says() {
    let crd = serde_json::to_value(crds::crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let messages: BTreeSet<_> = crds::rules::ALL
        .iter()
        .copied()
        .flatten()
        .map(|rule| rule.message.to_owned())
        .collect();
    let mut compared = 0;
    for document in documents("invalid").into_iter().chain(documents("valid")) {
        // Where the schema itself refuses a document, the API server may leave the rules out, and
        // so does the walk.
        let ours = crds::validate(&document.value);
        if ours.iter().any(|fault| !messages.contains(&fault.message))
            || document.file == "null-is-absent.yaml"
        {
            continue;
        }
        let ours: BTreeSet<_> = ours.into_iter().map(|fault| fault.message).collect();
        let theirs = Validator::new().validate(schema, &document.value, None);
        let theirs: BTreeSet<_> = theirs
            .err()
            .into_iter()
            .flatten()
            .map(|error| error.message)
            .collect();
        assert_eq!(ours, theirs, "{}", document.file);
        compared += 1;
    }
    assert!(compared > 30, "only {compared} documents compared");
}
