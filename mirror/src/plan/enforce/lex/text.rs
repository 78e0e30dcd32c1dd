//! What a string literal stands for.

/// What is in quotes, without its escapes; none if one is unknown or they make something else than
/// text.
pub(super) fn unquoted(inside: &str, quote: u8) -> Option<String> {
    let mut bytes = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some((before, behind)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let escape = *behind.as_bytes().first()?;
        let digits = |from: usize, to: usize, radix| {
            let digits = behind.get(from..to)?;
            let plain = digits.bytes().all(|byte| char::from(byte).is_digit(radix));
            plain.then(|| u32::from_str_radix(digits, radix).ok())?
        };
        let (code, length) = match escape {
            b'a' => (0x07, 1),
            b'b' => (0x08, 1),
            b'f' => (0x0c, 1),
            b'n' => (0x0a, 1),
            b'r' => (0x0d, 1),
            b't' => (0x09, 1),
            b'v' => (0x0b, 1),
            b'\\' => (0x5c, 1),
            _ if escape == quote => (u32::from(quote), 1),
            b'x' => (digits(1, 3, 16)?, 3),
            b'0'..=b'7' => (digits(0, 3, 8)?, 3),
            b'u' | b'U' => {
                let end = if escape == b'u' { 5 } else { 9 };
                let character = char::from_u32(digits(1, end, 16)?)?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = behind.get(end..)?;
                continue;
            }
            _ => return None,
        };
        // These are bytes, not characters: \xc3\xa9 is é.
        bytes.push(u8::try_from(code).ok()?);
        rest = behind.get(length..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}
