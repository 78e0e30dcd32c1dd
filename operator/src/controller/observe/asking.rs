//! What one pod answers on its admin port, which is not to be trusted.

use std::time::Duration;

use crds::contract::{
    ADMIN_PORT_NUMBER, Reachability, Readiness, ServerReachability, TargetReachability, pages,
};
use http::header::CONNECTION;

/// How long a pod may take to answer.
const TIMEOUT: Duration = Duration::from_secs(8);
/// The longest answer that is read. 64 targets with long messages are far below.
const MOST_BYTES: usize = 1 << 20;
/// So many targets can be declared.
const MOST_TARGETS: usize = 64;
/// So many servers can a target have.
const MOST_SERVERS: usize = crds::MOST_SHARDS * crds::MOST_REPLICAS;
/// The longest message of one of several servers that is taken over, in characters.
const LONGEST_OF_SERVER: usize = 256;
/// The longest name of a target, in characters.
const LONGEST_NAME: usize = 63;
/// The longest version that a status has room for, in characters.
const LONGEST_VERSION: usize = 256;
/// The longest message that is taken over, in characters.
const LONGEST_MESSAGE: usize = 1024;
/// So many notices of a target, or of all, are taken over.
const MOST_NOTICES: usize = 8;
/// What a pod answers on its admin port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodAnswer {
    /// The hash of the document it serves.
    pub document: Option<String>,
    /// It has a newer document and refuses it.
    pub newer_document_refused: bool,
    /// The targets as it sees them.
    pub targets: Vec<TargetReachability>,
    /// What was skipped or looks odd in its document, beside the targets. It works all the same.
    pub notices: Vec<String>,
}

/// The client that asks pods. What answers is not to be trusted: `podTemplate` may run anything in
/// them. A redirect would have the operator ask, and show in a status, what only the operator can
/// reach.
///
/// # Errors
/// If it cannot be made.
pub fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(2))
        // The two questions to a pod share a connection; thousands of pods that are asked twice a
        // minute must not hold one each.
        .pool_idle_timeout(Duration::from_secs(1))
        .build()
}

/// What a pod answers, or why it does not.
pub(super) async fn ask(http: &reqwest::Client, ip: &str) -> Result<PodAnswer, String> {
    let host = if ip.contains(':') {
        format!("[{ip}]")
    } else {
        ip.to_owned()
    };
    let url = |path: &str| format!("http://{host}:{ADMIN_PORT_NUMBER}{path}");
    let readiness: Readiness = get(http.get(url(pages::READINESS))).await?;
    // Over the same connection, which is not wanted after that: thousands of pods are asked. Older
    // mirrors do not have it.
    let last = http.get(url(pages::TARGETS)).header(CONNECTION, "close");
    let targets: Option<Reachability> = get(last).await.ok();
    Ok(answer(readiness, targets))
}

/// What a pod answered, with texts no longer than a status has room for: one that is too long would
/// have the API server refuse the whole status.
fn answer(readiness: Readiness, targets: Option<Reachability>) -> PodAnswer {
    let (targets, notices) = targets
        .map(|found| (found.targets, found.notices))
        .unwrap_or_default();
    let bounded = targets
        .into_iter()
        .take(MOST_TARGETS)
        .map(|target| TargetReachability {
            name: cut(target.name, LONGEST_NAME),
            version: target.version.map(|version| cut(version, LONGEST_VERSION)),
            message: target.message.map(|message| cut(message, LONGEST_MESSAGE)),
            notices: few(target.notices),
            reachable: target.reachable,
            servers: target
                .servers
                .into_iter()
                .take(MOST_SERVERS)
                .map(server)
                .collect(),
        });
    PodAnswer {
        document: readiness.document.map(|document| document.hash),
        newer_document_refused: readiness.newer_document_refused,
        targets: bounded.collect(),
        notices: few(notices),
    }
}

fn server(server: ServerReachability) -> ServerReachability {
    ServerReachability {
        // What is written into a status is the declared one.
        url: String::new(),
        reachable: server.reachable,
        version: server.version.map(|version| cut(version, LONGEST_VERSION)),
        message: server
            .message
            .map(|message| cut(message, LONGEST_OF_SERVER)),
    }
}

fn few(notices: Vec<String>) -> Vec<String> {
    let notices = notices.into_iter().take(MOST_NOTICES);
    notices.map(|notice| cut(notice, LONGEST_MESSAGE)).collect()
}

fn cut(text: String, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

/// The body is what counts: a pod that drains or starts answers with 503.
async fn get<T: serde::de::DeserializeOwned>(
    request: reqwest::RequestBuilder,
) -> Result<T, String> {
    let read = async {
        let mut response = request.send().await.map_err(|error| cause(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BYTES {
                return Err("the answer is too long".to_owned());
            }
        }
        let foreign = |_| format!("status {} and no answer of a mirror", response.status());
        serde_json::from_slice(&body).map_err(foreign)
    };
    let answer = tokio::time::timeout(TIMEOUT, read).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())))
}

/// The innermost cause of an error: what is around it only says that a request failed.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no connection in time".to_owned();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    cut(innermost.to_string(), LONGEST_OF_SERVER)
}

#[cfg(test)]
mod tests {
    use crds::contract::Phase;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_pod_that_redirects_leads_nowhere() {
        // `main` does this; another test may have done it before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let mut requests = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                requests += 1;
                let _ = stream.read(&mut [0; 1024]).await;
                let secret = r#"{"targets":[]}"#;
                let answer = match requests {
                    1 => format!(
                        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{address}/secret\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    ),
                    _ => format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{secret}",
                        secret.len()
                    ),
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let http = client().unwrap();
        let url = format!("http://{address}/targets");
        let first: Result<Reachability, _> = get(http.get(&url)).await;
        assert!(first.is_err());
        let second: Result<Reachability, _> = get(http.get(&url)).await;
        assert!(second.is_ok(), "the second request is the test's own");
        served.abort();
    }

    #[test]
    fn what_a_pod_says_fits_into_a_status() {
        let readiness = Readiness {
            status: Phase::Ready,
            document: None,
            newer_document_refused: false,
        };
        let long = || Some("ü".repeat(5_000));
        let of_server = ServerReachability {
            url: "u".repeat(5_000),
            reachable: Some(true),
            version: long(),
            message: long(),
        };
        let target = |name: &str| TargetReachability {
            name: name.to_owned(),
            reachable: Some(true),
            version: long(),
            message: long(),
            notices: vec![long().unwrap_or_default(); 100],
            servers: vec![of_server.clone(); 100],
        };
        let targets = (0..1_000).map(|_| target(&"n".repeat(300))).collect();
        let answer = answer(
            readiness,
            Some(Reachability {
                targets,
                notices: Vec::new(),
            }),
        );
        let lengths = answer.targets.iter().map(|target| {
            let count =
                |text: &Option<String>| text.as_ref().map_or(0, |text| text.chars().count());
            (
                target.name.len(),
                count(&target.version),
                count(&target.message),
                target.notices.len(),
            )
        });
        assert_eq!(lengths.collect::<Vec<_>>(), [(63, 256, 1024, 8); 64]);
        for target in &answer.targets {
            let expected = ServerReachability {
                url: String::new(),
                reachable: Some(true),
                version: Some("ü".repeat(256)),
                message: Some("ü".repeat(256)),
            };
            assert_eq!(target.servers, vec![expected; 64]);
        }
    }
}
