//! What a document refers to, as files: `<secrets-dir>/<name>/<key>` and
//! `<configmaps-dir>/<name>/<key>`, a projected volume in a pod and folders on a laptop.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use crds::{Fault, field_path};
use serde_json::Value;

use super::{ApiKey, ApiKeys, Source};

/// Beside the current key while it is being replaced.
const PREVIOUS_KEY: &str = "previousApiKey";

/// A key longer than this does not fit into a header that servers take.
const MOST_KEY_BYTES: u64 = 4096;

/// A field of the document that refers to a file.
pub(super) struct Reference<'a> {
    /// Its path, such as `spec.apiKeySecretRef`.
    pub(super) field: &'a str,
    /// What the file must hold, such as `the key`.
    pub(super) what: &'static str,
    /// The kind of object that the file is a key of.
    pub(super) kind: Kind,
}

/// The kind of object that a file is a key of.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Secret,
    ConfigMap,
}

impl Kind {
    fn flag(self) -> &'static str {
        match self {
            Self::Secret => "--secrets-dir",
            Self::ConfigMap => "--configmaps-dir",
        }
    }

    fn folder(self, source: &Source) -> &Path {
        match self {
            Self::Secret => &source.secrets_dir,
            Self::ConfigMap => &source.config_maps_dir,
        }
    }
}

impl Reference<'_> {
    /// The file that `{name, key}` leads to. None if the reference itself is wrong, which is
    /// reported: the schema's patterns also keep the path within the folder.
    pub(super) fn file(
        &self,
        source: &Source,
        reference: &Value,
        default_key: Option<&str>,
        faults: &mut Vec<Fault>,
    ) -> Option<PathBuf> {
        if self.is_faulty(faults) {
            return None;
        }
        let key = reference["key"].as_str().or(default_key)?;
        if key == "." || key == ".." {
            let fault = Fault::new(field_path(self.field, "key"), "must be the name of a file");
            faults.push(fault);
            return None;
        }
        let folder = self.kind.folder(source);
        Some(folder.join(reference["name"].as_str()?).join(key))
    }

    /// The folder of an object that is referred to by its name alone. None if the name is wrong,
    /// which is reported.
    pub(super) fn folder(
        &self,
        source: &Source,
        name: &Value,
        faults: &[Fault],
    ) -> Option<PathBuf> {
        if self.is_faulty(faults) {
            return None;
        }
        Some(self.kind.folder(source).join(name.as_str()?))
    }

    fn is_faulty(&self, faults: &[Fault]) -> bool {
        faults
            .iter()
            .any(|fault| fault.path.starts_with(self.field))
    }

    pub(super) fn fault(&self, message: String) -> Fault {
        Fault::new(self.field, message)
    }

    /// The content of a file that must be there.
    pub(super) fn required(&self, file: &Path, most_bytes: u64) -> Result<Vec<u8>, Fault> {
        self.optional(file, most_bytes)?.ok_or_else(|| {
            let missing = format!("needs the file {}, which does not exist", file.display());
            self.fault(missing).hint(format!(
                "write {} into that file, or say with {} where it is",
                self.what,
                self.kind.flag()
            ))
        })
    }

    /// The content of a file; none if there is no such file.
    pub(super) fn optional(&self, file: &Path, most_bytes: u64) -> Result<Option<Vec<u8>>, Fault> {
        let unreadable = |error: std::io::Error| {
            self.fault(format!("needs the file {}: {error}", file.display()))
        };
        let absent = [ErrorKind::NotFound, ErrorKind::NotADirectory];
        let opened = match std::fs::File::open(file) {
            Err(error) if absent.contains(&error.kind()) => return Ok(None),
            opened => opened.map_err(unreadable)?,
        };
        let mut bytes = Vec::new();
        opened
            .take(most_bytes + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        if bytes.len() as u64 > most_bytes {
            return Err(self.fault(format!(
                "{} in the file {} is longer than {most_bytes} bytes",
                self.what,
                file.display()
            )));
        }
        Ok(Some(bytes))
    }

    /// The text of a file without the line break at its end, which editors and `echo` leave. Never
    /// empty.
    pub(super) fn text<'a>(&self, file: &Path, bytes: &'a [u8]) -> Result<&'a str, Fault> {
        // Bytes that are no text become ones that no header takes.
        let text = str::from_utf8(bytes).unwrap_or("\0");
        let text = text.trim_end_matches(['\r', '\n']);
        if text.trim().is_empty() {
            return Err(self.fault(format!(
                "the file {} is empty; it must hold {}",
                file.display(),
                self.what
            )));
        }
        Ok(text)
    }

    /// What is wrong with a text that cannot be sent in an HTTP header.
    pub(super) fn no_header(&self, file: &Path) -> Fault {
        let message = format!(
            "{} in the file {} cannot be sent in an HTTP header",
            self.what,
            file.display()
        );
        self.fault(message).hint("use ASCII letters, digits and signs, without spaces around them and without line breaks")
    }
}

/// Reads the keys that `spec.apiKeySecretRef` refers to.
pub(super) fn api_keys(
    source: &Source,
    document: &Value,
    faults: &mut Vec<Fault>,
) -> Option<ApiKeys> {
    let reference = Reference {
        field: "spec.apiKeySecretRef",
        what: "the key",
        kind: Kind::Secret,
    };
    let value = &document["spec"]["apiKeySecretRef"];
    let file = reference.file(source, value, Some("apiKey"), faults)?;
    let current = reference
        .required(&file, MOST_KEY_BYTES)
        .and_then(|bytes| api_key(&reference, &file, &bytes));
    // An empty previous key is what a template writes when there is none.
    let previous_file = file.with_file_name(PREVIOUS_KEY);
    let previous = reference
        .optional(&previous_file, MOST_KEY_BYTES)
        .and_then(|bytes| {
            let bytes = bytes.filter(|bytes| !bytes.trim_ascii().is_empty());
            bytes
                .map(|bytes| api_key(&reference, &previous_file, &bytes))
                .transpose()
        });
    match (current, previous) {
        (Ok(current), Ok(previous)) => Some(ApiKeys { current, previous }),
        (current, previous) => {
            faults.extend([current.err(), previous.err()].into_iter().flatten());
            None
        }
    }
}

fn api_key(reference: &Reference, file: &Path, bytes: &[u8]) -> Result<ApiKey, Fault> {
    let key = reference.text(file, bytes)?;
    ApiKey::parse(key)
        .filter(|_| key.trim() == key && key.is_ascii())
        .ok_or_else(|| reference.no_header(file))
}
