//! The chart `prometheusmirror` as a user of the original mirror would install it: with Helm 4 and
//! Helm 3, without operator.

mod changes;
mod lives;
mod values;

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::helm_program::Helm;
use crate::programs::run;
use crate::scene::Scene;
use crate::suite::{Suite, alone, together};

pub(crate) fn suite() -> Suite {
    let together = together![
        changes: a_changed_secret_is_served_by_the_same_pods;
        lives: helm_4_installs_a_mirror_and_removes_it, helm_3_installs_a_mirror_and_removes_it;
        changes:
            a_new_key_with_helm_4_loses_no_request,
            a_new_key_with_helm_3_loses_no_request,
            an_upgrade_without_a_change_replaces_no_pod,
            a_refused_upgrade_and_its_rollback_lose_no_request;
        values: bad_values_are_refused_and_nothing_is_made;
    ];
    let last = alone![
        // It freezes the node's proxy, which others need.
        changes: a_proxy_that_is_late_loses_no_request;
        // It installs the definition, whose absence others claim.
        lives: with_the_operator_enabled_only_the_resource_is_made;
    ];
    Suite {
        prepare,
        scenarios: together.into_iter().chain(last).collect(),
        describe: &[&["get", "pods", "-A"]],
    }
}

/// The release, and the name of its Service.
const RELEASE: &str = "prometheusmirror";
/// The two lines that the original's values do not have.
const TARGET: [&str; 4] = [
    "--set",
    "targets[0].name=cluster",
    "--set",
    "targets[0].url=http://prometheus.monitoring.svc:9090",
];

fn prepare(scene: &Scene) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async {
        let definition = scene.place().file("crds/prometheusmirrors.yaml");
        let delete = [
            "delete",
            "--ignore-not-found",
            "--wait=true",
            "-f",
            &definition,
        ];
        run("kubectl", &delete).await?;
        scene.place().load_images().await?;
        scene.place().start_prometheus().await
    })
}

fn chart(scene: &Scene) -> String {
    scene.place().file("charts/prometheusmirror")
}

/// Installs a release and waits until it is ready.
async fn install(scene: &Scene, helm: &Helm<'_>, values: &[&str]) -> Result<()> {
    let chart = chart(scene);
    let install = ["install", RELEASE, &chart, "--wait", "--timeout", "3m"];
    helm.run(&[&install, &TARGET[..], values].concat()).await?;
    Ok(())
}

/// Upgrades the release with the values that it has and these.
async fn upgrade(scene: &Scene, helm: &Helm<'_>, values: &[&str]) -> Result<()> {
    let chart = chart(scene);
    let upgrade = [
        "upgrade",
        RELEASE,
        &chart,
        "--reuse-values",
        "--wait",
        "--timeout",
        "3m",
    ];
    helm.run(&[&upgrade, values].concat()).await?;
    Ok(())
}

/// The pods of the release.
async fn pods(scene: &Scene) -> Result<Vec<String>> {
    scene.pods(RELEASE).await
}

/// Everything that a release may make, by name.
async fn objects(scene: &Scene) -> Result<Vec<String>> {
    const ALL: &str = "pods,services,deployments,replicasets,jobs,configmap,secret,serviceaccount,\
                       role,rolebinding,networkpolicy,ingress,pdb,hpa,endpointslice";
    // A new namespace gets these two some moments after it is made.
    scene.names(ALL, "app!=none").await.map(|mut names| {
        let own = [
            "configmap/kube-root-ca.crt",
            "serviceaccount/default",
            "secret/mirror-key",
        ];
        names.retain(|name| !own.contains(&name.as_str()));
        names
    })
}
