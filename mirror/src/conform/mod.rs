//! `conform`: a client that behaves like StackState, and tells whether a mirror, any mirror, keeps
//! the contract.
//!
//! It shares no wire type with the mirror: requests are written, and answers read, by code of its
//! own, because what is lenient or wrong there must show here. Its work is bounded: so many
//! requests, pages and bytes, and no request longer than StackState waits. `docs/conformance.md`
//! says what is checked and what each fault means.

mod answer;
mod checks;
mod finding;
mod http;
mod json;
mod points;
mod report;
mod session;
mod wire;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

pub use finding::{Fault, Note, What};
pub use report::{Check, Finding, Report, Verdict};
use serde_json::{Map, Value};
use url::Url;

use self::checks::connection::{self, Reached};
use self::checks::metrics::{self, Names};
use self::checks::{Chosen, KINDS, fields, forms, polling, values};
use self::http::Http;
use self::report::Log;
use self::session::{Forms, Session};
use crate::settings::ApiKey;

/// The largest answer to a poll, in bytes. Many are read at once, and an hour in buckets of a
/// minute takes a few thousand.
const MOST_POLLED_BYTES: usize = 4 << 20;

/// The base URL of a mirror, as somebody wrote it: a slash at its end counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorUrl {
    base: String,
    ends_in_slash: bool,
}

impl FromStr for MirrorUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|_| {
            "write the base URL of a mirror, such as http://mirror.example:9900".to_owned()
        })?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("it must begin with http:// or https:// and name a host".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it must have no user name and no password".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it must have no query (?) and no fragment (#)".to_owned());
        }
        Ok(Self {
            base: url.as_str().trim_end_matches('/').to_owned(),
            ends_in_slash: text.ends_with('/'),
        })
    }
}

/// What to look at, and how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// The mirror.
    pub url: MirrorUrl,
    /// Its key. Every answer is compared with it; without one all answers must have the same.
    pub api_key: Option<ApiKey>,
    /// What StackState's data source has as connection details.
    pub connection_details: Map<String, Value>,
    /// The gauge to read; one is looked for if there is none.
    pub gauge: Option<String>,
    /// The counter to read.
    pub counter: Option<String>,
    /// The histogram to read.
    pub histogram: Option<String>,
    /// The label whose values are listed.
    pub label: Option<String>,
    /// Authorities that may have signed the mirror's certificate; the system's if there are none.
    pub authorities: Option<Vec<reqwest::Certificate>>,
    /// How long a request may take.
    pub timeout: Duration,
    /// How many streams are polled.
    pub streams: usize,
    /// The time from one poll of a stream to its next.
    pub interval: Duration,
    /// How often each stream is polled.
    pub rounds: u32,
}

impl Options {
    /// What StackState does by default: 200 streams every 30 s, polled twice, and 15 s for a
    /// request.
    #[must_use]
    pub fn new(url: MirrorUrl) -> Self {
        Self {
            url,
            api_key: None,
            connection_details: Map::new(),
            gauge: None,
            counter: None,
            histogram: None,
            label: None,
            authorities: None,
            timeout: Duration::from_secs(15),
            streams: 200,
            interval: Duration::from_secs(30),
            rounds: 2,
        }
    }
}

/// Why nothing could be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum ConformError {
    /// TLS cannot be set up.
    #[error("no HTTPS client can be made of these certificates of authorities")]
    Client,
}

/// Behaves like StackState for a while, and reports.
///
/// # Errors
/// If no client can be made. Whatever the mirror does is in the report.
pub async fn run(options: Options) -> Result<Report, ConformError> {
    let MirrorUrl {
        base,
        ends_in_slash,
    } = &options.url;
    let Options {
        timeout,
        api_key,
        authorities,
        ..
    } = options.clone();
    let http = Http::new(base, *ends_in_slash, timeout, api_key, authorities)
        .map_err(|_| ConformError::Client)?;
    let mut run = Run {
        session: Session {
            http,
            connection_details: options.connection_details.clone(),
            forms: Forms {
                field_object: true,
                limit_all: true,
            },
        },
        checks: Vec::new(),
    };
    run.all(&options).await;
    Ok(Report::new(base, run.checks))
}

struct Run {
    session: Session,
    checks: Vec<Check>,
}

/// One check: its log, and whether there is anybody to ask.
macro_rules! check {
    ($run:ident, $name:literal, $reached:expr, |$session:ident, $log:ident| $body:expr) => {{
        let $log = Log::new($name);
        let $session = &mut $run.session;
        let result = match $reached {
            _ if $session.http.gave_up() => {
                $log.skip("the mirror answers no more");
                Default::default()
            }
            Some(why) => {
                let why: &str = why;
                $log.skip(why);
                Default::default()
            }
            None => $body,
        };
        $run.checks.push($log.finish());
        result
    }};
}

impl Run {
    async fn all(&mut self, options: &Options) {
        let log = Log::new("connection");
        let reached = connection::works(&mut self.session, &log).await;
        let slash_refused = log.has(Fault::DoubleSlashRefused);
        self.checks.push(log.finish());
        let no_mirror =
            (reached == Reached::Nothing).then_some("the mirror does not answer as a mirror does");
        let no_store = no_mirror
            .or((reached == Reached::Mirror).then_some("the mirror does not reach its store"));

        let () = check!(self, "connection-failure", no_mirror, |session, log| {
            connection::fails(session, &log).await
        });
        let no_slash = no_mirror.or(slash_refused.then_some("see connection"));
        let () = check!(self, "double-slash", no_slash, |session, log| {
            connection::double_slash(session, &log).await
        });
        let fields: Vec<String> = check!(self, "field-names", no_store, |session, log| {
            fields::names(session, &log).await
        });
        let names = self.metric_names(options, no_store).await;
        let () = check!(self, "label-values", no_store, |session, log| {
            match options.label.clone().or_else(|| label(&fields)) {
                Some(label) => drop(values::listed(session, &log, &label).await),
                None => log.skip("there is no label"),
            }
        });
        let chosen: Vec<Chosen> = check!(self, "metrics", no_store, |session, log| {
            metrics::choose(session, &log, &names).await
        });
        let chosen = self.points(no_store, chosen).await;

        let () = check!(self, "refusals", no_store, |session, log| {
            forms::refused(session, &log, chosen.first()).await
        });
        let () = check!(self, "wrong-key", no_mirror, |session, log| {
            connection::wrong_key(session, &log).await
        });
        let no_polls = no_store
            .or((options.rounds == 0 || options.streams == 0).then_some("no polls were asked for"));
        let () = check!(self, "polling", no_polls, |session, log| {
            log.reads_at_most(MOST_POLLED_BYTES);
            let Options {
                streams,
                interval,
                rounds,
                ..
            } = *options;
            let plan = (streams, interval, rounds);
            polling::poll(session, &log, plan, &names, &chosen).await
        });
        let log = Log::new("key");
        self.session.http.judge_keys(&log);
        self.checks.push(log.finish());
    }

    /// The names of the metrics of each kind: those given, or else all that are listed.
    async fn metric_names(&mut self, options: &Options, no_store: Option<&str>) -> Names {
        let given: Names = [
            ("__gauge__", &options.gauge),
            ("__counter__", &options.counter),
            ("__histogram__", &options.histogram),
        ]
        .into_iter()
        .filter_map(|(kind, name)| Some((kind, vec![name.clone()?])))
        .collect();
        let mut names = BTreeMap::new();
        let mut list = async |run: &mut Self, name: &'static str, kind: &'static str| {
            let log = Log::new(name);
            if run.session.http.gave_up() {
                log.skip("the mirror answers no more");
            } else if let Some(why) = no_store {
                log.skip(why);
            } else {
                let listed = values::listed(&mut run.session, &log, kind).await;
                names.insert(kind, listed);
            }
            run.checks.push(log.finish());
        };
        list(self, "gauge-names", KINDS[0]).await;
        list(self, "counter-names", KINDS[1]).await;
        list(self, "histogram-names", KINDS[2]).await;
        if given.is_empty() { names } else { given }
    }

    /// Whatever is read.
    async fn points(&mut self, no_store: Option<&str>, mut chosen: Vec<Chosen>) -> Vec<Chosen> {
        let nothing = no_store.or(chosen
            .is_empty()
            .then_some("there is no metric that could be read"));
        let () = check!(self, "conditions", nothing, |session, log| {
            if let Some(one) = chosen.first() {
                fields::with_conditions(session, &log, one).await;
            }
        });
        let () = check!(self, "raw", nothing, |session, log| {
            metrics::raw(session, &log, &mut chosen).await
        });
        let () = check!(self, "aggregated", nothing, |session, log| {
            metrics::aggregated(session, &log, &mut chosen).await
        });
        let () = check!(self, "paging", nothing, |session, log| {
            metrics::pages(session, &log, &chosen).await
        });
        let () = check!(self, "moving-window", nothing, |session, log| {
            metrics::moving_window(session, &log, &chosen).await
        });
        // Built on one that works.
        let sound = chosen.iter().find(|one| one.methods.contains(&"MEAN"));
        let nothing = nothing.or(sound
            .is_none()
            .then_some("no metric is answered as it should be"));
        let () = check!(self, "long-range", nothing, |session, log| {
            if let Some(one) = sound {
                metrics::long_range(session, &log, one).await;
            }
        });
        let () = check!(self, "request-forms", nothing, |session, log| {
            if let Some(one) = sound {
                forms::allowed(session, &log, one).await;
            }
        });
        chosen
    }
}

/// The label whose values are listed: one that every store has, if it is there.
fn label(fields: &[String]) -> Option<String> {
    ["instance", "job"]
        .into_iter()
        .find(|wanted| fields.iter().any(|field| field == wanted))
        .map(str::to_owned)
        .or_else(|| fields.iter().find(|field| fields::is_plain(field)).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_of_the_url_counts() {
        let parsed = |text: &str| {
            MirrorUrl::from_str(text)
                .ok()
                .map(|url| (url.base, url.ends_in_slash))
        };
        let table = [
            ("http://a:9900", Some(("http://a:9900", false))),
            ("http://a:9900/", Some(("http://a:9900", true))),
            ("https://a/mirror", Some(("https://a/mirror", false))),
            ("https://a/mirror//", Some(("https://a/mirror", true))),
            ("ftp://a", None),
            ("a:9900", None),
            ("", None),
            ("http://user:secret@a", None),
            ("http://a?x=1", None),
            ("http://a#x", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(|(base, slash)| (base.to_owned(), slash));
            assert_eq!(parsed(text), expected, "{text}");
        }
    }
}
