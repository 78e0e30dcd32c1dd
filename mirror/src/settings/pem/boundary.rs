//! Where a section begins and ends.

/// The longest label that a message shows, in bytes. `CERTIFICATE REQUEST` has 19.
const LONGEST_LABEL: usize = 64;

/// A BEGIN or an END with its label and the dashes around it.
pub(super) struct Boundary {
    pub(super) is_begin: bool,
    pub(super) label: String,
    /// Where its dashes begin.
    pub(super) start: usize,
    /// Where what follows begins.
    pub(super) end: usize,
    /// Whether there are dashes at both ends.
    pub(super) is_sound: bool,
}

impl Boundary {
    /// The next one at or after `from`.
    pub(super) fn next(text: &[u8], from: usize) -> Option<Self> {
        (from..text.len()).find_map(|at| {
            let (is_begin, word) = match text[at] {
                b'B' | b'b' => (true, b"BEGIN ".as_slice()),
                b'E' | b'e' => (false, b"END ".as_slice()),
                _ => return None,
            };
            let label_at = at + word.len();
            let found = text.get(at..label_at)?;
            if !found.eq_ignore_ascii_case(word) {
                return None;
            }
            Self::around(text, is_begin, at, label_at)
        })
    }

    fn around(text: &[u8], is_begin: bool, word: usize, label_at: usize) -> Option<Self> {
        let rest = &text[label_at..];
        let length = rest
            .iter()
            .take(LONGEST_LABEL)
            .take_while(|byte| byte.is_ascii_alphanumeric() || b" #._".contains(byte))
            .count();
        let label = str::from_utf8(&rest[..length]).ok()?;
        let mut label = label.trim().to_ascii_uppercase();
        if label == "X509 CERTIFICATE" {
            // What OpenSSL wrote before 0.9.5, and some devices still do.
            "CERTIFICATE".clone_into(&mut label);
        }
        let spaces = text[..word].iter().rev();
        let spaces = spaces.take_while(|byte| b" \t".contains(byte)).count();
        let before = &text[..word - spaces];
        // Dashes of an END that follows right on are also those of the next BEGIN's start.
        let leading = dashes(before.iter().rev());
        let trailing = dashes(rest[length..].iter());
        let is_ours = label.ends_with("CERTIFICATE") || label.ends_with("PRIVATE KEY");
        let is_sound = match (leading, trailing) {
            (5.., 5..) => true,
            // Something between text and boundary: said, not passed over, where it is about what we
            // look for.
            (1.., 1..) if is_ours => true,
            _ if !is_ours || label.is_empty() => return None,
            (0, 0) => return None,
            _ => false,
        };
        let start = before.len() - leading;
        // Ten dashes are the end of one boundary and the beginning of another.
        let consumed = if trailing >= 10 { 5 } else { trailing };
        Some(Self {
            is_begin,
            label,
            start,
            end: label_at + length + consumed,
            is_sound,
        })
    }
}

/// How many dashes come first, as far as it makes a difference.
fn dashes<'a>(bytes: impl Iterator<Item = &'a u8>) -> usize {
    bytes.take(10).take_while(|byte| **byte == b'-').count()
}
