//! From a file and the folders of what it refers to, to [`Settings`], or to everything that is
//! wrong with them.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crds::Fault;
use crds::contract::sha256;
use serde_json::Value;

use super::assemble::{Referred, ReferredTarget, settings};
use super::document::{Document, DocumentError};
use super::files::Files;
use super::{Found, Settings, Source};
use super::{apart, auth, files, proxy, servers, target, tls};

/// Documents are far smaller; Kubernetes stores none that is larger.
const MOST_BYTES: u64 = 1 << 20;

/// Why a document cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not one document.
    #[error("{} {message}", .file.display())]
    NotADocument {
        /// The file.
        file: PathBuf,
        /// What it is instead, with line and column where there are some.
        message: String,
    },
    /// Everything that is wrong with the document and its Secrets, in the document's order. One
    /// line each.
    #[error("{}", Lines(.0))]
    Faults(Vec<Fault>),
}

struct Lines<'a>(&'a [Fault]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(Fault::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Reads one `PrometheusMirror` (YAML or JSON), and the Secrets and ConfigMaps that it refers to.
///
/// # Errors
/// All faults of the document and of what it refers to, at once.
pub fn load(source: &Source) -> Result<Settings, LoadError> {
    load_bytes(source, &read(&source.file)?)
}

/// The same for a document whose bytes are here; its file is only named in messages.
///
/// # Errors
/// See [`load`].
pub fn load_bytes(source: &Source, bytes: &[u8]) -> Result<Settings, LoadError> {
    let not_a_document = |message: String| LoadError::NotADocument {
        file: source.file.clone(),
        message,
    };
    let text = str::from_utf8(bytes)
        .map_err(|error| not_a_document(format!("is not UTF-8 text: {error}")))?;
    let document =
        Document::parse(text).map_err(|error: DocumentError| not_a_document(error.to_string()))?;

    let mut found = Found {
        faults: crds::validate(&document.value),
        notices: Vec::new(),
    };
    let mut referred = None;
    if document.value["kind"] == crds::KIND {
        check(&document.value, &mut found.faults);
        referred = refer(source, &document.value, &mut found);
    }
    let Found {
        mut faults,
        mut notices,
    } = found;
    if let (true, Some(referred)) = (faults.is_empty(), referred) {
        target::notice(&document.value, &mut notices);
        notices.extend(crds::memory::unfit(&document.value["spec"]));
        apart::notice(&document.value, &mut notices);
        document.sort(&mut notices);
        match settings(&document.value, sha256(bytes), referred, notices) {
            Ok(settings) => return Ok(settings),
            Err(found) => faults = found,
        }
    }
    document.sort(&mut faults);
    Err(LoadError::Faults(faults))
}

/// The file's bytes, if they are not too many.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source| LoadError::Unreadable {
        file: file.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    opened
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        let message = format!("is larger than {MOST_BYTES} bytes, which no PrometheusMirror is");
        return Err(LoadError::NotADocument {
            file: file.to_owned(),
            message,
        });
    }
    Ok(bytes)
}

/// What the mirror asks beyond the schema. Looks at the document as it is, so that nothing waits
/// for other faults to be fixed.
fn check(document: &Value, faults: &mut Vec<Fault>) {
    let spec = &document["spec"];
    apart::check(document, faults);
    // A URL that the schema's rule refuses is not reported a second time.
    let mut found = Vec::new();
    for (index, declared) in spec["targets"].as_array().into_iter().flatten().enumerate() {
        target::check(&format!("spec.targets[{index}]"), declared, &mut found);
    }
    found.retain(|fault: &Fault| faults.iter().all(|known| known.path != fault.path));
    for fault in faults
        .iter_mut()
        .filter(|fault| fault.path.ends_with(".url") && fault.hint.is_none())
    {
        let credentials = field_value(spec, &fault.path).filter(|(url, _)| url.contains('@'));
        fault.hint = credentials.map(|(_, field)| format!("credentials belong to {field}"));
    }
    faults.extend(found);
}

/// The URL at a path like `spec.targets[1].url`, and where its credentials belong.
fn field_value(spec: &Value, path: &str) -> Option<(String, &'static str)> {
    let targets = spec["targets"].as_array()?;
    targets.iter().enumerate().find_map(|(index, target)| {
        let target_path = format!("spec.targets[{index}]");
        let shards = servers::declared(&target_path, target);
        let server = shards
            .iter()
            .flatten()
            .find(|place| place.field("url") == path);
        let (url, field) = match server {
            Some(place) => (place.get("url")?, "auth"),
            None if path == format!("{target_path}.proxy.url") => {
                (&target["proxy"]["url"], "proxy.credentials")
            }
            None => return None,
        };
        Some((url.as_str()?.to_owned(), field))
    })
}

/// Reads what a document refers to, as far as the references themselves are sound. None if
/// something is wrong, which is reported.
fn refer(source: &Source, document: &Value, found: &mut Found) -> Option<Referred> {
    let files = &Files::new(source, document);
    let api_keys = files::api_keys(files, &mut found.faults);
    let targets = document["spec"]["targets"].as_array();
    let targets: Vec<_> = targets
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(index, declared)| {
            let path = |field: &str| format!("spec.targets[{index}].{field}");
            let faults = &mut found.faults;
            let (auth, headers) = (&declared["auth"], &declared["headers"]);
            let auth = auth::target_auth(files, &path("auth"), auth, headers, faults);
            let proxy = proxy::read(files, &path("proxy"), &declared["proxy"], faults);
            let tls = tls::target_tls(files, &path("tls"), &declared["tls"], found);
            Some(ReferredTarget {
                tls: tls?,
                auth: auth?,
                proxy: proxy?,
            })
        })
        .collect();
    let tls = &document["spec"]["server"]["tls"];
    let server_tls = match tls {
        Value::Null => Some(None),
        tls => tls::server_tls(files, tls, found).map(Some),
    };
    Some(Referred {
        api_keys: api_keys?,
        targets: targets.into_iter().collect::<Option<_>>()?,
        server_tls: server_tls?,
    })
}
