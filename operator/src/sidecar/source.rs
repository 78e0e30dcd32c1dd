//! Where a sidecar comes from: the status that the operator wrote, or a manifest.

use std::io::Read as _;
use std::path::Path;

use crds::{ConditionType, LocalName, Mode, PrometheusMirror};
use kube::api::{Api, ListParams};
use kube::{Client, Config};
use serde::Deserialize as _;
use serde_json::Value;

use super::{Error, Pasted};
use crate::controller::build::{Defaults, Sidecar};
use crate::controller::validate::ValidatedMirror;

/// As the operator rendered it into the resource's status.
pub(super) async fn from_cluster(name: &str, namespace: Option<&str>) -> Result<Pasted, Error> {
    let config = Config::infer().await?;
    let namespace = namespace.map_or_else(|| config.default_namespace.clone(), str::to_owned);
    let failed = |error| Error::Cluster(name.to_owned(), error);
    let client = Client::try_from(config).map_err(failed)?;
    let mirrors: Api<PrometheusMirror> = Api::namespaced(client, &namespace);
    // A list of one: the operator's own account may list, and no more.
    let named = ListParams::default().fields(&format!("metadata.name={name}"));
    let found = mirrors.list(&named).await.map_err(failed)?;
    let mirror = found
        .items
        .into_iter()
        .next()
        .ok_or_else(|| Error::Missing {
            name: name.to_owned(),
            namespace,
        })?;
    from_status(name, &mirror)
}

/// From a resource as the API server has it.
fn from_status(name: &str, mirror: &PrometheusMirror) -> Result<Pasted, Error> {
    if mirror.spec.mode != Mode::Sidecar {
        return Err(Error::NotASidecar(name.to_owned()));
    }
    let status = mirror.status.as_ref();
    let Some(rendered) = status.and_then(|status| status.sidecar.clone()) else {
        let stalled = status
            .filter(|status| status.has(ConditionType::Stalled))
            .and_then(|status| status.condition(ConditionType::Stalled));
        return Err(Error::NotRendered {
            name: name.to_owned(),
            reason: stalled.map_or_else(
                || "check that it runs, or render from a manifest with --file".to_owned(),
                |condition| condition.message.clone(),
            ),
        });
    };
    Ok(Pasted {
        name: name.to_owned(),
        sidecar: Sidecar {
            container: rendered.container,
            volumes: rendered.volumes,
            hash: rendered.hash,
            pull_secrets: names(rendered.image_pull_secrets),
        },
    })
}

/// As the operator would render it. `-` is stdin.
pub(super) fn from_file(file: &Path, name: Option<&str>, image: &str) -> Result<Pasted, Error> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|error| Error::Unreadable(file.to_owned(), error))?;
    from_text(file, &text, name, image)
}

fn from_text(file: &Path, text: &str, name: Option<&str>, image: &str) -> Result<Pasted, Error> {
    let mut resources = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let document =
            Value::deserialize(document).map_err(|error| Error::Yaml(file.to_owned(), error))?;
        let is_named = name.is_none_or(|name| document["metadata"]["name"] == name);
        if document["kind"] == crds::KIND && is_named {
            resources.push(document);
        }
    }
    let [document] = &resources[..] else {
        let hint = "name one PrometheusMirror of the file";
        let (found, hint) = match (resources.len(), name) {
            (0, Some(name)) => (format!("no PrometheusMirror {name}"), hint),
            (0, None) => (
                "no PrometheusMirror".to_owned(),
                "give the file that has it",
            ),
            (several, _) => (format!("{several} PrometheusMirrors"), hint),
        };
        return Err(Error::NotInFile(file.to_owned(), found, hint));
    };
    let text = |field: &str| {
        document["metadata"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let name = text("name");
    let mirror = crds::parse(document).map_err(|faults| {
        let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
        Error::Invalid(lines.join("\n"))
    })?;
    if mirror.spec.mode != Mode::Sidecar {
        return Err(Error::NotASidecar(name));
    }
    let namespace = text("namespace");
    let mirror = ValidatedMirror::unresolved(name.clone(), namespace, String::new(), mirror.spec);
    let defaults = Defaults {
        image: image.to_owned(),
        image_pull_secrets: vec![],
        operator_namespace: String::new(),
        platform_assigns_users: false,
    };
    Ok(Pasted {
        name,
        sidecar: Sidecar::of(&mirror, &defaults),
    })
}

fn names(secrets: Vec<LocalName>) -> Vec<String> {
    secrets.into_iter().map(|secret| secret.name).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource(name: &str, spec: &Value) -> Value {
        let mut whole = json!({
            "mode": "Sidecar",
            "apiKeySecretRef": {"name": "mirror-key"},
            "targets": [{"name": "local", "url": "http://localhost:9090"}],
        });
        for (field, value) in spec.as_object().unwrap() {
            whole[field] = value.clone();
        }
        json!({"apiVersion": crds::API_VERSION, "kind": crds::KIND, "metadata": {"name": name}, "spec": whole})
    }

    fn read(documents: &[Value], name: Option<&str>) -> Result<Pasted, String> {
        let documents: Vec<_> = documents.iter().map(Value::to_string).collect();
        let text = documents.join("\n---\n");
        from_text(Path::new("mirrors.yaml"), &text, name, "mirror:1")
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_may_hold_other_objects() {
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mirror-key"}});
        let more = json!({"imagePullSecrets": [{"name": "registry"}]});
        let shop = resource("shop", &more);
        let pasted = read(
            &[secret, shop.clone(), resource("cart", &json!({}))],
            Some("shop"),
        )
        .unwrap();
        assert_eq!(pasted, read(&[shop], None).unwrap());
        assert_eq!(
            (pasted.name.as_str(), pasted.sidecar.pull_secrets),
            ("shop", vec!["registry".to_owned()])
        );
        assert_eq!(pasted.sidecar.container["image"], "mirror:1");
        let document = &pasted.sidecar.volumes[0]["projected"]["sources"][0]["configMap"];
        assert_eq!(document["name"], "shop-mirror");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let said = |documents: &[Value], name| read(documents, name).unwrap_err();
        let (shop, cart) = (resource("shop", &json!({})), resource("cart", &json!({})));
        let both = [shop.clone(), cart];
        assert_eq!(
            [
                said(&[], None),
                said(&[shop], Some("cart")),
                said(&both, None)
            ],
            [
                "mirrors.yaml has no PrometheusMirror; give the file that has it",
                "mirrors.yaml has no PrometheusMirror cart; name one PrometheusMirror of the file",
                "mirrors.yaml has 2 PrometheusMirrors; name one PrometheusMirror of the file",
            ]
        );
        assert_eq!(
            said(&[resource("shop", &json!({"mode": "Deployment"}))], None),
            "shop has mode: Deployment, in which the mirror has pods of its own; write mode: Sidecar in its spec"
        );
        let wrong = said(&[resource("shop", &json!({"workers": 0}))], None);
        assert!(wrong.starts_with("spec.workers: "), "{wrong}");
    }

    #[test]
    fn what_the_operator_rendered_is_taken_as_it_is() {
        let (container, volumes) = (json!({"name": "prometheus-mirror"}), json!([{"name": "v"}]));
        let mut object = resource("shop", &json!({}));
        object["status"] = json!({"sidecar": {
            "hash": "h", "container": container, "volumes": volumes,
            "imagePullSecrets": [{"name": "login"}],
        }});
        let mirror = serde_json::from_value(object).unwrap();
        let expected = Pasted {
            name: "shop".to_owned(),
            sidecar: Sidecar {
                container,
                volumes: vec![json!({"name": "v"})],
                hash: "h".to_owned(),
                // The operator's: the resource has none.
                pull_secrets: vec!["login".to_owned()],
            },
        };
        assert_eq!(from_status("shop", &mirror).unwrap(), expected);
    }

    #[test]
    fn a_resource_that_is_not_rendered_says_why() {
        let said = |object: &Value| {
            let mirror = serde_json::from_value(object.clone()).unwrap();
            from_status("shop", &mirror).unwrap_err().to_string()
        };
        let mut object = resource("shop", &json!({}));
        assert_eq!(
            said(&object),
            "the operator has not rendered the sidecar of shop yet: check that it runs, or render from a manifest with --file"
        );
        let condition = json!({
            "type": "Stalled", "status": "True", "reason": "SecretMissing", "message": "there is no Secret",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        object["status"] = json!({"conditions": [condition]});
        assert_eq!(
            said(&object),
            "the operator has not rendered the sidecar of shop yet: there is no Secret"
        );
    }
}
