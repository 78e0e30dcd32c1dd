use super::*;
use crate::cluster::kind::Kind;

fn child() -> Child {
    stamped(Child {
        kind: Kind::Deployment,
        manifest: json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "a-mirror", "namespace": "n", "labels": {"x": "y"},
                "ownerReferences": [{"apiVersion": "v", "kind": "k", "name": "a", "uid": "u-1", "controller": true, "blockOwnerDeletion": true}]},
            "spec": {"template": {"spec": {
                "enableServiceLinks": false, "tolerations": [],
                "containers": [{"name": "mirror", "resources": {"limits": {"memory": "1024Mi", "cpu": "0.5"}}}],
            }}},
        }),
    })
}

/// The child as an API server gives it back.
fn stored() -> Value {
    let mut there = child().manifest;
    there["metadata"]["uid"] = json!("d-1");
    there["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("1");
    there["spec"]["replicas"] = json!(3);
    let pod = &mut there["spec"]["template"]["spec"];
    pod.as_object_mut().unwrap().remove("tolerations");
    pod["dnsPolicy"] = json!("ClusterFirst");
    pod["containers"][0]["resources"]["limits"] = json!({"memory": "1Gi", "cpu": "500m"});
    there
}

fn decided(there: Value) -> Decision {
    decide(&child(), &serde_json::from_value(there).unwrap(), "u-1")
}

#[test]
fn defaults_fields_of_others_and_other_forms_of_a_quantity_are_no_difference() {
    assert_eq!(decided(stored()), Decision::Nothing);
}

#[test]
fn what_the_api_server_adds_to_a_service_of_both_families_is_no_difference() {
    let service = |spec: Value| {
        stamped(Child {
            kind: Kind::Service,
            manifest: json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "a", "namespace": "n",
                    "ownerReferences": [{"apiVersion": "v", "kind": "k", "name": "a", "uid": "u-1", "controller": true, "blockOwnerDeletion": true}]},
                "spec": spec,
            }),
        })
    };
    let both = json!({
        "clusterIP": "fd00::1", "clusterIPs": ["fd00::1", "10.0.0.1"], "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": "PreferDualStack", "sessionAffinity": "None",
    });
    let decided = |asked: Value| {
        let child = service(asked);
        let mut there = child.manifest.clone();
        there["spec"] = both.clone();
        decide(&child, &serde_json::from_value(there).unwrap(), "u-1")
    };
    for asked in [
        json!({}),
        json!({"ipFamilyPolicy": "PreferDualStack"}),
        json!({"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6"]}),
        json!({"ipFamilies": ["IPv6", "IPv4"]}),
    ] {
        assert_eq!(decided(asked.clone()), Decision::Nothing, "{asked}");
    }
    let update = Decision::Update { uid: None };
    let single = json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]});
    assert_eq!(decided(single), update);
}

#[test]
fn an_item_of_a_list_has_no_kind_and_is_the_same_all_the_same() {
    let mut there = stored();
    there
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !["apiVersion", "kind"].contains(&name.as_str()));
    assert_eq!(decided(there), Decision::Nothing);
}

#[test]
fn an_edited_or_removed_field_is_a_difference_and_so_is_another_hash() {
    let update = Decision::Update {
        uid: Some("d-1".to_owned()),
    };
    for edit in [
        |there: &mut Value| there["metadata"]["labels"]["x"] = json!("z"),
        |there: &mut Value| there["metadata"]["labels"] = json!({}),
        |there: &mut Value| {
            there["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] =
                json!("501m")
        },
        |there: &mut Value| there["spec"]["template"]["spec"]["containers"] = json!([]),
        |there: &mut Value| {
            there["metadata"]["annotations"][annotations::APPLIED] = json!("of something else")
        },
    ] {
        let mut there = stored();
        edit(&mut there);
        assert_eq!(decided(there.clone()), update, "{there}");
    }
}

#[test]
fn what_an_earlier_resource_of_the_name_controls_or_is_being_deleted_is_waited_for() {
    for edit in [
        |there: &mut Value| there["metadata"]["ownerReferences"][0]["uid"] = json!("u-0"),
        |there: &mut Value| there["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
    ] {
        let mut there = stored();
        edit(&mut there);
        assert_eq!(decided(there.clone()), Decision::Leaving, "{there}");
    }
}

#[test]
fn what_another_resource_or_nobody_controls_is_taken() {
    for edit in [
        |there: &mut Value| {
            there["metadata"]["ownerReferences"][0]["uid"] = json!("u-0");
            there["metadata"]["ownerReferences"][0]["name"] = json!("b");
        },
        |there: &mut Value| there["metadata"]["ownerReferences"][0]["controller"] = json!(false),
        |there: &mut Value| there["metadata"]["ownerReferences"] = json!([]),
    ] {
        let mut there = stored();
        edit(&mut there);
        assert_eq!(decided(there.clone()), Decision::Taken, "{there}");
    }
}

#[test]
fn what_is_made_is_made_only_where_nothing_is_and_what_is_changed_only_if_it_is_still_the_same_object()
 {
    let update = Decision::Update {
        uid: Some("d-1".to_owned()),
    };
    let sent = |decision: &Decision| {
        let mut manifest = json!({"metadata": {"name": "a"}});
        decision.add_condition(&mut manifest);
        manifest["metadata"].clone()
    };
    assert_eq!(
        sent(&Decision::Create),
        json!({"name": "a", "resourceVersion": "1"})
    );
    assert_eq!(sent(&update), json!({"name": "a", "uid": "d-1"}));
}
