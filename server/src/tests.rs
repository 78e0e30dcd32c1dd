//! A listener and its connections, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use http::Response;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::*;

const SHORT: Limits = Limits {
    head: Duration::from_millis(200),
    body_idle: Duration::from_millis(200),
    body: Duration::from_millis(600),
    write_idle: Duration::from_millis(200),
    connections: 8,
    per_client: 8,
};

async fn start(router: Router, limits: Limits) -> Server {
    let listener = bind(&"127.0.0.1:0".parse().unwrap(), "--listen")
        .await
        .unwrap();
    Server::start(listener, router, limits, Hooks::default()).unwrap()
}

/// Sends `bytes` and reads until the server closes.
async fn exchange(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    read_to_close(&mut stream).await
}

async fn read_to_close(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer))
        .await
        .expect("the server closes")
        .ok();
    String::from_utf8_lossy(&answer).into_owned()
}

fn echo() -> Router {
    Router::new().route("/", get(async || "hello")).route(
        "/echo",
        post(
            async |body: Result<Bytes, axum::extract::rejection::BytesRejection>| match body {
                Ok(body) => Response::new(axum::body::Body::from(body)),
                Err(_) => Response::builder()
                    .status(400)
                    .header("x-key", "k")
                    .body("broken".into())
                    .unwrap(),
            },
        ),
    )
}

#[tokio::test]
async fn a_head_that_never_ends_closes_the_connection() {
    let server = start(echo(), SHORT).await;
    assert!(
        !exchange(server.address(), "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            .await
            .contains("200")
    );
    assert_eq!(
        exchange(server.address(), "").await,
        "",
        "nor does one that never begins hold it"
    );
}

/// Starts a server that refuses heads in words.
async fn start_with_refusals(router: Router) -> Server {
    let hooks = Hooks {
        on_malformed: Some(|status| format!("{{\"status\":{}}}", status.as_u16())),
        ..Hooks::default()
    };
    let listener = bind(&"127.0.0.1:0".parse().unwrap(), "--listen")
        .await
        .unwrap();
    Server::start(listener, router, PATIENT, hooks).unwrap()
}

#[tokio::test]
async fn a_head_that_cannot_be_read_is_refused_with_a_body() {
    let server = start_with_refusals(echo()).await;
    let long = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(300_000));
    for (sent, status) in [("no HTTP\r\n\r\n", 400), (long.as_str(), 431)] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        // Nothing of it is lost although more was sent than is read of a head.
        let answer = read_to_close(&mut stream).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        for line in ["connection: close", "content-type: application/json"] {
            assert!(head.lines().any(|found| found == line), "{line}: {head}");
        }
        assert_eq!(body, format!("{{\"status\":{status}}}"));
    }
}

#[tokio::test]
async fn answers_of_handlers_keep_their_bytes_beside_a_refused_head() {
    let router = echo().route("/gone", get(async || http::StatusCode::GONE));
    let server = start_with_refusals(router).await;
    let mut stream = asked(server.address(), HELLO, "hello").await;
    let gone = "GET /gone HTTP/1.1\r\nHost: x\r\n\r\n";
    ask(&mut stream, gone, "\r\n\r\n").await;
    stream.write_all(b"no HTTP\r\n\r\n").await.unwrap();
    let answer = read_to_close(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\n{\"status\":400}"), "{answer}");
    // Sent at once, the last answer may have no body, but none gets another's.
    let both = exchange(server.address(), &format!("{gone}no HTTP\r\n\r\n")).await;
    assert!(both.starts_with("HTTP/1.1 410 "), "{both}");
    let (gone, refused) = both.split_once("\r\n\r\n").unwrap();
    assert!(gone.contains("content-length: 0"), "{gone}");
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
}

#[tokio::test]
async fn a_body_that_stops_is_408_with_the_handlers_headers_and_the_connection_closed() {
    let server = start(echo(), SHORT).await;
    let answer = exchange(
        server.address(),
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(
        answer.contains("connection: close") && answer.contains("x-key: k"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_body_that_drips_is_bounded_as_a_whole() {
    let server = start(echo(), SHORT).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        .await
        .unwrap();
    let (mut read, mut write) = stream.into_split();
    let dripping = tokio::spawn(async move {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut answer = [0; 12];
    read.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    dripping.abort();
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_loses_its_connection() {
    let large = Router::new().route("/", get(async || vec![b'x'; 64 << 20]));
    // What a connection is counted by, as long as it is open.
    let counter = Arc::new(());
    let open = Arc::clone(&counter);
    let hooks = Hooks {
        on_connection: Some(Arc::new(move || Box::new(Arc::clone(&open)))),
        ..Hooks::default()
    };
    let listener = bind(&"127.0.0.1:0".parse().unwrap(), "--listen")
        .await
        .unwrap();
    let server = Server::start(listener, large, SHORT, hooks).unwrap();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let is_open = || Arc::strong_count(&counter) > 2;
    tokio::time::timeout(Duration::from_secs(10), async {
        while !is_open() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        while is_open() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the server gives the connection up");
}

/// A connection that has sent `bytes` and read an answer that ends in `answer`.
async fn asked(address: SocketAddr, bytes: &str, answer: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    ask(&mut stream, bytes, answer).await;
    stream
}

async fn ask(stream: &mut TcpStream, bytes: &str, answer: &str) {
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(answer.as_bytes()) {
        let next = tokio::time::timeout(PATIENCE, stream.read_u8()).await;
        read.push(next.expect("an answer").expect("an open connection"));
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
const HELLO: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// Nothing ends by itself.
const PATIENT: Limits = Limits {
    head: Duration::from_secs(3600),
    body_idle: Duration::from_secs(3600),
    body: Duration::from_secs(3600),
    write_idle: Duration::from_secs(3600),
    connections: 4,
    per_client: 3,
};

#[tokio::test]
async fn a_new_connection_takes_the_place_of_the_one_that_is_idle_longest() {
    let server = start(echo(), PATIENT).await;
    let mut half_open = asked(server.address(), "", "").await;
    half_open.write_all(b"GET / HT").await.unwrap();
    let mut first = asked(server.address(), HELLO, "hello").await;
    let mut second = asked(server.address(), HELLO, "hello").await;
    ask(&mut first, HELLO, "hello").await;
    let mut third = asked(server.address(), HELLO, "hello").await;
    assert_eq!(read_to_close(&mut half_open).await, "");
    asked(server.address(), HELLO, "hello").await;
    assert_eq!(
        read_to_close(&mut second).await,
        "",
        "the first was used since"
    );
    ask(&mut first, HELLO, "hello").await;
    ask(&mut third, HELLO, "hello").await;
}

#[tokio::test]
async fn connections_with_a_request_under_way_stay_and_one_too_many_is_closed() {
    let (entered, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (entered, finish) = (Arc::clone(&entered), Arc::clone(&finish));
        echo().route(
            "/slow",
            get(async move || {
                entered.notify_one();
                finish.notified().await;
                "done"
            }),
        )
    };
    let server = start(slow, PATIENT).await;
    let mut busy = Vec::new();
    for _ in 0..3 {
        let slow = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n";
        busy.push(asked(server.address(), slow, "").await);
        entered.notified().await;
    }
    assert_eq!(
        exchange(server.address(), "").await,
        "",
        "its client has its share"
    );
    for stream in &mut busy {
        finish.notify_one();
        ask(stream, "", "done").await;
    }
    asked(server.address(), HELLO, "hello").await;
}

#[tokio::test]
async fn a_client_that_opens_connections_without_end_ends_only_its_own() {
    let server = start(echo(), PATIENT).await;
    let flood = std::net::Ipv4Addr::new(127, 0, 0, 2);
    let mut other = asked(server.address(), HELLO, "hello").await;
    let mut opened = Vec::new();
    for _ in 0..200 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((flood, 0).into()).unwrap();
        opened.push(socket.connect(server.address()).await.unwrap());
    }
    ask(&mut other, HELLO, "hello").await;
    asked(server.address(), HELLO, "hello").await;
    let closed = opened.iter_mut().take(100).map(read_to_close);
    for closed in closed {
        assert_eq!(closed.await, "");
    }
}

#[tokio::test]
async fn a_handler_knows_its_client() {
    let router = Router::new().route(
        "/",
        get(async |client: axum::Extension<ClientAddress>| client.ip().to_string()),
    );
    let server = start(router, PATIENT).await;
    asked(server.address(), HELLO, "127.0.0.1").await;
}

#[test]
fn a_server_apart_answers_while_every_worker_of_the_runtime_is_blocked() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(async {
        let listener = bind(&"127.0.0.1:0".parse().unwrap(), "--listen")
            .await
            .unwrap();
        Apart::start("apart", listener, echo(), Limits::ADMIN).unwrap()
    });
    let (blocked, blocks) = std::sync::mpsc::channel();
    let release = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for _ in 0..2 {
        let (blocked, release) = (blocked.clone(), Arc::clone(&release));
        runtime.spawn(async move {
            blocked.send(()).unwrap();
            while !release.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
    }
    for _ in 0..2 {
        blocks.recv_timeout(PATIENCE).unwrap();
    }
    let answer = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        drop(server);
        read.map(|_| answer)
    });
    let answer = answer.join().unwrap();
    release.store(true, Ordering::Relaxed);
    assert!(answer.unwrap().ends_with("hello"));
}

#[tokio::test]
async fn draining_finishes_requests_under_way_and_refuses_new_connections() {
    let (entered, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (entered, finish) = (Arc::clone(&entered), Arc::clone(&finish));
        Router::new().route(
            "/",
            get(async move || {
                entered.notify_one();
                finish.notified().await;
                "done"
            }),
        )
    };
    let server = start(slow, Limits::API).await;
    let address = server.address();
    let mut idle = TcpStream::connect(address).await.unwrap();
    let request = tokio::spawn(exchange(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    entered.notified().await;
    let drain = tokio::spawn(server.drain(Duration::from_secs(30)));
    assert_eq!(
        read_to_close(&mut idle).await,
        "",
        "an idle connection is closed at once"
    );
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nothing listens any more"
    );
    finish.notify_one();
    assert!(request.await.unwrap().ends_with("done"));
    assert_eq!(drain.await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn a_drain_that_takes_too_long_cuts_what_is_left() {
    static ENTERED: AtomicUsize = AtomicUsize::new(0);
    let never = Router::new().route(
        "/",
        get(async || {
            ENTERED.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }),
    );
    let server = start(never, Limits::API).await;
    let request = tokio::spawn(exchange(
        server.address(),
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ));
    while ENTERED.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        server.drain(Duration::from_millis(50)).await,
        Drained { cut: 1 }
    );
    assert_eq!(request.await.unwrap(), "");
}

#[tokio::test]
async fn a_port_in_use_is_one_line_with_the_address_and_the_flag() {
    let taken = bind(&"127.0.0.1:0".parse().unwrap(), "--listen")
        .await
        .unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = bind(&address.parse().unwrap(), "--listen")
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {address}: the port is in use; choose another address with --listen"
        )
    );
}
