//! Prints the files of the OLM bundle, from `dist/install.yaml`, the chart's `Chart.yaml` and an
//! example, which are its only sources: `cargo run -p prometheus-mirror-crds --example bundle csv`.
//! Run in the root of the checkout; `scripts/generate` writes all of them to `bundle/manifests`.

use std::error::Error;
use std::fs;

use serde::Deserialize as _;
use serde_json::{Map, Value, json};

/// What everything of the operator is called.
const OPERATOR: &str = "prometheus-mirror-operator";

fn main() -> Result<(), Box<dyn Error>> {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let sources = Sources::read()?;
    let file = match wanted.as_str() {
        "csv" => csv(&sources)?,
        "service" => plain(sources.object("Service", OPERATOR)?),
        "disruption-budget" => plain(sources.object("PodDisruptionBudget", OPERATOR)?),
        "view" => plain(sources.object("ClusterRole", &format!("{OPERATOR}-view"))?),
        "edit" => plain(sources.object("ClusterRole", &format!("{OPERATOR}-edit"))?),
        other => return Err(format!("there is no file {other:?}").into()),
    };
    println!("# Generated from dist/install.yaml and the chart by `make generate`. Do not edit.");
    print!("{}", serde_yaml::to_string(&file)?);
    Ok(())
}

struct Sources {
    objects: Vec<Value>,
    chart: Value,
    example: Value,
}

impl Sources {
    fn read() -> Result<Self, Box<dyn Error>> {
        let chart = documents(&format!("charts/{OPERATOR}/Chart.yaml"))?;
        let examples = documents("examples/kubernetes.yaml")?;
        let example = examples
            .into_iter()
            .find(|o| o["kind"] == "PrometheusMirror");
        Ok(Self {
            objects: documents("dist/install.yaml")?,
            chart: chart.into_iter().next().ok_or("the chart is empty")?,
            example: example.ok_or("the example has no PrometheusMirror")?,
        })
    }

    /// An object of the installation.
    fn object(&self, kind: &str, name: &str) -> Result<&Value, String> {
        let found = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
        let object = self.objects.iter().find(found);
        object.ok_or_else(|| format!("dist/install.yaml has no {kind} {name}"))
    }

    /// An annotation of the chart, which is YAML itself.
    fn annotation(&self, name: &str) -> Result<Value, Box<dyn Error>> {
        let text = self.chart["annotations"][name].as_str();
        let text = text.ok_or_else(|| format!("the chart has no annotation {name}"))?;
        Ok(serde_yaml::from_str(text)?)
    }
}

fn documents(path: &str) -> Result<Vec<Value>, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
    let documents: Result<Vec<_>, _> = documents.collect();
    Ok(documents?.into_iter().filter(|o| !o.is_null()).collect())
}

/// Without its namespace: OLM, or the user of a catalogue, chooses that.
fn plain(object: &Value) -> Value {
    let mut object = object.clone();
    without(&mut object["metadata"], &["namespace"]);
    object
}

fn without(object: &mut Value, fields: &[&str]) {
    if let Some(object) = object.as_object_mut() {
        for field in fields {
            object.remove(*field);
        }
    }
}

/// The ClusterServiceVersion: what is installed, and what a catalogue shows of it.
fn csv(sources: &Sources) -> Result<Value, Box<dyn Error>> {
    let chart = &sources.chart;
    let version = chart["appVersion"]
        .as_str()
        .ok_or("the chart has no appVersion")?;
    let deployment = sources.object("Deployment", OPERATOR)?;
    Ok(json!({
        "apiVersion": "operators.coreos.com/v1alpha1",
        "kind": "ClusterServiceVersion",
        "metadata": {
            "name": format!("{OPERATOR}.v{version}"),
            "annotations": {
                "alm-examples": serde_json::to_string_pretty(&json!([plain(&sources.example)]))?,
                "capabilities": chart["annotations"]["artifacthub.io/operatorCapabilities"],
                "categories": "Monitoring",
                "containerImage": deployment["spec"]["template"]["spec"]["containers"][0]["image"],
                "description": chart["description"],
                "repository": chart["home"],
            },
        },
        "spec": {
            "displayName": "Prometheus Mirror",
            "description": description(chart)?,
            "version": version,
            "minKubeVersion": oldest(chart)?,
            "maturity": "alpha",
            "keywords": chart["keywords"],
            "provider": {
                "name": chart["maintainers"][0]["name"],
                "url": chart["maintainers"][0]["url"],
            },
            "links": links(sources)?,
            "relatedImages": sources.annotation("artifacthub.io/images")?,
            "installModes": install_modes(),
            "customresourcedefinitions": {"owned": owned(sources)?},
            "install": {
                "strategy": "deployment",
                "spec": {
                    "clusterPermissions": [permissions(sources.object("ClusterRole", OPERATOR)?)],
                    "permissions": [permissions(
                        sources.object("Role", &format!("{OPERATOR}-lease"))?
                    )],
                    "deployments": [{
                        "name": OPERATOR,
                        "label": deployment["metadata"]["labels"],
                        "spec": for_every_platform(&deployment["spec"]),
                    }],
                },
            },
        },
    }))
}

/// The first sentences, and where to read on.
fn description(chart: &Value) -> Result<String, Box<dyn Error>> {
    let (what, home) = (chart["description"].as_str(), chart["home"].as_str());
    let (what, home) = (what.ok_or("no description")?, home.ok_or("no home")?);
    Ok(format!(
        "{what}.\n\nThe operator watches all namespaces. Create a Secret with a key and a \
         PrometheusMirror that names it and your Prometheus servers: see the \
         [documentation]({home}/blob/main/docs/README.md).\n"
    ))
}

/// The oldest Kubernetes: `>=1.29.0-0` is 1.29.0.
fn oldest(chart: &Value) -> Result<&str, Box<dyn Error>> {
    let range = chart["kubeVersion"].as_str().ok_or("no kubeVersion")?;
    let oldest = range.strip_prefix(">=").and_then(|v| v.strip_suffix("-0"));
    Ok(oldest.ok_or_else(|| format!("kubeVersion is {range}, and not >=…-0"))?)
}

/// The chart's, named as OLM names them.
fn links(sources: &Sources) -> Result<Value, Box<dyn Error>> {
    let links = sources.annotation("artifacthub.io/links")?;
    let links = links.as_array().into_iter().flatten();
    let mut links: Vec<_> = links.cloned().collect();
    links.push(json!({"name": "Source", "url": sources.chart["home"]}));
    Ok(json!(links))
}

/// The operator has one ClusterRole, which is of use only for all namespaces.
fn install_modes() -> Value {
    let modes = [
        "OwnNamespace",
        "SingleNamespace",
        "MultiNamespace",
        "AllNamespaces",
    ];
    let modes = modes.map(|mode| json!({"type": mode, "supported": mode == "AllNamespaces"}));
    json!(modes)
}

/// The definitions, as the chart describes them.
fn owned(sources: &Sources) -> Result<Value, Box<dyn Error>> {
    let definitions = sources.annotation("artifacthub.io/crds")?;
    let described = |definition: &Value| {
        let mut owned = Map::new();
        for field in ["kind", "name", "version", "displayName", "description"] {
            owned.insert(field.to_owned(), definition[field].clone());
        }
        Value::Object(owned)
    };
    let definitions = definitions.as_array().into_iter().flatten();
    Ok(definitions.map(described).collect())
}

fn permissions(role: &Value) -> Value {
    json!({"serviceAccountName": OPERATOR, "rules": role["rules"]})
}

/// The Deployment's spec without user and group, which OpenShift chooses. Elsewhere, the image
/// names a user that is not root.
fn for_every_platform(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let pod = &mut spec["template"]["spec"]["securityContext"];
    without(pod, &["runAsUser", "runAsGroup"]);
    spec
}
