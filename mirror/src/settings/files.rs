//! What a document refers to, as files: `<secrets-dir>/<name>/<key>` and
//! `<configmaps-dir>/<name>/<key>`, a projected volume in a pod and folders on a laptop. Tokens of
//! the service account are in a third folder.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use crds::{DataKind, Fault, ProjectedToken, Reference, field_path};
use serde_json::Value;

use super::{ApiKey, ApiKeys, Source};

/// A key longer than this does not fit into a header that servers take.
const MOST_KEY_BYTES: u64 = 4096;

/// The files of what a document refers to.
pub(super) struct Files<'a> {
    source: &'a Source,
    references: Vec<Reference>,
    tokens: BTreeMap<String, ProjectedToken>,
}

/// A file that a field of the document names.
pub(super) struct File<'a> {
    /// The field's path, such as `spec.apiKeySecretRef`.
    pub(super) field: &'a str,
    /// What the file must hold, such as `the key`.
    what: &'static str,
    /// The kind of object that the file is a key of.
    kind: DataKind,
    /// Where it is.
    pub(super) path: PathBuf,
}

impl<'a> Files<'a> {
    /// What `document` refers to, as far as its references are sound.
    pub(super) fn new(source: &'a Source, document: &Value) -> Self {
        Self {
            source,
            references: crds::references(&document["spec"]),
            tokens: crds::tokens(&document["spec"]),
        }
    }

    /// The file of the token that a field asks for. None if the field is wrong, which is reported.
    pub(super) fn token(&self, field: &str, faults: &[Fault]) -> Option<PathBuf> {
        if faults.iter().any(|fault| fault.path.starts_with(field)) {
            return None;
        }
        let token = self.tokens.get(field)?;
        Some(self.source.tokens_dir.join(token.file()))
    }

    /// A fault of a field that asks for a token, whose file holds none.
    pub(super) fn no_token(&self, field: &str, file: &Path, why: &str) -> Fault {
        let audience = self
            .tokens
            .get(field)
            .and_then(|token| token.audience.as_deref());
        let audience =
            audience.map_or_else(String::new, |audience| format!(" --audience={audience}"));
        let message = format!("needs a token in the file {}, which {why}", file.display());
        Fault::new(field, message).hint(format!(
            "the operator mounts it into pods; elsewhere write what `kubectl create token SERVICE_ACCOUNT{audience}` prints into that file, or say with --tokens-dir where it is"
        ))
    }

    /// The file that a field names. None if it names none, or if the field is wrong, which is
    /// reported.
    pub(super) fn find<'f>(
        &self,
        field: &'f str,
        what: &'static str,
        faults: &mut Vec<Fault>,
    ) -> Option<File<'f>> {
        let [file] = self.find_all(field, [what], faults)?;
        Some(file)
    }

    /// The same for a field that names several keys of its object, in their order.
    pub(super) fn find_all<'f, const N: usize>(
        &self,
        field: &'f str,
        what: [&'static str; N],
        faults: &mut Vec<Fault>,
    ) -> Option<[File<'f>; N]> {
        // The schema's patterns also keep the path within the folder.
        if faults.iter().any(|fault| fault.path.starts_with(field)) {
            return None;
        }
        let named = self.references.iter();
        let named: Vec<_> = named.filter(|named| named.field == field).collect();
        if named.iter().any(|named| [".", ".."].contains(&&*named.key)) {
            let fault = Fault::new(field_path(field, "key"), "must be the name of a file");
            faults.push(fault);
            return None;
        }
        let files = named.iter().zip(what).map(|(named, what)| {
            let folder = match named.kind {
                DataKind::Secret => &self.source.secrets_dir,
                DataKind::ConfigMap => &self.source.config_maps_dir,
            };
            File {
                field,
                what,
                kind: named.kind,
                path: folder.join(&named.name).join(&named.key),
            }
        });
        files.collect::<Vec<_>>().try_into().ok()
    }
}

impl File<'_> {
    /// The flag that sets the folder.
    fn flag(&self) -> &'static str {
        match self.kind {
            DataKind::Secret => "--secrets-dir",
            DataKind::ConfigMap => "--configmaps-dir",
        }
    }

    /// A fault of the field.
    pub(super) fn fault(&self, message: String) -> Fault {
        Fault::new(self.field, message)
    }

    /// The content of a file that must be there.
    pub(super) fn required(&self, most_bytes: u64) -> Result<Vec<u8>, Fault> {
        self.optional(most_bytes)?.ok_or_else(|| {
            let missing = format!(
                "needs the file {}, which does not exist",
                self.path.display()
            );
            self.fault(missing).hint(format!(
                "write {} into that file, or say with {} where it is",
                self.what,
                self.flag()
            ))
        })
    }

    /// The content of a file; none if there is no such file.
    pub(super) fn optional(&self, most_bytes: u64) -> Result<Option<Vec<u8>>, Fault> {
        let unreadable = |error: std::io::Error| {
            self.fault(format!("needs the file {}: {error}", self.path.display()))
        };
        let absent = [ErrorKind::NotFound, ErrorKind::NotADirectory];
        let opened = match std::fs::File::open(&self.path) {
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
                self.path.display()
            )));
        }
        Ok(Some(bytes))
    }

    /// The text of a file without the line break at its end and the byte order mark at its
    /// beginning, which editors and `echo` leave. Never empty.
    pub(super) fn text<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, Fault> {
        // Bytes that are no text become ones that no header takes.
        let text = str::from_utf8(bytes).unwrap_or("\0");
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = text.trim_end_matches(['\r', '\n']);
        if text.trim().is_empty() {
            return Err(self.fault(format!(
                "the file {} is empty; it must hold {}",
                self.path.display(),
                self.what
            )));
        }
        Ok(text)
    }

    /// What is wrong with a text that cannot be sent in an HTTP header.
    pub(super) fn no_header(&self) -> Fault {
        let message = format!(
            "{} in the file {} cannot be sent in an HTTP header",
            self.what,
            self.path.display()
        );
        self.fault(message).hint("use ASCII letters, digits and signs, without spaces around them and without line breaks")
    }
}

/// Reads the keys that `spec.apiKeySecretRef` refers to.
pub(super) fn api_keys(files: &Files, faults: &mut Vec<Fault>) -> Option<ApiKeys> {
    let what = ["the key"; 2];
    let [current, previous] = files.find_all("spec.apiKeySecretRef", what, faults)?;
    let read = current.required(MOST_KEY_BYTES);
    let current = read.and_then(|bytes| api_key(&current, &bytes));
    let read = previous.optional(MOST_KEY_BYTES);
    let previous = read.and_then(|bytes| {
        // An empty previous key is what a template writes when there is none.
        let bytes = bytes.filter(|bytes| !bytes.trim_ascii().is_empty());
        bytes.map(|bytes| api_key(&previous, &bytes)).transpose()
    });
    match (current, previous) {
        (Ok(current), Ok(previous)) => Some(ApiKeys { current, previous }),
        (current, previous) => {
            faults.extend([current.err(), previous.err()].into_iter().flatten());
            None
        }
    }
}

fn api_key(file: &File, bytes: &[u8]) -> Result<ApiKey, Fault> {
    let key = file.text(bytes)?;
    ApiKey::parse(key)
        .filter(|_| key.trim() == key && key.is_ascii())
        .ok_or_else(|| file.no_header())
}
