//! Where a store answers if it does not answer where it was declared: known path prefixes are
//! tried, once, on the same server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use url::Url;

use crate::api::state::AppState;
use crate::model::time::Timestamp;
use crate::prometheus::{Call, Deadline, Store as _};
use crate::settings::{Servers, Settings, TargetSettings, wrong_ending};
use crate::telemetry::metrics::Metrics;

/// For all tries together, which are made at once.
const TIMEOUT: Duration = Duration::from_secs(5);

/// So many places are tried.
const MOST: usize = 16;

/// Under which path servers have Prometheus' API: behind a prefix of its own, Mimir, Cortex,
/// VictoriaMetrics' cluster, and others.
const KNOWN: &[&str] = &[
    "",
    "/prometheus",
    "/api/prom",
    "/select/0/prometheus",
    "/prom",
    "/mimir/prometheus",
    "/cortex/api/prom",
    "/thanos",
    "/query",
];

/// What to write instead of the declared path, if the store answers there. The tries go to the same
/// server with the same credentials.
pub(super) async fn hint(
    settings: &Settings,
    target: &TargetSettings,
    declared: &Url,
) -> Option<String> {
    let places = places(declared);
    let mut tried = settings.clone();
    tried.targets = places
        .iter()
        .map(|url| {
            Arc::new(TargetSettings {
                servers: Servers::one(url.clone()),
                ..target.clone()
            })
        })
        .collect();
    tried.default_target = None;
    let state = AppState::new(tried, Metrics::new());
    let serving = state.serving();
    let deadline = Deadline(Instant::now() + TIMEOUT);
    let servers = serving.targets.declared().iter();
    let asked = servers.flat_map(|target| target.servers()).map(|server| {
        let call = Call::Instant {
            promql: "vector(1)".to_owned(),
            at: Timestamp::now(),
        };
        server.call(call, deadline)
    });
    let answers = futures::future::join_all(asked).await;
    let (found, _) = places
        .iter()
        .zip(answers)
        .find(|(_, answer)| answer.is_ok())?;
    Some(words(declared, found))
}

fn words(declared: &Url, found: &Url) -> String {
    let (before, after) = (path(declared), path(found));
    if after.is_empty() {
        format!("the server answers without a path: leave out {before}")
    } else if after.starts_with(before) {
        format!("the path prefix seems to be missing: the server answers under {after}")
    } else {
        format!("the path seems to be wrong: the server answers under {after}")
    }
}

/// The places to try, the likeliest first: the path without a wrong ending, the paths above it, and
/// the known ones at its end and alone.
fn places(declared: &Url) -> Vec<Url> {
    let mut bases = Vec::new();
    let mut base = path(declared);
    if let Some(ending) = wrong_ending(declared) {
        base = &base[..base.len() - ending.len()];
    }
    while let Some((above, _)) = base.rsplit_once('/') {
        bases.push(base);
        base = above;
    }
    let longest = bases.first().copied().unwrap_or_default();
    let below = KNOWN.iter().map(|known| format!("{longest}{known}"));
    let alone = KNOWN.iter().map(|known| (*known).to_owned());
    let above = bases.iter().skip(1).take(3).map(|base| (*base).to_owned());
    let mut places = Vec::new();
    for path in below.take(5).chain(above).chain(alone) {
        let mut url = declared.clone();
        url.set_path(&path);
        if url != *declared && !places.contains(&url) {
            places.push(url);
        }
    }
    places.truncate(MOST);
    places
}

fn path(url: &Url) -> &str {
    url.path().trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(declared: &str) -> Vec<String> {
        let declared = declared.parse().unwrap();
        let places = places(&declared);
        assert!(places.len() <= MOST);
        for place in &places {
            assert_eq!(place.origin(), declared.origin(), "the same server");
        }
        places.iter().map(|url| path(url).to_owned()).collect()
    }

    #[test]
    fn the_likeliest_places_are_tried_first() {
        assert_eq!(
            paths("http://a:1"),
            [
                "/prometheus",
                "/api/prom",
                "/select/0/prometheus",
                "/prom",
                "/mimir/prometheus",
                "/cortex/api/prom",
                "/thanos",
                "/query"
            ]
        );
        assert_eq!(paths("http://a:1/graph")[..2], ["", "/prometheus"]);
        assert_eq!(
            paths("https://a/x/y/api/v1/query")[..7],
            [
                "/x/y",
                "/x/y/prometheus",
                "/x/y/api/prom",
                "/x/y/select/0/prometheus",
                "/x/y/prom",
                "/x",
                ""
            ]
        );
        assert_eq!(paths(&format!("http://a/{}", "x/".repeat(500))).len(), MOST);
    }

    #[test]
    fn what_to_change_is_said() {
        let said = |declared: &str, found: &str| {
            words(&declared.parse().unwrap(), &found.parse().unwrap())
        };
        assert_eq!(
            [
                said("http://a", "http://a/prometheus"),
                said("http://a/graph", "http://a"),
                said("http://a/graph", "http://a/prometheus"),
            ],
            [
                "the path prefix seems to be missing: the server answers under /prometheus",
                "the server answers without a path: leave out /graph",
                "the path seems to be wrong: the server answers under /prometheus",
            ]
        );
    }
}
