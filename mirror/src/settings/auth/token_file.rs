//! Tokens of the pod's service account, which the kubelet writes into files and renews.

use std::io::Read as _;
use std::path::PathBuf;

use super::{AuthReader, MOST_BYTES};

/// A file with a token. It is read where it is used, because it changes by the hour, which is no
/// change of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFile(PathBuf);

/// Why there is no token in a file.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenFileError {
    /// There is no such file.
    #[error("does not exist")]
    Missing,
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(std::io::ErrorKind),
    /// It is empty, too long, or has characters that no token has.
    #[error("does not hold a token")]
    NoToken,
}

impl TokenFile {
    /// The token that is there now. Reads a file, so not for the threads of an async runtime.
    ///
    /// # Errors
    /// If there is none.
    pub fn read(&self) -> Result<String, TokenFileError> {
        let unreadable = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => TokenFileError::Missing,
            kind => TokenFileError::Unreadable(kind),
        };
        let file = std::fs::File::open(&self.0).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let text = String::from_utf8(bytes).map_err(|_| TokenFileError::NoToken)?;
        let token = text.trim_end_matches(['\r', '\n']);
        let is_short = token.len() as u64 <= MOST_BYTES;
        let is_visible = token.bytes().all(|byte| byte.is_ascii_graphic());
        match is_short && is_visible && !token.is_empty() {
            true => Ok(token.to_owned()),
            false => Err(TokenFileError::NoToken),
        }
    }
}

impl AuthReader<'_> {
    /// The file of the token that a field asks for, if there is a token in it.
    pub(super) fn token_file(&mut self, within: &str) -> Option<TokenFile> {
        let field = format!("{}.{within}.serviceAccountToken", self.path);
        let path = self.files.token(&field, self.faults)?;
        let file = TokenFile(path);
        match file.read() {
            Ok(_) => Some(file),
            Err(error) => {
                let fault = self.files.no_token(&field, &file.0, &error.to_string());
                self.faults.push(fault);
                None
            }
        }
    }
}
