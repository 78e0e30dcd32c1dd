//! Kept connections, and when a request may be sent again because one of them was closed under it.
//!
//! Servers and load balancers close connections that are idle, and sometimes just then the next
//! request is on its way. Queries change nothing, so a request that got no byte of an answer on a
//! kept connection may be sent once more. On a new connection it may not: there a server that
//! closes it most likely does so because of the request.
//!
//! hyper reports a connection that ends within the head of an answer as it reports one that ends
//! before it, so such a request is sent again as well. Anything after the head, and anything that
//! is not HTTP, is reported differently.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::Extensions;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connection, HttpInfo};

use crate::prometheus::http::{Failed, Response};

/// So many connections that never answered are remembered. More would be a flood of failures; then
/// the memory begins again.
const MOST_FRESH: usize = 4096;

/// The connections of one client on which no answer came yet, by their own address.
#[derive(Clone, Debug, Default)]
pub(super) struct Connections(Arc<Mutex<HashSet<SocketAddr>>>);

impl Connections {
    /// Remembers each new connection: for the client's connector.
    pub(super) fn opened<C: Connection>(self) -> impl Fn(C) -> C + Clone + Send + Sync + 'static {
        move |connection| {
            self.remember(&connection);
            connection
        }
    }

    /// Remembers a new connection.
    pub(super) fn remember(&self, connection: &impl Connection) {
        let mut extras = Extensions::new();
        connection.connected().get_extras(&mut extras);
        if let Some(address) = own_address(&extras) {
            let mut fresh = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if fresh.len() >= MOST_FRESH {
                fresh.clear();
            }
            fresh.insert(address);
        }
    }

    /// An answer came.
    pub(super) fn answered(&self, response: &Response) {
        if let Some(address) = own_address(response.extensions()) {
            self.forget(address);
        }
    }

    /// Whether the request that failed may be sent once more.
    pub(super) fn may_send_again(&self, error: &Failed) -> bool {
        let Some(failure) = error.find::<legacy::Error>() else {
            return false;
        };
        if failure.is_connect() {
            return false;
        }
        let mut extras = Extensions::new();
        if let Some(connected) = failure.connect_info() {
            connected.get_extras(&mut extras);
        }
        let was_kept = own_address(&extras).is_some_and(|address| !self.forget(address));
        match error.find::<h2::Error>() {
            Some(error) if is_unprocessed(error) => true,
            Some(error) => was_kept && error.is_io(),
            None => was_kept && is_closed(error),
        }
    }

    /// Whether the connection was fresh.
    fn forget(&self, address: SocketAddr) -> bool {
        let mut fresh = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.remove(&address)
    }
}

fn own_address(extras: &Extensions) -> Option<SocketAddr> {
    extras.get::<HttpInfo>().map(HttpInfo::local_addr)
}

/// The server says that it has not begun to work on the request (RFC 9113, 8.7).
fn is_unprocessed(error: &h2::Error) -> bool {
    error.is_remote()
        && (error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR)
            || error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM))
}

/// The connection ended, and nothing else happened.
fn is_closed(error: &Failed) -> bool {
    let Some(failure) = error.find::<hyper::Error>() else {
        return false;
    };
    let is_broken = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::NotConnected
                | io::ErrorKind::UnexpectedEof
        )
    };
    failure.is_incomplete_message()
        || failure.is_canceled()
        || failure.is_closed()
        || error.find::<io::Error>().is_some_and(is_broken)
}
