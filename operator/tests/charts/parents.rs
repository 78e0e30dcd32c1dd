//! The charts in charts of other people.

use serde_json::{Value, json};

use crate::helm::{self, MIRROR, OPERATOR, Parent, named, needed, template, with};

/// The values of a parent whose only other chart is ours.
fn within(chart: &str, values: &Value) -> Value {
    json!({ chart: with(&needed(chart), values) })
}

/// What StackState's agent, Rancher and others keep in `global`.
fn of_other_charts() -> Value {
    json!({
        "apiKey": {"fromSecret": "agent-key"},
        "imageRegistry": {"name": "registry.example.com"},
        "imagePullSecrets": {"name": "not-a-list"},
        "imagePullCredentials": {},
        "proxy": {"url": "http://proxy:3128"},
        "extraEnv": {"open": {}, "secret": {}},
        "cattle": {"systemDefaultRegistry": ""},
        "podSecurityPolicy": true,
    })
}

#[test]
fn a_parent_turns_a_chart_on_and_off_by_a_condition() {
    for chart in [OPERATOR, MIRROR] {
        let condition = format!("{chart}.enabled");
        let parent = Parent::new(&json!([
            {"name": chart, "version": "0.1.0", "repository": "file://x", "condition": condition},
        ]));
        for enabled in [true, false] {
            let values = within(chart, &json!({ "enabled": enabled }));
            let deployments = parent.template(&values).unwrap();
            let number = named(&deployments, "Deployment").len();
            assert_eq!(number, usize::from(enabled), "{chart} enabled: {enabled}");
        }
    }
}

#[test]
fn a_parent_turns_a_chart_on_and_off_by_a_tag() {
    for chart in [OPERATOR, MIRROR] {
        let parent = Parent::new(&json!([
            {"name": chart, "version": "0.1.0", "repository": "file://x", "tags": ["metrics"]},
        ]));
        for enabled in [true, false] {
            let tags = json!({"tags": {"metrics": enabled}});
            let values = with(&within(chart, &json!({})), &tags);
            let number = named(&parent.template(&values).unwrap(), "Deployment").len();
            assert_eq!(number, usize::from(enabled), "{chart} enabled: {enabled}");
        }
    }
}

#[test]
fn two_aliases_of_a_chart_are_two_mirrors() {
    let parent = Parent::new(&json!([
        {"name": MIRROR, "version": "0.1.0", "repository": "file://x", "alias": "mirror-a"},
        {"name": MIRROR, "version": "0.1.0", "repository": "file://x", "alias": "mirror-b"},
    ]));
    let values = json!({"mirror-a": needed(MIRROR), "mirror-b": needed(MIRROR)});
    let objects = parent.template(&values).unwrap();
    let deployments = named(&objects, "Deployment");
    assert_eq!(deployments, ["r-mirror-a-mirror", "r-mirror-b-mirror"]);
    let services = named(&objects, "Service");
    assert_eq!(services, ["r-mirror-a", "r-mirror-b"]);
    let selectors = objects
        .iter()
        .filter(|object| object["kind"] == "Deployment");
    let mut selectors = selectors
        .map(|object| &object["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"]);
    assert!(selectors.clone().all(Value::is_string));
    assert_ne!(selectors.next(), selectors.next());
}

#[test]
fn two_aliases_of_the_operator_are_two_operators() {
    let dependency = |alias: &str| json!({"name": OPERATOR, "version": "0.1.0", "repository": "file://x", "alias": alias});
    let parent = Parent::new(&json!([dependency("team-a"), dependency("team-b")]));
    let of = |namespace: &str| json!({"watchNamespaces": [namespace], "crds": {"install": false}});
    let values = json!({"team-a": of("a"), "team-b": of("b")});
    let objects = parent.template(&values).unwrap();
    assert_eq!(named(&objects, "Deployment"), ["r-team-a", "r-team-b"]);
}

#[test]
fn anchors_are_no_misspelt_values() {
    for chart in [OPERATOR, MIRROR] {
        let anchors = json!({"x-common": {"a": 1}, "x-tolerations": []});
        let parent = Parent::of(chart).template(&within(chart, &anchors));
        assert!(parent.is_ok(), "{chart}: {parent:?}");
    }
}

#[test]
fn misspelt_values_are_refused_in_a_parent_too() {
    let misspelt = [
        (OPERATOR, json!({"replicaCount": 2})),
        (OPERATOR, json!({"tests": {"enable": true}})),
        (OPERATOR, json!({"xcommon": {}})),
        (MIRROR, json!({"worker": 5})),
        (MIRROR, json!({"tests": {"enable": true}})),
        (MIRROR, json!({"imageregistry": "a"})),
        (MIRROR, json!({"enabled": "yes"})),
    ];
    for (chart, values) in misspelt {
        let said = Parent::of(chart)
            .template(&within(chart, &values))
            .unwrap_err();
        let field = values.as_object().unwrap().keys().next().unwrap();
        assert!(said.contains(field), "{chart} {values}: {said}");
    }
}

#[test]
fn what_is_global_for_other_charts_is_left_alone() {
    for chart in [OPERATOR, MIRROR] {
        let alone = Parent::of(chart).template(&within(chart, &json!({})));
        let global = json!({ "global": of_other_charts() });
        let values = with(&within(chart, &json!({})), &global);
        let shared = Parent::of(chart).template(&values);
        assert_eq!(shared, alone, "{chart}");
        let none = with(&needed(chart), &json!({"global": null}));
        let none = template(&helm::chart(chart), "r", &none).unwrap();
        assert_eq!(none.len(), alone.unwrap().len(), "{chart}");
    }
}

#[test]
fn the_key_of_a_parents_agent_is_not_the_mirrors() {
    let targets = json!({MIRROR: {"targets": needed(MIRROR)["targets"]}});
    let map = json!({"global": {"apiKey": {"fromSecret": "agent-key"}}});
    let said = Parent::of(MIRROR)
        .template(&with(&targets, &map))
        .unwrap_err();
    assert!(
        said.contains("global.apiKey is missing or no text"),
        "{said}"
    );
    assert!(said.contains("apiKeySecretRef.name=mirror-key"), "{said}");
    // A text is one, unless the mirror has a Secret of its own.
    let text = json!({"global": {"apiKey": "key"}});
    let objects = Parent::of(MIRROR).template(&with(&targets, &text)).unwrap();
    assert_eq!(named(&objects, "Secret").len(), 1);
    let values = with(&within(MIRROR, &json!({})), &text);
    let objects = Parent::of(MIRROR).template(&values).unwrap();
    assert!(named(&objects, "Secret").is_empty());
}

/// All charts of a release share the names of their templates.
#[test]
fn templates_of_other_charts_do_not_replace_ours() {
    let names = [
        "name", "fullname", "labels", "image", "metadata", "validate",
    ];
    let templates =
        names.map(|name| format!("{{{{- define \"operator.{name}\" }}}}x{{{{ end }}}}\n"));
    for chart in [OPERATOR, MIRROR] {
        let alone = Parent::of(chart).template(&within(chart, &json!({})));
        let parent = Parent::of(chart);
        parent.write("templates/_helpers.tpl", &templates.concat());
        for other in ["a", "z"] {
            let about = format!("{{apiVersion: v2, name: {other}, version: 1.0.0}}");
            parent.write(&format!("charts/{other}/Chart.yaml"), &about);
            parent.write(
                &format!("charts/{other}/templates/_x.tpl"),
                &templates.concat(),
            );
        }
        let beside = parent.template(&within(chart, &json!({})));
        assert_eq!(beside, alone, "{chart}");
    }
}
