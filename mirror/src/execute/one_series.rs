//! Where one series is needed: which one it is, and what several differ in. It is linear in the
//! series of an answer, and stops at the second where all of them count.

use super::EvaluateError;
use super::work::Steps;
use crate::model::series::{Labels, Series};
use crate::plan::differences::differences;
use crate::plan::selector::Filter;

/// The most series that are compared for the labels in which they differ.
const COMPARED: usize = 100;

/// Sees to it that all parts of an answer speak of one series.
#[derive(Debug, Default)]
pub(super) struct OneSeries {
    seen: Option<Labels>,
    /// Series that differ in nothing but their name are one.
    ignores_name: bool,
}

impl OneSeries {
    /// The same, whatever the series' names.
    pub(super) fn of_any_name() -> Self {
        Self {
            seen: None,
            ignores_name: true,
        }
    }

    /// The first of these series, which must be the only one, and the same as before. A store that
    /// answers one series several times means one.
    pub(super) fn of<'a>(
        &mut self,
        series: impl ExactSizeIterator<Item = &'a Series> + Clone,
    ) -> Result<Option<&'a Series>, EvaluateError> {
        let Some(first) = series.clone().next() else {
            return Ok(None);
        };
        let ignores_name = self.ignores_name;
        let seen = self.seen.get_or_insert_with(|| first.labels.clone());
        let is_seen = |one: &Series| are_same(seen, &one.labels, ignores_name);
        let Some(other) = series.clone().find(|one| !is_seen(one)) else {
            return Ok(Some(first));
        };
        let is_here = series.clone().take(COMPARED).any(is_seen);
        let count = series.len() + usize::from(!is_here);
        let compared = series.take(COMPARED).map(|one| &one.labels);
        let labels: Vec<&Labels> = [&*seen, &other.labels]
            .into_iter()
            .chain(compared)
            .collect();
        Err(EvaluateError::SeveralSeries {
            count,
            differences: differences(&labels, ignores_name),
        })
    }
}

fn are_same(one: &Labels, other: &Labels, ignores_name: bool) -> bool {
    if !ignores_name {
        return one == other;
    }
    let named = |(name, _): &(&String, &String)| name.as_str() != "__name__";
    one.iter().filter(named).eq(other.iter().filter(named))
}

/// The places of the series that satisfy all conditions.
pub(super) async fn chosen(
    series: &[Series],
    filter: &Filter<'_>,
    steps: &mut Steps,
) -> Result<Vec<usize>, EvaluateError> {
    let mut chosen = Vec::new();
    for (place, one) in series.iter().enumerate() {
        if filter.accepts(&one.labels) {
            chosen.push(place);
        }
        if steps.are_due() {
            steps.rest().await?;
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(labels: &[(&str, &str)]) -> Series {
        let labels = labels.iter();
        Series {
            labels: labels
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Series::default()
        }
    }

    fn error(one: &mut OneSeries, all: &[Series]) -> String {
        one.of(all.iter()).expect_err("several").to_string()
    }

    #[test]
    fn the_same_series_again_is_one() {
        let mut one = OneSeries::default();
        let (a, b) = (series(&[("i", "a")]), series(&[("i", "b")]));
        for answer in [vec![], vec![a.clone()], vec![a.clone(), a.clone()], vec![]] {
            assert_eq!(one.of(answer.iter()).expect("one"), answer.first());
        }
        assert_eq!(
            error(&mut one, std::slice::from_ref(&b)),
            r#"2 series match and one is needed; they differ in: i ("a", "b")"#
        );
        assert_eq!(
            error(&mut one, &[b, a]),
            r#"2 series match and one is needed; they differ in: i ("a", "b")"#
        );
    }

    #[test]
    fn series_of_several_names_are_one_where_names_do_not_count() {
        let (sum, count) = (
            series(&[("__name__", "h_sum"), ("i", "a")]),
            series(&[("__name__", "h_count"), ("i", "a")]),
        );
        let mut one = OneSeries::of_any_name();
        assert!(one.of([&sum].into_iter()).is_ok());
        assert!(one.of([&count].into_iter()).is_ok());
        let other = series(&[("__name__", "h_count"), ("i", "b")]);
        assert_eq!(
            error(&mut one, &[count, other]),
            r#"2 series match and one is needed; they differ in: i ("a", "b")"#
        );
        assert!(OneSeries::default().of([&sum].into_iter()).is_ok());
    }

    /// When each series was compared with all before it, this took hours.
    #[test]
    fn two_hundred_thousand_series_are_told_apart_at_once() {
        let all: Vec<Series> = (0..200_000)
            .map(|index| series(&[("__name__", "m"), ("instance", &index.to_string())]))
            .collect();
        assert_eq!(
            error(&mut OneSeries::default(), &all),
            r#"200000 series match and one is needed; they differ in: instance ("0", "1", "10", …)"#
        );
    }
}
