//! The servers of a target that has several, as all pods together see them.

use crds::contract::ServerReachability;
use crds::{ServerStatus, Target, TargetStatus};

use super::Progress;

/// So many servers are in a status, of all targets together: one that is too large could not be
/// read back. Their messages are cut where pods are asked.
pub(super) const MOST: usize = 128;

/// Each of a target's servers; none if there is only one.
pub(super) fn servers(
    progress: &Progress,
    declared: &Target,
    before: Option<&TargetStatus>,
) -> Vec<ServerStatus> {
    let urls = urls(declared);
    // Only what serves the present document has the servers in this order.
    let current = Some(&progress.built.document.hash);
    let answers = progress.pods.iter().map(|pod| pod.answer.as_ref());
    let seen: Vec<Option<&[ServerReachability]>> = answers
        .flatten()
        .map(|answer| {
            let mut targets = answer.targets.iter();
            let target = targets.find(|target| target.name == declared.name)?;
            let fits = answer.document.as_ref() == current && target.servers.len() == urls.len();
            fits.then_some(target.servers.as_slice())
        })
        .collect();
    let at = |index: usize, url: &str| {
        let seen = seen
            .iter()
            .map(|servers| servers.and_then(|servers| servers.get(index)));
        let before = before.and_then(|before| before.servers.iter().find(|it| it.url == url));
        server(url, seen.collect(), before)
    };
    let urls = urls.iter().enumerate();
    urls.map(|(index, url)| at(index, url)).collect()
}

/// In the order in which the mirror reports them.
fn urls(target: &Target) -> Vec<&str> {
    let of_shards = target.shards.iter().flat_map(|shard| {
        let replicas = shard.replicas.iter().map(|replica| &replica.url);
        std::iter::once(&shard.url).chain(replicas)
    });
    let of_replicas = target.replicas.iter().map(|replica| &replica.url);
    let urls = of_replicas.chain(of_shards).flatten();
    urls.map(|url| url.0.as_str()).collect()
}

/// A server as each pod sees it; none where a pod does not say.
fn server(
    url: &str,
    seen: Vec<Option<&ServerReachability>>,
    before: Option<&ServerStatus>,
) -> ServerStatus {
    let said = || seen.iter().flatten();
    let unreachable = said().find(|server| server.reachable == Some(false));
    let all = |server: &Option<&ServerReachability>| {
        server.is_some_and(|server| server.reachable == Some(true))
    };
    let everywhere = !seen.is_empty() && seen.iter().all(all);
    ServerStatus {
        url: url.to_owned(),
        reachable: match unreachable {
            Some(_) => Some(false),
            None => everywhere.then_some(true),
        },
        version: said()
            .find_map(|server| server.version.clone())
            // A server that does not answer has not lost its version.
            .or_else(|| before.and_then(|before| before.version.clone())),
        message: unreachable.and_then(|server| server.message.clone()),
    }
}
