//! Targets that are objects of the Prometheus Operator.

use anyhow::{Result, ensure};
use harness::certificates::Authority;
use serde_json::{Value, json};

use super::children::install_definitions;
use super::with_target;
use crate::programs::{feed, run};
use crate::scene::Scene;

/// kubectl in the namespace of the stores.
pub(super) async fn monitoring(arguments: &[&str]) -> Result<String> {
    run("kubectl", &[&["-n", "monitoring"], arguments].concat()).await
}

pub(super) async fn apply(manifest: &Value) -> Result<()> {
    feed("kubectl", &["apply", "-f", "-"], &manifest.to_string()).await?;
    Ok(())
}

/// A Prometheus object that this scenario's namespace may name.
pub(super) fn prometheus(scene: &Scene, name: &str, spec: &Value) -> Value {
    let opened = json!({"prometheus-mirror.io/allow-from": format!("other,{}", scene.namespace)});
    json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus",
        "metadata": {"name": name, "namespace": "monitoring", "annotations": opened},
        "spec": spec,
    })
}

pub(super) async fn a_prometheus_object_is_followed(scene: &Scene) -> Result<()> {
    install_definitions(scene).await?;
    apply(&prometheus(scene, "k8s", &json!({}))).await?;
    let target = json!({"name": "k8s", "namespace": "monitoring"});
    let spec = with_target(&json!({"name": "cluster", "prometheus": target}));
    scene.mirror("object", &spec).await?;
    scene.ready("object").await?;
    scene
        .becomes("object", "TargetsReachable", "True ", &[])
        .await?;
    let status = &scene.object("PrometheusMirror", "object").await?["status"];
    scene.claim(format!(
        "a target that is a Prometheus object: {}",
        status["targets"][0]["url"]
    ));
    let route = json!({"spec": {"routePrefix": "/elsewhere"}}).to_string();
    monitoring(&["patch", "prometheus", "k8s", "--type=merge", "-p", &route]).await?;
    scene
        .becomes("object", "TargetsReachable", "False ", &[])
        .await?;
    scene.claim("its changed route prefix is followed");
    monitoring(&["delete", "prometheus", "k8s"]).await?;
    let said = scene
        .becomes("object", "Stalled", "True PrometheusMissing", &[])
        .await?;
    scene.claim(format!("and its end is reported: {said}"));
    Ok(())
}

/// A Prometheus object with spec.web.tlsConfig: the Service that the Prometheus Operator would make
/// for it speaks TLS with a certificate of an authority of its own, and asks for a password.
pub(super) async fn a_secured_prometheus_is_read(scene: &Scene) -> Result<()> {
    let authority = Authority::new("authority")?;
    install_definitions(scene).await?;
    serve_secured(&authority).await?;
    let web = json!({"tlsConfig": {
        "keySecret": {"name": "secured", "key": "tls.key"},
        "cert": {"secret": {"name": "secured", "key": "tls.crt"}},
    }});
    let object = json!({"serviceName": "secured", "web": web});
    apply(&prometheus(scene, "secured", &object)).await?;
    let login = async |password: &str| {
        scene
            .secret("login", &[("user", "mirror"), ("password", password)])
            .await
    };
    login("first-password").await?;
    let target = json!({
        "name": "cluster",
        "prometheus": {"name": "secured", "namespace": "monitoring"},
        "tls": {"caConfigMapRef": {"name": "authorities", "key": "ca.crt"}},
        "auth": {"basic": {
            "usernameSecretRef": {"name": "login", "key": "user"},
            "passwordSecretRef": {"name": "login", "key": "password"},
        }},
    });
    scene.mirror("secured", &with_target(&target)).await?;
    trusts_the_configured_authority(scene, &authority).await?;
    login("wrong").await?;
    let state = "False Unreachable";
    let said = scene
        .becomes("secured", "TargetsReachable", state, &[])
        .await?;
    let resource = scene
        .object("PrometheusMirror", "secured")
        .await?
        .to_string();
    ensure!(
        !resource.contains("wrong"),
        "the password is in the status: {resource}"
    );
    scene.claim(format!("a wrong password is reported: {said}"));
    monitoring(&["delete", "prometheus", "secured"]).await?;
    monitoring(&["delete", "deploy,service,secret", "-l", "app=secured"]).await?;
    Ok(())
}

async fn trusts_the_configured_authority(scene: &Scene, authority: &Authority) -> Result<()> {
    let authorities =
        async |key: &str, pem: &str| scene.config_map("authorities", &[(key, pem)]).await;
    let words = ["no ConfigMap authorities"];
    let said = scene
        .becomes("secured", "Stalled", "True ConfigMapMissing", &words)
        .await?;
    scene.claim(format!("a missing ConfigMap: {said}"));
    authorities("other.crt", "x").await?;
    let words = ["has no key ca.crt"];
    scene
        .becomes("secured", "Stalled", "True ConfigMapKeyMissing", &words)
        .await?;
    authorities("ca.crt", &Authority::new("stranger")?.pem()).await?;
    let state = "False Unreachable";
    let said = scene
        .becomes("secured", "TargetsReachable", state, &["certificate"])
        .await?;
    scene.claim(format!(
        "a certificate of an authority that is not trusted: {said}"
    ));
    let pods = scene.pods("secured").await?;
    authorities("ca.crt", &authority.pem()).await?;
    scene
        .becomes("secured", "TargetsReachable", "True ", &[])
        .await?;
    ensure!(scene.pods("secured").await? == pods, "the pod was replaced");
    let status = &scene.object("PrometheusMirror", "secured").await?["status"];
    let url = &status["targets"][0]["url"];
    ensure!(
        url == "https://secured.monitoring.svc:9090",
        "another URL: {url}"
    );
    scene
        .claim("a Prometheus object with TLS, a ConfigMap's authority and a password is reachable");
    Ok(())
}

/// A second Prometheus, with TLS and a password: "first-password".
async fn serve_secured(authority: &Authority) -> Result<()> {
    const WEB: &str = "\
        tls_server_config: {cert_file: tls.crt, key_file: tls.key}\n\
        basic_auth_users:\n  \
          mirror: $2b$04$y.V9Qyl5P/gTlGKkfSkWVeUTHeBNvQHm80SzmWcdtu9WCYC/CM0Pu\n";
    let issued = authority.issue(&["secured.monitoring.svc"])?;
    let labels = json!({"app": "secured"});
    let metadata = json!({"name": "secured", "namespace": "monitoring", "labels": labels});
    apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": metadata,
        "stringData": {"tls.crt": issued.certificate, "tls.key": issued.key, "web.yaml": WEB},
    }))
    .await?;
    apply(&json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {"selector": labels, "ports": [{"port": 9090}]},
    }))
    .await?;
    let deployment = monitoring(&["get", "deploy", "prometheus", "-o", "json"]).await?;
    let mut deployment: Value = serde_json::from_str(&deployment)?;
    deployment["metadata"] = metadata;
    deployment["status"] = Value::Null;
    let spec = &mut deployment["spec"];
    spec["selector"]["matchLabels"] = labels.clone();
    let template = &mut spec["template"];
    template["metadata"]["labels"] = labels;
    let web = json!({"name": "web", "secret": {"secretName": "secured"}});
    push(&mut template["spec"]["volumes"], web);
    let container = &mut template["spec"]["containers"][0];
    push(
        &mut container["volumeMounts"],
        json!({"name": "web", "mountPath": "/web"}),
    );
    container["args"] = json!([
        "--config.file=/etc/prometheus/prometheus.yml",
        "--storage.tsdb.path=/prometheus",
        "--web.config.file=/web/web.yaml",
    ]);
    container["readinessProbe"] = json!({"tcpSocket": {"port": "web"}, "periodSeconds": 2});
    apply(&deployment).await?;
    monitoring(&["rollout", "status", "deploy/secured", "--timeout=180s"]).await?;
    Ok(())
}

fn push(list: &mut Value, value: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(value);
    }
}
