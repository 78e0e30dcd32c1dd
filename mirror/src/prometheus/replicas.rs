//! Servers that scrape the same, as one store.

mod preference;

use std::sync::Arc;

pub(super) use self::preference::Preference;
use super::{Answer, Call, Deadline, Store, StoreError};
use crate::model::capabilities::Capabilities;
use crate::model::time::Millis;

/// Members that hold the same series, for the calls of one request.
#[derive(Debug)]
pub(super) struct Replicas<S> {
    /// At least one.
    members: Vec<S>,
    scrape_interval: Millis,
}

impl<S: Store> Replicas<S> {
    pub(super) fn new(members: Vec<S>, scrape_interval: Millis) -> Self {
        Self {
            members,
            scrape_interval,
        }
    }

    /// What the preferred one answers.
    pub(super) async fn call(
        &self,
        call: Call,
        deadline: Deadline,
        preference: &Preference,
    ) -> Result<Arc<Answer>, StoreError> {
        let member = &self.members[preference.get()];
        member.call(call, deadline).await
    }

    /// What the preferred one can do.
    pub(super) async fn capabilities(
        &self,
        deadline: Deadline,
        preference: &Preference,
    ) -> Result<Capabilities, StoreError> {
        let member = &self.members[preference.get()];
        member.capabilities(deadline).await
    }
}
