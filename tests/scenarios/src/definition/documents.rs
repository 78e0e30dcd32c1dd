//! Every document of `crds/tests`: accepted, or refused in the words that it names itself.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::programs::{fails, run};
use crate::scene::Scene;

/// kubectl's processes at once.
const AT_ONCE: usize = 4;

struct Document {
    file: String,
    text: String,
}

impl Document {
    /// What follows a word in lines of comment.
    fn lines(&self, word: &str) -> Vec<&str> {
        let start = format!("# {word}: ");
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix(&start))
            .collect()
    }
}

/// The documents of a folder, whose namespaces are there then.
async fn documents(scene: &Scene, folder: &str) -> Result<Vec<Document>> {
    let folder = PathBuf::from(scene.place().file("crds/tests")).join(folder);
    let mut documents = vec![];
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let (file, text) = (path.display().to_string(), std::fs::read_to_string(&path)?);
        documents.push(Document { file, text });
    }
    let namespaces: BTreeSet<_> = documents
        .iter()
        .flat_map(|document| document.text.lines())
        .filter_map(|line| line.split_once("namespace: "))
        .filter_map(|(_, rest)| {
            rest.split(|c: char| !c.is_ascii_lowercase() && c != '-')
                .next()
        })
        .collect();
    for namespace in namespaces
        .into_iter()
        .filter(|namespace| !namespace.is_empty())
    {
        scene.restricted_namespace(namespace).await?;
    }
    Ok(documents)
}

pub(super) async fn valid_documents_are_accepted_and_stay_as_they_are(scene: &Scene) -> Result<()> {
    let documents = documents(scene, "valid").await?;
    for Document { file, .. } in &documents {
        accepted(file).await.with_context(|| file.clone())?;
    }
    let number = documents.len();
    ensure!(number > 3, "the corpus is gone");
    scene.claim(format!(
        "{number} valid documents are accepted; applied again, none changes"
    ));
    Ok(())
}

async fn accepted(file: &str) -> Result<()> {
    let delete = ["delete", "-f", file, "--wait=true"];
    run("kubectl", &["create", "-f", file]).await?;
    run("kubectl", &delete).await?;
    // To a client-side apply, and to Argo CD, a list of a custom resource is one value: it must
    // come back as it was sent. `kubectl create` drops a null, as it always did; to an apply it is
    // a value, and to a server-side apply one of the wrong type.
    let has_null = file.ends_with("/null-is-absent.yaml");
    run("kubectl", &["apply", "-f", file]).await?;
    let again = run("kubectl", &["apply", "-f", file]).await?;
    ensure!(
        has_null || again.trim().ends_with("unchanged"),
        "a second apply changes it: {again}"
    );
    run("kubectl", &delete).await?;
    if !has_null {
        run("kubectl", &["apply", "--server-side", "-f", file]).await?;
        run("kubectl", &delete).await?;
    }
    Ok(())
}

pub(super) async fn invalid_documents_are_refused_in_the_expected_words(
    scene: &Scene,
) -> Result<()> {
    let documents = documents(scene, "invalid").await?;
    futures::stream::iter(&documents)
        .map(Ok)
        .try_for_each_concurrent(AT_ONCE, async |document: &Document| {
            let answer = fails("kubectl", &["create", "-f", &document.file]).await?;
            let unsaid = unsaid(document, &answer);
            let file = &document.file;
            ensure!(
                unsaid.is_empty(),
                "{file}: expected {unsaid:?}, got: {answer}"
            );
            anyhow::Ok(())
        })
        .await?;
    let number = documents.len();
    ensure!(number > 60, "the corpus is gone");
    scene.claim(format!(
        "{number} invalid documents are refused, each in the expected words"
    ));
    Ok(())
}

/// The expected lines that an answer does not have. Where the API server has words of its own, the
/// document names them.
fn unsaid<'a>(document: &'a Document, answer: &str) -> Vec<&'a str> {
    let own = document.lines("expect-api");
    if own.is_empty() {
        let expected = document.lines("expect").into_iter();
        expected
            .filter(|fault| !same_words(fault, answer))
            .collect()
    } else {
        own.into_iter()
            .filter(|line| !answer.contains(line))
            .collect()
    }
}

/// The API server's line about a fault has the same path and the same words; between them it puts
/// the value.
fn same_words(fault: &str, answer: &str) -> bool {
    if answer.contains(fault) {
        return true;
    }
    let Some((path, message)) = fault.split_once(": ") else {
        return false;
    };
    let at_path = answer.split_once(&format!("{path}: Invalid value"));
    path.starts_with("spec") && at_path.is_some_and(|(_, rest)| rest.contains(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_the_same_with_the_value_in_between() {
        let answer = r#"is invalid: spec.port: Invalid value: 9901: must not be 9901"#;
        assert!(same_words("spec.port: must not be 9901", answer));
        assert!(!same_words("spec.port: must not be 9902", answer));
        assert!(!same_words("spec.workers: must not be 9901", answer));
        assert!(!same_words("metadata.name: must not be 9901", answer));
    }
}
