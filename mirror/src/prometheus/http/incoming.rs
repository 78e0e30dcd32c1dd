//! The body of an answer as its client reads it.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame};

use super::Failed;

/// An answer's head, and its body as it arrives.
pub(in crate::prometheus) type Response = http::Response<Incoming>;

/// A body that arrives.
#[derive(Debug)]
pub(in crate::prometheus) enum Incoming {
    /// Read by hyper's client.
    Hyper(hyper::body::Incoming),
    /// Read by reqwest, or there already.
    Reqwest(reqwest::Body),
}

impl Incoming {
    /// The next bytes; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        loop {
            let frame: Option<Frame<Bytes>> = match self {
                Self::Hyper(body) => body.frame().await.transpose().map_err(Failed::BrokenOff)?,
                Self::Reqwest(body) => body.frame().await.transpose()?,
            };
            match frame.map(Frame::into_data) {
                None => return Ok(None),
                Some(Ok(data)) => return Ok(Some(data)),
                // Trailers say nothing that is read.
                Some(Err(_)) => {}
            }
        }
    }

    /// How long it is, if that is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Hyper(body) => body.size_hint().exact(),
            Self::Reqwest(body) => body.size_hint().exact(),
        }
    }
}

impl From<reqwest::Body> for Incoming {
    fn from(body: reqwest::Body) -> Self {
        Self::Reqwest(body)
    }
}

/// The same answer.
pub(in crate::prometheus) fn answered(response: reqwest::Response) -> Response {
    http::Response::from(response).map(Incoming::Reqwest)
}
