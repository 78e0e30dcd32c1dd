//! What a client may make a listener wait for, and hold.

use std::time::Duration;

/// The largest request head. hyper's own bound (about 400 KiB) times 1,024 connections would be too
/// much to promise.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The bounds of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until a request's head is complete; so long may a kept-alive connection be idle, too, and a
    /// TLS handshake take.
    pub head: Duration,
    /// Without a byte of a request's body.
    pub body_idle: Duration,
    /// For a whole body.
    pub body: Duration,
    /// Without the client taking a byte of its answer.
    pub write_idle: Duration,
    /// Open connections. Beyond them one that is idle gives way to a new one, or the new one is
    /// closed.
    pub connections: usize,
    /// Of these, connections of one client address.
    pub per_client: usize,
}

impl Limits {
    /// Of an API: 1,024 connections, and half of them for one address, because behind a proxy all
    /// clients have its address.
    pub const API: Self = Self {
        head: Duration::from_secs(10),
        body_idle: Duration::from_secs(10),
        body: Duration::from_secs(30),
        write_idle: Duration::from_secs(30),
        connections: 1024,
        per_client: 512,
    };

    /// Of an admin port, which probes and scrapes ask: few connections, and short ones.
    pub const ADMIN: Self = Self {
        head: Duration::from_secs(5),
        body_idle: Duration::from_secs(1),
        body: Duration::from_secs(2),
        write_idle: Duration::from_secs(1),
        connections: 64,
        per_client: 16,
    };

    /// The same with no more than so many connections, and the same part of them for one address.
    #[must_use]
    pub fn at_most(self, connections: usize) -> Self {
        let connections = connections.clamp(1, self.connections);
        let per_client = connections * self.per_client / self.connections.max(1);
        Self {
            connections,
            per_client: per_client.max(1),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_connections_are_shared_in_the_same_way() {
        let shares = |most| {
            let limits = Limits::API.at_most(most);
            (limits.connections, limits.per_client)
        };
        assert_eq!(shares(5000), (1024, 512));
        assert_eq!(shares(100), (100, 50));
        assert_eq!(shares(1), (1, 1));
        assert_eq!(shares(0), (1, 1));
    }
}
