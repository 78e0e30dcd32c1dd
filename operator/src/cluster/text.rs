//! The texts of objects in little memory. The objects that the operator makes for one resource are
//! nearly those of another, so a text is kept as what differs from an earlier one of its kind: a
//! Deployment of six kilobytes takes a few hundred bytes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use lz4_flex::block::{compress_with_dict, decompress_with_dict};

/// So much of a text is compared with the others, in bytes.
const LONGEST_SAMPLE: usize = 16 << 10;

/// After so many texts that have little in common with the sample, the next becomes the sample. Not
/// earlier, because a sample stays as long as a text that was kept with it.
const MOST_UNLIKE: u32 = 16;

/// A text of which more than one part in so many differs has little in common with the sample.
const UNLIKE: usize = 4;

/// A text.
#[derive(Clone)]
pub(super) struct Text(Form);

#[derive(Clone)]
enum Form {
    Whole(Box<str>),
    Short {
        /// What differs, in LZ4's block format.
        bytes: Box<[u8]>,
        /// Of the whole text.
        length: usize,
        sample: Arc<[u8]>,
    },
}

impl Text {
    /// The bytes of the whole text.
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        match &self.0 {
            Form::Whole(text) => Cow::Borrowed(text.as_bytes()),
            Form::Short {
                bytes,
                length,
                sample,
            } => {
                // `Samples` wrote it with the same sample, so it can be read.
                let whole = decompress_with_dict(bytes, *length, sample);
                Cow::Owned(whole.unwrap_or_default())
            }
        }
    }

    /// How many bytes it takes, but for the sample.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        match &self.0 {
            Form::Whole(text) => text.len(),
            Form::Short { bytes, .. } => bytes.len(),
        }
    }
}

impl From<&str> for Text {
    /// A copy, because a text that was written bit by bit has up to twice the memory that it needs,
    /// and the allocator does not take back less than half of it.
    fn from(text: &str) -> Self {
        Self(Form::Whole(text.into()))
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes()))
    }
}

/// Shortens the texts of one kind.
#[derive(Default)]
pub(super) struct Samples {
    sample: Option<Arc<[u8]>>,
    unlike: u32,
}

impl Samples {
    /// Keeps a text as what differs from the sample, if that is shorter.
    pub(super) fn shorten(&mut self, text: &mut Text) {
        let Form::Whole(whole) = &text.0 else { return };
        let whole = whole.as_bytes();
        if self.unlike >= MOST_UNLIKE {
            self.sample = None;
        }
        let sample = self.sample.get_or_insert_with(|| {
            self.unlike = 0;
            whole[..whole.len().min(LONGEST_SAMPLE)].into()
        });
        let bytes = compress_with_dict(whole, sample);
        if bytes.len() > whole.len() / UNLIKE {
            self.unlike += 1;
        }
        if bytes.len() < whole.len() {
            text.0 = Form::Short {
                // A copy without what the longest possible result would have taken.
                bytes: bytes.as_slice().into(),
                length: whole.len(),
                sample: Arc::clone(sample),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters without a pattern.
    fn noise(seed: u64, length: usize) -> String {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b' ' + u8::try_from(state % 90).unwrap())
        };
        (0..length).map(next).collect()
    }

    #[test]
    fn a_text_like_an_earlier_one_takes_little_and_is_whole_again_when_read() {
        let mut samples = Samples::default();
        let common = noise(1, 5_000);
        for number in 0..3 {
            let whole = format!("name-{number} {common} uid-{number}");
            let mut text = Text::from(whole.as_str());
            samples.shorten(&mut text);
            assert!(text.size() < 100, "{}", text.size());
            assert_eq!(text.bytes(), whole.as_bytes());
            // Once is enough.
            samples.shorten(&mut text);
            assert_eq!(text, Text::from(whole.as_str()));
        }
    }

    #[test]
    fn texts_of_any_length_are_whole_again() {
        let mut samples = Samples::default();
        for (seed, length) in [0, 1, 3, 20, 70_000, 300_000, 5].into_iter().enumerate() {
            let whole = noise(u64::try_from(seed).unwrap(), length) + &"ü".repeat(length);
            let mut text = Text::from(whole.as_str());
            samples.shorten(&mut text);
            assert_eq!(text.bytes(), whole.as_bytes());
        }
    }

    #[test]
    fn a_sample_that_no_text_is_like_is_replaced() {
        let mut samples = Samples::default();
        let size = |samples: &mut Samples, whole: &str| {
            let mut text = Text::from(whole);
            samples.shorten(&mut text);
            text.size()
        };
        size(&mut samples, &noise(1, 500));
        let usual = noise(2, 500);
        let sizes: Vec<_> = (0..=MOST_UNLIKE)
            .map(|_| size(&mut samples, &usual) < 100)
            .collect();
        let last = sizes.len() - 1;
        assert!(sizes[last] && !sizes[..last].contains(&true), "{sizes:?}");
    }
}
