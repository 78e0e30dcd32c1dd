//! Requests that are refused by their heads, over raw sockets: in the contract's words.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod upstream;

use std::net::SocketAddr;
use std::time::Duration;

use mirror::api::state::AppState;
use mirror::http::{router, unreadable};
use mirror::telemetry::metrics::Metrics;
use serde_json::{Value, json};
use server::{Hooks, Limits, Server, bind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn start() -> Server {
    upstream::metrics();
    let settings = upstream::settings(1, &[]);
    let hooks = Hooks {
        on_malformed: Some(unreadable::body),
        ..Hooks::default()
    };
    let listener = bind("127.0.0.1:0", "--listen").await.unwrap();
    let router = router::app(AppState::new(settings, Metrics::new()));
    Server::start(listener, router, Limits::API, hooks).unwrap()
}

/// All that comes for `sent` until the server closes.
async fn answer(address: SocketAddr, sent: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    let read = tokio::time::timeout(Duration::from_secs(10), read).await;
    read.expect("the server closes").unwrap();
    answer
}

/// The status and the body of an answer.
fn parts(answer: &str) -> (&str, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn a_head_that_cannot_be_read_gets_an_error_of_the_contract() {
    let server = start().await;
    let long = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(20_000));
    let table = [
        (
            "no HTTP\r\n\r\n",
            "400",
            "malformed request",
            "the request's head is not HTTP/1.1",
        ),
        (
            &long,
            "431",
            "request too large",
            "the request's head is larger than 16384 bytes, or has more than 100 headers",
        ),
    ];
    for (sent, status, summary, details) in table {
        let answer = answer(server.address(), sent).await;
        let expected =
            json!({"_type": "RemoteMirrorError", "summary": summary, "details": details});
        assert_eq!(parts(&answer), (status, expected), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
}
