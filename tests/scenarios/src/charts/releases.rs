//! Releases as Helm installs them.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{MIRROR, NEEDED, OPERATOR};
use crate::helm_program::Helm;
use crate::scene::Scene;

/// The definition is there already, and it is not these releases'.
const NO_DEFINITION: [&str; 2] = ["--set", "crds.install=false"];

fn flags(chart: &str) -> &'static [&'static str] {
    if chart == MIRROR {
        &NEEDED
    } else {
        &NO_DEFINITION
    }
}

/// The name of the Deployment where both overrides say `shop`.
fn deployment(chart: &str) -> &'static str {
    if chart == MIRROR {
        "shop-mirror"
    } else {
        "shop"
    }
}

pub(super) async fn two_releases_of_one_name_leave_each_other_alone(scene: &Scene) -> Result<()> {
    for version in [3, 4] {
        let helm = Helm::new(scene, version).await?;
        for chart in [OPERATOR, MIRROR] {
            let place = scene.place().file(&format!("charts/{chart}"));
            let named = ["--set", "fullnameOverride=shop"];
            let install = |release| [&["install", release, &place], flags(chart), &named].concat();
            helm.run(&install("first")).await?;
            let before = scene.object("Deployment", deployment(chart)).await?;
            let said = helm.fails(&install("second")).await?;
            let owner = "must equal \"second\": current value is \"first\"";
            let clear = said.contains("cannot be imported into the current release");
            ensure!(clear && said.contains(owner), "{chart}: {said}");
            let after = scene.object("Deployment", deployment(chart)).await?;
            ensure!(
                version_of(&after) == version_of(&before),
                "{chart}: it was changed"
            );
            helm.run(&["uninstall", "first", "--wait"]).await?;
            scene.claim(format!(
                "{}, {chart}: the second release of a name is refused, and changes nothing",
                helm.name
            ));
        }
    }
    Ok(())
}

fn version_of(object: &Value) -> [&Value; 2] {
    [
        &object["metadata"]["uid"],
        &object["metadata"]["generation"],
    ]
}

pub(super) async fn releases_with_the_longest_name_are_installed(scene: &Scene) -> Result<()> {
    let helm = Helm::new(scene, 4).await?;
    // As Fleet makes them, of the names of a repository and a path.
    let release = format!(
        "{:a<53}",
        "monitoring-of-all-the-clusters-in-one-region-mirror"
    );
    let everything: [(&str, &[&str]); 2] = [
        (
            OPERATOR,
            &[
                "--set",
                "dashboards.enabled=true,metrics.serviceMonitor.enabled=true",
            ],
        ),
        (
            MIRROR,
            &[
                "--set-json",
                r#"monitor={}"#,
                "--set-json",
                r#"podDisruptionBudget={}"#,
            ],
        ),
    ];
    for (chart, more) in everything {
        let place = scene.place().file(&format!("charts/{chart}"));
        let install = ["install", &release, &place];
        helm.run(&[&install[..], flags(chart), more].concat())
            .await?;
        helm.run(&["uninstall", &release]).await?;
        scene.claim(format!(
            "{chart}: a release of {} characters is installed",
            release.len()
        ));
    }
    Ok(())
}

pub(super) async fn helm_runs_a_test_that_is_not_in_the_template(scene: &Scene) -> Result<()> {
    for version in [3, 4] {
        let helm = Helm::new(scene, version).await?;
        for chart in [OPERATOR, MIRROR] {
            let place = scene.place().file(&format!("charts/{chart}"));
            let template = ["template", "tested", &place, "--kube-version", "1.37.0"];
            let rendered = helm.run(&[&template[..], flags(chart)].concat()).await?;
            ensure!(
                !rendered.contains("helm.sh/hook"),
                "{chart}: the template has a hook"
            );
            let install = ["install", "tested", &place];
            helm.run(&[&install[..], flags(chart)].concat()).await?;
            let hooks = helm.run(&["get", "hooks", "tested"]).await?;
            ensure!(
                hooks.contains("helm.sh/hook: test"),
                "{chart}: no hook: {hooks}"
            );
            helm.run(&["uninstall", "tested", "--wait"]).await?;
            scene.claim(format!(
                "{}, {chart}: the release has a test, the template has none",
                helm.name
            ));
        }
    }
    Ok(())
}
