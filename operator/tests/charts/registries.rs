//! Where images come from, and which secrets pull them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::helm::{MIRROR, OPERATOR, chart, needed, repository, template, with};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Every image in objects, that of mirrors in the operator's environment included.
fn images(objects: &[Value]) -> BTreeSet<String> {
    let mut images = BTreeSet::new();
    let mut take = |image: &Value| {
        images.extend(image.as_str().map(str::to_owned));
    };
    for object in objects {
        take(&object["spec"]["image"]);
        let pods = [&object["spec"], &object["spec"]["template"]["spec"]];
        for container in pods.iter().filter_map(|pod| pod["containers"].as_array()) {
            for container in container {
                take(&container["image"]);
                let variables = container["env"].as_array().into_iter().flatten();
                let image =
                    |variable: &&Value| variable["name"] == "PROMETHEUS_MIRROR_OPERATOR_IMAGE";
                variables
                    .filter(image)
                    .for_each(|image| take(&image["value"]));
            }
        }
    }
    images
}

/// The secrets that pull images, in each pod and resource.
fn pull_secrets(objects: &[Value]) -> BTreeSet<String> {
    let places = ["/spec", "/spec/template/spec"];
    let found = objects.iter().flat_map(|object| {
        places.map(|place| object.pointer(&format!("{place}/imagePullSecrets")))
    });
    found.flatten().map(Value::to_string).collect()
}

fn rendered(name: &str, values: &Value) -> Vec<Value> {
    let all = json!({"tests": {"enabled": true}});
    let values = with(&with(&needed(name), &all), values);
    template(&chart(name), "r", &values).unwrap()
}

#[test]
fn every_image_has_its_registry() {
    let operator = |image: &str, mirror: &str| vec![image.to_owned(), mirror.to_owned()];
    let defaults = [
        "ghcr.io/prometheus-mirror/prometheus-mirror-operator:0.1.0",
        "ghcr.io/prometheus-mirror/prometheus-mirror:0.1.0",
    ];
    let in_registry = |registry: &str| {
        operator(
            &format!("{registry}/prometheus-mirror-operator:0.1.0"),
            &format!("{registry}/prometheus-mirror:0.1.0"),
        )
    };
    let global = json!({"global": {"imageRegistry": "registry.corp:5000/"}});
    let own = json!({"imageRegistry": "registry.corp/mirrors/"});
    let cases: Vec<(&str, Value, Vec<String>)> = vec![
        (OPERATOR, json!({}), operator(defaults[0], defaults[1])),
        (
            OPERATOR,
            global.clone(),
            in_registry("registry.corp:5000/prometheus-mirror"),
        ),
        (OPERATOR, own.clone(), in_registry("registry.corp/mirrors")),
        (
            OPERATOR,
            with(&global, &own),
            in_registry("registry.corp/mirrors"),
        ),
        (
            OPERATOR,
            with(
                &global,
                &json!({"image": {"repository": "team/o"}, "mirrorImage": {"repository": "other.corp/m"}}),
            ),
            operator("registry.corp:5000/team/o:0.1.0", "other.corp/m:0.1.0"),
        ),
        (
            OPERATOR,
            json!({"image": {"digest": DIGEST}, "mirrorImage": {"tag": format!("1@{DIGEST}")}}),
            operator(
                &format!("ghcr.io/prometheus-mirror/prometheus-mirror-operator@{DIGEST}"),
                &format!("ghcr.io/prometheus-mirror/prometheus-mirror:1@{DIGEST}"),
            ),
        ),
        (MIRROR, json!({}), vec![defaults[1].to_owned()]),
        (
            MIRROR,
            global.clone(),
            vec!["registry.corp:5000/prometheus-mirror/prometheus-mirror:0.1.0".to_owned()],
        ),
        (
            MIRROR,
            with(&global, &own),
            vec!["registry.corp/mirrors/prometheus-mirror:0.1.0".to_owned()],
        ),
        (
            MIRROR,
            with(&global, &json!({"image": "team/m:2"})),
            vec!["registry.corp:5000/team/m:2".to_owned()],
        ),
        (
            MIRROR,
            with(
                &global,
                &json!({"image": format!("other.corp:443/m:2@{DIGEST}")}),
            ),
            vec![format!("other.corp:443/m:2@{DIGEST}")],
        ),
        // The operator knows its own registry.
        (
            MIRROR,
            with(&global, &json!({"operator": {"enabled": true}})),
            vec![],
        ),
        (
            MIRROR,
            with(&own, &json!({"operator": {"enabled": true}})),
            vec!["registry.corp/mirrors/prometheus-mirror:0.1.0".to_owned()],
        ),
    ];
    for (name, values, expected) in cases {
        let found = images(&rendered(name, &values));
        assert_eq!(found, expected.into_iter().collect(), "{name} {values}");
    }
}

#[test]
fn every_pod_has_the_secrets_of_the_parent_once() {
    let values = json!({
        "global": {"imagePullSecrets": ["login", {"name": "other"}, "login", ""]},
        "imagePullSecrets": [{"name": "own"}, "login"],
    });
    let expected = json!([{"name": "login"}, {"name": "other"}, {"name": "own"}]).to_string();
    for (name, more) in [
        (OPERATOR, json!({})),
        (MIRROR, json!({})),
        (MIRROR, json!({"operator": {"enabled": true}})),
    ] {
        let objects = rendered(name, &with(&values, &more));
        assert_eq!(pull_secrets(&objects), [expected.clone()].into(), "{name}");
        let none = rendered(name, &more);
        assert!(pull_secrets(&none).is_empty(), "{name}");
    }
    let of_mirrors = |values: &Value| {
        let objects = rendered(OPERATOR, values);
        let text = Value::Array(objects).to_string();
        let after = text
            .split_once("PROMETHEUS_MIRROR_OPERATOR_IMAGE_PULL_SECRETS")?
            .1;
        let value = after.split_once("\"value\":\"")?.1;
        Some(value.split_once('"')?.0.to_owned())
    };
    let own = json!({"mirrorImage": {"pullSecrets": ["mirrors", {"name": "login"}]}});
    let expected = Some("login,other,mirrors".to_owned());
    assert_eq!(of_mirrors(&with(&values, &own)), expected);
    assert_eq!(of_mirrors(&json!({})), None);
    let text = json!({"global": {"imagePullSecrets": "login"}});
    let expected = json!([{"name": "login"}]).to_string();
    for name in [OPERATOR, MIRROR] {
        let found = pull_secrets(&rendered(name, &text));
        assert_eq!(found, [expected.clone()].into(), "{name}");
    }
}

#[test]
fn a_registry_that_is_none_is_refused_by_name() {
    for name in [OPERATOR, MIRROR] {
        for (field, values) in [
            (
                "imageRegistry: \"https://a\"",
                json!({"imageRegistry": "https://a"}),
            ),
            (
                "global.imageRegistry: \"https://a\"",
                json!({"global": {"imageRegistry": "https://a"}}),
            ),
        ] {
            let values = with(&needed(name), &values);
            let said = template(&chart(name), "r", &values).unwrap_err();
            assert!(said.contains(field), "{name}: {said}");
        }
    }
}

#[test]
fn the_list_for_air_gaps_has_every_image() {
    let list = std::fs::read_to_string(repository().join("dist/images.txt")).unwrap();
    let listed: BTreeSet<_> = list.lines().map(str::to_owned).collect();
    let objects = [rendered(OPERATOR, &json!({})), rendered(MIRROR, &json!({}))].concat();
    assert_eq!(listed, images(&objects));
}

/// With `--reuse-values`, Helm takes the values of the version before, defaults included.
#[test]
fn values_of_the_version_before_still_render() {
    let folder = tempfile::tempdir().unwrap();
    for name in [OPERATOR, MIRROR] {
        let old = folder.path().join(name);
        crate::helm::copy(&chart(name), &old);
        let file = old.join("values.yaml");
        let values = std::fs::read_to_string(&file).unwrap();
        let mut values: Value = serde_yaml::from_str(&values).unwrap();
        let fields = values.as_object_mut().unwrap();
        assert!(fields.remove("tests").is_some());
        if name == OPERATOR {
            assert!(fields.remove("sidecar").is_some());
            let image = fields["mirrorImage"].as_object_mut().unwrap();
            assert!(image.remove("pullSecrets").is_some());
        }
        if name == MIRROR {
            assert!(fields.remove("imageRegistry").is_some());
        }
        std::fs::write(&file, values.to_string()).unwrap();
        let images = |chart: &Path| images(&template(chart, "r", &needed(name)).unwrap());
        assert_eq!(images(&old), images(&chart(name)), "{name}");
    }
}
