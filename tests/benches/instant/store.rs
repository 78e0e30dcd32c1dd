//! A store that answers at once: whoever stands before it is what is measured. It knows no series.
//! A range query gets a value for each of its instants, whatever its expression says.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use harness::servers::{Process, free_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The argument that makes this program such a store. The port follows.
pub(crate) const ARGUMENT: &str = "serve-instant-store";

/// Answers that were made already, by what was asked.
type Made = Arc<Mutex<HashMap<Grid, Arc<[u8]>>>>;

/// Which instants a range query has, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Grid {
    start: i64,
    end: i64,
    step: i64,
}

/// A store in a process of its own.
#[derive(Debug)]
pub(crate) struct InstantStore {
    /// Kept as long as the store is needed.
    _process: Process,
    /// Host and port.
    pub(crate) address: String,
}

impl InstantStore {
    /// Starts one.
    ///
    /// # Errors
    /// If it does not listen soon.
    pub(crate) async fn start() -> Result<Self> {
        let port = free_port()?;
        let itself = std::env::current_exe()?;
        let arguments = [ARGUMENT.to_owned(), port.to_string()];
        let process = Process::start(
            "the instant store",
            &itself,
            arguments,
            tempfile::tempdir()?,
        )?;
        let address = format!("127.0.0.1:{port}");
        for _ in 0..1_000 {
            if TcpStream::connect(&address).await.is_ok() {
                return Ok(Self {
                    _process: process,
                    address,
                });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        anyhow::bail!("the instant store does not listen:\n{}", process.log())
    }
}

/// Serves until the process is ended. One thread is enough: answers are made once.
///
/// # Errors
/// If the port is taken.
pub(crate) fn serve(port: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
        let made = Made::default();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let made = Arc::clone(&made);
            // Whoever hangs up is of no interest.
            tokio::spawn(async move { converse(stream, &made).await });
        }
    })
}

async fn converse(mut stream: TcpStream, made: &Made) -> Result<()> {
    let mut read = Vec::with_capacity(8 * 1024);
    loop {
        let Some(request) = next_request(&mut stream, &mut read).await? else {
            return Ok(());
        };
        let answer = match grid(&request) {
            Some(grid) => {
                let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
                let answer = made.entry(grid).or_insert_with(|| answer(grid));
                Arc::clone(answer)
            }
            None if request.starts_with(b"GET /-/ready") => response("200 OK", "ready"),
            None => response(
                "400 Bad Request",
                r#"{"status":"error","errorType":"bad_data","error":"ranges only"}"#,
            ),
        };
        stream.write_all(&answer).await?;
    }
}

/// The bytes of a request, head and body; None if there is no other.
async fn next_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Result<Option<Vec<u8>>> {
    loop {
        if let Some(length) = length(read)? {
            let rest = read.split_off(length);
            return Ok(Some(std::mem::replace(read, rest)));
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}

/// How long the request is that these bytes begin with, once all of it is there.
fn length(read: &[u8]) -> Result<Option<usize>> {
    let Some(head) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let lines = std::str::from_utf8(&read[..head])?.split("\r\n");
    let mut headers = lines.filter_map(|line| line.split_once(':'));
    let body = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let body = body.map_or(Ok(0), |(_, length)| length.trim().parse::<usize>())?;
    let length = head + 4 + body;
    Ok((read.len() >= length).then_some(length))
}

/// What a range query asks for, in its URL or its form.
fn grid(request: &[u8]) -> Option<Grid> {
    let text = std::str::from_utf8(request).ok()?;
    let (line, rest) = text.split_once("\r\n")?;
    let target = line.split(' ').nth(1)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if !path.ends_with("/query_range") {
        return None;
    }
    let (_, form) = rest.split_once("\r\n\r\n")?;
    let parameters = query.split('&').chain(form.split('&'));
    let parameter = |wanted: &str| {
        let mut pairs = parameters.clone().filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == wanted)?;
        milliseconds(value)
    };
    Some(Grid {
        start: parameter("start")?,
        end: parameter("end")?,
        step: parameter("step")?.max(1),
    })
}

/// Seconds, perhaps with a fraction.
fn milliseconds(seconds: &str) -> Option<i64> {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let fraction = format!("{fraction:0<3}");
    Some(whole.parse::<i64>().ok()? * 1000 + fraction.get(..3)?.parse::<i64>().ok()?)
}

/// One series, whose values have as many digits as means have.
fn answer(grid: Grid) -> Arc<[u8]> {
    let mut body = String::from(
        r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":["#,
    );
    let mut at = grid.start;
    while at <= grid.end {
        let comma = if at == grid.start { "" } else { "," };
        #[expect(clippy::cast_precision_loss, reason = "a wave needs no last digit")]
        let value = 50.0 + 40.0 * (at as f64 / 1.0e7).sin();
        let (seconds, fraction) = (at.div_euclid(1000), at.rem_euclid(1000));
        // Writing to a String cannot fail.
        let _ = write!(body, "{comma}[{seconds}.{fraction:03},\"{value}\"]");
        at += grid.step;
    }
    body.push_str("]}]}}");
    response("200 OK", &body)
}

fn response(status: &str, body: &str) -> Arc<[u8]> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body.as_bytes()].concat().into()
}
