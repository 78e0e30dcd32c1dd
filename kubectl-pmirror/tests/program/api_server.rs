//! As much of an API server as the plugin asks: a mirror, its pod, its Secret, and the pod's ports,
//! which lead to a mirror on this machine.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

const NAMESPACE: &str = "/namespaces/shop";

/// What differs from test to test.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// `spec.server` of the mirror.
    pub(crate) server: Value,
    /// Requests whose path has one of these are refused.
    pub(crate) forbidden: Vec<&'static str>,
    /// Nobody listens on the pod's ports.
    pub(crate) refuses_connections: bool,
}

impl Default for World {
    fn default() -> Self {
        Self {
            server: json!({}),
            forbidden: Vec::new(),
            refuses_connections: false,
        }
    }
}

/// The server. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct ApiServer {
    port: u16,
    world: World,
    /// Where the pod's ports lead.
    api_port: u16,
    admin_port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ApiServer {
    pub(crate) async fn start(world: World, api_port: u16, admin_port: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = Self {
            port: listener.local_addr()?.port(),
            world,
            api_port,
            admin_port,
            asked: Arc::default(),
        };
        let running = server.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let server = running.clone();
                tokio::spawn(async move {
                    // A client that leaves is no fault of the server.
                    let _ = server.answer(connection).await;
                });
            }
        });
        Ok(server)
    }

    pub(crate) fn kubeconfig(&self) -> String {
        let named = |name: &str, what: Value| json!([{"name": "test", name: what}]);
        let cluster = json!({"server": format!("http://127.0.0.1:{}", self.port)});
        let context = json!({"cluster": "test", "user": "test", "namespace": "shop"});
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": named("cluster", cluster),
            "contexts": named("context", context),
            "users": named("user", json!({"token": "t"})),
        })
        .to_string()
    }

    /// Whether a request had this in its path.
    pub(crate) fn was_asked(&self, path: &str) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().any(|asked| asked.contains(path))
    }

    fn note(&self, path: &str) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(path.to_owned());
    }

    async fn answer(&self, mut connection: TcpStream) -> Result<()> {
        loop {
            let head = head(&mut connection).await?;
            let path = head.split(' ').nth(1).context("no path")?.to_owned();
            self.note(&path);
            if self.world.forbidden.iter().any(|part| path.contains(part)) {
                let refusal = json!({"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no"});
                send(&mut connection, "403 Forbidden", &refusal.to_string()).await?;
            } else if path.contains("/portforward") {
                return self.forward(connection, &head, &path).await;
            } else if path.contains("/log?") {
                send(&mut connection, "200 OK", "a line\nanother\n").await?;
            } else {
                match self.object(path.split('?').next().unwrap_or_default()) {
                    Some(object) => send(&mut connection, "200 OK", &object.to_string()).await?,
                    None => {
                        let missing = json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "none"});
                        send(&mut connection, "404 Not Found", &missing.to_string()).await?;
                    }
                }
            }
        }
    }

    fn object(&self, path: &str) -> Option<Value> {
        let mirrors = "/apis/prometheus-mirror.io/v1alpha1";
        let list = |kind: &str, item: Value| json!({"apiVersion": "v1", "kind": kind, "metadata": {}, "items": [item]});
        let resource = format!("{mirrors}{NAMESPACE}/prometheusmirrors");
        let everywhere = format!("{mirrors}/prometheusmirrors");
        let pods = format!("/api/v1{NAMESPACE}/pods");
        let secret = format!("/api/v1{NAMESPACE}/secrets/mirror-key");
        match path {
            path if path == format!("{resource}/production") => Some(self.mirror()),
            path if path == resource || path == everywhere => {
                Some(list("PrometheusMirrorList", self.mirror()))
            }
            path if path == pods => Some(list("PodList", pod())),
            // `the-key`
            path if path == secret => Some(json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": "mirror-key"}, "data": {"apiKey": "dGhlLWtleQ=="},
            })),
            _ => None,
        }
    }

    fn mirror(&self) -> Value {
        json!({
            "apiVersion": "prometheus-mirror.io/v1alpha1", "kind": "PrometheusMirror",
            "metadata": {
                "name": "production", "namespace": "shop",
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {
                "apiKeySecretRef": {"name": "mirror-key"}, "server": self.world.server,
                "later": "kept",
            },
            "status": {
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "Serving", "message": "it serves",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "endpoint": "http://production.shop.svc:9900", "replicas": 1,
            },
        })
    }

    /// Carries a connection to one of the pod's ports, as `v4.channel.k8s.io` does.
    async fn forward(&self, mut connection: TcpStream, head: &str, path: &str) -> Result<()> {
        let key = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_key = name.eq_ignore_ascii_case("sec-websocket-key");
            is_key.then(|| value.trim().to_owned())
        });
        let accepted = derive_accept_key(key.context("no key")?.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accepted}\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
        );
        connection.write_all(answer.as_bytes()).await?;
        let socket = WebSocketStream::from_raw_socket(connection, Role::Server, None).await;
        let (mut sink, mut stream) = socket.split();
        let port: u16 = path.rsplit('=').next().context("no port")?.parse()?;
        let [low, high] = port.to_le_bytes();
        for channel in [0, 1] {
            let begins: &[u8] = &[channel, low, high];
            sink.send(Message::binary(begins.to_vec())).await?;
        }
        if self.world.refuses_connections {
            let refused = [&[1], &b"connection refused"[..]].concat();
            sink.send(Message::binary(refused)).await?;
            // Whoever asks has to give up by itself.
            while let Some(Ok(_)) = stream.next().await {}
            return Ok(());
        }
        let here = match port {
            9900 => self.api_port,
            _ => self.admin_port,
        };
        let (mut from_pod, mut to_pod) =
            TcpStream::connect(("127.0.0.1", here)).await?.into_split();
        let back = async {
            let mut bytes = vec![0; 16 << 10];
            while let Ok(count @ 1..) = from_pod.read(&mut bytes).await {
                let message = [&[0], &bytes[..count]].concat();
                if sink.send(Message::binary(message)).await.is_err() {
                    return;
                }
            }
            let _ = sink.close().await;
        };
        let forth = async {
            while let Some(Ok(message)) = stream.next().await {
                if let Message::Binary(bytes) = message
                    && to_pod.write_all(&bytes[1..]).await.is_err()
                {
                    return;
                }
            }
        };
        tokio::select! {
            () = back => {}
            () = forth => {}
        }
        Ok(())
    }
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "production-mirror-1", "namespace": "shop",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"nodeName": "n1", "containers": []},
        "status": {
            "phase": "Running",
            "containerStatuses": [{
                "name": "mirror", "ready": true, "restartCount": 0, "image": "", "imageID": "",
                "state": {"running": {}},
            }],
        },
    })
}

/// The head of the next request; requests of the plugin have no body.
async fn head(connection: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await?);
    }
    Ok(String::from_utf8(head)?)
}

async fn send(connection: &mut TcpStream, status: &str, body: &str) -> Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await?;
    Ok(connection.write_all(body.as_bytes()).await?)
}
