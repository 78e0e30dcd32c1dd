//! Sums and quantiles of plain numbers.

/// The sum, with what rounding loses carried along (Neumaier), so that the truth is better than
/// what it is compared with.
#[must_use]
pub fn sum(numbers: &[f64]) -> f64 {
    let (mut total, mut lost) = (0.0f64, 0.0f64);
    for number in numbers {
        let next = total + number;
        lost += if total.abs() >= number.abs() {
            (total - next) + number
        } else {
            (number - next) + total
        };
        total = next;
    }
    // Infinities make NaN of what was lost.
    if total.is_finite() {
        total + lost
    } else {
        total
    }
}

/// The `q`-quantile: linear between the two neighbours of rank `q · (n − 1)`, NaN sorted first. The
/// definition of Prometheus and VictoriaMetrics.
#[must_use]
pub fn quantile(q: f64, mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(|a, b| {
        b.is_nan()
            .cmp(&a.is_nan())
            .then(a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))
    });
    let rank = q * (numbers.len() as f64 - 1.0);
    let lower = rank.floor() as usize;
    let upper = (lower + 1).min(numbers.len() - 1);
    let weight = rank - rank.floor();
    numbers[lower] * (1.0 - weight) + numbers[upper] * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_between_its_neighbours() {
        let quantiles = [0.0, 0.25, 0.5, 0.9, 1.0].map(|q| quantile(q, vec![30.0, 10.0, 20.0]));
        assert_eq!(quantiles, [10.0, 15.0, 20.0, 28.0, 30.0]);
    }

    #[test]
    fn nan_counts_as_the_smallest_number() {
        assert_eq!(quantile(1.0, vec![f64::NAN, 1.0]), 1.0);
        assert!(quantile(0.0, vec![1.0, f64::NAN]).is_nan());
    }

    #[test]
    fn a_sum_keeps_what_rounding_would_lose() {
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
    }
}
