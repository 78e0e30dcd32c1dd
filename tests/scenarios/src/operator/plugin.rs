//! `kubectl pmirror`, as users with different rights run it.

use anyhow::{Result, ensure};

use super::ready_mirror;
use crate::programs::{fails, run};
use crate::scene::Scene;
use crate::wait::eventually;

pub(super) async fn the_plugin_does_what_its_user_may_do(scene: &Scene) -> Result<()> {
    ready_mirror(scene).await?;
    let folder = tempfile::tempdir()?;
    let plugin = scene.place().plugin.display().to_string();
    let user = async |role: Option<&str>| {
        let name = role.unwrap_or("stranger");
        let file = folder.path().join(name).display().to_string();
        kubeconfig(scene, name, role, &file).await?;
        anyhow::Ok(file)
    };
    let (viewer, editor) = (user(Some("view")).await?, user(Some("edit")).await?);
    let stranger = user(None).await?;
    let namespace = scene.namespace.as_str();
    let line = |kubeconfig: &str, command: &str| {
        let all = format!("--kubeconfig {kubeconfig} -n {namespace} {command}");
        all.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let asks = async |kubeconfig: &str, command: &str| {
        let line = line(kubeconfig, command);
        run(
            &plugin,
            &line.iter().map(String::as_str).collect::<Vec<_>>(),
        )
        .await
    };
    let is_refused = async |kubeconfig: &str, command: &str, right: &str| {
        let line = line(kubeconfig, command);
        let said = fails(
            &plugin,
            &line.iter().map(String::as_str).collect::<Vec<_>>(),
        )
        .await?;
        let expected = format!(
            "kubectl pmirror: you may not do that in namespace {namespace}: it needs the right to {right} there\n"
        );
        ensure!(said == expected, "{said}");
        anyhow::Ok(())
    };

    let list = "list prometheusmirrors.prometheus-mirror.io";
    is_refused(&stranger, "list", list).await?;
    scene.claim("a user without rights is told which one is missing");

    let said = asks(&viewer, "status shop").await?;
    for part in ["Ready", "shop-mirror-", "cluster"] {
        ensure!(said.contains(part), "no {part} in {said}");
    }
    asks(&viewer, "logs shop").await?;
    let query = "query shop --gauge up --from 5m";
    is_refused(&viewer, query, "get and create pods/portforward").await?;
    scene.claim("with the role view, status and logs work, and query names what it needs");

    eventually("there are points", async || {
        let said = asks(&editor, query).await?;
        ensure!(said.lines().any(|line| line.ends_with("  1")), "{said}");
        Ok(())
    })
    .await?;
    asks(&editor, "check shop").await?;
    let explained = asks(&editor, "explain shop --gauge up --from 5m").await?;
    ensure!(explained.contains("promql: up["), "{explained}");
    scene.claim("with the role edit, queries are answered through a pod, and check finds no fault");
    Ok(())
}

/// A kubeconfig of a new user, with this role in the scenario's namespace.
async fn kubeconfig(scene: &Scene, name: &str, role: Option<&str>, file: &str) -> Result<()> {
    scene.kubectl(&["create", "serviceaccount", name]).await?;
    if let Some(role) = role {
        let (role, user) = (
            format!("--clusterrole={role}"),
            format!("--serviceaccount={}:{name}", scene.namespace),
        );
        scene
            .kubectl(&["create", "rolebinding", name, &role, &user])
            .await?;
    }
    let token = scene.kubectl(&["create", "token", name]).await?;
    std::fs::copy(scene.place().state.join("pki/admin.conf"), file)?;
    let config = ["--kubeconfig", file, "config"];
    let credentials = ["set-credentials", name, "--token", token.trim()];
    run("kubectl", &[&config[..], &credentials].concat()).await?;
    let user = format!("--user={name}");
    let context = ["set-context", "--current", &user];
    run("kubectl", &[&config[..], &context].concat()).await?;
    Ok(())
}
