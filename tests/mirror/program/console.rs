//! The console: who gets it, what it tells browsers, and how much of it there is.

// Helpers outside the test functions unwrap too.
#![allow(clippy::unwrap_used)]

use std::net::{TcpListener, TcpStream};

use harness::servers::{Launch, Mirror, MirrorConfig, free_port, http_client};
use reqwest::{Method, Response};
use serde_json::{Value, json};

/// All that a browser loads.
const FILES: [&str; 9] = [
    "/",
    "/style.css",
    "/icon.svg",
    "/main.js",
    "/api.js",
    "/calls.js",
    "/chart.js",
    "/form.js",
    "/why.js",
];

struct Console {
    mirror: Mirror,
    url: String,
}

/// Two targets, where nothing listens.
fn config(enabled: bool) -> MirrorConfig {
    let targets = [
        ("shop", "http://127.0.0.1:1"),
        ("bank", "http://127.0.0.1:1"),
    ];
    MirrorConfig::for_targets(&targets).with("console", json!({ "enabled": enabled }))
}

async fn start(config: &MirrorConfig, port: u16) -> Console {
    let address = format!("127.0.0.1:{port}");
    let launch = Launch {
        arguments: &["--log-format", "json", "--console-listen", &address],
        ..Launch::default()
    };
    let mirror = Mirror::launch(config, &launch).await.unwrap();
    let url = format!("http://{address}");
    Console { mirror, url }
}

impl Console {
    /// Asks for a path, with these headers.
    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let request = http_client().request(method, format!("{}{path}", self.url));
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        request.send().await.unwrap()
    }

    fn is_open(&self) -> bool {
        TcpStream::connect(self.url.trim_start_matches("http://")).is_ok()
    }
}

#[tokio::test]
async fn there_is_no_console_unless_the_document_enables_it_and_it_follows_the_document() {
    let plain = MirrorConfig::for_targets(&[("shop", "http://127.0.0.1:1")]);
    let console = start(&plain, free_port().unwrap()).await;
    assert!(!console.is_open());
    console.mirror.reconfigure(&config(true)).unwrap();
    console.mirror.logs("the console is open").await.unwrap();
    assert!(console.is_open());
    console.mirror.reconfigure(&config(false)).unwrap();
    console.mirror.logs("the console is closed").await.unwrap();
    assert!(!console.is_open());
}

#[tokio::test]
async fn a_console_whose_port_is_taken_keeps_nobody_from_the_api() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let console = start(&config(true), taken.local_addr().unwrap().port()).await;
    let said = console.mirror.logs("there is no console").await.unwrap();
    let said = said["message"].as_str().unwrap();
    assert!(said.contains("--console-listen"), "{said}");
    let answered = http_client()
        .get(console.mirror.url())
        .send()
        .await
        .unwrap();
    assert_eq!(answered.status(), 200);
}

#[tokio::test]
async fn every_answer_keeps_the_page_to_itself_and_out_of_frames() {
    let console = start(&config(true), free_port().unwrap()).await;
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                  img-src data: 'self'; frame-ancestors 'none'; base-uri 'none'; \
                  form-action 'none'";
    let expected = [
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    for path in FILES
        .iter()
        .chain(&["/nothing", "/api/targets", "/api/metric"])
    {
        let answer = console.ask(Method::GET, path, &[]).await;
        for (name, value) in expected {
            assert_eq!(answer.headers()[name], value, "{path}");
        }
        assert!(answer.headers().get("x-mirror-api-key").is_none(), "{path}");
    }
}

#[tokio::test]
async fn files_are_read_only_small_and_sent_once() {
    let console = start(&config(true), free_port().unwrap()).await;
    let mut bytes = 0;
    for path in FILES {
        assert_eq!(
            console.ask(Method::POST, path, &[]).await.status(),
            405,
            "{path}"
        );
        assert_eq!(
            console.ask(Method::HEAD, path, &[]).await.status(),
            200,
            "{path}"
        );
        let answer = console.ask(Method::GET, path, &[]).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["cache-control"], "no-cache", "{path}");
        let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
        // Near enough: each header line has two more separators.
        let headers = answer.headers().iter();
        let head: usize = headers
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum();
        bytes += head + answer.bytes().await.unwrap().len();
        let again = console
            .ask(Method::GET, path, &[("if-none-match", &etag)])
            .await;
        assert_eq!(again.status(), 304, "{path}");
        assert!(again.bytes().await.unwrap().is_empty(), "{path}");
    }
    assert!(bytes <= 120 << 10, "{bytes} bytes over the wire");
}

#[tokio::test]
async fn data_needs_the_key_even_where_the_api_does_not() {
    let console = start(&config(true), free_port().unwrap()).await;
    let key = ("x-mirror-api-key", "test-key");
    for (path, method) in [
        ("/api/targets", Method::GET),
        ("/api/connection", Method::POST),
        ("/api/metric", Method::POST),
        ("/api/field/name", Method::POST),
        ("/api/field/value", Method::POST),
        ("/api/explain", Method::POST),
        ("/api/why", Method::POST),
        ("/api/describe", Method::POST),
    ] {
        for sent in [&[][..], &[("x-mirror-api-key", "wrong")]] {
            let answer = console.ask(method.clone(), path, sent).await;
            assert_eq!(answer.status(), 401, "{path} {sent:?}");
        }
        let answer = console.ask(method, path, &[key]).await;
        assert_ne!(answer.status(), 401, "{path}");
    }
    let answer = console.ask(Method::GET, "/api/targets", &[key]).await;
    let targets: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(
        targets,
        json!({"targets": ["shop", "bank"], "default": "shop"})
    );
}
