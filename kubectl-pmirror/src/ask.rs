//! `query`, `explain` and `why`: the mirror's own client, through a tunnel to one of its pods.

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use mirror::cli::query::client::{ANSWER_TIMEOUT, Mirror};
use mirror::cli::query::{About, ask};
use mirror::settings::ApiKey;
use reqwest::Url;

use crate::args::AskArgs;
use crate::cluster::Cluster;
use crate::key;
use crate::pods::Place;
use crate::problem::Problem;
use crate::tunnel::Tunnel;

/// Asks, and prints the answer.
///
/// # Errors
/// If no pod can be asked, or the answer is an error.
pub async fn run(cluster: &Cluster, args: &AskArgs, about: About) -> Result<(), Problem> {
    let mirror = cluster.mirror(&args.name).await?;
    let key = key::wanted(cluster, &mirror, &args.through).await?;
    let place = Place::of(&mirror);
    let pod = place.pod(cluster, args.through.pod.as_deref()).await?;
    let tunnel = Tunnel::open(cluster, &pod, place.port, 0).await?;
    let client = client(&mirror, &tunnel, key)?;
    let asked = ask(&args.question, about, &client).await;
    asked.map_err(|failure| tunnel.explained(failure.into()))
}

/// Whoever asks through the tunnel. The API server has already made sure which pod is at its end,
/// so a certificate, which is not for that way, proves nothing more.
fn client(mirror: &DynamicObject, tunnel: &Tunnel, key: Option<ApiKey>) -> Result<Mirror, Problem> {
    let broken = |error: &dyn std::fmt::Display| Problem::Other(error.to_string());
    let server = &mirror.data["spec"]["server"];
    if !server["tls"]["clientCaSecretName"].is_null() {
        return Err(Problem::Other(
            "this mirror answers only clients with a certificate (spec.server.tls.clientCaSecretName), and the plugin has none: use prometheus-mirror query in a pod that has one"
                .to_owned(),
        ));
    }
    let scheme = match server["tls"].is_null() {
        true => "http",
        false => "https",
    };
    let host = host(mirror);
    let url = format!("{scheme}://{host}:{}", tunnel.address.port());
    let url: Url = url.parse().map_err(|error| broken(&error))?;
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(ANSWER_TIMEOUT)
        .resolve(&host, tunnel.address)
        .tls_danger_accept_invalid_certs(true)
        .build()
        .map_err(|error| broken(&error))?;
    Ok(Mirror::At {
        url,
        http,
        key: key.map(|key| key.header_value()),
    })
}

/// The host that requests are for: one that the mirror answers for, or its Service.
fn host(mirror: &DynamicObject) -> String {
    let allowed = mirror.data["spec"]["server"]["allowedHosts"].as_array();
    let mut allowed = allowed
        .into_iter()
        .flatten()
        .filter_map(|host| host.as_str());
    let is_name = |host: &str| host.parse::<std::net::IpAddr>().is_err();
    match allowed.find(|host| is_name(host)) {
        // Any name below it is allowed.
        Some(host) => host.replacen('*', "mirror", 1),
        None => format!(
            "{}.{}.svc",
            mirror.name_any(),
            mirror.namespace().unwrap_or_default()
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn requests_are_for_a_host_that_the_mirror_answers_for() {
        let host = |server: Value| {
            let mirror = json!({
                "apiVersion": crds::API_VERSION, "kind": crds::KIND,
                "metadata": {"name": "production", "namespace": "shop"}, "spec": {"server": server},
            });
            host(&serde_json::from_value(mirror).unwrap())
        };
        assert_eq!(host(Value::Null), "production.shop.svc");
        assert_eq!(
            host(json!({"allowedHosts": ["10.0.0.1", "a.example"]})),
            "a.example"
        );
        assert_eq!(
            host(json!({"allowedHosts": ["*.example"]})),
            "mirror.example"
        );
    }
}
