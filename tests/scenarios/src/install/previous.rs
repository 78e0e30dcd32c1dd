//! What a user of the previous commit has installed, with an older definition than today's.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::programs::{DEFINITION, output, run};
use crate::scene::Scene;

const CHART: &str = "charts/prometheus-mirror-operator";
/// What an older definition does not have, and what it says instead.
const CATEGORY: &str = "    - observability\n";
const DESCRIPTION: &str = "Why it is ready or not";
const OLDER_DESCRIPTION: &str = "An older description";

/// The files of the previous commit.
pub(super) struct Previous {
    folder: TempDir,
}

impl Previous {
    pub(super) async fn new(scene: &Scene) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = scene.place().root.display().to_string();
        let commit = commit(&root).await?;
        let archive = folder.path().join("archive.tar").display().to_string();
        let git = [
            "-C", &root, "archive", "-o", &archive, commit, CHART, "dist",
        ];
        run("git", &git).await?;
        let place = folder.path().display().to_string();
        run("tar", &["-C", &place, "-xf", &archive]).await?;
        for file in [
            &format!("{CHART}/files/prometheusmirrors.yaml"),
            "dist/install.yaml",
        ] {
            make_older(&folder.path().join(file)).with_context(|| file.to_owned())?;
        }
        Ok(Self { folder })
    }

    pub(super) fn chart(&self) -> String {
        self.folder.path().join(CHART).display().to_string()
    }

    /// What `kubectl apply` installs.
    pub(super) fn manifests(&self) -> String {
        let file = self.folder.path().join("dist/install.yaml");
        file.display().to_string()
    }
}

/// The commit before this one, or this one where the checkout has no other.
async fn commit(root: &str) -> Result<&'static str> {
    for file in [CHART, "dist/install.yaml"] {
        let there = ["-C", root, "cat-file", "-e", &format!("HEAD^:{file}")];
        if !output("git", &there, "").await?.status.success() {
            println!("note: this checkout has no commit before: this one takes its place");
            return Ok("HEAD");
        }
    }
    Ok("HEAD^")
}

fn make_older(file: &Path) -> Result<()> {
    let text = std::fs::read_to_string(file)?;
    let both = text.contains(CATEGORY) && text.contains(DESCRIPTION);
    ensure!(both, "the definition is not as it was: change it otherwise");
    let older = text
        .replacen(CATEGORY, "", 1)
        .replace(DESCRIPTION, OLDER_DESCRIPTION);
    Ok(std::fs::write(file, older)?)
}

/// The definition in the cluster is the older one.
pub(super) async fn definition_is_older() -> Result<()> {
    definition_has(OLDER_DESCRIPTION, &json!(["all"])).await
}

/// The definition in the cluster is today's.
pub(super) async fn definition_is_current() -> Result<()> {
    definition_has(DESCRIPTION, &json!(["all", "observability"])).await
}

async fn definition_has(description: &str, categories: &Value) -> Result<()> {
    let definition = run("kubectl", &["get", DEFINITION, "-o", "json"]).await?;
    let definition: Value = serde_json::from_str(&definition)?;
    let columns = &definition["spec"]["versions"][0]["additionalPrinterColumns"];
    let mut columns = columns.as_array().into_iter().flatten();
    let reason = columns.find(|column| column["name"] == "Reason");
    let found = json!([
        reason.map(|column| &column["description"]),
        definition["spec"]["names"]["categories"],
    ]);
    let expected = json!([description, categories]);
    ensure!(
        found == expected,
        "the definition has {found} instead of {expected}"
    );
    Ok(())
}
