//! The aggregations over samples that the gateway holds itself, with the definitions of Prometheus'
//! `…_over_time` functions.

/// What is computed of the samples of one bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reduce {
    /// Sum divided by number.
    Mean,
    /// The smallest; NaN only if there is nothing else.
    Min,
    /// The largest; NaN only if there is nothing else.
    Max,
    /// The sum.
    Sum,
    /// How many there are.
    Count,
    /// The quantile of that rank (0 to 1), interpolated linearly between neighbours.
    Quantile(f64),
    /// The latest one, which is the last of the slice.
    Last,
}

impl Reduce {
    /// The result for `samples`, which are in the order of time; nothing for none. Sorts the slice
    /// where it must.
    #[must_use]
    pub fn of(self, samples: &mut [f64]) -> Option<f64> {
        let last = *samples.last()?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a bucket holds far fewer than 2^52 samples"
        )]
        let count = samples.len() as f64;
        Some(match self {
            Self::Mean => sum(samples) / count,
            // f64::min and max leave NaN aside unless both are.
            Self::Min => samples.iter().copied().fold(f64::NAN, f64::min),
            Self::Max => samples.iter().copied().fold(f64::NAN, f64::max),
            Self::Sum => sum(samples),
            Self::Count => count,
            Self::Quantile(rank) => quantile(samples, rank),
            Self::Last => last,
        })
    }
}

/// Neumaier's compensated sum, as Prometheus has it: exact to the last digits whatever the order.
fn sum(samples: &[f64]) -> f64 {
    let (mut sum, mut compensation) = (0.0_f64, 0.0_f64);
    for &sample in samples {
        let next = sum + sample;
        if next.is_infinite() {
            compensation = 0.0;
        } else if sum.abs() >= sample.abs() {
            compensation += (sum - next) + sample;
        } else {
            compensation += (sample - next) + sum;
        }
        sum = next;
    }
    sum + compensation
}

/// Prometheus' `quantile_over_time`: NaN sorts below everything else.
fn quantile(samples: &mut [f64], rank: f64) -> f64 {
    samples.sort_unstable_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(b),
        (a_is_nan, b_is_nan) => b_is_nan.cmp(&a_is_nan),
    });
    let highest = samples.len() - 1;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a bucket holds far fewer than 2^52 samples"
    )]
    let position = rank * highest as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rank is 0 to 1, so this is an index"
    )]
    let lower = (position.floor() as usize).min(highest);
    let weight = position - position.floor();
    samples[lower] * (1.0 - weight) + samples[(lower + 1).min(highest)] * weight
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Reduce::Mean, &[1.0, 2.0, 6.0], 3.0)]
    #[case(Reduce::Min, &[3.0, f64::NAN, -1.0], -1.0)]
    #[case(Reduce::Max, &[f64::NAN, 3.0, -1.0], 3.0)]
    #[case(Reduce::Sum, &[1e16, 1.0, -1e16], 1.0)]
    #[case(Reduce::Sum, &[f64::INFINITY, 1.0], f64::INFINITY)]
    #[case(Reduce::Count, &[f64::NAN, 0.0], 2.0)]
    #[case(Reduce::Quantile(0.5), &[4.0, 1.0, 2.0, 3.0], 2.5)]
    #[case(Reduce::Quantile(0.75), &[7.0], 7.0)]
    #[case(Reduce::Quantile(0.99), &[f64::NAN, 1.0, 2.0], 1.98)]
    #[case(Reduce::Last, &[5.0, 4.0], 4.0)]
    fn samples_are_reduced_as_prometheus_does(
        #[case] reduce: Reduce,
        #[case] samples: &[f64],
        #[case] expected: f64,
    ) {
        assert_eq!(reduce.of(&mut samples.to_vec()), Some(expected));
    }

    #[test]
    fn no_sample_has_no_value_not_zero() {
        for reduce in [
            Reduce::Mean,
            Reduce::Min,
            Reduce::Sum,
            Reduce::Count,
            Reduce::Quantile(0.5),
            Reduce::Last,
        ] {
            assert_eq!(reduce.of(&mut []), None);
        }
    }

    #[test]
    fn only_nan_has_no_smallest_number() {
        assert!(Reduce::Min.of(&mut [f64::NAN]).is_some_and(f64::is_nan));
    }
}
