//! What is written on a connection, and whether a request asked for it.
//!
//! hyper answers a request whose head it cannot read by itself, without a body and without asking
//! anybody. It does so between requests, when nothing else is written: so what is written then is
//! such an answer, and gets the body that it lacks.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::listener::OnMalformed;
use crate::table::Place;

/// After its refusal a client is listened to for so long: closing the connection while it still
/// sends would lose the answer.
const LINGER: Duration = Duration::from_secs(1);

/// So much of what it sends is read meanwhile, in bytes.
const MOST_READ: usize = 1 << 20;

/// A stream that says when all that hyper had to write is written (hyper flushes then, and only
/// then), and that completes the answers that hyper makes by itself.
pub(crate) struct Watched<S> {
    stream: S,
    place: Arc<Place>,
    on_malformed: Option<OnMalformed>,
    /// The answer to a head that cannot be read. It is the last one of the connection.
    refusal: Option<Refusal>,
}

struct Refusal {
    bytes: Vec<u8>,
    written: usize,
    /// How much of what the client sent behind it was read.
    read: usize,
    /// From the end of the answer on.
    lingers: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(crate) fn new(stream: S, place: Arc<Place>, on_malformed: Option<OnMalformed>) -> Self {
        Self {
            stream,
            place,
            on_malformed,
            refusal: None,
        }
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    /// Writes what is left of the refusal that takes the place of hyper's, if there is one. hyper's
    /// has so many bytes.
    fn poll_refuse(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<Option<io::Result<usize>>> {
        if self.refusal.is_none()
            && !self.place.is_under_way()
            && let Some(body) = self.on_malformed
            && let Some(bytes) = refusal(&all(parts), body)
        {
            self.refusal = Some(Refusal {
                bytes,
                written: 0,
                read: 0,
                lingers: None,
            });
        }
        let Some(refusal) = &mut self.refusal else {
            return Poll::Ready(None);
        };
        while refusal.written < refusal.bytes.len() {
            let rest = &refusal.bytes[refusal.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest)) {
                Ok(0) => return Poll::Ready(Some(Err(io::ErrorKind::WriteZero.into()))),
                Ok(written) => refusal.written += written,
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        let length = parts.iter().map(|part| part.len()).sum();
        Poll::Ready(Some(Ok(length)))
    }
}

fn all(parts: &[io::IoSlice<'_>]) -> Vec<u8> {
    parts.iter().flat_map(|part| part.iter().copied()).collect()
}

/// hyper's answer with a body; none if it is not one that refuses a head.
fn refusal(answer: &[u8], body: OnMalformed) -> Option<Vec<u8>> {
    let head = std::str::from_utf8(answer).ok()?.strip_suffix("\r\n\r\n")?;
    let (line, headers) = head.split_once("\r\n")?;
    let code = line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    let status: StatusCode = code.parse().ok()?;
    if !status.is_client_error() {
        return None;
    }
    let body = body(status);
    let length = body.len();
    let about_body = |header: &&str| {
        let name = header.split(':').next().unwrap_or_default();
        ["content-length", "content-type", "connection"]
            .iter()
            .any(|of_body| name.eq_ignore_ascii_case(of_body))
    };
    let headers = headers.split("\r\n").filter(|header| !about_body(header));
    let mut refusal = format!(
        "{line}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n"
    );
    for header in headers {
        refusal.push_str(header);
        refusal.push_str("\r\n");
    }
    refusal.push_str("\r\n");
    refusal.push_str(&body);
    Some(refusal.into_bytes())
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match ready!(self.poll_refuse(cx, &[io::IoSlice::new(bytes)])) {
            Some(refused) => Poll::Ready(refused),
            None => Pin::new(&mut self.stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match ready!(self.poll_refuse(cx, parts)) {
            Some(refused) => Poll::Ready(refused),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.place.flushed();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            stream, refusal, ..
        } = self.get_mut();
        let Some(refusal) = refusal else {
            return Pin::new(stream).poll_shutdown(cx);
        };
        if refusal.lingers.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
        }
        let lingers = refusal
            .lingers
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        let mut bytes = [0; 4096];
        while refusal.read < MOST_READ && lingers.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            match buffer.filled().len() {
                0 => break,
                _ if read.is_err() => break,
                length => refusal.read += length,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_refuses_a_head_gets_a_body_and_no_other_does() {
        let body: OnMalformed = |status| format!("[{}]", status.as_u16());
        let own = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\ndate: now\r\n\r\n";
        assert_eq!(
            refusal(own, body).map(|refusal| String::from_utf8(refusal).unwrap()),
            Some(
                "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n\
                content-length: 5\r\nconnection: close\r\ndate: now\r\n\r\n[431]"
                    .to_owned()
            )
        );
        for other in [
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            "x",
        ] {
            assert_eq!(refusal(other.as_bytes(), body), None, "{other}");
        }
    }
}
