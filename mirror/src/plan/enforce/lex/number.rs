//! What the digits of a number or a duration are worth.

/// The seconds that the longest duration may have, and the most of one unit: what the parser and
/// Prometheus both can hold.
pub(super) const MOST_SECONDS: f64 = 4_294_967_295.0;
/// The instants that `@` may name, in seconds before and after 1970: until the year 9999.
pub(super) const MOST_INSTANT: f64 = 253_402_300_799.0;

/// What a number is worth; none if it is not one that all read alike. A zero before other digits
/// means octal to some.
pub(super) fn worth(text: &str, hexadecimal: bool) -> Option<f64> {
    if hexadecimal {
        // Beyond it, floating point and integers differ.
        let digits = text
            .get(2..)
            .filter(|digits| (1..=13).contains(&digits.len()))?;
        let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        // Thirteen digits fit in the mantissa.
        #[allow(clippy::cast_precision_loss)]
        return all
            .then(|| u64::from_str_radix(digits, 16).ok())?
            .map(|number| number as f64);
    }
    let mut bytes = text.bytes();
    let octal = bytes.next() == Some(b'0') && bytes.next().is_some_and(|byte| byte != b'.');
    let plain = |byte: u8| byte.is_ascii_digit() || b".eE+-".contains(&byte);
    (!octal && text.bytes().all(plain)).then(|| text.parse().ok())?
}

/// Whether a duration is within what can be held; none if it is not one. The parser checks the
/// order of its units.
pub(super) fn duration(text: &str) -> Option<bool> {
    let mut rest = text;
    let mut seconds = 0.0;
    let mut within = true;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, behind) = rest.split_at_checked(digits).filter(|_| digits > 0)?;
        let letters = behind.len()
            - behind
                .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                .len();
        let (unit, behind) = behind.split_at_checked(letters)?;
        let number: f64 = number.parse().ok()?;
        // The parser would leave out what does not fit.
        within &= number <= MOST_SECONDS;
        seconds += number
            * match unit {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                "w" => 604_800.0,
                "y" => 31_536_000.0,
                _ => return None,
            };
        rest = behind;
    }
    Some(within && seconds <= MOST_SECONDS)
}
