//! From a file and a folder of Secrets to [`Settings`], or to everything that is wrong with them.

use std::fmt;
use std::io::Read as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crds::{Fault, PrometheusMirrorSpec, field_path};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::document::{Document, DocumentError};
use super::{
    ApiKeys, ErrorStatus, NanInterpretation, RequestTargets, Settings, TargetName, TargetSettings,
};
use super::{secrets, target};

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
    /// Everything that is wrong with the document and its Secrets, in the document's order. One line each.
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

/// Reads one `PrometheusMirror` from `file` (YAML or JSON), and the Secrets it refers to from `<secrets_dir>/<name>/<key>`.
///
/// # Errors
/// All faults of the document and of its Secrets at once.
pub fn load(file: &Path, secrets_dir: &Path) -> Result<Settings, LoadError> {
    let bytes = read(file)?;
    let not_a_document = |message: String| LoadError::NotADocument {
        file: file.to_owned(),
        message,
    };
    let text = str::from_utf8(&bytes)
        .map_err(|error| not_a_document(format!("is not UTF-8 text: {error}")))?;
    let document =
        Document::parse(text).map_err(|error: DocumentError| not_a_document(error.to_string()))?;

    let mut faults = crds::validate(&document.value);
    let mut api_keys = None;
    if document.value["kind"] == crds::KIND {
        check(&document.value, &mut faults);
        api_keys = read_api_keys(&document.value, secrets_dir, &mut faults);
    }
    if let (true, Some(api_keys)) = (faults.is_empty(), api_keys) {
        match settings(&document.value, hash(&bytes), api_keys) {
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

/// SHA-256 in hex.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What the mirror asks beyond the schema. Looks at the document as it is, so that nothing waits for other faults to be mended.
fn check(document: &Value, faults: &mut Vec<Fault>) {
    let spec = &document["spec"];
    if spec["mode"] == "Sidecar" {
        faults.push(
            Fault::new("spec.mode", "Sidecar is not supported yet")
                .hint("write Deployment, or leave it out"),
        );
    }
    if !spec["server"]["tls"].is_null() {
        faults.push(Fault::new("spec.server.tls", "is not supported yet"));
    }
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
        let credentials = field_value(spec, &fault.path).is_some_and(|url| url.contains('@'));
        fault.hint = credentials.then(|| "credentials belong to auth".to_owned());
    }
    faults.extend(found);
}

/// The URL at a path like `spec.targets[1].url`.
fn field_value<'a>(spec: &'a Value, path: &str) -> Option<&'a str> {
    let targets = spec["targets"].as_array()?;
    let index = (0..targets.len())
        .find(|index| field_path(&format!("spec.targets[{index}]"), "url") == path)?;
    targets[index]["url"].as_str()
}

fn read_api_keys(document: &Value, secrets_dir: &Path, faults: &mut Vec<Fault>) -> Option<ApiKeys> {
    const FIELD: &str = "spec.apiKeySecretRef";
    // A reference that is itself wrong leads nowhere; its pattern also keeps the path within the folder.
    if faults.iter().any(|fault| fault.path.starts_with(FIELD)) {
        return None;
    }
    let reference = &document["spec"]["apiKeySecretRef"];
    let key = reference["key"].as_str().unwrap_or("apiKey");
    if key == "." || key == ".." {
        faults.push(Fault::new(
            field_path(FIELD, "key"),
            "must be the name of a file",
        ));
        return None;
    }
    secrets::api_keys(secrets_dir, reference["name"].as_str()?, key, faults)
}

/// The settings of a document in which nothing was found to be wrong.
fn settings(
    document: &Value,
    document_hash: String,
    api_keys: ApiKeys,
) -> Result<Settings, Vec<Fault>> {
    let mirror = crds::parse(document)?;
    let spec = mirror.spec;
    let targets: Vec<_> = spec
        .targets
        .iter()
        .map(target_settings)
        .collect::<Result<_, _>>()
        .map_err(|fault| vec![fault])?;
    let server = spec.server.clone().unwrap_or_default();
    let out_of_range = |field: &str| vec![Fault::new(field_path("spec", field), "is out of range")];
    Ok(Settings {
        name: mirror.metadata.name.unwrap_or_default(),
        document_hash,
        api_keys,
        require_api_key: server.require_api_key,
        error_status: match server.error_status {
            crds::ErrorStatus::Semantic => ErrorStatus::Semantic,
            crds::ErrorStatus::Always500 => ErrorStatus::Always500,
        },
        default_target: default_target(&spec),
        targets,
        request_targets: spec.request_targets.as_ref().map(request_targets),
        workers: usize::try_from(spec.workers)
            .ok()
            .and_then(NonZeroUsize::new)
            .ok_or_else(|| out_of_range("workers"))?,
        port: u16::try_from(spec.port).map_err(|_| out_of_range("port"))?,
    })
}

/// The declared default, or the only target.
fn default_target(spec: &PrometheusMirrorSpec) -> Option<usize> {
    match &spec.default_target {
        Some(default) => spec
            .targets
            .iter()
            .position(|target| target.name == *default),
        None => (spec.targets.len() == 1).then_some(0),
    }
}

fn target_settings(declared: &crds::Target) -> Result<Arc<TargetSettings>, Fault> {
    let fault =
        |message: String| Fault::new("spec.targets", format!("{}: {message}", declared.name));
    let url = declared
        .url
        .as_ref()
        .map(|url| url.0.as_str())
        .unwrap_or_default();
    Ok(Arc::new(TargetSettings {
        name: TargetName(declared.name.as_str().into()),
        url: target::url(url).map_err(fault)?,
        request_timeout: declared
            .request_timeout
            .to_std()
            .map_err(|error| fault(error.to_string()))?,
        scrape_interval: declared
            .scrape_interval
            .to_std()
            .map_err(|error| fault(error.to_string()))?,
        nan_interpretation: match declared.nan_interpretation {
            crds::NanInterpretation::Zero => NanInterpretation::Zero,
            crds::NanInterpretation::Skip => NanInterpretation::Skip,
        },
        headers: target::headers(declared.headers.iter()).map_err(fault)?,
    }))
}

fn request_targets(declared: &crds::RequestTargets) -> RequestTargets {
    RequestTargets {
        hosts: declared.hosts.iter().map(|host| host.0.clone()).collect(),
        ports: declared
            .ports
            .iter()
            .filter_map(|port| u16::try_from(*port).ok())
            .collect(),
    }
}
