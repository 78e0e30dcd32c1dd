//! What Argo CD and Flux say of an object: the health check of `examples/argocd` in Argo CD's Lua
//! interpreter, and the library with which Flux decides.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::programs::{Place, run};

/// The programs, and the files that they read.
pub(super) struct Health {
    lua: String,
    kstatus: String,
    argocd: String,
}

/// What both say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Argo CD's status.
    pub(super) health: String,
    /// Flux's status.
    pub(super) status: String,
    /// Argo CD's message.
    pub(super) message: String,
}

impl Health {
    pub(super) async fn new(place: &Place) -> Result<Self> {
        let folder = run(&place.file("tests/tools/build"), &["gitops"]).await?;
        let folder = folder.trim();
        Ok(Self {
            lua: format!("{folder}/lua-health"),
            kstatus: format!("{folder}/kstatus"),
            argocd: place.file("examples/argocd"),
        })
    }

    /// What they say of the object in a file.
    pub(super) async fn of(&self, file: &Path) -> Result<Seen> {
        let file = file.display().to_string();
        let health = run(&self.lua, &[&self.argocd, &file]).await?;
        let [_, health, message] = fields(&health)?;
        let status = run(&self.kstatus, &[&file]).await?;
        let [_, status, _] = fields(&status)?;
        Ok(Seen {
            health,
            status,
            message,
        })
    }
}

/// The fields of a line that a program prints.
fn fields(said: &str) -> Result<[String; 3]> {
    let fields: Vec<_> = said
        .trim_end_matches('\n')
        .splitn(3, '\t')
        .map(str::to_owned)
        .collect();
    fields
        .try_into()
        .map_err(|fields| anyhow::anyhow!("not file, status and message: {fields:?}"))
}

/// A saved state of `examples/argocd/testdata`: its name says what Argo CD makes of it, and the
/// table of `examples/flux` what Flux does.
pub(super) struct Expected {
    pub(super) name: String,
    pub(super) health: String,
    pub(super) status: String,
}

/// All saved states, in the order of the table.
pub(super) fn expected(place: &Place) -> Result<Vec<Expected>> {
    let table = place.file("examples/flux/status_test.tsv");
    let table = std::fs::read_to_string(&table).with_context(|| table)?;
    table.lines().map(expected_state).collect()
}

fn expected_state(line: &str) -> Result<Expected> {
    let Some((file, status)) = line.split_once('\t') else {
        bail!("no file and status: {line:?}");
    };
    let name = file.strip_suffix(".yaml").context("no YAML file")?;
    let health = name.split('_').next().unwrap_or_default();
    let (first, rest) = health.split_at_checked(1).context("no state")?;
    Ok(Expected {
        name: name.to_owned(),
        health: first.to_uppercase() + rest,
        status: status.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_says_what_argo_cd_makes_of_it() {
        let state = expected_state("degraded_secret_missing.yaml\tFailed").unwrap();
        let found = [state.name, state.health, state.status];
        assert_eq!(found, ["degraded_secret_missing", "Degraded", "Failed"]);
        assert!(expected_state("degraded_secret_missing.yaml Failed").is_err());
    }

    #[test]
    fn a_message_may_have_tabs() {
        let found = fields("a.yaml\tHealthy\tone\ttwo\n").unwrap();
        assert_eq!(found, ["a.yaml", "Healthy", "one\ttwo"]);
        assert!(fields("a.yaml\tHealthy\n").is_err());
    }
}
