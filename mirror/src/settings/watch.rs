//! Notices changes of the document, its Secrets and its ConfigMaps.
//!
//! Contents are read and compared, not times or file-system events: mounted volumes change by
//! swapping a symbolic link, which defeats watchers. Reading a few small files each second costs
//! nothing that one could measure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::load::read;
use super::{LoadError, Settings, Source, load};

/// How often the files are read.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// More files than a mirror refers to; a folder with more was given by mistake.
const MOST_FILES: usize = 1024;

/// What a look at the files found.
#[derive(Debug)]
pub enum Event {
    /// The files changed and are fine: serve this from now on.
    Changed(Box<Settings>),
    /// The files changed and cannot be served: keep what there is. Reported once for each content.
    Refused(LoadError),
}

/// Looks at a document and what it refers to again and again.
#[derive(Debug)]
pub struct Watcher {
    source: Source,
    /// The content that was last reported, or that was there at the start.
    reported: Fingerprint,
    /// A content that could not be loaded at the last look. It is reported if it is still there at
    /// the next one: in the middle of a swap files are absent for an instant.
    suspect: Option<Fingerprint>,
}

type Fingerprint = [u8; 32];

impl Watcher {
    /// Watches files that have just been loaded.
    #[must_use]
    pub fn new(source: &Source) -> Self {
        let reported = fingerprint(source);
        Self {
            source: source.clone(),
            reported,
            suspect: None,
        }
    }

    /// Looks once. Reads files, so not for the threads of an async runtime: see [`Watcher::next`].
    pub fn look(&mut self) -> Option<Event> {
        let found = fingerprint(&self.source);
        if found == self.reported {
            self.suspect = None;
            return None;
        }
        match load(&self.source) {
            // Still the same after it was read: what was loaded is what was looked at.
            Ok(settings) if fingerprint(&self.source) == found => {
                self.reported = found;
                self.suspect = None;
                Some(Event::Changed(Box::new(settings)))
            }
            Err(error) if self.suspect == Some(found) => {
                self.reported = found;
                self.suspect = None;
                Some(Event::Refused(error))
            }
            _ => {
                self.suspect = Some(found);
                None
            }
        }
    }

    /// Waits for the next event, looking every `interval` (normally [`INTERVAL`]). Dropping the
    /// future loses no event that has not been returned.
    pub async fn next(&mut self, interval: Duration) -> Event {
        loop {
            tokio::time::sleep(interval).await;
            let mut looking = Self {
                source: self.source.clone(),
                reported: self.reported,
                suspect: self.suspect,
            };
            let looked = tokio::task::spawn_blocking(move || {
                let event = looking.look();
                (looking, event)
            });
            if let Ok((watcher, event)) = looked.await {
                *self = watcher;
                if let Some(event) = event {
                    return event;
                }
            }
        }
    }
}

/// A hash of the document and of every `<name>/<key>` in the folders of Secrets and of ConfigMaps.
/// Not of tokens: they change by the hour and are read where they are used.
fn fingerprint(source: &Source) -> Fingerprint {
    let mut hash = Sha256::new();
    let mut add = |file: &Path| {
        let content = read(file).map(|bytes| Sha256::digest(bytes).to_vec());
        hash.update(file.as_os_str().as_encoded_bytes());
        // Why a file cannot be read is part of what is reported.
        hash.update(content.unwrap_or_else(|error| error.to_string().into_bytes()));
        hash.update([0]);
    };
    add(&source.file);
    for folder in [&source.secrets_dir, &source.config_maps_dir] {
        let objects = entries(folder).into_iter();
        let keys = objects.flat_map(|object| entries(&object));
        keys.take(MOST_FILES).for_each(|key| add(&key));
    }
    hash.finalize().into()
}

/// What is in a folder, sorted, without the `..data` folders of mounted volumes, whose content is
/// linked from the names.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let visible = entries
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".."))
        .take(MOST_FILES);
    let mut paths: Vec<_> = visible.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
