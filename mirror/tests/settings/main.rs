//! From a file and a folder of Secrets to settings: what is taken, what is refused, and what a
//! change does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod certificates;
mod credentials;
mod urls;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mirror::settings::choose::{Choice, ChosenTarget, ConnectionDetails, choose};
use mirror::settings::watch::{Event, Watcher};
use mirror::settings::{NanInterpretation, Settings, Source, load};
use serde_json::{Value, json};
use tempfile::TempDir;

const HEAD: &str = "apiVersion: prometheus-mirror.io/v1alpha1\nkind: PrometheusMirror\nmetadata: {name: production}\n";

/// A folder with a document and its Secrets.
struct Files(TempDir);

impl Files {
    fn new(spec: &str) -> Self {
        let files = Self(TempDir::new().unwrap());
        files.write("mirror.yaml", &format!("{HEAD}spec:\n{spec}"));
        files.write("secrets/mirror-key/apiKey", "secret-1\n");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn source(&self) -> Source {
        Source {
            file: self.path("mirror.yaml"),
            secrets_dir: self.path("secrets"),
            config_maps_dir: self.path("configmaps"),
            tokens_dir: self.path("tokens"),
        }
    }

    fn load(&self) -> Result<Settings, Vec<String>> {
        load(&self.source()).map_err(|error| {
            error
                .to_string()
                .replace(&format!("{}/", self.0.path().display()), "")
                .lines()
                .map(str::to_owned)
                .collect()
        })
    }

    fn faults(&self) -> Vec<String> {
        self.load().unwrap_err()
    }
}

const KEY: &str = "  apiKeySecretRef: {name: mirror-key}\n";
const SMALLEST: &str = "  apiKeySecretRef: {name: mirror-key}\n  targets: [{name: a, url: \"http://a:9090/prefix/\"}]\n";

#[test]
fn the_smallest_document_gets_the_documented_defaults() {
    let settings = Files::new(SMALLEST).load().unwrap();
    assert_eq!(
        (
            settings.name.as_str(),
            settings.port,
            settings.workers.get()
        ),
        ("production", 9900, 20)
    );
    assert_eq!(
        (settings.default_target, settings.require_api_key),
        (Some(0), false)
    );
    assert_eq!(settings.api_keys.current.header_value(), "secret-1");
    assert_eq!(settings.api_keys.previous, None);
    let limits = settings.limits;
    assert_eq!((limits.memory, limits.upstream_calls.get()), (None, 200));
    let target = &settings.targets[0];
    assert_eq!(
        target.servers.only().unwrap().as_str(),
        "http://a:9090/prefix"
    );
    assert_eq!(
        (target.request_timeout, target.scrape_interval),
        (Duration::from_secs(15), Duration::from_secs(15))
    );
    assert_eq!(target.nan_interpretation, NanInterpretation::Zero);
}

#[test]
fn limits_are_read_as_bytes_and_counts() {
    let limits = |text: &str| {
        let document = format!("{SMALLEST}  limits: {text}\n");
        let limits = Files::new(&document).load().unwrap().limits;
        (
            limits.memory.map(|memory| memory.0),
            limits.upstream_calls.get(),
        )
    };
    assert_eq!(limits("{}"), (None, 200));
    assert_eq!(limits("{memory: 400Mi}"), (Some(400 << 20), 200));
    assert_eq!(
        limits("{memory: 1G, upstreamCallsPerRequest: 1}"),
        (Some(1_000_000_000), 1)
    );
}

#[test]
fn logged_requests_are_read_with_their_defaults() {
    let logged = |text: &str| {
        let document = format!("{SMALLEST}  logging: {text}\n");
        let logged = Files::new(&document).load().unwrap().logged_requests;
        logged.map(|logged| (logged.sample_percent, logged.slow.as_millis()))
    };
    assert_eq!(Files::new(SMALLEST).load().unwrap().logged_requests, None);
    assert_eq!(logged("{}"), None);
    assert_eq!(logged("{requests: {}}"), Some((0, 5_000)));
    assert_eq!(
        logged("{requests: {samplePercent: 7, slow: 500ms}}"),
        Some((7, 500))
    );
}

#[test]
fn all_faults_of_document_and_secrets_come_at_once_in_the_documents_order() {
    let files = Files::new(
        "  workers: 0\n  apiKeySecretRef: {name: other}\n  colour: red\n  targets:\n    - {name: a, url: \"http://user:pw@a\"}\n    \
         - {name: b, url: \"http://b\", headers: {Host: x, \"a b\": c, Authorization: y}}\n    - {name: c, service: {name: s, port: 1}}\n",
    );
    assert_eq!(
        files.faults(),
        [
            "spec.workers: must be from 1 to 1000, is 0",
            "spec.apiKeySecretRef: needs the file secrets/other/apiKey, which does not exist (hint: write the key into that file, or say with --secrets-dir where it is)",
            "spec.colour: is not a known field (hint: known here: apiKeySecretRef, autoscaling, cache, console, defaultTarget, httpRoute, image, imagePullSecrets, ingress, limits, logging, mode, monitor, networkPolicy, paused, podChecks, podDisruptionBudget, podTemplate, podTemplateRemove, port, replicas, requestTargets, resources, server, service, sidecar, targets, workers)",
            "spec.targets[0].url: must be http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], without user name, query and fragment (hint: credentials belong to auth)",
            "spec.targets[1].headers.Host: must not be set here: the mirror sets it itself",
            "spec.targets[1].headers[\"a b\"]: is not the name of an HTTP header: letters, digits and dashes, such as X-Scope-OrgID",
            "spec.targets[1].headers.Authorization: must not be set here: credentials belong to auth",
            "spec.targets[2].service: is resolved by the operator before a mirror reads the document (hint: write the server's url here instead)",
        ]
    );
}

#[test]
fn a_file_that_is_not_one_document_is_one_clear_line() {
    let files = Files::new(SMALLEST);
    for (text, expected) in [
        (
            "",
            "mirror.yaml is empty; it must hold one PrometheusMirror",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "mirror.yaml holds 2 documents; it must hold one PrometheusMirror and nothing else",
        ),
        (
            "apiVersion: v1\nkind: Secret\n",
            "apiVersion: must be prometheus-mirror.io/v1alpha1, is v1",
        ),
    ] {
        files.write("mirror.yaml", text);
        assert_eq!(files.faults()[0], expected);
    }
    fs::remove_file(files.path("mirror.yaml")).unwrap();
    assert_eq!(
        files.faults(),
        ["cannot read mirror.yaml: No such file or directory (os error 2)"]
    );
    fs::create_dir(files.path("mirror.yaml")).unwrap();
    assert_eq!(
        files.faults(),
        ["cannot read mirror.yaml: Is a directory (os error 21)"]
    );
}

#[test]
fn keys_that_no_header_can_carry_are_refused() {
    let files = Files::new(SMALLEST);
    for (key, expected) in [
        ("\n", "is empty"),
        ("a\nb", "cannot be sent"),
        ("schlüssel", "cannot be sent"),
        (" a", "cannot be sent"),
    ] {
        files.write("secrets/mirror-key/apiKey", key);
        let faults = files.faults();
        assert!(
            faults[0].starts_with("spec.apiKeySecretRef: the") && faults[0].contains(expected),
            "{faults:?}"
        );
    }
    files.write("secrets/mirror-key/apiKey", "new");
    files.write("secrets/mirror-key/previousApiKey", "old\n");
    assert!(
        files
            .load()
            .unwrap()
            .api_keys
            .previous
            .unwrap()
            .matches(b"old")
    );
}

fn chosen(settings: &Settings, details: Value) -> Result<Choice, String> {
    let details = ConnectionDetails::parse(details.as_object().unwrap())
        .map_err(|error| error.to_string())?;
    choose(settings, &details).map_err(|error| error.to_string())
}

#[test]
fn connection_details_choose_by_name_by_address_and_by_default() {
    let settings = Files::new(&format!(
        "{KEY}  defaultTarget: b\n  requestTargets: {{hosts: [\"*.svc\", 10.0.0.1], ports: [9090]}}\n  targets:\n    \
         - {{name: a, url: \"http://a:9090/x\"}}\n    - {{name: b, url: \"https://b\", requestTimeout: 20s, nanInterpretation: Skip}}\n"
    ))
    .load()
    .unwrap();
    let target = |details: Value| chosen(&settings, details).map(|choice| choice.target);
    let declared = |index| Ok(ChosenTarget::Declared(index));
    let undeclared = |url: &str| {
        Ok(ChosenTarget::Undeclared {
            url: url.parse().unwrap(),
        })
    };
    let unknown = |asked: &str| {
        Err(format!(
            "{asked} is not a target of this mirror; it has: a, b"
        ))
    };
    for (details, expected) in [
        (json!({}), declared(1)),
        (json!({"target": "a", "host": "ignored"}), declared(0)),
        (json!({"host": "A", "port": "9090"}), declared(0)),
        (
            json!({"host": "a", "port": 9090, "scheme": "http", "path": "/x/"}),
            declared(0),
        ),
        (json!({"url": "https://b/"}), declared(1)),
        (json!({"host": "b", "port": 443, "other": [1]}), declared(1)),
        (
            json!({"host": "p.monitoring.svc", "port": 9090}),
            undeclared("http://p.monitoring.svc:9090"),
        ),
        (
            json!({"url": "https://10.0.0.1:9090/p"}),
            undeclared("https://10.0.0.1:9090/p"),
        ),
        (json!({"target": "c"}), unknown("c")),
        (
            json!({"host": "a", "port": 9090, "path": "/y"}),
            unknown("a:9090"),
        ),
        (
            json!({"host": "a", "port": 9090, "scheme": "https"}),
            unknown("a:9090"),
        ),
        (json!({"host": "svc", "port": 9090}), unknown("svc:9090")),
        (
            json!({"host": "evilsvc", "port": 9090}),
            unknown("evilsvc:9090"),
        ),
        (
            json!({"host": "p.svc", "port": 9091}),
            unknown("p.svc:9091"),
        ),
        (
            json!({"url": "http://169.254.169.254/latest"}),
            unknown("http://169.254.169.254/latest"),
        ),
        (
            json!({"target": 1}),
            Err("connectionDetails.target must be the name of a target".to_owned()),
        ),
        (
            json!({"host": "a"}),
            Err("connectionDetails.port must be a port from 1 to 65535".to_owned()),
        ),
        (
            json!({"host": "a@b", "port": 1}),
            Err("connectionDetails.host must be a host name or address".to_owned()),
        ),
        (
            json!({"target": "t".repeat(2_048)}),
            Err("connectionDetails.target must be shorter than 2,048 bytes".to_owned()),
        ),
        (
            json!({"host": "127.0.0.1", "port": 1, "path": "/p".repeat(1_024)}),
            Err("connectionDetails.path must be shorter than 2,048 bytes".to_owned()),
        ),
        (
            json!({"host": "h".repeat(2_047), "port": 1}),
            unknown(&format!("{}:1", "h".repeat(2_047))),
        ),
        (
            json!({"nan_interpretation": "MAYBE"}),
            Err("connectionDetails.nan_interpretation must be ZERO or NONE".to_owned()),
        ),
        (
            json!({"requestTimeout": -1}),
            Err(
                "connectionDetails.requestTimeout must be a positive number of milliseconds"
                    .to_owned(),
            ),
        ),
    ] {
        assert_eq!(target(details.clone()), expected, "{details}");
    }
}

#[test]
fn connection_details_shorten_the_time_and_override_nan() {
    let settings = Files::new(SMALLEST).load().unwrap();
    let terms = |details: Value| {
        chosen(&settings, details)
            .map(|choice| (choice.timeout.as_millis(), choice.nan))
            .unwrap()
    };
    assert_eq!(terms(json!({})), (15_000, NanInterpretation::Zero));
    assert_eq!(
        terms(json!({"requestTimeout": 2500})),
        (2_500, NanInterpretation::Zero)
    );
    assert_eq!(
        terms(json!({"request_timeout_seconds": 1.5, "nan_interpretation": "NONE"})),
        (1_500, NanInterpretation::Skip)
    );
    assert_eq!(
        terms(json!({"requestTimeout": "60000"})),
        (15_000, NanInterpretation::Zero)
    );
    assert_eq!(
        terms(json!({"request_timeout_seconds": 1e300})),
        (15_000, NanInterpretation::Zero)
    );
}

#[test]
fn several_targets_without_a_default_want_a_name() {
    let settings = Files::new(&format!(
        "{KEY}  targets: [{{name: a, url: \"http://a\"}}, {{name: b, url: \"http://b\"}}]\n"
    ))
    .load()
    .unwrap();
    assert_eq!(
        chosen(&settings, json!({})),
        Err("the connection details name no target and this mirror has no default; it has: a, b; write for example {\"target\": \"a\"}".to_owned())
    );
}

/// Puts a Secret in place the way the kubelet does: a new folder, and a link that is swapped.
fn swap(volume: &Path, version: &str, key: &str) {
    let folder = volume.join(format!("..{version}"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("apiKey"), key).unwrap();
    std::os::unix::fs::symlink(format!("..{version}"), volume.join("..new")).unwrap();
    fs::rename(volume.join("..new"), volume.join("..data")).unwrap();
}

#[test]
fn a_swapped_secret_is_taken_over_and_a_bad_document_is_reported_once() {
    let files = Files::new(SMALLEST);
    let volume = files.path("secrets/mirror-key");
    fs::remove_file(volume.join("apiKey")).unwrap();
    swap(&volume, "1", "one");
    std::os::unix::fs::symlink("..data/apiKey", volume.join("apiKey")).unwrap();
    let mut watcher = Watcher::new(&files.source());
    assert!(watcher.look().is_none());

    swap(&volume, "2", "two");
    match watcher.look() {
        Some(Event::Changed(settings)) => assert!(settings.api_keys.current.matches(b"two")),
        other => panic!("{other:?}"),
    }
    assert!(watcher.look().is_none());

    // Absent for an instant: nothing happened.
    fs::rename(volume.join("..data"), volume.join("..gone")).unwrap();
    assert!(watcher.look().is_none());
    fs::rename(volume.join("..gone"), volume.join("..data")).unwrap();
    assert!(watcher.look().is_none());

    files.write("mirror.yaml", "a: 1\n");
    assert!(watcher.look().is_none());
    match watcher.look() {
        Some(Event::Refused(error)) => assert!(
            error.to_string().contains("apiVersion: is missing"),
            "{error}"
        ),
        other => panic!("{other:?}"),
    }
    assert!(watcher.look().is_none());
}

#[test]
fn every_example_is_valid_and_the_quickstart_can_be_served() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut mirrors = 0;
    for entry in fs::read_dir(&examples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        for document in serde_yaml::Deserializer::from_str(&fs::read_to_string(&path).unwrap()) {
            let document: Value = serde::Deserialize::deserialize(document).unwrap();
            if document["kind"] == crds::KIND {
                assert_eq!(crds::validate(&document), [], "{}", path.display());
                mirrors += 1;
            }
        }
    }
    assert!(mirrors > 0, "no example found");
    let quickstart = Source {
        file: examples.join("quickstart.yaml"),
        secrets_dir: examples.join("secrets"),
        config_maps_dir: examples.join("configmaps"),
        tokens_dir: examples.join("tokens"),
    };
    load(&quickstart).unwrap();
}

/// The YAML of a page: whole resources, and lists of targets.
fn yaml_of(page: &str) -> Vec<Value> {
    let blocks = page.split("```yaml\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap_or_default());
    blocks
        .flat_map(serde_yaml::Deserializer::from_str)
        .map(|document| serde::Deserialize::deserialize(document).unwrap())
        .collect()
}

/// The page shows targets as they stand below `spec`. Whatever they refer to is made up.
#[test]
fn every_target_of_the_page_about_stores_is_valid_and_served() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/targets.md"))
        .unwrap();
    let mut targets = 0;
    for mut shown in yaml_of(&page) {
        if shown.get("kind").is_some_and(|kind| kind != crds::KIND) {
            continue;
        }
        let mut spec = shown.get("spec").cloned().unwrap_or_else(|| shown.take());
        spec["apiKeySecretRef"] = json!({"name": "mirror-key"});
        let declared = spec["targets"].as_array_mut().unwrap();
        targets += declared.len();
        let document = json!({"apiVersion": crds::API_VERSION, "kind": crds::KIND, "metadata": {"name": "a"}, "spec": spec});
        assert_eq!(crds::validate(&document), [], "{document}");

        // What the operator makes of it, and what has no mirror yet.
        for target in spec["targets"].as_array_mut().unwrap() {
            for field in ["service", "prometheus", "replicas", "shards"] {
                if target.as_object_mut().unwrap().remove(field).is_some() {
                    target["url"] = json!("https://from-the-operator");
                }
            }
            if !target["auth"]["sigV4"].is_null() {
                target["auth"] = json!({});
            }
        }
        let document = json!({"apiVersion": crds::API_VERSION, "kind": crds::KIND, "metadata": {"name": "a"}, "spec": spec});
        let files = Files::new(SMALLEST);
        files.write("mirror.yaml", &document.to_string());
        for reference in crds::references(&spec) {
            let folder = reference.kind.folder();
            if !reference.field.contains(".tls.") && !reference.is_optional {
                files.write(
                    &format!("{folder}/{}/{}", reference.name, reference.key),
                    "a",
                );
            }
        }
        for token in crds::tokens(&spec).into_values() {
            files.write(&format!("tokens/{}", token.file()), "a");
        }
        let faults = files.load().err().unwrap_or_default();
        let faults: Vec<_> = faults
            .iter()
            .filter(|fault| !fault.contains(".tls."))
            .collect();
        assert_eq!(faults, [""; 0], "{document}");
    }
    assert!(targets >= 10, "only {targets} recipes are found");
}
