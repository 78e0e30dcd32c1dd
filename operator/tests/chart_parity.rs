//! What the chart `prometheusmirror` renders is what the operator builds, and what the definition
//! refuses the chart refuses.
//!
//! Runs the pinned Helm over the value files in `charts/prometheusmirror/ci`. The same values make
//! a `PrometheusMirror` with `operator.enabled=true`; from that the operator's own builders make
//! the objects to compare with. Whole objects are compared, after the few differences that are
//! meant have been taken away: [`built`] and [`rendered`] have all of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use operator::cluster::references::{Keys, References};
use operator::controller::build::{Defaults, build};
use operator::controller::dereference::{Dereferenced, KeyFacts, ServiceFacts};
use operator::controller::validate::{parse, validate};
use serde::Deserialize as _;
use serde_json::{Value, json};

/// Kind and name to object.
type Objects = BTreeMap<(String, String), Value>;

const NAMESPACE: &str = "observability";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const CHECKSUM: &str = "checksum/configuration";

/// Values that are no fields of `spec`.
const OWN_VALUES: &[&str] = &[
    "global",
    "operator",
    "openshift",
    "nameOverride",
    "fullnameOverride",
    "imageRegistry",
    "tests",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The pinned Helm, built if it is not there.
fn helm() -> &'static Path {
    static HELM: OnceLock<PathBuf> = OnceLock::new();
    HELM.get_or_init(|| {
        let built = Command::new(repository().join("tests/tools/build"))
            .arg("helm4")
            .output()
            .unwrap();
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
        Path::new(String::from_utf8(built.stdout).unwrap().trim()).join("helm")
    })
}

/// What `helm template` makes of a file with values, or what it says.
fn template(values: &Path, more: &[&str]) -> Result<Vec<Value>, String> {
    let output = Command::new(helm())
        .args(["template", "prometheusmirror"])
        .arg(repository().join("charts/prometheusmirror"))
        .args([
            "--namespace",
            NAMESPACE,
            "--kube-version",
            "1.33",
            "--no-hooks",
            "--values",
        ])
        .arg(values)
        .args(more)
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    let documents = serde_yaml::Deserializer::from_slice(&output.stdout);
    let objects = documents.map(|document| Value::deserialize(document).unwrap());
    Ok(objects.filter(|object| !object.is_null()).collect())
}

fn by_kind_and_name(objects: impl IntoIterator<Item = Value>) -> Objects {
    let key = |object: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&object["kind"]), text(&object["metadata"]["name"]))
    };
    objects
        .into_iter()
        .map(|object| (key(&object), object))
        .collect()
}

fn value_files() -> Vec<PathBuf> {
    let folder = repository().join("charts/prometheusmirror/ci");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 3, "the value files are gone");
    files
}

fn read(file: &Path) -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The objects of the chart, without what only Helm needs.
fn rendered(values: &Path, more: &[&str]) -> Objects {
    let mut objects = by_kind_and_name(template(values, more).unwrap());
    // With the operator the Secret is the user's.
    objects.retain(|(kind, _), _| kind != "Secret");
    for object in objects.values_mut() {
        assert_eq!(
            object["metadata"]["labels"]["helm.sh/chart"],
            "prometheusmirror-0.1.0"
        );
        remove(object, "/metadata/labels", "helm.sh/chart");
        if object["kind"] == "Deployment" {
            // Makes new pods of a new configuration; the operator tells the pods instead.
            let template = "/spec/template/metadata";
            let annotations = format!("{template}/annotations");
            assert!(object.pointer(&annotations).unwrap()[CHECKSUM].is_string());
            remove(object, &annotations, CHECKSUM);
            if object.pointer(&annotations) == Some(&json!({})) {
                remove(object, template, "annotations");
            }
        }
        same_form(object);
    }
    objects
}

/// The objects that the operator builds for the resource that the chart renders, without what only
/// the operator needs.
fn built(values: &Path, platform_assigns_users: bool) -> Objects {
    const OPERATOR_NAMESPACE: &str = "where-the-operator-runs";
    let resource = resource(values);
    let object = serde_json::from_value(resource).unwrap();
    let spec = parse(&object).unwrap();
    let found = everything_there(&References::of(&spec, NAMESPACE), &spec);
    let defaults = Defaults {
        image: "ghcr.io/prometheus-mirror/prometheus-mirror:0.1.0".to_owned(),
        image_pull_secrets: vec![],
        operator_namespace: OPERATOR_NAMESPACE.to_owned(),
        platform_assigns_users,
    };
    let children = build(&validate(&object, spec, &found).unwrap(), &defaults).children;
    let mut objects = by_kind_and_name(children.into_iter().map(|child| child.manifest));
    for object in objects.values_mut() {
        remove(object, "/metadata", "ownerReferences");
        if object["kind"] == "NetworkPolicy" {
            // The operator asks pods; without one nobody does.
            let rules = object["spec"]["ingress"].as_array_mut().unwrap();
            rules.retain(|rule| !rule.to_string().contains(OPERATOR_NAMESPACE));
        }
        same_form(object);
    }
    objects
}

/// The resource that the chart renders with `operator.enabled=true`.
fn resource(values: &Path) -> Value {
    let objects = template(values, &["--set", "operator.enabled=true"]).unwrap();
    let (resources, others): (Vec<_>, Vec<_>) = objects
        .into_iter()
        .partition(|object| object["kind"] == "PrometheusMirror");
    assert!(
        others.iter().all(|object| object["kind"] == "Secret"),
        "{others:?}"
    );
    assert_eq!(resources.len(), 1);
    resources.into_iter().next().unwrap()
}

/// Both sides name who manages an object, and write the document with and without defaults. The
/// chart leaves out what the API server would leave out.
fn same_form(object: &mut Value) {
    remove_if_empty(object, "/spec", "ingress");
    for kind in ["limits", "requests"] {
        remove_if_empty(object, "/spec/template/spec/containers/0/resources", kind);
    }
    for labels in ["/metadata/labels", "/spec/template/metadata/labels"] {
        if let Some(labels) = object.pointer_mut(labels) {
            assert!(labels[MANAGED_BY].is_string(), "{labels}");
            labels[MANAGED_BY] = json!("either");
        }
    }
    if let Some(document) = object.pointer_mut("/data/mirror.yaml") {
        let parsed: Value = serde_yaml::from_str(document.as_str().unwrap()).unwrap();
        *document = json!(crds::parse(&parsed).unwrap());
    }
}

fn remove_if_empty(object: &mut Value, at: &str, field: &str) {
    let there = object.pointer(&format!("{at}/{field}"));
    if there.is_some_and(|value| *value == json!([]) || *value == json!({})) {
        remove(object, at, field);
    }
}

fn remove(object: &mut Value, at: &str, field: &str) {
    if let Some(fields) = object.pointer_mut(at).and_then(Value::as_object_mut) {
        fields.remove(field);
    }
}

/// A cluster in which everything exists that the spec refers to.
fn everything_there(references: &References, spec: &crds::PrometheusMirrorSpec) -> Dereferenced {
    let with_keys = |(name, keys): (&String, &Keys)| {
        let facts = KeyFacts {
            version: "1".to_owned(),
            immutable_since: None,
            keys: keys.needed.keys().cloned().collect(),
        };
        (name.clone(), Some(facts))
    };
    let services = spec
        .targets
        .iter()
        .filter_map(|target| target.service.as_ref())
        .map(|service| {
            let namespace = service
                .namespace
                .clone()
                .unwrap_or_else(|| NAMESPACE.to_owned());
            let IntOrString::Int(port) = service.port else {
                panic!("a port by name")
            };
            (
                (namespace, service.name.clone()),
                Ok(ServiceFacts {
                    ports: vec![(None, port)],
                    ..ServiceFacts::default()
                }),
            )
        });
    Dereferenced {
        secrets: references.secrets.iter().map(with_keys).collect(),
        config_maps: references.config_maps.iter().map(with_keys).collect(),
        services: services.collect(),
        ..Dereferenced::default()
    }
}

#[test]
fn the_chart_renders_what_the_operator_builds() {
    for file in value_files() {
        let rendered = rendered(&file, &[]);
        assert_eq!(rendered, built(&file, false), "{}", file.display());
    }
}

#[test]
fn on_openshift_the_chart_renders_what_the_operator_builds_there() {
    let values = repository().join("charts/prometheusmirror/ci/minimal-values.yaml");
    let served = ["--api-versions", "security.openshift.io/v1"];
    let said = ["--set", "openshift=true"];
    for more in [served.as_slice(), said.as_slice()] {
        assert_eq!(rendered(&values, more), built(&values, true));
    }
    let denied = [served.as_slice(), &["--set", "openshift=false"]].concat();
    assert_eq!(rendered(&values, &denied), built(&values, false));
}

#[test]
fn the_resource_has_the_values_as_they_were_given() {
    for file in value_files() {
        let values = read(&file);
        let mut expected = json!({"workers": 20, "port": 9900, "replicas": 1});
        for (name, value) in values.as_object().unwrap() {
            if !OWN_VALUES.contains(&name.as_str()) {
                expected[name] = value.clone();
            }
        }
        let resource = resource(&file);
        if expected.get("apiKeySecretRef").is_none() {
            let name = format!("{}-api-key", resource["metadata"]["name"].as_str().unwrap());
            expected["apiKeySecretRef"] = json!({"name": name, "key": "apiKey"});
        }
        assert_eq!(resource["spec"], expected, "{}", file.display());
    }
}

#[test]
fn the_secret_has_the_keys() {
    let files = value_files();
    let file = files
        .iter()
        .find(|file| file.ends_with("minimal-values.yaml"));
    let secrets: Vec<_> = template(file.unwrap(), &["--set", "global.previousApiKey=zero"])
        .unwrap()
        .into_iter()
        .filter(|object| object["kind"] == "Secret")
        .collect();
    let expected = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": "prometheusmirror-api-key", "namespace": NAMESPACE,
            "labels": {
                "app.kubernetes.io/name": "prometheus-mirror", "app.kubernetes.io/instance": "prometheusmirror",
                "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "prometheusmirror-0.1.0",
            },
        },
        "data": {"apiKey": "Zmlyc3Qta2V5", "previousApiKey": "emVybw=="},
    });
    assert_eq!(secrets, [expected]);
}

#[test]
fn every_value_of_the_schema_is_in_a_value_file() {
    let schema = read(&repository().join("charts/prometheusmirror/values.schema.json"));
    let known: BTreeSet<_> = schema["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let mut used: BTreeSet<_> = value_files()
        .iter()
        .flat_map(|file| {
            read(file)
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        })
        .collect();
    // Set by these tests, and by the charts of others.
    used.extend(["operator", "openshift", "enabled"].map(str::to_owned));
    assert_eq!(used, known);
}

/// Of the definition's invalid documents, those whose fault is in what is no value of the chart.
const NOT_FOR_THE_CHART: &[&str] = &[
    "unknown-mode.yaml",
    "sidecar-with-autoscaling.yaml",
    "paused-as-text.yaml",
    "spec-missing.yaml",
    // The chart cuts long names.
    "name-too-long.yaml",
];

/// A document of the definition's corpus as a file with values.
fn as_values(folder: &Path, document: &Path) -> PathBuf {
    let document_text = read(document);
    let mut values = document_text["spec"].clone();
    for field in ["mode", "paused"] {
        remove(&mut values, "", field);
    }
    if let Some(name) = document_text["metadata"]["name"].as_str() {
        values["fullnameOverride"] = json!(name);
    }
    let file = folder.join(document.file_name().unwrap());
    std::fs::write(&file, values.to_string()).unwrap();
    file
}

fn corpus(folder: &str) -> Vec<PathBuf> {
    let folder = repository().join("crds/tests").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !NOT_FOR_THE_CHART.contains(&path.file_name().unwrap().to_str().unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn what_the_definition_refuses_the_chart_refuses_and_names_the_value() {
    let folder = std::env::temp_dir().join(format!("chart-parity-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut wrong = Vec::new();
    for document in corpus("invalid") {
        let text = std::fs::read_to_string(&document).unwrap();
        let fields: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# expect: spec."))
            .map(|fault| fault.split(['.', '[', ':']).next().unwrap().to_owned())
            .collect();
        let said = match template(&as_values(&folder, &document), &[]) {
            Ok(_) => "nothing".to_owned(),
            Err(said) => said,
        };
        // apiKeySecretRef may be left out in the chart, for global.apiKey.
        let named =
            |field: &String| said.contains(field.as_str()) || said.contains("global.apiKey");
        if said == "nothing" || !(fields.is_empty() || fields.iter().any(named)) {
            wrong.push(format!("{}: {said}", document.display()));
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_definition_accepts_makes_a_resource_for_the_operator() {
    let folder = std::env::temp_dir().join(format!("chart-accepts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for document in corpus("valid") {
        let resource = resource(&as_values(&folder, &document));
        assert_eq!(
            crds::validate(&resource),
            Vec::new(),
            "{}",
            document.display()
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
