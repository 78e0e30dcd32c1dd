//! `Content-Encoding` of answers. The mirror asks for none, but some servers and proxies compress
//! all the same.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header};

/// Deflate makes at most 1,032 bytes of one: so many at a time keep what is decoded at once near a
/// mebibyte.
const PIECE: usize = 1024;

/// One encoding is normal, two were seen where two proxies compress. More are nobody's intention.
const MOST_LAYERS: usize = 3;

/// An encoding that can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
}

/// The encodings of a body that have to be taken off, as far as they are known; in the order in
/// which they were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::prometheus) struct Codings(Vec<Coding>);

/// The name of an encoding, or list of encodings, that cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::prometheus) struct UnknownCoding(pub(in crate::prometheus) String);

impl Codings {
    /// Reads the header, in one or several lines.
    ///
    /// # Errors
    /// The first encoding that cannot be decoded, or all of them if they are too many.
    pub(in crate::prometheus) fn of(headers: &HeaderMap) -> Result<Self, UnknownCoding> {
        let mut codings = Vec::new();
        for value in headers.get_all(header::CONTENT_ENCODING) {
            let value = String::from_utf8_lossy(value.as_bytes());
            for name in value.split(',').map(str::trim) {
                match name.to_ascii_lowercase().as_str() {
                    "" | "identity" => {}
                    "gzip" | "x-gzip" => codings.push(Coding::Gzip),
                    "deflate" => codings.push(Coding::Deflate),
                    _ => return Err(UnknownCoding(name.to_owned())),
                }
                if codings.len() > MOST_LAYERS {
                    return Err(UnknownCoding(value.into_owned()));
                }
            }
        }
        Ok(Self(codings))
    }

    pub(in crate::prometheus) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a message calls them.
    fn name(&self) -> String {
        let names = self.0.iter().map(|coding| match coding {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
        });
        names.collect::<Vec<_>>().join(", ")
    }
}

/// Why an encoded body cannot be decoded. `Display` completes "target a answered …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::prometheus) enum DecodingError {
    /// A layer became larger than allowed.
    #[error("more than it may")]
    TooLarge,
    /// It is not what the header says, or not all of it came.
    #[error(
        "in {0} encoding although it was not asked for, and the data are damaged or end too early"
    )]
    Damaged(String),
}

/// Takes the encodings off a body as it arrives, in small pieces.
#[derive(Debug)]
pub(super) struct Inflater {
    name: String,
    /// The layer that was applied last, and is taken off first, is the last one.
    layers: Vec<Layer>,
}

/// One encoding: what it has still to decode, and its state.
#[derive(Debug)]
struct Layer {
    input: Bytes,
    stream: Stream,
    /// How many bytes may come out of it.
    left: usize,
}

#[derive(Debug)]
enum Stream {
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zlib(Box<ZlibDecoder<Vec<u8>>>),
    /// `deflate` without zlib's frame, as some servers send it.
    Raw(Box<DeflateDecoder<Vec<u8>>>),
    /// `deflate` whose first bytes are not known yet.
    Deflate(Vec<u8>),
    /// Gzip of which nothing came. An empty body has no encoding.
    Unbegun,
}

impl Inflater {
    /// For a body with these encodings; no layer of it may become larger than `most` bytes.
    pub(super) fn new(codings: &Codings, most: usize) -> Self {
        let layers = codings.0.iter().map(|coding| Layer {
            input: Bytes::new(),
            stream: match coding {
                Coding::Gzip => Stream::Unbegun,
                Coding::Deflate => Stream::Deflate(Vec::new()),
            },
            left: most,
        });
        Self {
            name: codings.name(),
            layers: layers.collect(),
        }
    }

    /// Takes what arrived. Everything that came before must have been [`decoded`](Self::decoded).
    pub(super) fn take(&mut self, bytes: Bytes) {
        if let Some(outermost) = self.layers.last_mut() {
            outermost.input = bytes;
        }
    }

    /// The next decoded bytes, at most about a mebibyte; none if more has to arrive first.
    pub(super) fn decoded(&mut self) -> Result<Option<Bytes>, DecodingError> {
        self.decoded_from(0)
    }

    fn decoded_from(&mut self, index: usize) -> Result<Option<Bytes>, DecodingError> {
        loop {
            let Some(layer) = self.layers.get_mut(index) else {
                return Ok(None);
            };
            if layer.input.is_empty() {
                match self.decoded_from(index + 1)? {
                    Some(bytes) => self.layers[index].input = bytes,
                    None => return Ok(None),
                }
                continue;
            }
            let piece = layer.input.split_to(layer.input.len().min(PIECE));
            let decoded = layer.stream.write(&piece);
            let decoded = decoded.map_err(|_| DecodingError::Damaged(self.name.clone()))?;
            if !decoded.is_empty() {
                return self.counted(index, decoded).map(Some);
            }
        }
    }

    fn counted(&mut self, index: usize, decoded: Vec<u8>) -> Result<Bytes, DecodingError> {
        let left = &mut self.layers[index].left;
        *left = left
            .checked_sub(decoded.len())
            .ok_or(DecodingError::TooLarge)?;
        Ok(decoded.into())
    }

    /// The last decoded bytes, once nothing more arrives and all else is
    /// [`decoded`](Self::decoded). Answers none when there are no more.
    pub(super) fn finish(&mut self) -> Result<Option<Bytes>, DecodingError> {
        // From the outside in: the end of one layer may be the middle of the next.
        while let Some(outermost) = self.layers.last_mut() {
            let ended = outermost.stream.finish();
            let ended = ended.map_err(|_| DecodingError::Damaged(self.name.clone()))?;
            let index = self.layers.len() - 1;
            let ended = self.counted(index, ended)?;
            self.layers.pop();
            match self.layers.last_mut() {
                None if ended.is_empty() => return Ok(None),
                None => return Ok(Some(ended)),
                Some(next) => next.input = ended,
            }
            if let Some(decoded) = self.decoded()? {
                return Ok(Some(decoded));
            }
        }
        Ok(None)
    }
}

impl Stream {
    /// Decodes a piece, which is not empty.
    fn write(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Unbegun => {
                *self = Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new())));
                self.write(piece)
            }
            Self::Deflate(head) => {
                head.extend_from_slice(piece);
                if head.len() < 2 {
                    return Ok(Vec::new());
                }
                let head = std::mem::take(head);
                *self = if is_zlib(head[0], head[1]) {
                    Self::Zlib(Box::new(ZlibDecoder::new(Vec::new())))
                } else {
                    Self::Raw(Box::new(DeflateDecoder::new(Vec::new())))
                };
                self.write(&head)
            }
            Self::Gzip(stream) => {
                stream.write_all(piece)?;
                Ok(std::mem::take(stream.get_mut()))
            }
            Self::Zlib(stream) => {
                stream.write_all(piece)?;
                Ok(std::mem::take(stream.get_mut()))
            }
            Self::Raw(stream) => {
                stream.write_all(piece)?;
                Ok(std::mem::take(stream.get_mut()))
            }
        }
    }

    fn finish(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Unbegun => Ok(Vec::new()),
            Self::Deflate(head) if head.is_empty() => Ok(Vec::new()),
            Self::Deflate(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Self::Gzip(stream) => {
                stream.try_finish()?;
                Ok(std::mem::take(stream.get_mut()))
            }
            Self::Zlib(stream) => {
                stream.try_finish()?;
                Ok(std::mem::take(stream.get_mut()))
            }
            Self::Raw(stream) => {
                stream.try_finish()?;
                Ok(std::mem::take(stream.get_mut()))
            }
        }
    }
}

/// Whether a deflate stream begins with the header of RFC 1950.
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && (u16::from(first) << 8 | u16::from(second)).is_multiple_of(31)
}

#[cfg(test)]
#[path = "encoding_tests.rs"]
mod tests;
