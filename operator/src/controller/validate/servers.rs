//! Replaces what targets refer to by the URLs of servers.

use crds::{Fault, HttpUrl, Pods, PrometheusRef, Reason, Replica, ServiceRef, Shard, Target};

use super::problems::Problems;
use super::urls::{Dead, bounded, pod_urls, prometheus_urls, service_url};
use crate::cluster::references::NamespacedName;
use crate::controller::dereference::Dereferenced;

/// The replicas of each shard.
type Servers = Vec<Vec<String>>;

/// What a resource's targets refer to, and where it is from.
pub(super) struct Resolver<'a> {
    pub(super) namespace: &'a str,
    pub(super) found: &'a Dereferenced,
}

impl Resolver<'_> {
    /// Replaces a target's references to servers by the servers' URLs.
    pub(super) fn resolve(&self, path: &str, target: &mut Target, problems: &mut Problems) {
        if let Some(service) = target.service.take() {
            let servers = self.of_service(&service);
            let field = format!("{path}.service");
            write(target, problems.noted(&field, servers));
        }
        if let Some(prometheus) = target.prometheus.take() {
            let servers = self.of_prometheus(&prometheus);
            let field = format!("{path}.prometheus");
            write(target, problems.noted(&field, servers));
        }
        self.resolve_replicas(path, &mut target.replicas, problems);
        for (index, shard) in target.shards.iter_mut().enumerate() {
            let path = format!("{path}.shards[{index}]");
            if let Some(service) = shard.service.take() {
                let servers = self.of_service(&service);
                let servers = problems.noted(&format!("{path}.service"), servers);
                if let Some(urls) = servers.into_iter().flatten().next() {
                    *shard = to_shard(urls);
                }
            }
            self.resolve_replicas(&path, &mut shard.replicas, problems);
        }
        check_lengths(path, target, problems);
    }

    fn resolve_replicas(&self, path: &str, replicas: &mut [Replica], problems: &mut Problems) {
        for (index, replica) in replicas.iter_mut().enumerate() {
            if let Some(service) = replica.service.take() {
                let servers = self.of_service(&service);
                let field = format!("{path}.replicas[{index}].service");
                let servers = problems.noted(&field, servers);
                let mut urls = servers.into_iter().flatten().flatten();
                replica.url = urls.next().map(HttpUrl);
            }
        }
    }

    fn at(&self, other: &Option<String>, name: &str) -> NamespacedName {
        let namespace = other.as_deref().unwrap_or(self.namespace);
        (namespace.to_owned(), name.to_owned())
    }

    fn of_service(&self, service: &ServiceRef) -> Result<Servers, Dead> {
        let at = self.at(&service.namespace, &service.name);
        let missing = |message| Dead {
            reason: Reason::ServiceMissing,
            message,
        };
        let facts = known(self.found.services.get(&at)).map_err(missing)?;
        let Some(pods) = service.pods else {
            return Ok(vec![vec![service_url(service, &at.0, facts)?]]);
        };
        let found = known(self.found.pods.get(&at)).map_err(missing)?;
        let urls = pod_urls(service, &at.0, facts, found)?;
        let of = format!("Service {}/{}", at.0, at.1);
        match pods {
            Pods::Replicas => {
                bounded(&of, "pods", urls.len(), crds::MOST_REPLICAS)?;
                Ok(vec![urls])
            }
            Pods::Shards => {
                bounded(&of, "pods", urls.len(), crds::MOST_SHARDS)?;
                Ok(urls.into_iter().map(|url| vec![url]).collect())
            }
        }
    }

    fn of_prometheus(&self, prometheus: &PrometheusRef) -> Result<Servers, Dead> {
        let at = self.at(&prometheus.namespace, &prometheus.name);
        let facts = known(self.found.prometheuses.get(&at)).map_err(|message| Dead {
            reason: Reason::PrometheusMissing,
            message,
        })?;
        prometheus_urls(facts, &at.0, &at.1)
    }
}

/// What was found. Everything that a spec names was looked for.
fn known<T>(found: Option<&Result<T, String>>) -> Result<&T, String> {
    match found {
        Some(found) => found.as_ref().map_err(Clone::clone),
        None => Err("was not looked for".to_owned()),
    }
}

/// A single server is written as a URL, and replicas without shards as replicas, as a user would.
fn write(target: &mut Target, servers: Option<Servers>) {
    let mut shards: Vec<_> = servers.into_iter().flatten().map(to_shard).collect();
    if shards.len() > 1 {
        target.shards = shards;
    } else if let Some(only) = shards.pop() {
        target.url = only.url;
        target.replicas = only.replicas;
    }
}

fn to_shard(mut urls: Vec<String>) -> Shard {
    let replica = |url| Replica {
        url: Some(HttpUrl(url)),
        service: None,
    };
    let (url, replicas) = match urls.len() {
        1 => (urls.pop().map(HttpUrl), Vec::new()),
        _ => (None, urls.into_iter().map(replica).collect()),
    };
    Shard {
        url,
        service: None,
        replicas,
    }
}

/// The mirror holds what it reads to the same schema. A path that is long enough for one server may
/// be too long for a replica.
fn check_lengths(path: &str, target: &Target, problems: &mut Problems) {
    let of_shards = target.shards.iter().flat_map(|shard| &shard.replicas);
    let replicas = target.replicas.iter().chain(of_shards);
    let most = crds::LONGEST_REPLICA_URL;
    let long = |replica: &&Replica| {
        let url = replica.url.as_ref();
        url.is_some_and(|url| url.0.chars().count() > most)
    };
    if let Some(HttpUrl(url)) = replicas
        .into_iter()
        .find(long)
        .and_then(|it| it.url.as_ref())
    {
        let message = format!(
            "the URL of a replica must have at most {most} characters, has {}",
            url.chars().count()
        );
        let hint = "shorten the path prefix of the server";
        problems.add(
            Reason::ServersUnusable,
            Fault::new(path, message).hint(hint),
        );
    }
}
