//! What a value of the store becomes in an answer. JSON knows neither NaN nor the infinities.

use crds::NanInterpretation;

/// A value as it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented<'a> {
    /// A JSON number.
    Number(&'a str),
    /// No point here, as the target's settings want it.
    LeftOut,
    /// No point here although the store has one: the answer is partial.
    NotPresentable,
}

/// A value as the store wrote it (`1.5`, `NaN`, `+Inf`) becomes a JSON number, digit for digit, or
/// none.
#[must_use]
pub fn present(text: &str, nan_interpretation: NanInterpretation) -> Presented<'_> {
    match text {
        "NaN" => match nan_interpretation {
            NanInterpretation::Zero => Presented::Number("0.0"),
            NanInterpretation::Skip => Presented::LeftOut,
        },
        "+Inf" | "-Inf" | "Inf" => Presented::NotPresentable,
        number => Presented::Number(number),
    }
}

/// Whether a value as the store wrote it is a JSON number. It is one of them, `NaN`, `+Inf` or
/// `-Inf`, as the decoder lets nothing else through: only numbers end in a digit.
#[must_use]
pub fn is_number(text: &str) -> bool {
    text.as_bytes().last().is_some_and(u8::is_ascii_digit)
}

/// Reads a value as the store wrote it.
#[must_use]
pub fn parse(text: &str) -> f64 {
    // The decoder let nothing through that is not a number; Rust reads Prometheus' spelling of NaN
    // and the infinities.
    text.parse().unwrap_or(f64::NAN)
}

/// Writes a value that the gateway computed, in the store's spelling: the shortest digits that read
/// back as the same number.
#[must_use]
pub fn write(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        format!("{value:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("1.50", NanInterpretation::Zero, Presented::Number("1.50"))]
    #[case("NaN", NanInterpretation::Zero, Presented::Number("0.0"))]
    #[case("NaN", NanInterpretation::Skip, Presented::LeftOut)]
    #[case("+Inf", NanInterpretation::Zero, Presented::NotPresentable)]
    #[case("-Inf", NanInterpretation::Skip, Presented::NotPresentable)]
    fn only_numbers_are_answered(
        #[case] text: &str,
        #[case] nan: NanInterpretation,
        #[case] presented: Presented<'_>,
    ) {
        assert_eq!(present(text, nan), presented);
        assert_eq!(is_number(text), presented == Presented::Number(text));
    }

    proptest! {
        #[test]
        fn a_computed_number_reads_back_as_itself_and_is_json(value in any::<f64>()) {
            let text = write(value);
            prop_assert!(parse(&text).to_bits() == value.to_bits() || value.is_nan() && parse(&text).is_nan());
            if value.is_finite() {
                prop_assert_eq!(serde_json::from_str::<f64>(&text).ok().map(f64::to_bits), Some(value.to_bits()));
            }
        }
    }
}
