//! Helm, charts, and charts with charts in them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde::Deserialize as _;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const OPERATOR: &str = "prometheus-mirror-operator";
pub(crate) const MIRROR: &str = "prometheusmirror";

/// Without these, the chart of the mirror renders nothing.
pub(crate) fn needed(chart: &str) -> Value {
    match chart {
        MIRROR => json!({
            "apiKeySecretRef": {"name": "mirror-key"},
            "targets": [{"name": "cluster", "url": "http://prometheus:9090"}],
        }),
        _ => json!({}),
    }
}

/// `one`, and what `other` has beside it or instead.
pub(crate) fn with(one: &Value, other: &Value) -> Value {
    let (Value::Object(one), Value::Object(other)) = (one, other) else {
        return other.clone();
    };
    let mut both = one.clone();
    for (name, value) in other {
        let before = one.get(name).unwrap_or(&Value::Null);
        both.insert(name.clone(), with(before, value));
    }
    Value::Object(both)
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn chart(name: &str) -> PathBuf {
    repository().join("charts").join(name)
}

/// What both versions of Helm make of a chart, which must be the same.
pub(crate) fn template(chart: &Path, release: &str, values: &Value) -> Result<Vec<Value>, String> {
    template_for(&["--kube-version", "1.37.0"], chart, release, values)
}

/// The same for a cluster that these flags describe.
pub(crate) fn template_for(
    cluster: &[&str],
    chart: &Path,
    release: &str,
    values: &Value,
) -> Result<Vec<Value>, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), values.to_string()).unwrap();
    let rendered = helms().each_ref().map(|helm| {
        let output = Command::new(helm)
            .args(["template", release])
            .arg(chart)
            .args(["--namespace", "monitoring"])
            .args(cluster)
            .arg("--values")
            .arg(file.path())
            .output()
            .unwrap();
        if !output.status.success() {
            return Err(String::from_utf8(output.stderr).unwrap());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.is_empty(), "a warning: {said}");
        let documents = serde_yaml::Deserializer::from_slice(&output.stdout);
        let objects = documents.map(|document| Value::deserialize(document).unwrap());
        let mut objects: Vec<_> = objects.filter(|object| !object.is_null()).collect();
        objects.sort_by_key(identity);
        Ok(objects)
    });
    match rendered {
        [Ok(three), Ok(four)] => {
            assert_eq!(three, four, "Helm 3 and 4 differ");
            Ok(four)
        }
        [Err(_), Err(said)] => Err(said),
        [Err(said), Ok(_)] => panic!("only Helm 3 refuses: {said}"),
        [Ok(_), Err(said)] => panic!("only Helm 4 refuses: {said}"),
    }
}

/// `Kind/name`.
pub(crate) fn identity(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let kind = text(&object["kind"]);
    format!("{kind}/{}", text(&object["metadata"]["name"]))
}

/// The names of objects of a kind.
pub(crate) fn named<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a str> {
    let of_kind = objects.iter().filter(|object| object["kind"] == kind);
    of_kind
        .map(|object| object["metadata"]["name"].as_str().unwrap())
        .collect()
}

/// A chart that has ours in it.
pub(crate) struct Parent {
    folder: TempDir,
}

impl Parent {
    /// With these dependencies, as its Chart.yaml has them.
    pub(crate) fn new(dependencies: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let about = json!({
            "apiVersion": "v2", "name": "parent", "version": "1.0.0",
            "dependencies": dependencies,
        });
        let parent = Self { folder };
        parent.write("Chart.yaml", &about.to_string());
        for dependency in dependencies.as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap();
            copy(&chart(name), &parent.path().join("charts").join(name));
        }
        parent
    }

    /// Of one chart of ours, without anything special.
    pub(crate) fn of(name: &str) -> Self {
        Self::new(&json!([{"name": name, "version": "0.1.0", "repository": "file://x"}]))
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, file: &str, content: &str) {
        let file = self.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }

    pub(crate) fn template(&self, values: &Value) -> Result<Vec<Value>, String> {
        template(self.path(), "r", values)
    }
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Helm 3 and Helm 4, built if they are not there.
fn helms() -> &'static [PathBuf; 2] {
    static HELMS: OnceLock<[PathBuf; 2]> = OnceLock::new();
    HELMS.get_or_init(|| {
        ["helm3", "helm4"].map(|name| {
            let build = repository().join("tests/tools/build");
            let built = Command::new(build).arg(name).output().unwrap();
            let said = String::from_utf8_lossy(&built.stderr);
            assert!(built.status.success(), "{said}");
            Path::new(String::from_utf8(built.stdout).unwrap().trim()).join("helm")
        })
    })
}
