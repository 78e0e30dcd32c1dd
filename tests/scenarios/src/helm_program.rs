//! Helm, in both versions that users have.

use anyhow::{Result, ensure};

use crate::programs::{self, run};
use crate::scene::Scene;

/// A version of Helm that acts in a scenario's namespace.
pub(crate) struct Helm<'a> {
    /// `Helm 3` or `Helm 4`.
    pub(crate) name: String,
    program: String,
    namespace: &'a str,
}

impl<'a> Helm<'a> {
    /// Helm 3 or 4.
    pub(crate) async fn new(scene: &'a Scene, version: u8) -> Result<Self> {
        let build = scene.place().file("tests/tools/build");
        let folder = run(&build, &[&format!("helm{version}")]).await?;
        Ok(Self {
            name: format!("Helm {version}"),
            program: format!("{}/helm", folder.trim()),
            namespace: &scene.namespace,
        })
    }

    /// Runs it, and returns what it prints.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<String> {
        run(&self.program, &self.all(arguments)).await
    }

    /// Runs it; it must fail and say `message`.
    pub(crate) async fn refuses(&self, message: &str, arguments: &[&str]) -> Result<()> {
        let said = programs::fails(&self.program, &self.all(arguments)).await?;
        ensure!(
            said.contains(message),
            "{} does not say {message:?}: {said}",
            self.name
        );
        Ok(())
    }

    /// Runs it; it must fail. Returns what it says.
    pub(crate) async fn fails(&self, arguments: &[&str]) -> Result<String> {
        programs::fails(&self.program, &self.all(arguments)).await
    }

    fn all<'b>(&'b self, arguments: &[&'b str]) -> Vec<&'b str> {
        [arguments, &["-n", self.namespace]].concat()
    }
}
