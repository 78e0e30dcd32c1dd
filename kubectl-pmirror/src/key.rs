//! The API key of a mirror. It comes from a file, a variable or the Secret, never from the command
//! line, and is never printed.

use std::fs;

use crds::contract::{API_KEY, environment};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DynamicObject};
use mirror::settings::ApiKey;

use crate::args::ThroughArgs;
use crate::cluster::Cluster;
use crate::problem::{Problem, SECRET, status_of};

/// The key, if the user knows it or may read it.
///
/// # Errors
/// If what is named has no key.
pub async fn known(
    cluster: &Cluster,
    mirror: &DynamicObject,
    through: &ThroughArgs,
) -> Result<Option<ApiKey>, Problem> {
    if let Some(given) = given(through)? {
        return Ok(Some(given));
    }
    let reference = &mirror.data["spec"]["apiKeySecretRef"];
    let name = reference["name"].as_str().unwrap_or_default();
    let key = reference["key"].as_str().unwrap_or(API_KEY);
    let secrets: Api<Secret> = Api::namespaced(cluster.client(), &cluster.namespace);
    let secret = match secrets.get(name).await {
        Ok(secret) => secret,
        Err(error) if matches!(status_of(&error), Some(403 | 404)) => return Ok(None),
        Err(error) => return Err(Problem::of(&error, SECRET, &cluster.namespace)),
    };
    let bytes = secret.data.as_ref().and_then(|data| data.get(key));
    let text = bytes.and_then(|bytes| str::from_utf8(&bytes.0).ok());
    let parsed = text.and_then(ApiKey::parse);
    let none = || Problem::Other(format!("the key {key} of Secret {name} is not an API key"));
    parsed.map(Some).ok_or_else(none)
}

/// The key that a mirror wants with each request; none if it wants none. The Secret is only read
/// where that is needed.
///
/// # Errors
/// If one is wanted and not known.
pub async fn wanted(
    cluster: &Cluster,
    mirror: &DynamicObject,
    through: &ThroughArgs,
) -> Result<Option<ApiKey>, Problem> {
    if mirror.data["spec"]["server"]["requireApiKey"] != true {
        return given(through);
    }
    match known(cluster, mirror, through).await? {
        Some(key) => Ok(Some(key)),
        None => Err(Problem::Other(format!(
            "this mirror wants its API key, and you may not read the Secret {} that has it: give the key in a file with --key-file, or in {}",
            mirror.data["spec"]["apiKeySecretRef"]["name"]
                .as_str()
                .unwrap_or_default(),
            environment::API_KEY,
        ))),
    }
}

/// The key that the user gives.
fn given(through: &ThroughArgs) -> Result<Option<ApiKey>, Problem> {
    let (source, text) = match &through.key_file {
        Some(file) => {
            let text = fs::read_to_string(file).map_err(|error| {
                Problem::Other(format!("{} cannot be read: {error}", file.display()))
            })?;
            (file.display().to_string(), text)
        }
        None => match std::env::var(environment::API_KEY) {
            Ok(text) => (environment::API_KEY.to_owned(), text),
            Err(_) => return Ok(None),
        },
    };
    let none = || {
        Problem::Other(format!(
            "{source} is empty, or has a character that no HTTP header can carry"
        ))
    };
    ApiKey::parse(&text).map(Some).ok_or_else(none)
}
