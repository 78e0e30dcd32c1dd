//! `prometheus-mirror query`: with a manifest, and through a running mirror, the same answer.

use std::process::{Command, Output};

use anyhow::Result;
use harness::servers::mirror_binary;
use serde_json::{Value, json};

use super::{BASE, DEAD, MINUTE, config, raw, start};

/// Asks for the gauge `load` of the whole minute.
fn query(extra: &[&str]) -> Result<Output> {
    let (from, to) = (BASE.to_string(), (BASE + MINUTE).to_string());
    Ok(Command::new(mirror_binary()?)
        .args(["query", "--gauge", "load", "-l", "index=1"])
        .args(["--from", &from, "--to", &to, "-o", "json"])
        .args(extra)
        .env_remove("PROMETHEUS_MIRROR_FILE")
        .output()?)
}

#[tokio::test]
async fn a_query_of_a_manifest_and_of_a_running_mirror_have_the_same_answer() -> Result<()> {
    let (mirror, _) = start(&config().await?).await?;
    let file = mirror.process().directory().join("mirror.yaml");
    let from_manifest = query(&["-f", &file.display().to_string()])?;
    let through_mirror = query(&["--mirror", &format!("{}/", mirror.url())])?;
    let answer: Value = serde_json::from_slice(&through_mirror.stdout)?;
    assert_eq!(answer, raw(json!([[3, BASE], [6, BASE + 15_000]]), false));
    assert_eq!(through_mirror.stdout, from_manifest.stdout);
    Ok(())
}

#[tokio::test]
async fn a_query_through_a_mirror_that_wants_the_key_sends_it() -> Result<()> {
    let config = config()
        .await?
        .with("server", json!({"requireApiKey": true}));
    let (mirror, _) = start(&config).await?;
    let file = mirror.process().directory().join("mirror.yaml");
    let without = query(&["--mirror", &mirror.url()])?;
    assert_eq!(
        (
            without.status.code(),
            String::from_utf8_lossy(&without.stderr).lines().count()
        ),
        (Some(1), 1)
    );
    let with = query(&["--mirror", &mirror.url(), "-f", &file.display().to_string()])?;
    assert!(with.status.success(), "{with:?}");
    Ok(())
}

#[test]
fn a_mirror_that_does_not_answer_is_named() -> Result<()> {
    let output = query(&["--mirror", DEAD])?;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!("prometheus-mirror: {DEAD}/ does not answer: Connection refused (os error 111)\n")
    );
    Ok(())
}
