//! Requests that are refused by their heads, over raw sockets: before their bodies are asked for,
//! and in the contract's words.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod upstream;

use std::net::SocketAddr;
use std::time::Duration;

use mirror::api::state::AppState;
use mirror::http::{router, unreadable};
use mirror::settings::Settings;
use mirror::telemetry::metrics::Metrics;
use serde_json::{Value, json};
use server::{Hooks, Limits, Server, bind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn start() -> Server {
    upstream::metrics();
    let settings = Settings {
        require_api_key: true,
        allowed_hosts: Some(vec!["mirror.example".to_owned()]),
        ..upstream::settings(1, &[])
    };
    let hooks = Hooks {
        on_malformed: Some(unreadable::body),
        ..Hooks::default()
    };
    let address = "127.0.0.1:0".parse().unwrap();
    let listener = bind(&address, "--listen").await.unwrap();
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
    read.unwrap().unwrap();
    answer
}

/// The status and the body of an answer.
fn parts(answer: &str) -> (&str, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status, serde_json::from_str(body).unwrap())
}

const GOOD: &str = "POST /api/metric HTTP/1.1\r\nHost: mirror.example\r\nX-Mirror-Api-Key: key\r\n\
    Content-Type: application/json\r\nExpect: 100-continue\r\n";

#[tokio::test]
async fn a_body_is_not_asked_for_when_the_request_is_refused_anyway() {
    let server = start().await;
    let length = "Content-Length: 100\r\n\r\n";
    let table = [
        ("401", GOOD.replace("-Key: key", "-Key: other") + length),
        ("404", GOOD.replace("/api/metric", "/api/other") + length),
        ("405", GOOD.replace("POST", "PUT") + length),
        ("413", format!("{GOOD}Content-Length: 1048577\r\n\r\n")),
        (
            "415",
            GOOD.replace("application/json", "text/plain\r\nOrigin: http://a") + length,
        ),
        (
            "421",
            GOOD.replace("mirror.example", "other.example") + length,
        ),
        (
            "401",
            GOOD.replace("-Key: key", "-Key: other") + "Transfer-Encoding: chunked\r\n\r\n",
        ),
    ];
    for (status, sent) in table {
        let answer = answer(server.address(), &sent).await;
        let (found, body) = parts(&answer);
        assert_eq!(found, status, "{sent}{answer}");
        assert_eq!(body["_type"], "RemoteMirrorError", "{sent}{answer}");
    }
}

#[tokio::test]
async fn a_body_that_is_read_is_asked_for() {
    let server = start().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!("{GOOD}Content-Length: 2\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{}").await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 400");
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
