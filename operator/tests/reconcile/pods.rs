//! Pods that answer on their admin ports: an HTTP proxy on loopback, through which the operator
//! reaches any address.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the pods say, by their addresses.
#[derive(Clone, Default)]
pub(crate) struct Pods(Arc<Mutex<BTreeMap<String, Serving>>>);

/// What a pod says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    /// The hash of its document.
    pub(crate) document: String,
    /// It has a newer document and refuses it.
    pub(crate) refuses_newer: bool,
    /// Whether it reaches its target, or why not.
    pub(crate) target: Result<(), String>,
}

impl Serving {
    /// A document, and all is well.
    pub(crate) fn document(hash: &str) -> Self {
        Self {
            document: hash.to_owned(),
            refuses_newer: false,
            target: Ok(()),
        }
    }
}

impl Pods {
    /// A client that reaches these pods and nothing else.
    pub(crate) async fn client(&self) -> reqwest::Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let proxy = reqwest::Proxy::http(proxy).unwrap();
        reqwest::Client::builder().proxy(proxy).build().unwrap()
    }

    /// From now on no pod answers.
    pub(crate) fn are_silent(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// From now on the pod at this address says this.
    pub(crate) fn serve(&self, address: &str, serving: Serving) {
        let mut pods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pods.insert(address.to_owned(), serving);
    }
}

async fn answer(State(pods): State<Pods>, uri: Uri) -> (StatusCode, String) {
    let pods = pods.0.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(uri.port_u16(), Some(9901), "{uri}");
    let Some(pod) = uri.host().and_then(|host| pods.get(host)) else {
        return (StatusCode::BAD_GATEWAY, String::new());
    };
    let body: Value = match uri.path() {
        "/readyz" => json!({
            "status": "ready",
            "document": {"name": "shop", "hash": pod.document},
            "newerDocumentRefused": pod.refuses_newer,
        }),
        "/targets" => json!({"notices": [], "targets": [{
            "name": "cluster", "reachable": pod.target.is_ok(), "version": "3.5.0",
            "message": pod.target.clone().err(), "notices": [],
        }]}),
        path => panic!("no pod answers {path}"),
    };
    (StatusCode::OK, body.to_string())
}
