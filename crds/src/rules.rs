//! Rules that the schema cannot express: each as CEL for the API server and as Rust for everyone
//! else, with one message for both.
//!
//! The types attach the lists below to their schemas with `rules::schema(…)`; [`crate::validate`]
//! finds a rule by its CEL text when it meets it in the schema, so a rule is attached in one place.
//! The CEL text itself is not evaluated, because an interpreter would add megabytes and
//! milliseconds to a mirror that idles in a few MiB. A test evaluates every document of the corpus
//! both ways and compares the results.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::duration;

/// A condition that a value must meet.
#[derive(Debug)]
pub struct Rule {
    /// The condition in CEL; `self` is the value.
    pub cel: &'static str,
    /// The message if it is not met.
    pub message: &'static str,
    /// The condition in Rust. Values of the wrong type never get here.
    pub holds: fn(&Value) -> bool,
}

macro_rules! http_url {
    () => {
        r"^https?://[^/?#@\s]+(/[^?#\s]*)?$"
    };
}
macro_rules! duration {
    () => {
        "^([0-9]{1,7}h)?([0-9]{1,7}m)?([0-9]{1,7}s)?([0-9]{1,7}ms)?$"
    };
}
/// Whether the numbers are small enough, the API server says when the Service is made.
macro_rules! address_range {
    () => {
        "^([0-9]{1,3}([.][0-9]{1,3}){3}/[0-9]{1,2}|[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){2,7}/[0-9]{1,3})$"
    };
}
/// The paths of fields that a mirror's pod needs, and of what they are in: the labels that it is
/// found by, and the container with its ports and its configuration.
macro_rules! needed_field {
    () => {
        "^/(metadata(/labels(/app[.]kubernetes[.]io~1(name|instance|managed-by))?)?|spec(/volumes(/configuration(/name|/projected(/sources(/.*)?)?)?)?|/containers(/mirror(/(name|image|args|((ports|volumeMounts)(/.*)?)|env(/PROMETHEUS_MIRROR_(FILE|SECRETS_DIR|LISTEN|ADMIN_LISTEN)(/.*)?)?))?)?)?)$"
    };
}
/// Rules of the whole document.
pub const DOCUMENT: &[Rule] = &[Rule {
    cel: "!has(self.metadata.name) || self.metadata.name.matches('^[a-z]([-a-z0-9]{0,48}[a-z0-9])?$')",
    message: "metadata.name must start with a letter, hold only lower-case letters, digits and dashes, not end in a dash, and \
              have at most 50 characters, because Services are named after it",
    holds: |document| {
        text(&document["metadata"], "name").is_none_or(|name| {
            name.len() <= 50
                && name.starts_with(|c: char| c.is_ascii_lowercase())
                && !name.ends_with('-')
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
    },
}];

/// Rules of `spec`.
pub const SPEC: &[Rule] = &[
    Rule {
        cel: "!has(self.defaultTarget) || self.targets.exists(t, t.name == self.defaultTarget)",
        message: "defaultTarget must be the name of one of the targets",
        holds: |spec| {
            text(spec, "defaultTarget").is_none_or(|default| {
                list(spec, "targets")
                    .iter()
                    .any(|target| text(target, "name") == Some(default))
            })
        },
    },
    Rule {
        cel: "!has(self.mode) || self.mode != 'Sidecar' || !(has(self.autoscaling) || has(self.podDisruptionBudget) || has(self.podTemplate) || has(self.podTemplateRemove))",
        message: "autoscaling, podDisruptionBudget, podTemplate and podTemplateRemove need mode: Deployment, because in mode: Sidecar the pods are not the mirror's own",
        holds: |spec| {
            let of_own_pods = [
                "autoscaling",
                "podDisruptionBudget",
                "podTemplate",
                "podTemplateRemove",
            ];
            text(spec, "mode") != Some("Sidecar") || count(spec, &of_own_pods) == 0
        },
    },
    Rule {
        cel: "!has(self.sidecar) || has(self.mode) && self.mode == 'Sidecar'",
        message: "sidecar needs mode: Sidecar",
        holds: |spec| spec["sidecar"].is_null() || text(spec, "mode") == Some("Sidecar"),
    },
    CONSOLE_PORT,
    DRAINABLE,
];

/// Only while there is a console: resources that have used the port since before keep it.
pub const CONSOLE_PORT: Rule = Rule {
    cel: "!has(self.console) || !has(self.console.enabled) || !self.console.enabled || !has(self.port) || self.port != 9902",
    message: "port must not be 9902 while console is enabled, because the console listens there",
    holds: |spec| spec["console"]["enabled"] != json!(true) || spec["port"].as_i64() != Some(9902),
};

/// A budget that lets nodes drain. Resources that were stored before this rule existed may break
/// it: the API server lets them be as long as their spec stays, and so does the operator.
pub const DRAINABLE: Rule = Rule {
    cel: "!has(self.podDisruptionBudget) || \
          (!has(self.podDisruptionBudget.maxUnavailable) || !(string(self.podDisruptionBudget.maxUnavailable) in ['0', '0%', '00%'])) && \
          (!has(self.podDisruptionBudget.minAvailable) || \
          [has(self.autoscaling) ? (has(self.autoscaling.minReplicas) ? int(self.autoscaling.minReplicas) : 1) : has(self.replicas) ? int(self.replicas) : 1].all(pods, pods == 0 || \
          (string(self.podDisruptionBudget.minAvailable).endsWith('%') ? \
          int(string(self.podDisruptionBudget.minAvailable).replace('%', '')) * pods <= 100 * (pods - 1) : \
          int(string(self.podDisruptionBudget.minAvailable)) < pods)))",
    message: "podDisruptionBudget must leave at least one pod to evict, or draining a node never ends: set maxUnavailable: 1 instead, or more replicas (with autoscaling: minReplicas) than minAvailable",
    holds: |spec| {
        let budget = &spec["podDisruptionBudget"];
        let pods = if spec["autoscaling"].is_null() {
            &spec["replicas"]
        } else {
            &spec["autoscaling"]["minReplicas"]
        };
        let pods = pods.as_i64().unwrap_or(1);
        let evictable = match share(&budget["minAvailable"]) {
            None => true,
            Some(Share::Pods(least)) => least < pods,
            Some(Share::Percent(least)) => least * pods <= 100 * (pods - 1),
        };
        let most = share(&budget["maxUnavailable"]);
        let none = matches!(most, Some(Share::Pods(0) | Share::Percent(0)));
        !none && (pods == 0 || evictable)
    },
};

/// Rules of `spec.port`.
pub const API_PORT: &[Rule] = &[Rule {
    cel: "self != 9901",
    message: "must not be 9901, where the mirror answers health checks and serves its metrics",
    holds: |port| port.as_i64() != Some(9901),
}];

/// Rules of a target.
pub const TARGET: &[Rule] = &[Rule {
    cel: "[has(self.url), has(self.service), has(self.prometheus), has(self.replicas), has(self.shards)].exists_one(set, set)",
    message: "exactly one of url, service, prometheus, replicas and shards must be set",
    holds: |target| {
        count(
            target,
            &["url", "service", "prometheus", "replicas", "shards"],
        ) == 1
    },
}];

/// Rules of a replica.
pub const REPLICA: &[Rule] = &[
    Rule {
        cel: "has(self.url) != has(self.service)",
        message: "exactly one of url and service must be set",
        holds: |replica| count(replica, &["url", "service"]) == 1,
    },
    Rule {
        cel: "!(has(self.service) && has(self.service.pods))",
        message: "a replica is one server: set pods on the service of a target or of a shard",
        holds: |replica| count(&replica["service"], &["pods"]) == 0,
    },
];

/// Rules of a shard.
pub const SHARD: &[Rule] = &[
    Rule {
        cel: "[has(self.url), has(self.service), has(self.replicas)].exists_one(set, set)",
        message: "exactly one of url, service and replicas must be set",
        holds: |shard| count(shard, &["url", "service", "replicas"]) == 1,
    },
    Rule {
        cel: "!(has(self.service) && has(self.service.pods) && self.service.pods == 'Shards')",
        message: "the pods of a shard can only be Replicas",
        holds: |shard| text(&shard["service"], "pods") != Some("Shards"),
    },
];

/// Rules of a URL.
pub const HTTP_URL: &[Rule] = &[Rule {
    cel: concat!("self.matches(r'", http_url!(), "')"),
    message: "must be http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], without user name, query and fragment",
    holds: |url| matches(http_url!(), url),
}];

/// Rules of a target's `requestTimeout`.
pub const REQUEST_TIMEOUT: &[Rule] = &[Rule {
    cel: concat!(
        "self.matches('",
        duration!(),
        "') && duration(self) >= duration('100ms') && duration(self) <= duration('10m')"
    ),
    message: "must be a duration from 100ms to 10m, such as 15s or 1m30s",
    holds: |value| duration_within(value, 100, 600_000),
}];

/// Rules of `logging.requests.slow`.
pub const SLOW_REQUEST: &[Rule] = &[Rule {
    cel: concat!(
        "self.matches('",
        duration!(),
        "') && duration(self) >= duration('1ms') && duration(self) <= duration('10m')"
    ),
    message: "must be a duration from 1ms to 10m, such as 5s or 500ms",
    holds: |value| duration_within(value, 1, 600_000),
}];

/// Rules of `cache.settle`.
pub const SETTLE: &[Rule] = &[Rule {
    cel: concat!(
        "self.matches('",
        duration!(),
        "') && duration(self) >= duration('0s') && duration(self) <= duration('168h')"
    ),
    message: "must be a duration from 0s to 168h, such as 10m or 2h",
    holds: |value| duration_within(value, 0, 604_800_000),
}];

/// Rules of scrape intervals.
pub const SCRAPE_INTERVAL: &[Rule] = &[Rule {
    cel: concat!(
        "self.matches('",
        duration!(),
        "') && duration(self) >= duration('1s') && duration(self) <= duration('1h')"
    ),
    message: "must be a duration from 1s to 1h, such as 15s or 1m30s",
    holds: |value| duration_within(value, 1_000, 3_600_000),
}];

/// Rules of a target's `auth`.
pub const AUTH: &[Rule] = &[Rule {
    cel: "[has(self.basic), has(self.bearer), has(self.oauth2), has(self.sigV4)].filter(set, set).size() <= 1",
    message: "at most one of basic, bearer, oauth2 and sigV4 may be set",
    holds: |auth| count(auth, &["basic", "bearer", "oauth2", "sigV4"]) <= 1,
}];

/// Rules of user names and passwords.
pub const BASIC_AUTH: &[Rule] = &[Rule {
    cel: "has(self.usernameSecretRef) || has(self.passwordSecretRef)",
    message: "at least one of usernameSecretRef and passwordSecretRef must be set",
    holds: |basic| count(basic, &["usernameSecretRef", "passwordSecretRef"]) > 0,
}];

/// Rules of `bearer`.
pub const BEARER_AUTH: &[Rule] = &[Rule {
    cel: "has(self.tokenSecretRef) != has(self.serviceAccountToken)",
    message: "exactly one of tokenSecretRef and serviceAccountToken must be set",
    holds: |bearer| count(bearer, &["tokenSecretRef", "serviceAccountToken"]) == 1,
}];

/// Rules of a service account token's `expiration`.
pub const TOKEN_EXPIRATION: &[Rule] = &[Rule {
    cel: concat!(
        "self.matches('",
        duration!(),
        "') && duration(self) >= duration('10m') && duration(self) <= duration('24h')"
    ),
    message: "must be a duration from 10m to 24h, such as 1h",
    holds: |value| duration_within(value, 600_000, 86_400_000),
}];

/// Rules of `oauth2`.
pub const OAUTH2: &[Rule] = &[
    Rule {
        cel: "[has(self.clientSecretSecretRef), has(self.clientAssertion), has(self.tokenExchange)].exists_one(set, set)",
        message: "exactly one of clientSecretSecretRef, clientAssertion and tokenExchange must be set",
        holds: |oauth2| {
            count(
                oauth2,
                &["clientSecretSecretRef", "clientAssertion", "tokenExchange"],
            ) == 1
        },
    },
    Rule {
        cel: "!(has(self.clientId) && has(self.clientIdSecretRef))",
        message: "at most one of clientId and clientIdSecretRef may be set",
        holds: |oauth2| count(oauth2, &["clientId", "clientIdSecretRef"]) <= 1,
    },
    Rule {
        cel: "has(self.clientId) || has(self.clientIdSecretRef) || has(self.tokenExchange)",
        message: "clientId or clientIdSecretRef must be set; only tokenExchange needs neither",
        holds: |oauth2| count(oauth2, &["clientId", "clientIdSecretRef", "tokenExchange"]) > 0,
    },
];

/// Rules of `sigV4`.
pub const SIG_V4: &[Rule] = &[Rule {
    cel: "has(self.accessKeyIdSecretRef) == has(self.secretAccessKeySecretRef)",
    message: "accessKeyIdSecretRef and secretAccessKeySecretRef must be set together; leave out both to use the pod's identity",
    holds: |sig_v4| {
        count(
            sig_v4,
            &["accessKeyIdSecretRef", "secretAccessKeySecretRef"],
        ) != 1
    },
}];

/// Rules of a target's `tls`.
pub const TARGET_TLS: &[Rule] = &[
    Rule {
        cel: "!(has(self.caSecretRef) && has(self.caConfigMapRef))",
        message: "at most one of caSecretRef and caConfigMapRef may be set",
        holds: |tls| count(tls, &["caSecretRef", "caConfigMapRef"]) <= 1,
    },
    Rule {
        cel: "!(has(self.insecureSkipVerify) && self.insecureSkipVerify && (has(self.caSecretRef) || has(self.caConfigMapRef)))",
        message: "insecureSkipVerify accepts any certificate, so caSecretRef and caConfigMapRef must not be set with it",
        holds: |tls| {
            tls["insecureSkipVerify"] != json!(true)
                || count(tls, &["caSecretRef", "caConfigMapRef"]) == 0
        },
    },
];

/// Rules of a host in `requestTargets`. An IPv4 address looks like a host name. `isIP` would do for
/// IPv6, but not before Kubernetes 1.30.
pub const REQUEST_HOST: &[Rule] = &[Rule {
    cel: r"self.matches(r'^(\*\.)?[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?)*\.?$') || self.matches('^(([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,7}:|([0-9a-fA-F]{1,4}:){1,6}:[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,5}(:[0-9a-fA-F]{1,4}){1,2}|([0-9a-fA-F]{1,4}:){1,4}(:[0-9a-fA-F]{1,4}){1,3}|([0-9a-fA-F]{1,4}:){1,3}(:[0-9a-fA-F]{1,4}){1,4}|([0-9a-fA-F]{1,4}:){1,2}(:[0-9a-fA-F]{1,4}){1,5}|[0-9a-fA-F]{1,4}:(:[0-9a-fA-F]{1,4}){1,6}|:((:[0-9a-fA-F]{1,4}){1,7}|:))$')",
    message: "must be a host name, a pattern such as *.monitoring.svc, or an IP address",
    holds: |host| {
        host.as_str().is_some_and(|host| {
            let name = host.strip_prefix("*.").unwrap_or(host);
            let name = name.strip_suffix('.').unwrap_or(name);
            is_ip(host) || name.split('.').all(is_host_label)
        })
    },
}];

/// Rules of `autoscaling`.
pub const AUTOSCALING: &[Rule] = &[Rule {
    cel: "!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
    message: "minReplicas must not be more than maxReplicas",
    holds: |autoscaling| {
        let minimum = autoscaling["minReplicas"].as_i64().unwrap_or(1);
        autoscaling["maxReplicas"]
            .as_i64()
            .is_none_or(|maximum| minimum <= maximum)
    },
}];

/// Rules of `podDisruptionBudget`.
pub const POD_DISRUPTION_BUDGET: &[Rule] = &[Rule {
    cel: "!(has(self.minAvailable) && has(self.maxUnavailable))",
    message: "at most one of minAvailable and maxUnavailable may be set",
    holds: |budget| count(budget, &["minAvailable", "maxUnavailable"]) <= 1,
}];

/// Rules of a peer in `networkPolicy.allowedFrom`.
pub const NETWORK_POLICY_PEER: &[Rule] = &[Rule {
    cel: "has(self.ipBlock) != (has(self.podSelector) || has(self.namespaceSelector))",
    message: "must have either ipBlock, or podSelector, namespaceSelector or both",
    holds: |peer| {
        (count(peer, &["ipBlock"]) == 1) != (count(peer, &["podSelector", "namespaceSelector"]) > 0)
    },
}];

/// Rules of `service`.
pub const SERVICE: &[Rule] = &[
    Rule {
        cel: "!(has(self.loadBalancerClass) || has(self.loadBalancerSourceRanges)) || has(self.type) && self.type == 'LoadBalancer'",
        message: "loadBalancerClass and loadBalancerSourceRanges need type: LoadBalancer",
        holds: |service| {
            count(service, &["loadBalancerClass", "loadBalancerSourceRanges"]) == 0
                || text(service, "type") == Some("LoadBalancer")
        },
    },
    Rule {
        cel: "!has(self.externalTrafficPolicy) || has(self.type) && self.type != 'ClusterIP'",
        message: "externalTrafficPolicy needs type: NodePort or LoadBalancer",
        holds: |service| {
            count(service, &["externalTrafficPolicy"]) == 0
                || text(service, "type").is_some_and(|type_| type_ != "ClusterIP")
        },
    },
    Rule {
        cel: "!has(self.ipFamilies) || self.ipFamilies.size() < 2 || !has(self.ipFamilyPolicy) || self.ipFamilyPolicy != 'SingleStack'",
        message: "two ipFamilies need ipFamilyPolicy: PreferDualStack or RequireDualStack",
        holds: |service| {
            list(service, "ipFamilies").len() < 2
                || text(service, "ipFamilyPolicy") != Some("SingleStack")
        },
    },
    Rule {
        cel: concat!(
            "!has(self.loadBalancerSourceRanges) || self.loadBalancerSourceRanges.all(range, range.matches('",
            address_range!(),
            "'))"
        ),
        message: "loadBalancerSourceRanges must be ranges of IP addresses, such as 10.0.0.0/8 or 2001:db8::/64",
        holds: |service| {
            let mut ranges = list(service, "loadBalancerSourceRanges").iter();
            ranges.all(|range| matches(address_range!(), range))
        },
    },
];

/// Rules of `podTemplateRemove`.
pub const POD_TEMPLATE_REMOVE: &[Rule] = &[Rule {
    cel: concat!("self.all(path, !path.matches('", needed_field!(), "'))"),
    message: "must leave in place what a mirror's pod needs: the container mirror with its name, image, args, ports, volumeMounts and \
              environment, the volume configuration, and the labels app.kubernetes.io/name, instance and managed-by; replace fields \
              of these under podTemplate instead",
    holds: |paths| {
        let mut paths = paths.as_array().into_iter().flatten();
        !paths.any(|path| matches(needed_field!(), path))
    },
}];

/// Every list of rules, for looking one up.
pub const ALL: &[&[Rule]] = &[
    DOCUMENT,
    SPEC,
    API_PORT,
    TARGET,
    HTTP_URL,
    REQUEST_TIMEOUT,
    SLOW_REQUEST,
    SETTLE,
    SCRAPE_INTERVAL,
    AUTH,
    REPLICA,
    SHARD,
    BASIC_AUTH,
    BEARER_AUTH,
    TOKEN_EXPIRATION,
    OAUTH2,
    SIG_V4,
    TARGET_TLS,
    REQUEST_HOST,
    AUTOSCALING,
    POD_DISRUPTION_BUDGET,
    NETWORK_POLICY_PEER,
    SERVICE,
    POD_TEMPLATE_REMOVE,
];

/// A list of rules the way a schema carries it in `x-kubernetes-validations`.
pub(crate) fn schema(rules: &[Rule]) -> Value {
    rules
        .iter()
        .map(|rule| json!({ "rule": rule.cel, "message": rule.message }))
        .collect()
}

/// The rule with this CEL text.
pub(crate) fn find(cel: &str) -> Option<&'static Rule> {
    ALL.iter().copied().flatten().find(|rule| rule.cel == cel)
}

/// A number of pods, or a percentage of them.
enum Share {
    Pods(i64),
    Percent(i64),
}

fn share(value: &Value) -> Option<Share> {
    match value {
        Value::String(text) => match text.strip_suffix('%') {
            Some(percent) => {
                let percent = percent.parse().ok();
                percent.filter(|it| *it <= 100).map(Share::Percent)
            }
            None => text.parse().ok().map(Share::Pods),
        },
        other => other.as_i64().map(Share::Pods),
    }
}

fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str)
}

fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// How many of `fields` are set. A null field is not: the API server prunes it.
fn count(object: &Value, fields: &[&str]) -> usize {
    fields
        .iter()
        .filter(|field| object.get(field).is_some_and(|value| !value.is_null()))
        .count()
}

fn matches(pattern: &str, value: &Value) -> bool {
    let regex = regex_lite::Regex::new(pattern);
    value
        .as_str()
        .is_some_and(|text| regex.is_ok_and(|regex| regex.is_match(text)))
}

fn duration_within(value: &Value, from_ms: u128, to_ms: u128) -> bool {
    let read = value.as_str().and_then(|text| duration::parse(text).ok());
    read.is_some_and(|length| (from_ms..=to_ms).contains(&length.as_millis()))
}

/// An IPv4 address in IPv6 form is not one: it is written as IPv4.
fn is_ip(text: &str) -> bool {
    match text.parse() {
        Ok(IpAddr::V4(_)) => true,
        Ok(IpAddr::V6(_)) => !text.contains('.'),
        Err(_) => false,
    }
}

/// Underscores are in the names of Docker Compose and of SRV records.
fn is_host_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
