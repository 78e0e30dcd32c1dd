use crds::contract::{ServerReachability, TargetReachability};
use serde_json::{Value, json};

use super::*;
use crate::cluster::kind::Kind;
use crate::cluster::problem::Problem;
use crate::cluster::written::{Change, ObjectName, Written};
use crate::controller::build::{Defaults, build};
use crate::controller::observe::PodAnswer;
use crate::controller::validate::tests::{found, object};
use crate::controller::validate::{parse, validate};

/// A mirror whose Deployment and pods a case changes before it is judged.
struct Case {
    mirror: ValidatedMirror,
    built: Built,
    applied: Applied,
    deployment: Value,
    pods: Vec<PodReport>,
    ended: Option<(String, End)>,
    notified: bool,
}

impl Case {
    /// Two pods that serve what they should and reach their targets.
    fn fine() -> Self {
        Self::of(json!([{"name": "a", "url": "http://a"}, {"name": "b", "url": "http://b"}]))
    }

    /// The same with other targets. The pods report of two, "a" and "b".
    fn of(targets: Value) -> Self {
        let resource = object(json!({
            "apiKeySecretRef": {"name": "mirror-key"}, "defaultTarget": targets[0]["name"],
            "replicas": 2, "targets": targets,
        }));
        let mirror = validate(&resource, parse(&resource).unwrap(), &found()).unwrap();
        let built = build(
            &mirror,
            &Defaults {
                image: "i".to_owned(),
                image_pull_secrets: vec![],
                operator_namespace: "o".to_owned(),
                platform_assigns_users: false,
            },
        );
        let target = |name: &str| TargetReachability {
            name: name.to_owned(),
            reachable: Some(true),
            version: Some("3.10.0".to_owned()),
            message: None,
            notices: vec![],
            servers: vec![],
        };
        let pod = |name: &str| PodReport {
            name: name.to_owned(),
            notified: Some(built.document.configuration.clone()),
            problem: None,
            answer: Some(PodAnswer {
                document: Some(built.document.hash.clone()),
                newer_document_refused: false,
                targets: vec![target("a"), target("b")],
                notices: vec![],
            }),
            ready_since: Some(Timestamp::UNIX_EPOCH),
            ..PodReport::default()
        };
        let pods = vec![pod("p1"), pod("p2")];
        let deployment = json!({
            "metadata": {"name": "production-mirror", "generation": 4},
            "spec": {"replicas": 2},
            "status": {"observedGeneration": 4, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2},
        });
        Self {
            mirror,
            built,
            applied: Applied::default(),
            deployment,
            pods,
            ended: None,
            notified: false,
        }
    }

    fn status(&self, previous: &PrometheusMirrorStatus, now: i64) -> PrometheusMirrorStatus {
        let deployment = serde_json::from_value(self.deployment.clone()).unwrap();
        let progress = Progress {
            mirror: self.mirror.clone(),
            built: self.built.clone(),
            applied: self.applied.clone(),
            deployment: Some(deployment),
            pods: self.pods.clone(),
            ended: self.ended.clone(),
            sidecars: None,
            restart: Restart::Nothing,
            notified: self.notified,
        };
        status(
            &Conclusion::Applied(Box::new(progress)),
            previous,
            Some(3),
            Timestamp::from_second(now).unwrap(),
        )
    }

    /// The conditions as `Type=Status Reason`, and the message of the first.
    fn conditions(change: impl FnOnce(&mut Self)) -> (Vec<String>, String) {
        let mut case = Self::fine();
        change(&mut case);
        summary(&case.status(&PrometheusMirrorStatus::default(), 0))
    }
}

fn ended(code: i32, reason: Option<&str>) -> Problem {
    Problem::Ended {
        code,
        reason: reason.map(str::to_owned),
        said: "spec.x: is wrong".to_owned(),
    }
}

fn summary(status: &PrometheusMirrorStatus) -> (Vec<String>, String) {
    let lines = status.conditions.iter().map(|condition| {
        format!(
            "{}={} {}",
            condition.type_, condition.status, condition.reason
        )
    });
    (lines.collect(), status.conditions[0].message.clone())
}

fn expected(conditions: &[&str], message: &str) -> (Vec<String>, String) {
    (
        conditions.iter().map(|line| (*line).to_owned()).collect(),
        message.to_owned(),
    )
}

#[test]
fn a_mirror_in_which_all_is_fine_is_ready_and_nothing_else() {
    let time = "1970-01-01T00:01:40Z";
    let target = |name: &str| json!({"name": name, "url": format!("http://{name}"), "reachable": true, "version": "3.10.0", "lastProbeTime": time});
    let condition = |type_: &str, reason: &str, message: &str| json!({"type": type_, "status": "True", "reason": reason, "message": message, "observedGeneration": 3, "lastTransitionTime": time});
    assert_eq!(
        json!(Case::fine().status(&PrometheusMirrorStatus::default(), 100)),
        json!({
            "observedGeneration": 3,
            "conditions": [
                condition("Ready", "Serving", "2 of 2 pods serve the current configuration."),
                condition("TargetsReachable", "Reachable", "Every pod reaches all 2 targets."),
            ],
            "replicas": 2, "readyReplicas": 2,
            "selector": "app.kubernetes.io/instance=production,app.kubernetes.io/name=prometheus-mirror",
            "endpoint": "http://production.observability.svc:9900",
            "reachableTargets": "2/2",
            "targets": [target("a"), target("b")],
        })
    );
}

#[test]
fn the_same_again_is_the_same_status_times_included() {
    let first = Case::fine().status(&PrometheusMirrorStatus::default(), 100);
    let stored: PrometheusMirrorStatus = serde_json::from_value(json!(first)).unwrap();
    assert_eq!(Case::fine().status(&stored, 5000), stored);
}

#[test]
fn each_cause_has_its_reason_and_what_to_expect() {
    assert_eq!(
        Case::conditions(
            |case| case.pods[1].answer.as_mut().unwrap().document = Some("old".to_owned())
        ),
        expected(
            &[
                "Ready=False ConfigurationSpreading",
                "Reconciling=True ConfigurationSpreading",
                "TargetsReachable=True Reachable"
            ],
            "1 of 2 pods serve the current configuration."
        )
    );
    assert_eq!(
        Case::conditions(|case| case.pods[1].notified = Some("of an older Secret".to_owned())).0[0],
        "Ready=False ConfigurationSpreading"
    );
    assert_eq!(
        Case::conditions(|case| case.deployment["status"]["readyReplicas"] = json!(1)),
        expected(
            &[
                "Ready=False RollingOut",
                "Reconciling=True RollingOut",
                "TargetsReachable=True Reachable"
            ],
            "2 of 2 pods are up to date, 1 are ready, 2 exist."
        )
    );
    assert_eq!(
        Case::conditions(|case| case.deployment["metadata"]["generation"] = json!(5)).0[0],
        "Ready=False RollingOut"
    );
    let object = |kind: Kind, name: &str| ObjectName {
        kind,
        name: name.to_owned(),
    };
    let write = Written {
        change: Change::Updated,
        object: object(Kind::Deployment, "production-mirror"),
    };
    assert_eq!(
        Case::conditions(|case| case.applied.written.push(write)).0[0],
        "Ready=False RollingOut"
    );
    assert_eq!(
        Case::conditions(
            |case| case.pods[0].answer.as_mut().unwrap().newer_document_refused = true
        ),
        expected(
            &[
                "Ready=False ConfigurationRefused",
                "Stalled=True ConfigurationRefused",
                "TargetsReachable=True Reachable"
            ],
            "Pod p1 refuses the current configuration and keeps serving the one before: kubectl logs -n observability p1 says why."
        )
    );
    assert_eq!(
        Case::conditions(|case| case.pods[0].problem = Some(ended(1, None))),
        expected(
            &[
                "Ready=False ConfigurationRefused",
                "Stalled=True ConfigurationRefused",
                "TargetsReachable=True Reachable"
            ],
            "Pod p1: ended with exit code 1: spec.x: is wrong"
        )
    );
    let waiting = Problem::Waiting {
        reason: "ErrImagePull".to_owned(),
        message: "no such image".to_owned(),
    };
    for problem in [waiting, ended(137, Some("OOMKilled")), ended(101, None)] {
        assert_eq!(
            Case::conditions(|case| case.pods[0].problem = Some(problem)).0[..2],
            ["Ready=False PodsFailing", "Reconciling=True PodsFailing"]
        );
    }
    assert_eq!(
        Case::conditions(|case| case.deployment["spec"]["replicas"] = json!(0)).0[0],
        "Ready=False ScaledToZero"
    );
    assert_eq!(
        Case::conditions(|case| case.applied.taken.push(object(Kind::Service, "production"))).0
            [..2],
        ["Ready=False NameTaken", "Stalled=True NameTaken"]
    );
    assert_eq!(
        Case::conditions(|case| case
            .applied
            .leaving
            .push(object(Kind::Service, "production")))
        .0[..2],
        ["Ready=False Replacing", "Reconciling=True Replacing"]
    );
    let missing = (
        object(Kind::HttpRoute, "production-mirror"),
        "its API is not installed in this cluster".to_owned(),
    );
    assert_eq!(
        Case::conditions(|case| case.applied.missing.push(missing)).0,
        [
            "Ready=True Serving",
            "TargetsReachable=True Reachable",
            "Degraded=True ApiMissing"
        ]
    );
}

#[test]
fn a_stored_budget_that_blocks_drains_is_reported_and_served() {
    let budget = json!({"minAvailable": "51%"});
    let blocking = |case: &mut Case| {
        case.mirror.spec.pod_disruption_budget = serde_json::from_value(budget).unwrap();
    };
    assert_eq!(
        Case::conditions(blocking).0,
        [
            "Ready=True Serving",
            "TargetsReachable=True Reachable",
            "Degraded=True BudgetBlocksDrains"
        ]
    );
}

#[test]
fn an_immutable_secret_that_was_created_again_is_reported() {
    let created = |second: i64| {
        Case::conditions(|case| {
            let created = Timestamp::from_second(second).unwrap();
            let secret = "Secret mirror-key".to_owned();
            case.mirror.immutable.insert(secret, created);
        })
    };
    let (conditions, _) = created(0);
    assert_eq!(
        conditions,
        ["Ready=True Serving", "TargetsReachable=True Reachable"]
    );
    let (conditions, _) = created(1);
    assert_eq!(conditions[2], "Degraded=True ImmutableReplaced");
}

#[test]
fn a_new_immutable_secret_is_no_replaced_one() {
    let (conditions, _) = Case::conditions(|case| {
        let created = Timestamp::from_second(1).unwrap();
        let secret = "Secret mirror-key-2".to_owned();
        case.mirror.immutable.insert(secret, created);
        // One of the pods that still have the old one.
        case.deployment["status"]["replicas"] = json!(3);
    });
    assert!(!conditions.iter().any(|line| line.starts_with("Degraded")));
}

#[test]
fn an_evicted_pod_is_quoted_while_one_is_missing() {
    let end = |second: i64| End {
        reason: "Evicted".to_owned(),
        message: "The node was low on resource: memory.".to_owned(),
        at: Timestamp::from_second(second).ok(),
    };
    let said = |ready: i32, ended: Option<End>| {
        let mut case = Case::fine();
        case.deployment["status"]["readyReplicas"] = json!(ready);
        case.ended = ended.map(|end| ("production-mirror-1-2".to_owned(), end));
        let status = case.status(&PrometheusMirrorStatus::default(), 1_000);
        let ready = status.condition(ConditionType::Ready).unwrap();
        ready.message.clone()
    };
    let missing = "2 of 2 pods are up to date, 1 are ready, 2 exist.";
    let why = "Pod production-mirror-1-2 ended: Evicted: The node was low on resource: memory.";
    assert_eq!(said(1, Some(end(900))), format!("{missing} {why}"));
    assert_eq!(said(1, Some(end(300))), missing, "long ago");
    assert_eq!(said(1, None), missing);
    assert!(said(2, Some(end(900))).starts_with("2 of 2 pods serve"));
}

#[test]
fn pods_that_the_api_server_refuses_are_reported_in_its_words() {
    let quota = r#"pods "production-mirror-1-2" is forbidden: failed quota: cpu: must specify limits.cpu for: mirror"#;
    let failure = json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": quota});
    let refused = |case: &mut Case| {
        case.deployment["status"] = json!({
            "observedGeneration": 4, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 0,
            "conditions": [failure],
        });
    };
    assert_eq!(
        Case::conditions(refused),
        expected(
            &[
                "Ready=False PodsRefused",
                "Reconciling=True PodsRefused",
                "TargetsReachable=True Reachable"
            ],
            &format!("Pods cannot be created: {quota} (1 of 2 are ready)")
        )
    );
    // All are there, so it is of the past.
    assert_eq!(
        Case::conditions(|case| case.deployment["status"]["conditions"] = json!([failure])).0[0],
        "Ready=True Serving"
    );
}

#[test]
fn a_changed_secret_keeps_a_mirror_from_being_ready_until_its_pods_have_had_time_to_refuse_it() {
    let ready = |status: &PrometheusMirrorStatus| summary(status).0[0].clone();
    let before = Case::fine().status(&PrometheusMirrorStatus::default(), 100);
    let notified = Case {
        notified: true,
        ..Case::fine()
    }
    .status(&before, 200);
    assert_eq!(ready(&notified), "Ready=False ConfigurationSpreading");
    let soon = Case::fine().status(&notified, 204);
    assert_eq!(ready(&soon), "Ready=False ConfigurationSpreading");
    assert_eq!(
        ready(&Case::fine().status(&soon, 205)),
        "Ready=True Serving"
    );
}

#[test]
fn a_target_is_reachable_when_every_pod_reaches_it() {
    let reachability = |change: &dyn Fn(&mut Vec<TargetReachability>)| {
        let mut case = Case::fine();
        change(&mut case.pods[1].answer.as_mut().unwrap().targets);
        let status = case.status(&PrometheusMirrorStatus::default(), 0);
        let condition = status
            .conditions
            .iter()
            .find(|condition| condition.type_ == "TargetsReachable")
            .unwrap();
        (
            status.reachable_targets.unwrap(),
            format!("{} {}", condition.status, condition.message),
        )
    };
    assert_eq!(
        reachability(&|targets| {
            targets[1] = TargetReachability {
                name: "b".to_owned(),
                reachable: Some(false),
                version: None,
                message: Some("connection refused".to_owned()),
                notices: vec![],
                servers: vec![],
            };
        }),
        ("1/2".to_owned(), "False b: connection refused".to_owned())
    );
    assert_eq!(
        reachability(&|targets| targets[0].reachable = None),
        (
            "1/2".to_owned(),
            "Unknown Not every pod has said what it reaches.".to_owned()
        )
    );
}

/// A mirror of a pair and of shards, and its status after a change of what the second pod sees of
/// the pair.
fn pair(change: impl FnOnce(&mut TargetReachability)) -> PrometheusMirrorStatus {
    let mut case = Case::of(json!([
        {"name": "a", "replicas": [{"url": "http://a1:80"}, {"url": "http://a2"}]},
        {"name": "b", "shards": [{"url": "http://b1"}, {"replicas": [{"url": "http://b2"}, {"url": "http://b3"}]}]},
    ]));
    let up = ServerReachability {
        url: "http://a1/".to_owned(),
        reachable: Some(true),
        version: Some("3.10.0".to_owned()),
        message: None,
    };
    for pod in &mut case.pods {
        let targets = &mut pod.answer.as_mut().unwrap().targets;
        targets[0].servers = vec![up.clone(); 2];
        targets[1].servers = vec![up.clone(); 3];
    }
    change(&mut case.pods[1].answer.as_mut().unwrap().targets[0]);
    case.status(&PrometheusMirrorStatus::default(), 0)
}

#[test]
fn each_of_several_servers_is_reported() {
    let fine = pair(|_| {});
    let up = |url: &str| json!({"url": url, "reachable": true, "version": "3.10.0"});
    let time = "1970-01-01T00:00:00Z";
    let target = |name: &str, servers: Value| json!({"name": name, "reachable": true, "version": "3.10.0", "lastProbeTime": time, "servers": servers});
    assert_eq!(
        json!(fine.targets),
        json!([
            target("a", json!([up("http://a1:80"), up("http://a2")])),
            target("b", json!(["http://b1", "http://b2", "http://b3"].map(up))),
        ])
    );
    let down = pair(|target| {
        target.message = Some("cannot connect to http://a2".to_owned());
        let server = &mut target.servers[1];
        (server.reachable, server.version) = (Some(false), None);
        server.message = Some("connection refused".to_owned());
    });
    let mut expected = json!(fine.targets);
    expected[0]["message"] = json!("cannot connect to http://a2");
    expected[0]["servers"][1]["reachable"] = json!(false);
    expected[0]["servers"][1]["message"] = json!("connection refused");
    assert_eq!(json!(down.targets), expected);
    let condition = down.condition(ConditionType::TargetsReachable).unwrap();
    assert_eq!(
        (condition.status.as_str(), condition.message.as_str()),
        (
            "True",
            "Every pod reaches all 2 targets, but not all of their servers: a: cannot connect to http://a2"
        )
    );
}

#[test]
fn of_servers_that_a_pod_does_not_report_nothing_is_known() {
    let status = pair(|target| target.servers.clear());
    let known = status.targets.iter().map(|target| {
        let servers = target.servers.iter();
        servers.map(|server| server.reachable).collect::<Vec<_>>()
    });
    assert_eq!(
        known.collect::<Vec<_>>(),
        [vec![None; 2], vec![Some(true); 3]]
    );
}

#[test]
fn more_servers_than_a_status_has_room_for_are_left_out() {
    let replicas: Vec<_> = (0..4)
        .map(|at| json!({"url": format!("http://{at}")}))
        .collect();
    let targets = (0..40).map(|at| json!({"name": format!("t{at}"), "replicas": replicas}));
    let case = Case::of(targets.collect());
    let status = case.status(&PrometheusMirrorStatus::default(), 0);
    let listed = status.targets.iter().map(|target| target.servers.len());
    assert_eq!(
        listed.collect::<Vec<_>>(),
        [[4; 32].as_slice(), &[0; 8]].concat()
    );
}

#[test]
fn what_a_mirror_skipped_is_reported_and_changes_no_condition() {
    let mut case = Case::fine();
    for pod in &mut case.pods {
        let answer = pod.answer.as_mut().unwrap();
        answer.targets[1].notices = vec!["skips the 2nd".to_owned(), "ends in /graph".to_owned()];
        answer.notices = vec!["spec.server.tls.secretName: skips the 3rd".to_owned()];
    }
    let (fine, noted) = (
        Case::fine().status(&PrometheusMirrorStatus::default(), 0),
        case.status(&PrometheusMirrorStatus::default(), 0),
    );
    assert_eq!(summary(&noted).0, summary(&fine).0);
    assert_eq!(
        noted.conditions[0].message,
        "2 of 2 pods serve the current configuration. Note: spec.server.tls.secretName: skips the 3rd"
    );
    let messages = noted.targets.into_iter().map(|target| target.message);
    assert_eq!(
        messages.collect::<Vec<_>>(),
        [None, Some("skips the 2nd; ends in /graph".to_owned())]
    );
}

#[test]
fn a_server_that_does_not_answer_keeps_its_version_until_it_is_another_server() {
    let before = Case::fine().status(&PrometheusMirrorStatus::default(), 0);
    let mut case = Case::fine();
    for pod in &mut case.pods {
        for target in &mut pod.answer.as_mut().unwrap().targets {
            target.version = None;
        }
    }
    case.mirror.spec.targets[1].url = Some(crds::HttpUrl("http://elsewhere".to_owned()));
    let versions = case.status(&before, 1).targets.into_iter();
    assert_eq!(
        versions.map(|target| target.version).collect::<Vec<_>>(),
        [Some("3.10.0".to_owned()), None]
    );
}

#[test]
fn an_invalid_spec_is_stalled_and_keeps_what_is_known_of_the_pods() {
    let before = Case::fine().status(&PrometheusMirrorStatus::default(), 100);
    let invalid = Invalid {
        reason: Reason::SecretMissing,
        message: "there is no Secret x".to_owned(),
    };
    let after = status(
        &Conclusion::Invalid(invalid, None),
        &before,
        Some(4),
        Timestamp::from_second(200).unwrap(),
    );
    assert_eq!(
        summary(&after),
        expected(
            &[
                "Ready=False SecretMissing",
                "Stalled=True SecretMissing",
                "TargetsReachable=True Reachable"
            ],
            "there is no Secret x"
        )
    );
    assert_eq!(
        (after.observed_generation, after.endpoint, after.targets),
        (Some(4), before.endpoint, before.targets)
    );
}

#[test]
fn a_paused_resource_stays_as_it_was_and_says_so() {
    let paused = |before: &PrometheusMirrorStatus| {
        summary(&status(
            &Conclusion::Paused,
            before,
            Some(4),
            Timestamp::UNIX_EPOCH,
        ))
        .0
    };
    let before = Case::fine().status(&PrometheusMirrorStatus::default(), 100);
    assert_eq!(
        paused(&before),
        [
            "Ready=True Serving",
            "TargetsReachable=True Reachable",
            "Paused=True Paused"
        ]
    );
    assert_eq!(
        paused(&PrometheusMirrorStatus::default()),
        [
            "Ready=False Paused",
            "TargetsReachable=Unknown NotAsked",
            "Paused=True Paused"
        ]
    );
}

#[test]
fn numbers_and_messages_of_a_rollout_are_progress_and_anything_else_is_news() {
    let rolling = |ready: i64, generation: i64| {
        let mut case = Case::fine();
        case.deployment["status"]["readyReplicas"] = json!(ready);
        let mut status = case.status(&PrometheusMirrorStatus::default(), 0);
        status.observed_generation = Some(generation);
        status
    };
    let nothing = PrometheusMirrorStatus::default();
    let ready = Case::fine().status(&nothing, 0);
    let unreachable = {
        let mut status = rolling(1, 3);
        status.targets[0].reachable = Some(false);
        status
    };
    let cases = [
        ("a new resource on its way", &nothing, &rolling(0, 3), true),
        ("one more pod", &rolling(0, 3), &rolling(1, 3), true),
        ("the same", &rolling(1, 3), &rolling(1, 3), false),
        ("a new resource that is ready", &nothing, &ready, false),
        ("ready at last", &rolling(1, 3), &ready, false),
        ("a rollout begins", &ready, &rolling(1, 3), false),
        ("another spec", &rolling(1, 3), &rolling(1, 4), false),
        ("a target is lost", &rolling(1, 3), &unreachable, false),
    ];
    for (what, before, after, expected) in cases {
        assert_eq!(is_progress(before, after), expected, "{what}");
    }
}
