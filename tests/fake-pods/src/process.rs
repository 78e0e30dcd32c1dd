//! What a mirror makes of the files in its volume, by the mirror's own code.

use std::path::Path;

use anyhow::Context as _;
use crds::DataKind;
use crds::contract::{DOCUMENT, Readiness, ServedDocument};
use mirror::http::admin::Health;
use mirror::settings::{self, Source};

use crate::volume::Files;

/// What a mirror that can serve its files says about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// For `/readyz`.
    pub document: ServedDocument,
    /// The names of the targets, for `/targets`.
    pub targets: Vec<String>,
}

/// Loads files as the mirror does.
///
/// # Errors
/// What the mirror would say, or why the files cannot be written to a temporary folder.
pub fn load(files: &Files) -> anyhow::Result<Loaded> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    for (path, content) in files {
        let file = folder.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap_or_else(|| Path::new("/")))?;
        std::fs::write(file, content)?;
    }
    let settings = settings::load(&Source {
        file: folder.path().join(DOCUMENT),
        secrets_dir: folder.path().join(DataKind::Secret.folder()),
        config_maps_dir: folder.path().join(DataKind::ConfigMap.folder()),
        tokens_dir: folder.path().join(crds::TOKENS),
    })?;
    let targets = settings.targets.iter();
    Ok(Loaded {
        document: ServedDocument {
            name: settings.name,
            hash: settings.document_hash,
        },
        targets: targets.map(|target| target.name.to_string()).collect(),
    })
}

/// A mirror's process. It starts once it has files that it can serve; before, a real one would end
/// and be started again.
#[derive(Default)]
pub struct Process {
    health: Health,
    targets: Vec<String>,
}

impl Process {
    /// It sees files that could be loaded, or not.
    pub fn sees(&mut self, loaded: Option<&Loaded>) {
        match loaded {
            Some(loaded) => {
                self.health.serves(&loaded.document);
                self.targets.clone_from(&loaded.targets);
            }
            None if self.health.readiness().document.is_some() => {
                self.health.refused_newer_document();
            }
            None => {}
        }
    }

    /// What `/readyz` answers.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.health.readiness()
    }

    /// The targets of the document being served.
    #[must_use]
    pub fn targets(&self) -> &[String] {
        &self.targets
    }
}

#[cfg(test)]
mod tests {
    use crds::contract::Phase;

    use super::*;

    fn files(document: &str) -> Files {
        let files = [("mirror.yaml", document), ("secrets/key/apiKey", "secret")];
        Files::from(files.map(|(path, content)| (path.to_owned(), content.into())))
    }

    const GOOD: &str = "
apiVersion: prometheus-mirror.io/v1alpha1
kind: PrometheusMirror
metadata: {name: a}
spec:
  apiKeySecretRef: {name: key}
  targets: [{name: cluster, url: 'http://prometheus:9090'}]
";

    #[test]
    fn a_process_serves_what_it_can_load_and_keeps_it_when_the_next_is_faulty() {
        let mut process = Process::default();
        process.sees(load(&files("kind: Pod")).ok().as_ref());
        assert_eq!(process.readiness().status, Phase::Starting);

        let good = load(&files(GOOD)).unwrap();
        assert_eq!(good.targets, ["cluster"]);
        process.sees(Some(&good));
        let serving = Readiness {
            status: Phase::Ready,
            document: Some(good.document),
            newer_document_refused: false,
        };
        assert_eq!(process.readiness(), serving);

        process.sees(load(&files("kind: Pod")).ok().as_ref());
        let refusing = Readiness {
            newer_document_refused: true,
            ..serving
        };
        assert_eq!(process.readiness(), refusing);
    }
}
