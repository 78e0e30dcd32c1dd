//! The API of the project: the `PrometheusMirror` resource, once.
//!
//! The same document is what `kubectl apply` takes, what the operator reads and what the mirror is
//! started with, so this crate holds everything that all of them must agree on, and no client or
//! server:
//!
//! * the types ([`PrometheusMirror`], [`PrometheusMirrorSpec`], [`PrometheusMirrorStatus`] and what
//!   they hold). Their doc comments are what `kubectl explain` prints, so they are written for
//!   users;
//! * [`crd`]: the `CustomResourceDefinition` generated from the types.
//!   `crds/prometheusmirrors.yaml` is its committed form;
//! * [`rules`]: what the schema cannot say. Each rule is a CEL expression for the API server, the
//!   same in Rust, and one message;
//! * [`validate`]: every fault of a document at once, by walking the generated schema; there is no
//!   second schema to keep in step;
//! * [`references()`]: which fields name which keys of which objects;
//! * [`tokens()`]: which fields ask for a token of the pod's service account, and where it is;
//! * [`contract`]: everything else that operator and mirror must agree on: the document's hash,
//!   ports, environment variables, labels, annotations, the JSON of the admin port;
//! * [`conditions`]: the types of a status' conditions and their reasons, with what they mean;
//! * [`resource_reference`]: the schema as a page for people, committed as
//!   `docs/resource-reference.md`.

mod auth;
mod cache;
pub mod conditions;
mod console;
pub mod contract;
mod definition;
mod duration;
mod exposure;
mod fault;
mod limits;
mod logging;
pub mod memory;
mod page;
pub mod patterns;
mod reference;
pub mod references;
pub mod rules;
mod schemas;
mod server;
mod spec;
mod status;
mod target;
mod tokens;
mod validation;
mod workload;

pub use auth::{
    Auth, AuthHeader, BasicAuth, BearerAuth, OAuth2, ServiceAccountToken, SigV4, TokenSource,
};
pub use cache::Cache;
pub use conditions::{ConditionType, Reason};
pub use console::Console;
pub use definition::{crd, crd_yaml};
pub use duration::{Duration, DurationError};
pub use exposure::{
    ExternalTrafficPolicy, HttpRoute, HttpRouteParent, Ingress, IpFamily, IpFamilyPolicy,
    NetworkPolicy, Service, ServiceType,
};
pub use fault::Fault;
pub use limits::Limits;
pub use logging::{LoggedRequests, Logging};
pub use page::resource_reference;
pub use reference::{
    ApiKeyRef, ConfigMapKeyRef, LocalName, Pods, PrometheusRef, SecretKeyRef, ServiceRef,
};
pub use references::{DataKind, Reference, references};
pub use server::{ErrorStatus, Server, ServerTls};
pub use spec::{
    Mode, PodChecks, PrometheusMirror, PrometheusMirrorSpec, RequestHost, RequestTargets, Sidecar,
};
pub use status::{PrometheusMirrorStatus, ServerStatus, SidecarStatus, TargetStatus};
pub use target::{
    EnforcedMatcher, HttpUrl, LONGEST_REPLICA_URL, MOST_REPLICAS, MOST_SHARDS, NanInterpretation,
    Proxy, Replica, Scheme, Shard, Target, TargetTls, TlsVersion,
};
pub use tokens::{ProjectedToken, TOKENS, tokens};
pub use validation::{join as field_path, parse, parse_stored, validate};
pub use workload::{Autoscaling, Monitor, PodDisruptionBudget};

/// `apiVersion` of every document.
pub const API_VERSION: &str = "prometheus-mirror.io/v1alpha1";

/// `kind` of every document.
pub const KIND: &str = "PrometheusMirror";
