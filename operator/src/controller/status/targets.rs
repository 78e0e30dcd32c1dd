//! The targets as all pods together see them.

use crds::contract::TargetReachability;
use crds::{ConditionType, PrometheusMirrorStatus, Reason, ServerStatus, TargetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::Progress;
use super::conditions::{Finding, Truth, shortened, whole_second};
use super::servers;

/// Each declared target.
pub(super) fn targets(
    progress: &Progress,
    previous: &PrometheusMirrorStatus,
    now: Timestamp,
) -> Vec<TargetStatus> {
    let mut room = servers::MOST;
    let declared = progress.mirror.spec.targets.iter();
    declared
        .map(|declared| {
            let mut before = previous.targets.iter();
            let before = before.find(|before| before.name == declared.name);
            let servers = servers::servers(progress, declared, before);
            // All of a target or none: a part would look like the whole.
            let servers = if servers.len() > room {
                Vec::new()
            } else {
                servers
            };
            room -= servers.len();
            target(progress, declared, servers, before, now)
        })
        .collect()
}

fn target(
    progress: &Progress,
    declared: &crds::Target,
    servers: Vec<ServerStatus>,
    before: Option<&TargetStatus>,
    now: Timestamp,
) -> TargetStatus {
    let answers = progress.pods.iter().filter_map(|pod| pod.answer.as_ref());
    let answered = answers.clone().count();
    let seen: Vec<&TargetReachability> = answers
        .flat_map(|answer| &answer.targets)
        .filter(|target| target.name == declared.name)
        .collect();
    let unreachable = seen.iter().find(|target| target.reachable == Some(false));
    let all = !seen.is_empty()
        && seen.len() == answered
        && seen.iter().all(|target| target.reachable == Some(true));
    let url = declared.url.as_ref().map(|url| url.0.clone());
    let same_server = before.filter(|before| before.url == url);
    let partly = seen.iter().find(|target| lacks_a_server(target));
    let noted = seen.iter().find(|target| !target.notices.is_empty());
    let mut target = TargetStatus {
        name: declared.name.clone(),
        url,
        reachable: match unreachable {
            Some(_) => Some(false),
            None => all.then_some(true),
        },
        version: seen
            .iter()
            .find_map(|target| target.version.clone())
            // A server that does not answer has not lost its version.
            .or_else(|| same_server.and_then(|before| before.version.clone())),
        message: unreachable
            .or(partly)
            .and_then(|target| target.message.clone())
            .or_else(|| noted.map(|target| target.notices.join("; ")))
            .map(|message| shortened(message, 1024)),
        last_probe_time: before.and_then(|before| before.last_probe_time.clone()),
        servers,
    };
    // The time of the last change, not of the last check: a check that finds nothing new writes
    // nothing.
    if before != Some(&target) {
        target.last_probe_time = target.reachable.map(|_| Time(whole_second(now)));
    }
    target
}

/// Whether one of several servers does not answer.
fn lacks_a_server(target: &TargetReachability) -> bool {
    let mut servers = target.servers.iter();
    servers.any(|server| server.reachable == Some(false))
}

/// How many targets every pod reaches.
pub(super) fn reached(targets: &[TargetStatus]) -> usize {
    let reached = |target: &&TargetStatus| target.reachable == Some(true);
    targets.iter().filter(reached).count()
}

/// What they come to as a condition.
pub(super) fn reachability(targets: &[TargetStatus]) -> Finding {
    let unreachable: Vec<_> = targets
        .iter()
        .filter(|target| target.reachable == Some(false))
        .map(|target| {
            let message = target.message.as_deref().unwrap_or("not reachable");
            format!("{}: {message}", target.name)
        })
        .collect();
    let reached = reached(targets);
    let (status, reason, message) = if !unreachable.is_empty() {
        (Truth::False, Reason::Unreachable, unreachable.join("; "))
    } else if reached < targets.len() {
        let message = "Not every pod has said what it reaches.".to_owned();
        (Truth::Unknown, Reason::NotAsked, message)
    } else {
        (Truth::True, Reason::Reachable, all_reached(targets))
    };
    Finding::new(ConditionType::TargetsReachable, status, reason, message)
}

fn all_reached(targets: &[TargetStatus]) -> String {
    let lacking = targets.iter().filter(|target| {
        let mut servers = target.servers.iter();
        servers.any(|server| server.reachable == Some(false))
    });
    let lacking: Vec<_> = lacking
        .map(|target| {
            let message = target
                .message
                .as_deref()
                .unwrap_or("a server does not answer");
            format!("{}: {message}", target.name)
        })
        .collect();
    let number = targets.len();
    if lacking.is_empty() {
        return format!("Every pod reaches all {number} targets.");
    }
    format!(
        "Every pod reaches all {number} targets, but not all of their servers: {}",
        lacking.join("; ")
    )
}
