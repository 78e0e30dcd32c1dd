//! Where the configuration is.

use std::path::{Path, PathBuf};

use clap::Args;
use crds::contract::environment;

use crate::settings::Source;

/// Where the configuration is.
#[derive(Args, Clone, Debug)]
pub struct DocumentArgs {
    /// A file with one PrometheusMirror manifest, YAML or JSON
    #[arg(short, long, env = environment::FILE, value_name = "FILE")]
    pub file: PathBuf,
    /// The folders.
    #[command(flatten)]
    folders: FolderArgs,
}

/// Where what a document refers to is.
#[derive(Args, Clone, Debug)]
struct FolderArgs {
    /// Folder of Secrets: key K of Secret S is the file DIR/S/K [default: `secrets` next to FILE]
    #[arg(long, env = environment::SECRETS_DIR, value_name = "DIR")]
    secrets_dir: Option<PathBuf>,
    /// Folder of ConfigMaps: key K of ConfigMap C is the file DIR/C/K [default: `configmaps` next
    /// to FILE]
    #[arg(long, env = "PROMETHEUS_MIRROR_CONFIGMAPS_DIR", value_name = "DIR")]
    configmaps_dir: Option<PathBuf>,
    /// Folder of tokens of the service account, each in a file that messages name [default:
    /// `tokens` next to FILE]
    #[arg(long, env = "PROMETHEUS_MIRROR_TOKENS_DIR", value_name = "DIR")]
    tokens_dir: Option<PathBuf>,
}

impl DocumentArgs {
    /// The file and the folders.
    #[must_use]
    pub fn source(&self) -> Source {
        let beside = |name: &str| self.file.parent().unwrap_or(Path::new("")).join(name);
        let FolderArgs {
            secrets_dir,
            configmaps_dir,
            tokens_dir,
        } = self.folders.clone();
        Source {
            file: self.file.clone(),
            secrets_dir: secrets_dir.unwrap_or_else(|| beside("secrets")),
            config_maps_dir: configmaps_dir.unwrap_or_else(|| beside("configmaps")),
            tokens_dir: tokens_dir.unwrap_or_else(|| beside("tokens")),
        }
    }
}

/// Where the configuration is, if a running mirror does not have it.
#[derive(Args, Clone, Debug)]
pub struct OptionalDocumentArgs {
    /// A file with one PrometheusMirror manifest, YAML or JSON; with --mirror only for its API key
    #[arg(
        short,
        long,
        env = environment::FILE,
        value_name = "FILE",
        required_unless_present = "mirror"
    )]
    file: Option<PathBuf>,
    /// The folders.
    #[command(flatten)]
    folders: FolderArgs,
}

impl OptionalDocumentArgs {
    /// The configuration, if a file was named.
    #[must_use]
    pub fn given(&self) -> Option<DocumentArgs> {
        self.file.clone().map(|file| DocumentArgs {
            file,
            folders: self.folders.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_config_maps_are_next_to_the_file_unless_said_otherwise() {
        let source = |secrets_dir: Option<&str>, configmaps_dir: Option<&str>| {
            let folders = FolderArgs {
                secrets_dir: secrets_dir.map(Into::into),
                configmaps_dir: configmaps_dir.map(Into::into),
                tokens_dir: None,
            };
            let file = "a/mirror.yaml".into();
            DocumentArgs { file, folders }.source()
        };
        let expected = |secrets_dir: &str, config_maps_dir: &str| Source {
            file: "a/mirror.yaml".into(),
            secrets_dir: secrets_dir.into(),
            config_maps_dir: config_maps_dir.into(),
            tokens_dir: "a/tokens".into(),
        };
        assert_eq!(source(None, None), expected("a/secrets", "a/configmaps"));
        assert_eq!(source(Some("b"), Some("c")), expected("b", "c"));
    }
}
