//! One `PrometheusMirror` document and its Secrets, validated: what the mirror runs on.
//!
//! Nothing in here is stringly typed or optional without need: a [`Settings`] value can be served.

mod apart;
mod assemble;
mod auth;
pub(crate) mod certificate;
pub mod choose;
mod document;
mod files;
pub(crate) mod hosts;
mod load;
mod parameters;
mod pem;
mod proxy;
mod servers;
mod target;
mod tls;
pub mod undeclared;
pub mod watch;

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use auth::{
    AccessKey, Auth, Authorization, Login, OAuth2, Proof, Secret, SigV4, TokenFile, TokenFileError,
};
pub(crate) use certificate::subject;
pub use crds::{ErrorStatus, NanInterpretation};
pub use load::{LoadError, load, load_bytes};
pub use parameters::Parameters;
pub use proxy::Proxy;
pub use servers::{Replicas, Servers};
pub(crate) use target::wrong_ending;
pub use tls::{Authorities, Identity, ServerTls, TargetTls, Trust};

use crate::model::enforced::Enforced;

/// Where a document is, and the folders of what it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The document.
    pub file: PathBuf,
    /// Key K of Secret S is the file `S/K` in here.
    pub secrets_dir: PathBuf,
    /// Key K of ConfigMap C is the file `C/K` in here.
    pub config_maps_dir: PathBuf,
    /// Tokens of the service account are in here, each in the file that
    /// [`crds::ProjectedToken::file`] names.
    pub tokens_dir: PathBuf,
}

/// What was found while a document and its files were read.
#[derive(Default)]
struct Found {
    /// What is wrong.
    faults: Vec<crds::Fault>,
    /// What is not wrong, but worth a look.
    notices: Vec<crds::Fault>,
}

/// Everything the mirror needs, and nothing that is wrong. Made only by [`load`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// `metadata.name` of the document.
    pub name: String,
    /// SHA-256 over the document's bytes, in hex: what a pod reports so that the operator knows
    /// which document it serves.
    pub document_hash: String,
    /// The keys of the API, from `spec.apiKeySecretRef`.
    pub api_keys: ApiKeys,
    /// `spec.server.requireApiKey`: requests without a key are refused.
    pub require_api_key: bool,
    /// `spec.server.errorStatus`.
    pub error_status: ErrorStatus,
    /// `spec.server.allowedHosts`: names and patterns, one of which a request's host must fit.
    /// None: any.
    pub allowed_hosts: Option<Vec<String>>,
    /// `spec.server.tls`: the API port speaks TLS.
    pub server_tls: Option<ServerTls>,
    /// `spec.targets`, in the document's order, at least one.
    pub targets: Vec<Arc<TargetSettings>>,
    /// Index into `targets` of the target that answers `connectionDetails: {}`; none when several
    /// are declared and none is the default.
    pub default_target: Option<usize>,
    /// `spec.requestTargets`: servers that a request may name without their being declared.
    pub request_targets: Option<RequestTargets>,
    /// `spec.workers`: queries in flight.
    pub workers: NonZeroUsize,
    /// `spec.limits`: how much memory the process may use, and how much work a request may make.
    pub limits: Limits,
    /// `spec.cache`: finished buckets are remembered. None: none are.
    pub cache: Option<Cache>,
    /// `spec.logging.requests`: which requests are logged. None: none.
    pub logged_requests: Option<LoggedRequests>,
    /// What is not wrong, but should be known: what was skipped in files of certificates, URLs that
    /// look odd. In the document's order, each with its field.
    pub notices: Vec<crds::Fault>,
    /// `spec.port`: where the Mirror API listens unless `--listen` says otherwise.
    pub port: u16,
    /// `spec.console.enabled`: people get a page on a port of its own.
    pub console: bool,
}

/// `spec.limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How much memory the process may use, in bytes. None: what the container may use.
    pub memory: Option<Bytes>,
    /// How many API calls a request may make on its target.
    pub upstream_calls: NonZeroU32,
}

/// `spec.cache`, if it is enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// So much of the memory for requests is for finished buckets at most.
    pub size: Bytes,
    /// So long after its end a bucket may still change.
    pub settle: Duration,
}

/// `spec.logging.requests`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedRequests {
    /// So many of a hundred requests, by chance.
    pub sample_percent: u8,
    /// All that take at least this long.
    pub slow: Duration,
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// One declared target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSettings {
    /// Unique within a document.
    pub name: TargetName,
    /// Its servers. All else holds for each of them.
    pub servers: Servers,
    /// Shards that do not answer are left out.
    pub partial_responses: bool,
    /// The longest that a request may take, from its arrival on.
    pub request_timeout: Duration,
    /// How often the target scrapes what it stores.
    pub scrape_interval: Duration,
    /// What a NaN becomes.
    pub nan_interpretation: NanInterpretation,
    /// Sent with every call. Those with credentials are marked as sensitive.
    pub headers: http::HeaderMap,
    /// In the URL of every call.
    pub parameters: Parameters,
    /// What leads to it, and to where its tokens come from.
    pub proxy: Option<Proxy>,
    /// For `https`: whom to trust, and what to present.
    pub tls: TargetTls,
    /// What every selector is narrowed by.
    pub enforced: Enforced,
    /// Who the mirror is to it.
    pub auth: Option<Auth>,
}

/// The name of a target. Used in `connectionDetails`, logs and metric labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetName(pub Arc<str>);

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `spec.requestTargets`: which undeclared servers a request may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTargets {
    /// Host names, or patterns with a leading `*.`, lower case.
    pub hosts: Vec<String>,
    /// Ports.
    pub ports: Vec<u16>,
}

/// The keys that identify this mirror to StackState and StackState to this mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeys {
    /// Sent with every response.
    pub current: ApiKey,
    /// Accepted on requests besides the current one while a key is being replaced.
    pub previous: Option<ApiKey>,
}

/// A secret that is a valid header value. Its `Debug` prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(http::HeaderValue);

impl ApiKey {
    /// Takes a key as read from a Secret; a trailing line break is not part of it.
    /// `None` if it is empty or holds a byte that an HTTP header cannot carry.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let key = text.trim_end_matches(['\r', '\n']);
        let mut value = http::HeaderValue::from_str(key)
            .ok()
            .filter(|_| !key.is_empty())?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    /// The key as a header value, for the response header.
    #[must_use]
    pub fn header_value(&self) -> http::HeaderValue {
        self.0.clone()
    }

    /// Whether `presented` is this key, in time that does not depend on where they differ.
    #[must_use]
    pub fn matches(&self, presented: &[u8]) -> bool {
        use subtle::ConstantTimeEq as _;
        self.0.as_bytes().ct_eq(presented).into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}
