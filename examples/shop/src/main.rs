//! `prometheus-mirror-demo HISTORY_FILE HOURS`: something to look at for `make run`.
//!
//! Writes the last HOURS hours of a made-up web shop to HISTORY_FILE, as OpenMetrics text that
//! `promtool tsdb create-blocks-from openmetrics` takes, prints the port it then serves, and goes
//! on with the same shop on `http://127.0.0.1:PORT/metrics`. It needs nothing but the standard
//! library, so that it builds in a second.

mod shop;
mod text;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shop::{STEP_SECONDS, Shop};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, hours] = arguments.as_slice() else {
        eprintln!("usage: prometheus-mirror-demo HISTORY_FILE HOURS");
        return ExitCode::from(2);
    };
    let Ok(hours) = hours.parse() else {
        eprintln!("prometheus-mirror-demo: HOURS is a whole number, not {hours:?}");
        return ExitCode::from(2);
    };
    match run(file, hours) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("prometheus-mirror-demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(file: &str, hours: u32) -> io::Result<()> {
    let now = seconds_now();
    let mut shop = Shop::opened_at(now.saturating_sub(u64::from(hours) * 3600));
    let mut history = vec![(shop.time(), shop.samples())];
    while shop.time() + STEP_SECONDS <= now {
        shop.advance();
        history.push((shop.time(), shop.samples()));
    }
    let mut out = BufWriter::new(File::create(file)?);
    text::write_history(&mut out, &history)?;
    out.into_inner()?.sync_all()?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    for connection in listener.incoming() {
        while shop.time() + STEP_SECONDS <= seconds_now() {
            shop.advance();
        }
        // A client that hangs up early is no reason to stop.
        if let Err(error) = connection.and_then(|stream| answer(stream, &shop)) {
            eprintln!("prometheus-mirror-demo: {error}");
        }
    }
    Ok(())
}

/// Answers any request with the metrics page and closes the connection.
fn answer(stream: TcpStream, shop: &Shop) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(&stream).lines();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let mut body = Vec::new();
    text::write_page(&mut body, &shop.samples())?;
    let mut out = &stream;
    write!(
        out,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    out.write_all(&body)
}

fn seconds_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}
