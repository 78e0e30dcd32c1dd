//! Tokens of the pod's service account, as they are now: the kubelet renews them.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::StoreError;
use crate::settings::{Authorization, TargetSettings, TokenFile};

/// So long a token is used without another look at its file.
const KEPT: Duration = Duration::from_secs(1);

/// The token of one target.
#[derive(Debug)]
pub(super) struct ServiceAccount {
    /// What the target is called in messages.
    name: String,
    file: TokenFile,
    last: Mutex<Option<(Instant, Authorization)>>,
}

impl ServiceAccount {
    pub(super) fn new(settings: &TargetSettings, file: TokenFile) -> Self {
        Self {
            name: format!("target {}", settings.name),
            file,
            last: Mutex::default(),
        }
    }

    /// The token that is good now.
    pub(super) async fn authorization(&self) -> Result<Authorization, StoreError> {
        let mut last = self.last.lock().await;
        if let Some((read, token)) = &*last
            && read.elapsed() < KEPT
        {
            return Ok(token.clone());
        }
        match read(&self.file, &self.name).await {
            Ok(text) => {
                // Every token that is read can be sent.
                let token = Authorization::bearer(&text).ok_or_else(|| no_token(&self.name))?;
                *last = Some((Instant::now(), token.clone()));
                Ok(token)
            }
            // In the middle of a swap files are absent for an instant.
            Err(error) => last.as_ref().map(|(_, token)| token.clone()).ok_or(error),
        }
    }

    /// The file is looked at before the next request: the token was refused.
    pub(super) async fn forget(&self) {
        if let Some((read, _)) = &mut *self.last.lock().await
            && let Some(long_ago) = Instant::now().checked_sub(KEPT)
        {
            *read = long_ago;
        }
    }
}

/// Reads a token file apart from the threads that answer requests. `whose` begins the message.
pub(super) async fn read(file: &TokenFile, whose: &str) -> Result<String, StoreError> {
    let file = file.clone();
    let read = tokio::task::spawn_blocking(move || file.read()).await;
    match read {
        Ok(Ok(token)) => Ok(token),
        Ok(Err(error)) => Err(StoreError::CredentialsRefused(format!(
            "{whose} gets no credentials: the file with the service account's token {error}"
        ))),
        Err(_) => Err(no_token(whose)),
    }
}

fn no_token(whose: &str) -> StoreError {
    let message = "gets no credentials: the service account's token cannot be used";
    StoreError::CredentialsRefused(format!("{whose} {message}"))
}
