//! Values that cannot work.

use anyhow::{Result, ensure};

use super::{TARGET, chart, objects};
use crate::helm_program::Helm;
use crate::scene::Scene;

const KEY: [&str; 2] = ["--set", "global.apiKey=k"];

/// What Helm must say, and the flags beside the key and the target.
const REFUSED: &[(&str, &[&str])] = &[
    ("'/workers': got string", &["--set-string", "workers=many"]),
    (
        "additional properties 'worker' not allowed",
        &["--set", "worker=5"],
    ),
    (
        "'/targets/0': additional properties 'adress' not allowed",
        &["--set", "targets[0].adress=x"],
    ),
    (
        "'/global/apiKey': got number, want",
        &["--set", "global.apiKey=12345"],
    ),
    (
        "global.apiKey: must be printable ASCII",
        &["--set", "global.apiKey= k"],
    ),
    (
        "must not be set with it",
        &["--set", "apiKeySecretRef.name=mine"],
    ),
    ("port: must not be 9901", &["--set", "port=9901"]),
    (
        "targets[0].url: \"prometheus:9090\" must be http://HOST",
        &["--set", "targets[0].url=prometheus:9090"],
    ),
    (
        "targets[1]: exactly one of url, service, prometheus, replicas and shards must be set, there is none",
        &["--set", "targets[1].name=a"],
    ),
    (
        "targets[1].service.port: only the operator looks up",
        &[
            "--set",
            "targets[1].name=a,targets[1].service.name=p,targets[1].service.port=web",
        ],
    ),
    (
        "targets[1].prometheus: only the operator looks up",
        &["--set", "targets[1].name=a,targets[1].prometheus.name=p"],
    ),
    (
        "targets[1].name: \"cluster\" is there twice",
        &["--set", "targets[1].name=cluster,targets[1].url=http://b"],
    ),
    (
        "defaultTarget: \"b\" must be the name of one of the targets",
        &["--set", "defaultTarget=b"],
    ),
    (
        "targets[0].scrapeInterval: \"15\" must be a duration from 1s to 1h",
        &["--set-string", "targets[0].scrapeInterval=15"],
    ),
    (
        "no matches for kind \"PrometheusMirror\"",
        &["--set", "operator.enabled=true"],
    ),
];

pub(super) async fn bad_values_are_refused_and_nothing_is_made(scene: &Scene) -> Result<()> {
    let chart = chart(scene);
    for version in [4, 3] {
        let helm = Helm::new(scene, version).await?;
        let install = ["install", "bad", &chart];
        helm.refuses(
            "global.apiKey is missing",
            &[&install[..], &TARGET].concat(),
        )
        .await?;
        let targets = "targets:\n- name: cluster\n  url: http://";
        helm.refuses(targets, &[&install[..], &KEY].concat())
            .await?;
        for (message, flags) in REFUSED {
            helm.refuses(message, &[&install[..], &KEY, &TARGET, flags].concat())
                .await?;
        }
        let made = objects(scene).await?;
        ensure!(made.is_empty(), "made: {}", made.join(" "));
        let number = REFUSED.len() + 2;
        scene.claim(format!(
            "{}: {number} installations with bad values fail, each names the value, none makes anything",
            helm.name
        ));
    }
    Ok(())
}
