//! The caches, filled from a scripted API server: lists are answered, watches stay open and silent.

use futures::StreamExt as _;
use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;

/// A client of an API server that has these objects, by the plural of their kind.
fn client(objects: &[(&'static str, Value)]) -> Client {
    let objects: BTreeMap<_, _> = objects.iter().cloned().collect();
    let answer = service_fn(move |request: Request<Body>| {
        let uri = request.uri();
        let watches = uri
            .query()
            .is_some_and(|query| query.contains("watch=true"));
        let plural = uri.path().rsplit('/').next().unwrap_or_default().to_owned();
        let items = objects.get(plural.as_str()).cloned().unwrap_or(json!([]));
        async move {
            if watches {
                std::future::pending::<()>().await;
            }
            let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items});
            Ok::<_, tower::BoxError>(Response::new(Body::from(list.to_string().into_bytes())))
        }
    });
    Client::new(answer, "default")
}

/// The caches, when they know what there is.
async fn filled(objects: &[(&'static str, Value)]) -> Caches {
    let (caches, streams) = Caches::new(&client(objects), Scope::Cluster);
    let mirrors = streams.mirrors.for_each(|_| std::future::ready(()));
    let children = streams.children.into_iter().map(|(_, changes)| changes);
    let others = async {
        tokio::join!(
            futures::future::join_all(
                children.map(|changes| changes.for_each(|_| std::future::ready(())))
            ),
            streams.replica_sets.for_each(|_| std::future::ready(())),
            streams.pods.for_each(|_| std::future::ready(())),
            streams.labelled.for_each(|_| std::future::ready(())),
            streams.secrets.for_each(|_| std::future::ready(())),
            streams.config_maps.for_each(|_| std::future::ready(())),
            streams.services.for_each(|_| std::future::ready(())),
            streams.slices.for_each(|_| std::future::ready(())),
            streams.prometheuses.for_each(|_| std::future::ready(())),
        );
    };
    tokio::select! {
        () = mirrors => {}
        () = others => {}
        () = caches.settled() => {}
        () = tokio::time::sleep(std::time::Duration::from_secs(60)) => panic!("the caches never fill"),
    }
    caches
}

fn object(name: &str, owner: Option<(&str, &str, &str)>) -> Value {
    let owners = owner.map(|(kind, name, uid)| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}]));
    // Items of a list come without their kind.
    json!({
        "metadata": {
            "name": name, "namespace": "n", "uid": format!("uid-of-{name}"), "ownerReferences": owners,
            "labels": {"app.kubernetes.io/name": "prometheus-mirror", "app.kubernetes.io/instance": "shop"},
        },
    })
}

#[tokio::test]
async fn pods_are_a_mirrors_by_who_controls_them_and_not_by_their_labels() {
    let deployment = ("Deployment", "shop-mirror", "uid-of-shop-mirror");
    let replica_sets = json!([
        object("now", Some(deployment)),
        object("before", Some(deployment)),
        object(
            "of-an-earlier-one",
            Some(("Deployment", "shop-mirror", "another-uid"))
        ),
        object("of-nobody", None),
    ]);
    let mut ended = object("ended", Some(("ReplicaSet", "now", "uid-of-now")));
    ended["status"] = json!({"phase": "Failed"});
    let mut elsewhere = object("elsewhere", Some(("ReplicaSet", "now", "uid-of-now")));
    elsewhere["metadata"]["namespace"] = json!("m");
    let pods = json!([
        object("first", Some(("ReplicaSet", "now", "uid-of-now"))),
        object("second", Some(("ReplicaSet", "before", "uid-of-before"))),
        object("labelled", None),
        object(
            "of-another-kind",
            Some(("StatefulSet", "now", "uid-of-now"))
        ),
        object(
            "with-a-false-uid",
            Some(("ReplicaSet", "now", "uid-of-before"))
        ),
        object(
            "of-an-unknown-one",
            Some(("ReplicaSet", "unknown", "uid-of-now"))
        ),
        object(
            "of-an-earlier-deployment",
            Some((
                "ReplicaSet",
                "of-an-earlier-one",
                "uid-of-of-an-earlier-one"
            ))
        ),
        object(
            "of-a-free-replica-set",
            Some(("ReplicaSet", "of-nobody", "uid-of-of-nobody"))
        ),
        object("of-the-deployment-itself", Some(deployment)),
        ended,
        elsewhere,
    ]);
    let deployments = json!([object("shop-mirror", None)]);
    let caches = filled(&[
        ("deployments", deployments),
        ("replicasets", replica_sets),
        ("pods", pods),
    ])
    .await;
    let deployment = caches.children[&Kind::Deployment].get("n", "shop-mirror");
    let pods = caches.pods_of(&deployment.unwrap().unpack());
    let mut names: Vec<_> = pods.iter().map(|pod| pod.name().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["first", "second"]);
}
