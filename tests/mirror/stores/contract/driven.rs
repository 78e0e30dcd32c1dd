//! Programs that know nothing of the mirror but `docs/openapi.yaml`: a validator of such documents,
//! and schemathesis, which makes requests of it at random and holds the answers against it.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use harness::servers::python;

use super::*;

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn the_document_is_one_and_a_broken_one_is_noticed() -> Result<()> {
    let validator = python("openapi")?.join("openapi-spec-validator");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.yaml");
    let output = Command::new(&validator).arg(&page).output()?;
    ensure!(output.status.success(), "{}", said(&output));

    let folder = tempfile::tempdir()?;
    let (_mirror, client) = start(&config().await?).await?;
    let (http, base) = client.http();
    let served = client
        .send(http.get(format!("{base}/openapi.json")))
        .await?;
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, &served.body)?;
    let output = Command::new(&validator).arg(&file).output()?;
    ensure!(output.status.success(), "{}", said(&output));

    let broken = served.body.replacen("\"responses\":", "\"answers\":", 1);
    ensure!(broken != served.body);
    std::fs::write(&file, broken)?;
    ensure!(
        !Command::new(&validator)
            .arg(&file)
            .output()?
            .status
            .success()
    );
    Ok(())
}

/// Drives the mirror at `url` by the document in a folder with the same requests every time, and
/// answers what schemathesis says. `key` is the one that answers are expected to carry.
fn drive(url: &str, folder: &Path, key: &str, phases: &str) -> Result<Output> {
    let checks = [
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
        "allow_header_conformance",
        // These two are ours, in tests/tools/openapi/checks.py.
        "carries_the_key",
        "fails_only_with_the_store",
    ];
    // The document is a file here: of the URL it came from, schemathesis would not try the path.
    Command::new("timeout")
        .args(["--kill-after=5", "300"])
        .arg(python("openapi")?.join("schemathesis"))
        .args(["run", "openapi.json", "--url", url])
        .args(["--phases", phases, "--mode", "all"])
        .args(["--checks", &checks.join(",")])
        .args([
            "--seed",
            "1",
            "--max-examples",
            "40",
            "--no-shrink",
            "--workers",
            "1",
        ])
        .args(["--generation-database", "none", "--no-color"])
        .args(["--header", &format!("{KEY}: test-key")])
        .env("SCHEMATHESIS_HOOKS", "checks")
        .env(
            "PYTHONPATH",
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/openapi"),
        )
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("MIRROR_KEY", key)
        .env("MIRROR_START", BASE.to_string())
        .current_dir(folder)
        .output()
        .context("timeout cannot be run")
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_random_get_answers_that_the_document_describes() -> Result<()> {
    let config = config().await?.with_target("requestTimeout", json!("15s"));
    let (mirror, client) = start(&config).await?;
    let url = mirror.url();
    let folder = tempfile::tempdir()?;
    let served = client
        .send(client.http().0.get(format!("{url}/openapi.json")))
        .await?;
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, &served.body)?;

    let run = move |key: &'static str, phases: &'static str| {
        let (url, folder) = (url.clone(), folder.path().to_owned());
        tokio::task::spawn_blocking(move || drive(&url, &folder, key, phases))
    };
    let output = run("test-key", "examples,coverage,fuzzing").await??;
    let text = said(&output);
    ensure!(
        output.status.success() && text.contains("9 selected / 9 total"),
        "{text}"
    );
    // A mirror with another key, and a document of another mirror.
    let output = run("another-key", "examples").await??;
    let text = said(&output);
    ensure!(
        !output.status.success() && text.contains("carries_the_key"),
        "{text}"
    );
    std::fs::write(
        &file,
        served
            .body
            .replace("EqualityCondition", "Condition")
            .replace("isPartial", "partial"),
    )?;
    let output = run("test-key", "examples").await??;
    let text = said(&output);
    ensure!(
        !output.status.success() && text.contains("isPartial"),
        "{text}"
    );
    Ok(())
}
