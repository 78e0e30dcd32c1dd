//! The body of an answer, until it is sent. That of a metric with many points is written while it
//! is sent, block by block: it never exists as a whole, which would be larger than its points.

use std::convert::Infallible;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::encode::Points;
use crate::budget::Reservation;

/// A body, with the memory that it takes.
#[derive(Debug)]
pub struct AnswerBody {
    rest: Rest,
    /// Other tasks get a turn before the next block is written.
    gives_way: bool,
    memory: Option<Arc<Reservation>>,
}

/// What is not sent yet.
#[derive(Debug)]
enum Rest {
    Whole(Bytes),
    Points(Box<Points>),
}

impl AnswerBody {
    /// A body that is there already.
    #[must_use]
    pub fn whole(body: Bytes, memory: Option<Arc<Reservation>>) -> Self {
        Self::new(Rest::Whole(body), memory)
    }

    /// A body that is written while it is sent.
    #[must_use]
    pub fn points(points: Points, memory: Option<Arc<Reservation>>) -> Self {
        Self::new(Rest::Points(Box::new(points)), memory)
    }

    fn new(rest: Rest, memory: Option<Arc<Reservation>>) -> Self {
        Self {
            rest,
            gives_way: false,
            memory,
        }
    }

    /// How many bytes are not sent yet.
    fn left(&self) -> u64 {
        match &self.rest {
            Rest::Whole(body) => body.len() as u64,
            Rest::Points(points) => points.left(),
        }
    }

    fn next_block(&mut self) -> Option<Bytes> {
        if self.left() == 0 {
            return None;
        }
        let block = match &mut self.rest {
            Rest::Whole(body) => mem::take(body),
            Rest::Points(points) => points.block(),
        };
        Some(match &self.memory {
            None => block,
            Some(memory) => Bytes::from_owner(Sent {
                block,
                _memory: Arc::clone(memory),
            }),
        })
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if mem::take(&mut self.gives_way) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let block = self.next_block();
        self.gives_way = self.left() > 0;
        Poll::Ready(block.map(|block| Ok(Frame::data(block))))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

/// A block of an answer, with the memory that the answer takes.
struct Sent {
    block: Bytes,
    _memory: Arc<Reservation>,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.block
    }
}
