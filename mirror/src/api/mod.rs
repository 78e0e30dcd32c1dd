//! The Mirror API: what a request says ([`decode`]), what an answer looks like ([`encode`]), and
//! one thin handler per method ([`handlers`]). The contract is `docs/mirror-api.md`; for machines
//! it is [`openapi`].

pub mod answer_body;
mod asked;
pub mod body;
mod chosen;
pub mod decode;
mod described;
pub mod encode;
pub mod error;
pub mod handlers;
pub mod openapi;
pub mod state;

pub use handlers::answer;

use std::sync::Arc;
use std::time::Instant;

use self::answer_body::AnswerBody;
use crate::execute::Missing;
use crate::model::notes::Notes;
use crate::prometheus::Caller;
use crate::prometheus::remarks::Remark;

/// Who asks, and how.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Whose request it is.
    pub caller: Caller,
    /// When it came in: deadlines count from there.
    pub arrived: Instant,
    /// Nothing of the answer may be remembered from earlier requests.
    pub wants_fresh: bool,
    /// What is asked for, and what it takes, is written into these.
    pub notes: Option<Arc<Notes>>,
}

/// The answer to a request: its body as StackState reads it, and what people may want to know
/// besides.
#[derive(Debug)]
pub struct Answered {
    /// JSON.
    pub body: AnswerBody,
    /// Why it is as it is.
    pub about: About,
}

/// What there is to say about an answer that its body has no place for. A response carries it as an
/// extension.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What the answer lacks.
    pub missing: Missing,
    /// The store's own words. They may name what is behind the store, so only those who run the
    /// mirror see them, never a client.
    pub remarks: Vec<Remark>,
}

impl From<AnswerBody> for Answered {
    /// An answer that needs no more words.
    fn from(body: AnswerBody) -> Self {
        Self {
            body,
            about: About::default(),
        }
    }
}
