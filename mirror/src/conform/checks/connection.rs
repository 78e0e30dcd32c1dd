//! Does it answer, with which path and which key?

use serde_json::{Map, Value, json};

use crate::conform::answer::{self, Endpoint, Findings, Reading, read};
use crate::conform::finding::{Fault, Note};
use crate::conform::http::Presented;
use crate::conform::report::Log;
use crate::conform::session::Session;
use crate::conform::wire;

/// How far one gets with this mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::conform) enum Reached {
    /// The store answers.
    Store,
    /// The mirror answers, its store does not.
    Mirror,
    /// Nobody, or something else.
    Nothing,
}

/// The first request of all. It also finds out what is needed to be answered at all.
pub(in crate::conform) async fn works(session: &mut Session, log: &Log) -> Reached {
    let details = session.connection_details.clone();
    let body = wire::connection(&details);
    let first = async |session: &Session| {
        let method = Endpoint::Connection;
        let posted = session
            .http
            .post(log, method, body.clone(), Presented::AsUsual);
        posted.await
    };
    let Some(mut reply) = first(session).await else {
        return Reached::Nothing;
    };
    if session.http.ends_in_slash && matches!(reply.status, 404 | 405) {
        session.http.ends_in_slash = false;
        if let Some(other) = first(session).await
            && other.status != 404
        {
            let detail = format!(
                "HTTP {} for //api/connection, {} for /api/connection",
                reply.status, other.status
            );
            log.add(Fault::DoubleSlashRefused, detail);
            reply = other;
        }
    }
    if reply.status == 401 {
        if !session.http.has_own_key() {
            let detail = "HTTP 401: this mirror wants its key; give it with --api-key";
            log.add(Fault::KeyRefused, detail);
            return Reached::Nothing;
        }
        log.add(Note::KeyRequired, "HTTP 401 without a key");
        session.http.sends_key = true;
        match first(session).await {
            Some(other) => reply = other,
            None => return Reached::Nothing,
        }
        if reply.status == 401 {
            log.add(Fault::KeyRefused, "HTTP 401 although the key was sent");
            return Reached::Nothing;
        }
    }
    let mut found = Findings::default();
    let outcome = read(&reply, Endpoint::Connection, &mut found, answer::connection);
    log.add_all("connection test", found);
    match outcome {
        Reading::Good(Ok(())) => {
            log.detail("the mirror reaches its store");
            Reached::Store
        }
        Reading::Good(Err(why)) => {
            log.add(Fault::ConnectionFailed, why);
            Reached::Mirror
        }
        Reading::Error(error) => {
            log.add(Fault::RequestRefused, error.text);
            Reached::Store
        }
        Reading::Broken => Reached::Nothing,
    }
}

/// A store that cannot be reached is a normal answer.
pub(in crate::conform) async fn fails(session: &Session, log: &Log) {
    // Refused at once, with no look-up of a name. A mirror with declared targets does not even try.
    let nowhere = json!({"host": "127.0.0.1", "port": 1});
    let nowhere: Map<String, Value> = nowhere.as_object().cloned().unwrap_or_default();
    match session.connection(log, &nowhere).await {
        Reading::Good(Err(why)) => log.detail(format!("answered as FAILURE: {why}")),
        Reading::Good(Ok(())) => log.add(Note::ConnectionDetailsIgnored, "127.0.0.1:1"),
        Reading::Error(error) => log.add(
            Fault::ConnectionFailureAsError,
            format!("HTTP {}: {}", error.status, error.text),
        ),
        Reading::Broken => {}
    }
}

/// A data source URL may end in a slash.
pub(in crate::conform) async fn double_slash(session: &mut Session, log: &Log) {
    if session.http.ends_in_slash {
        log.detail("the URL ends in a slash, so every request has two");
        return;
    }
    if log.has(Fault::DoubleSlashRefused) {
        return;
    }
    session.http.ends_in_slash = true;
    let details = session.connection_details.clone();
    let body = wire::connection(&details);
    let posted = session
        .http
        .post(log, Endpoint::Connection, body, Presented::AsUsual);
    let reply = posted.await;
    session.http.ends_in_slash = false;
    let Some(reply) = reply else { return };
    if matches!(reply.status, 300..=499) {
        let detail = format!("HTTP {} for //api/connection", reply.status);
        log.add(Fault::DoubleSlashRefused, detail);
        return;
    }
    let mut found = Findings::default();
    let _ = read(&reply, Endpoint::Connection, &mut found, answer::connection);
    log.add_all("//api/connection", found);
    log.detail("//api/connection is answered like /api/connection");
}

/// A wrong key gets nothing, least of all the right one.
pub(in crate::conform) async fn wrong_key(session: &Session, log: &Log) {
    let body = wire::connection(&session.connection_details);
    let posted = session
        .http
        .post(log, Endpoint::Connection, body, Presented::Wrong);
    let Some(reply) = posted.await else { return };
    match reply.status {
        200..=299 => log.add(Note::WrongKeyAccepted, format!("HTTP {}", reply.status)),
        status => log.detail(format!("refused with HTTP {status}")),
    }
}
