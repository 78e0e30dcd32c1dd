//! The API client: every request but a watch is answered or given up in time, and nothing is
//! written once leadership may have passed to another.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::{BoxError, Service, layer::layer_fn};

/// How long an answer may take, the client's own retries included. A connection that died without a
/// word would be waited for for ever.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a watch may say nothing; the API server sends something about every minute, and ends it
/// after five.
const WATCH_TIMEOUT: Duration = Duration::from_secs(300);

/// Until when this replica leads. Shared by the lease, which extends it, and the client, which
/// writes nothing after it.
#[derive(Clone, Debug, Default)]
pub struct Term(Arc<Mutex<Option<Instant>>>);

impl Term {
    /// It lasts until then.
    pub fn lasts_until(&self, end: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }

    /// Whether it does not last any more. The clock goes on while a process is stopped.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let end = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        end.is_none_or(|end| Instant::now() >= end)
    }
}

/// A client for the work of a leader.
///
/// # Errors
/// If the configuration is wrong.
pub fn for_leader(mut config: Config, term: &Term) -> kube::Result<Client> {
    config.read_timeout = Some(WATCH_TIMEOUT);
    let layer = layer_fn(|inner| Guarded {
        inner,
        term: term.clone(),
    });
    Ok(ClientBuilder::try_from(config)?.with_layer(&layer).build())
}

/// Why a request was not made or not waited for.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("leads no more, so nothing was written")]
    TermOver,
    #[error("the API server does not answer")]
    Silence,
}

struct Guarded<S> {
    inner: S,
    term: Term,
}

impl<S, B> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let watches = request
            .uri()
            .query()
            .is_some_and(|query| query.split('&').any(|part| part == "watch=true"));
        if request.method() != Method::GET && self.term.is_over() {
            return futures::future::ready(Err(Error::TermOver.into())).boxed();
        }
        let answer = self.inner.call(request);
        if watches {
            return answer.boxed();
        }
        async move {
            match tokio::time::timeout(TIMEOUT, answer).await {
                Ok(answer) => answer,
                Err(_) => Err(Error::Silence.into()),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    async fn asks(method: Method, term: &Term) -> Result<(), String> {
        let inner = service_fn(async |_: Request<Body>| Ok::<_, BoxError>(Response::new(())));
        let guarded = Guarded {
            inner,
            term: term.clone(),
        };
        let request = Request::builder().method(method).body(Body::empty());
        let answer = guarded.oneshot(request.unwrap()).await;
        answer.map(|_| ()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn nothing_is_written_before_or_after_the_term_but_read_at_any_time() {
        let refused = Err("leads no more, so nothing was written".to_owned());
        let term = Term::default();
        assert_eq!(asks(Method::PATCH, &term).await, refused);
        assert_eq!(asks(Method::GET, &term).await, Ok(()));
        term.lasts_until(Instant::now() + Duration::from_secs(60));
        assert_eq!(asks(Method::PATCH, &term).await, Ok(()));
        term.lasts_until(Instant::now());
        assert_eq!(asks(Method::DELETE, &term).await, refused);
        assert_eq!(asks(Method::GET, &term).await, Ok(()));
    }
}
