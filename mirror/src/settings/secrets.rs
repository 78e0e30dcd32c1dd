//! Secrets as files: `<secrets-dir>/<name>/<key>`, a projected volume in a pod and a folder on a laptop.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use crds::Fault;

use super::{ApiKey, ApiKeys};

/// Beside the current key while it is being replaced.
const PREVIOUS_KEY: &str = "previousApiKey";

/// A key longer than this does not fit into a header that servers take.
const MOST_BYTES: u64 = 4096;

/// Reads the keys that `spec.apiKeySecretRef` refers to.
pub(super) fn api_keys(
    secrets_dir: &Path,
    name: &str,
    key: &str,
    faults: &mut Vec<Fault>,
) -> Option<ApiKeys> {
    let folder = secrets_dir.join(name);
    let current =
        read(&folder.join(key)).and_then(|text| text.ok_or_else(|| missing(&folder.join(key))));
    let current = current.and_then(|text| parse(&folder.join(key), &text));
    // An empty previous key is what a template writes when there is none.
    let previous = read(&folder.join(PREVIOUS_KEY)).and_then(|text| {
        let text = text.filter(|text| !text.trim().is_empty());
        text.map(|text| parse(&folder.join(PREVIOUS_KEY), &text))
            .transpose()
    });
    match (current, previous) {
        (Ok(current), Ok(previous)) => Some(ApiKeys { current, previous }),
        (current, previous) => {
            faults.extend([current.err(), previous.err()].into_iter().flatten());
            None
        }
    }
}

fn fault(message: String) -> Fault {
    Fault::new("spec.apiKeySecretRef", message)
}

fn missing(file: &Path) -> Fault {
    fault(format!(
        "needs the file {}, which does not exist",
        file.display()
    ))
    .hint("write the key into that file, or say with --secrets-dir where it is")
}

/// The text of a file; none if there is no such file.
fn read(file: &Path) -> Result<Option<String>, Fault> {
    let unreadable =
        |error: std::io::Error| fault(format!("needs the file {}: {error}", file.display()));
    let opened = match std::fs::File::open(file) {
        Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
            return Ok(None);
        }
        opened => opened.map_err(unreadable)?,
    };
    let mut bytes = Vec::new();
    opened
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(fault(format!(
            "the key in the file {} is longer than {MOST_BYTES} bytes",
            file.display()
        )));
    }
    // Bytes that are no text become ones that no header takes.
    Ok(Some(
        String::from_utf8(bytes).unwrap_or_else(|_| "\0".to_owned()),
    ))
}

fn parse(file: &Path, text: &str) -> Result<ApiKey, Fault> {
    let key = text.trim_end_matches(['\r', '\n']);
    if key.trim().is_empty() {
        return Err(fault(format!(
            "the file {} is empty; it must hold the key",
            file.display()
        )));
    }
    ApiKey::parse(text).filter(|_| key.trim() == key && key.is_ascii()).ok_or_else(|| {
        fault(format!("the key in the file {} cannot be sent in an HTTP header", file.display()))
            .hint("use ASCII letters, digits and signs, without spaces around them and without line breaks")
    })
}
