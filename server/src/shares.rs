//! Whose connection gives way when there are too many.
//!
//! A connection is busy while a request of it is answered, else idle: between requests, while a
//! head arrives, during a TLS handshake. Only an idle one gives way, the one that has been so the
//! longest: of the new one's own client when that client has its share, of the client with the most
//! when there is no place at all. A client never takes a place from one that has no more than
//! itself, so that the places end up shared evenly among those who want many.
//!
//! Each event costs the logarithm of the number of connections.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::client::ClientAddress;

/// A connection, counted from the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(u64);

/// The connections of a listener, each with the handle `H` that it is ended by.
#[derive(Debug)]
pub struct Shares<H> {
    most: usize,
    most_per_client: usize,
    /// Ids and idle times count up from here.
    next: u64,
    connections: HashMap<Id, Connection<H>>,
    clients: HashMap<ClientAddress, Client>,
    /// Clients with at least one idle connection, by how many they have.
    yielding: BTreeSet<(usize, ClientAddress)>,
}

#[derive(Debug)]
struct Connection<H> {
    client: ClientAddress,
    idle_since: Option<u64>,
    handle: Option<H>,
}

#[derive(Debug, Default)]
struct Client {
    connections: usize,
    /// By when they became idle.
    idle: BTreeMap<u64, Id>,
}

/// A connection that was let in.
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted<H> {
    /// The new one.
    pub id: Id,
    /// The handle of the one that must end for it. It is counted no more.
    pub displaced: Option<H>,
}

impl<H> Shares<H> {
    /// Room for `most` connections, and for `most_per_client` of one client.
    #[must_use]
    pub fn new(most: usize, most_per_client: usize) -> Self {
        Self {
            most,
            most_per_client,
            next: 0,
            connections: HashMap::new(),
            clients: HashMap::new(),
            yielding: BTreeSet::new(),
        }
    }

    /// How many connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Lets a connection of `client` in, idle. None: there is no place for it, and nobody who gives
    /// one up.
    pub fn admit(&mut self, client: ClientAddress) -> Option<Admitted<H>> {
        let own = self.connections_of(client);
        let displaced = if own >= self.most_per_client {
            Some(self.idle_longest_of(client)?)
        } else if self.connections.len() >= self.most {
            Some(self.idle_longest_of(self.gives_way_to(client, own)?)?)
        } else {
            None
        };
        let displaced = displaced.and_then(|id| self.remove(id));
        let id = Id(self.next());
        self.connections.insert(
            id,
            Connection {
                client,
                idle_since: None,
                handle: None,
            },
        );
        self.change(client, |of_client| of_client.connections += 1);
        self.idle(id);
        Some(Admitted { id, displaced })
    }

    /// Who gives a place to `client`, which has `own` connections.
    fn gives_way_to(&self, client: ClientAddress, own: usize) -> Option<ClientAddress> {
        let (most, heaviest) = *self.yielding.last()?;
        if most > own {
            return Some(heaviest);
        }
        Some(client).filter(|client| self.idle_longest_of(*client).is_some())
    }

    /// Says by what `id` is ended.
    pub fn attach(&mut self, id: Id, handle: H) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.handle = Some(handle);
        }
    }

    /// A request of `id` is being answered from now on.
    pub fn busy(&mut self, id: Id) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let client = connection.client;
        if let Some(since) = connection.idle_since.take() {
            self.change(client, |of_client| {
                of_client.idle.remove(&since);
            });
        }
    }

    /// No request of `id` is being answered from now on.
    pub fn idle(&mut self, id: Id) {
        let now = self.next();
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.idle_since.is_none() {
            connection.idle_since = Some(now);
            let client = connection.client;
            self.change(client, |of_client| {
                of_client.idle.insert(now, id);
            });
        }
    }

    /// Forgets a connection, and answers its handle.
    pub fn remove(&mut self, id: Id) -> Option<H> {
        let connection = self.connections.remove(&id)?;
        self.change(connection.client, |of_client| {
            of_client.connections -= 1;
            if let Some(since) = connection.idle_since {
                of_client.idle.remove(&since);
            }
        });
        connection.handle
    }

    fn connections_of(&self, client: ClientAddress) -> usize {
        self.clients
            .get(&client)
            .map_or(0, |client| client.connections)
    }

    fn idle_longest_of(&self, client: ClientAddress) -> Option<Id> {
        let client = self.clients.get(&client)?;
        client.idle.first_key_value().map(|(_, id)| *id)
    }

    /// Changes what is known of a client, and keeps the order of clients right.
    fn change(&mut self, client: ClientAddress, change: impl FnOnce(&mut Client)) {
        let known = self.clients.entry(client).or_default();
        if !known.idle.is_empty() {
            self.yielding.remove(&(known.connections, client));
        }
        change(known);
        if !known.idle.is_empty() {
            self.yielding.insert((known.connections, client));
        }
        if known.connections == 0 {
            self.clients.remove(&client);
        }
    }

    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(number: u8) -> ClientAddress {
        ClientAddress::of(([127, 0, 0, number], 1).into())
    }

    /// Connections whose handles are their names.
    struct Named(Shares<&'static str>, HashMap<&'static str, Id>);

    impl Named {
        fn new(most: usize, most_per_client: usize) -> Self {
            Self(Shares::new(most, most_per_client), HashMap::new())
        }

        /// What gives way to the new one: `None` if it is not let in, `""` if nothing has to.
        fn admit(&mut self, number: u8, name: &'static str) -> Option<&'static str> {
            let Admitted { id, displaced } = self.0.admit(client(number))?;
            self.0.attach(id, name);
            self.1.insert(name, id);
            Some(displaced.unwrap_or(""))
        }

        fn busy(&mut self, name: &str) {
            self.0.busy(self.1[name]);
        }

        fn idle(&mut self, name: &str) {
            self.0.idle(self.1[name]);
        }
    }

    #[test]
    fn beyond_a_clients_share_its_connection_that_is_idle_longest_gives_way() {
        let mut shares = Named::new(8, 2);
        assert_eq!(shares.admit(1, "a"), Some(""));
        assert_eq!(shares.admit(1, "b"), Some(""));
        assert_eq!(shares.admit(2, "other"), Some(""));
        assert_eq!(shares.admit(1, "c"), Some("a"));
        shares.busy("b");
        shares.idle("b");
        assert_eq!(shares.admit(1, "d"), Some("c"), "b was in use since");
        assert_eq!(shares.0.len(), 3);
    }

    #[test]
    fn a_connection_in_the_middle_of_a_request_never_gives_way() {
        let mut shares = Named::new(3, 2);
        for (number, name) in [(1, "a"), (1, "b"), (2, "c")] {
            assert_eq!(shares.admit(number, name), Some(""));
            shares.busy(name);
        }
        assert_eq!(shares.admit(1, "more of the same"), None);
        assert_eq!(shares.admit(3, "somebody else"), None);
        shares.idle("b");
        assert_eq!(shares.admit(3, "somebody else"), Some("b"));
    }

    #[test]
    fn when_all_places_are_taken_the_client_with_the_most_gives_way_but_not_to_one_that_has_as_many()
     {
        let mut shares = Named::new(4, 4);
        for (number, name) in [(2, "x"), (1, "a"), (1, "b"), (1, "c")] {
            assert_eq!(shares.admit(number, name), Some(""));
        }
        assert_eq!(shares.admit(3, "new"), Some("a"));
        assert_eq!(shares.admit(3, "second"), Some("b"));
        assert_eq!(shares.admit(2, "y"), Some("new"), "3 has two, 2 has one");
        shares.busy("second");
        assert_eq!(shares.admit(1, "d"), Some("x"), "2 has two, 1 has one");
        assert_eq!(shares.admit(4, "last"), Some("c"));
    }

    #[test]
    fn a_client_whose_others_are_no_heavier_replaces_its_own() {
        let mut shares = Named::new(2, 2);
        shares.admit(1, "a");
        shares.admit(2, "b");
        assert_eq!(shares.admit(1, "c"), Some("a"));
        shares.busy("c");
        assert_eq!(shares.admit(1, "d"), None, "not at the cost of the other");
    }

    #[test]
    fn what_has_ended_is_forgotten_whatever_is_still_said_of_it() {
        let mut shares = Named::new(2, 2);
        shares.admit(1, "a");
        let id = shares.1["a"];
        assert_eq!(shares.0.remove(id), Some("a"));
        assert_eq!(shares.0.remove(id), None);
        shares.busy("a");
        shares.idle("a");
        assert!(shares.0.is_empty() && shares.0.clients.is_empty() && shares.0.yielding.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_happens_the_bounds_hold_and_busy_ones_stay(
            events in prop::collection::vec((0_u8..4, 0_u8..6, any::<prop::sample::Index>()), 0..300),
        ) {
            let mut shares = Shares::new(10, 4);
            let mut open: HashMap<Id, bool> = HashMap::new();
            for (event, number, which) in events {
                let known: Vec<Id> = { let mut ids: Vec<_> = open.keys().copied().collect(); ids.sort(); ids };
                let pick = (!known.is_empty()).then(|| known[which.index(known.len())]);
                match (event, pick) {
                    (1, Some(id)) => { shares.busy(id); open.insert(id, true); }
                    (2, Some(id)) => { shares.idle(id); open.insert(id, false); }
                    (3, Some(id)) => { shares.remove(id); open.remove(&id); }
                    _ => {
                        let before = open.len();
                        if let Some(Admitted { id, displaced }) = shares.admit(client(number)) {
                            shares.attach(id, id);
                            if let Some(gone) = displaced {
                                prop_assert_eq!(open.remove(&gone), Some(false), "a busy one was displaced");
                            }
                            open.insert(id, false);
                        } else {
                            prop_assert!(before >= 4);
                        }
                    }
                }
                prop_assert_eq!(shares.len(), open.len());
                prop_assert!(shares.len() <= 10);
                prop_assert!(shares.clients.values().all(|client| client.connections <= 4));
                let counted: usize = shares.clients.values().map(|client| client.connections).sum();
                prop_assert_eq!(counted, open.len());
            }
        }
    }
}
