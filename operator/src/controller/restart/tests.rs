use serde_json::json;

use super::*;

fn owner(kind: &str) -> Owner {
    Owner {
        api_version: "apps/v1".to_owned(),
        kind: kind.to_owned(),
        name: "s".to_owned(),
        uid: "u-s".to_owned(),
    }
}

/// A ready pod of a StatefulSet, made before the sidecar was rendered.
fn pod(name: &str, state: State) -> SidecarPod {
    SidecarPod {
        name: name.to_owned(),
        uid: Some(format!("u-{name}")),
        owner: Some(owner("StatefulSet")),
        made_at: "2026-01-01T00:00:00Z".parse().ok(),
        is_ready: true,
        ready_since: "2026-01-01T00:01:00Z".parse().ok(),
        is_ending: false,
        has_sidecar: state != State::Missing,
        serves: None,
        beside: None,
        state,
    }
}

fn sidecars(pods: Vec<SidecarPod>) -> Sidecars {
    Sidecars {
        pods,
        injects: Injects::Yes,
        rendered_at: "2026-01-01T01:00:00Z".parse().ok(),
        unasked: 0,
    }
}

/// The pod to evict, or why none.
fn decided(sidecars: &Sidecars) -> String {
    match next(sidecars, "2026-01-01T02:00:00Z".parse().unwrap()) {
        Next::Nothing => "nothing".to_owned(),
        Next::Waiting(why) => why,
        Next::Evict(pod, _) => format!("evict {}", pod.name),
    }
}

fn changed(change: impl FnOnce(&mut SidecarPod)) -> SidecarPod {
    let mut changed = pod("p-1", State::Missing);
    change(&mut changed);
    changed
}

#[test]
fn pods_that_a_restart_helps_go_one_by_one_the_last_first() {
    let both = [State::Missing, State::Outdated];
    for state in both {
        let pods = vec![pod("p-0", State::Missing), pod("p-1", state)];
        assert_eq!(decided(&sidecars(pods)), "evict p-1");
    }
    let pods = vec![pod("p-0", State::Outdated), pod("p-1", State::Current)];
    assert_eq!(decided(&sidecars(pods)), "evict p-0");
    let current = vec![pod("p-0", State::Current), pod("p-1", State::Current)];
    assert_eq!(decided(&sidecars(current)), "nothing");
}

#[test]
fn the_next_pod_waits_until_every_other_one_is_ready() {
    let starting = changed(|pod| {
        pod.state = State::Current;
        pod.is_ready = false;
    });
    let pods = vec![pod("p-0", State::Missing), starting];
    assert_eq!(decided(&sidecars(pods)), "Pod p-1 is not ready");
    let ending = changed(|pod| pod.is_ending = true);
    let pods = vec![pod("p-0", State::Missing), ending];
    assert_eq!(decided(&sidecars(pods)), "Pod p-1 is not ready");
    // One that is not ready anyway goes first.
    let broken = SidecarPod {
        is_ready: false,
        ..pod("p-0", State::Outdated)
    };
    let pods = vec![broken, pod("p-1", State::Outdated)];
    assert_eq!(decided(&sidecars(pods)), "evict p-0");
}

#[test]
fn a_new_pod_serves_for_a_while_before_the_next_one_goes() {
    let beside = |change: fn(&mut SidecarPod)| {
        let mut other = pod("p-1", State::Current);
        change(&mut other);
        decided(&sidecars(vec![pod("p-0", State::Outdated), other]))
    };
    let ready_at = |time: &str| time.parse().ok();
    assert_eq!(beside(|pod| pod.serves = Some(true)), "evict p-0");
    // As one is that cannot be asked.
    assert_eq!(beside(|pod| pod.ready_since = None), "evict p-0");
    let other = SidecarPod {
        ready_since: ready_at("2026-01-01T01:59:51Z"),
        ..pod("p-1", State::Current)
    };
    let recently = vec![pod("p-0", State::Outdated), other];
    let said = "Pod p-1 has been ready for less than 10 s";
    assert_eq!(decided(&sidecars(recently)), said);
    let said = "Pod p-1 does not serve the current configuration";
    assert_eq!(beside(|pod| pod.serves = Some(false)), said);
    // The policy is broken: restarting the others would be in vain.
    for state in [State::Missing, State::Outdated] {
        let other = SidecarPod {
            made_at: ready_at("2026-01-01T01:01:00Z"),
            ..pod("p-1", state)
        };
        let said = "Pod p-1 is new and has not the current sidecar";
        let pods = vec![pod("p-0", State::Outdated), other];
        assert_eq!(decided(&sidecars(pods)), said);
    }
    // An older one may not be able to.
    let older = |pod: &mut SidecarPod| {
        pod.state = State::Outdated;
        pod.serves = Some(false);
    };
    assert_eq!(beside(older), "evict p-1");
}

#[test]
fn a_pod_that_would_come_back_the_same_or_not_at_all_stays() {
    let alone = |pod: SidecarPod| decided(&sidecars(vec![pod]));
    for state in [State::NameTaken, State::VolumeTaken, State::Differs] {
        assert_eq!(alone(pod("p", state)), "nothing");
    }
    assert_eq!(alone(changed(|pod| pod.owner = None)), "nothing");
    let by_another = |kind: &str| alone(changed(|pod| pod.owner = Some(owner(kind))));
    assert_eq!(by_another("Job"), "nothing");
    assert_eq!(by_another("ReplicaSet"), "evict p-1");
    assert_eq!(by_another("DaemonSet"), "evict p-1");
    // Made after the sidecar was rendered, and yet without it.
    let late = changed(|pod| pod.made_at = "2026-01-01T01:01:00Z".parse().ok());
    assert_eq!(alone(late), "nothing");
    for state in [State::Missing, State::Outdated] {
        for injects in [Injects::NoApi, Injects::NoPolicy] {
            let mut nothing_injects = sidecars(vec![pod("p", state.clone())]);
            nothing_injects.injects = injects;
            assert_eq!(decided(&nothing_injects), "nothing");
        }
    }
    let mut not_in_the_status = sidecars(vec![pod("p", State::Outdated)]);
    not_in_the_status.rendered_at = None;
    assert_eq!(decided(&not_in_the_status), "nothing");
}

#[test]
fn an_owner_misses_none_when_it_has_seen_its_template_and_all_are_ready() {
    let misses_none = |spec: Value, status: Value, ready: bool| {
        let object =
            json!({"metadata": {"name": "s", "generation": 2}, "spec": spec, "status": status});
        misses_none(&serde_json::from_value(object).unwrap(), ready)
    };
    let two = || json!({"replicas": 2});
    let status = |ready: i64| json!({"observedGeneration": 2, "readyReplicas": ready});
    assert!(misses_none(two(), status(2), true));
    assert!(!misses_none(two(), status(1), true));
    assert!(misses_none(two(), status(1), false));
    let behind = json!({"observedGeneration": 1, "readyReplicas": 2});
    assert!(!misses_none(two(), behind, true));
    let daemons = json!({"observedGeneration": 2, "desiredNumberScheduled": 3, "numberReady": 2});
    assert!(!misses_none(json!({}), daemons.clone(), true));
    assert!(misses_none(json!({}), daemons, false));
}

#[test]
fn after_an_eviction_the_pod_in_its_place_must_come_first() {
    let evictions = Evictions::default();
    let resource = || ("n".to_owned(), "a".to_owned());
    let before = sidecars(vec![pod("p-0", State::Missing), pod("p-1", State::Missing)]);
    let pending = |sidecars: &Sidecars| evictions.pending(&resource(), sidecars);
    assert_eq!(pending(&before), None);
    evictions.note(resource(), &owner("StatefulSet"), &before);
    let gone = sidecars(vec![pod("p-0", State::Missing)]);
    let said = "the pod in the place of the last one has yet to come (hint: 'kubectl describe \
                statefulset s' says what keeps it away)";
    let said = Some(said.to_owned());
    assert_eq!([pending(&before), pending(&gone)], [said.clone(), said]);
    let other = ("n".to_owned(), "b".to_owned());
    assert_eq!(evictions.pending(&other, &gone), None);
    let in_its_place = |state: State| {
        let next = SidecarPod {
            uid: Some("u-next".to_owned()),
            ..pod("p-1", state)
        };
        sidecars(vec![pod("p-0", State::Missing), next])
    };
    // Another eviction would be in vain, too.
    let said = Some("Pod p-1 came back without the current sidecar".to_owned());
    assert_eq!(pending(&in_its_place(State::Missing)), said);
    assert_eq!(pending(&in_its_place(State::Current)), None);
    assert_eq!(pending(&in_its_place(State::Missing)), None, "forgotten");
}

#[test]
fn another_sidecar_is_not_waited_for_in_vain() {
    let evictions = Evictions::default();
    let resource = || ("n".to_owned(), "a".to_owned());
    let before = sidecars(vec![pod("p-0", State::Outdated)]);
    evictions.note(resource(), &owner("StatefulSet"), &before);
    let next = SidecarPod {
        uid: Some("u-next".to_owned()),
        ..pod("p-0", State::Outdated)
    };
    let mut after = sidecars(vec![next]);
    after.rendered_at = "2026-01-01T01:00:01Z".parse().ok();
    assert_eq!(evictions.pending(&resource(), &after), None);
}
