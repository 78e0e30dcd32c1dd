//! The lengths of time in an expression, as the store and the target's scrape interval make them.

use super::selector::Selector;
use crate::model::capabilities::RangeBoundary;
use crate::model::time::Millis;

/// What a store and its target's settings say about time: the inputs of every window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windowing {
    /// How often the target scrapes.
    pub scrape_interval: Millis,
    /// Where the store's range windows begin.
    pub boundary: RangeBoundary,
    /// Whether the store may hold native histograms.
    pub native_histograms: bool,
    /// Whether it is several shards, each with a part of the series.
    pub is_sharded: bool,
}

impl Windowing {
    /// The range selector that covers exactly `length` up to and with the evaluation instant, to
    /// the millisecond: `None` where the store has no such window (a closed window of 1 ms has no
    /// length).
    #[must_use]
    pub fn window(&self, length: Millis) -> Option<Millis> {
        match self.boundary {
            RangeBoundary::LeftOpen => Some(length),
            RangeBoundary::Closed => Some(Millis(length.0 - 1)).filter(|window| window.0 > 0),
        }
    }

    /// The shortest window in which a rate has enough samples: four scrapes.
    #[must_use]
    pub fn rate_window(&self) -> Millis {
        Millis(self.scrape_interval.0.saturating_mul(4))
    }
}

/// The windows for buckets of one width, ready to be written between brackets.
pub(super) struct Windows {
    /// The bucket; none if the store cannot express it.
    pub(super) bucket: Option<Millis>,
    /// The window of a rate over the bucket: never shorter than four scrapes.
    pub(super) rate: Millis,
    /// The same before anything was taken off for the store's boundaries.
    whole_rate: Millis,
    boundary: RangeBoundary,
    /// What an increase over `whole_rate` is multiplied by to be that of the bucket.
    share: Option<f64>,
    /// The window of a rate at an instant.
    pub(super) instant_rate: Millis,
    /// Distance of a subquery's evaluations.
    pub(super) scrape: Millis,
    /// The buckets are so short that there are fewer samples than buckets: fetching the samples is
    /// the lighter way.
    pub(super) finer_than_samples: bool,
    /// Whether each shard has a part of the series.
    pub(super) is_sharded: bool,
}

impl Windows {
    pub(super) fn new(width: Millis, windowing: &Windowing) -> Self {
        let four_scrapes = windowing.rate_window();
        let rate = width.max(four_scrapes);
        // Four scrapes are at least four milliseconds, so these windows always exist.
        let written = |length| windowing.window(length).unwrap_or(length);
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of any sensible window are far below 2^52"
        )]
        let share = (rate != width).then(|| width.0 as f64 / rate.0 as f64);
        Self {
            bucket: windowing.window(width),
            rate: written(rate),
            whole_rate: rate,
            boundary: windowing.boundary,
            share,
            instant_rate: written(four_scrapes),
            scrape: windowing.scrape_interval,
            finer_than_samples: width.0.saturating_mul(10) <= windowing.scrape_interval.0,
            is_sharded: windowing.is_sharded,
        }
    }

    /// An increase over the rate's window as that of the bucket.
    pub(super) fn scaled(&self, increase: String) -> String {
        match self.share {
            Some(share) => format!("{increase} * {share:?}"),
            None => increase,
        }
    }

    /// An instant selector at the instant at which the rate's window begins.
    pub(super) fn at_the_start(&self, s: &Selector) -> String {
        format!("{s} offset {}", self.whole_rate)
    }

    /// The increase of each series over the whole of the rate's window, from the samples inside it;
    /// `of` is applied to what the store's `increase` says.
    ///
    /// `increase` extrapolates to the edges of the window that it is given, so that `s[R - 1ms]` of
    /// a store with closed ranges has the right samples and the wrong length, and `s[R]` the right
    /// length and perhaps one sample too many: one exactly at the window's start. Series without
    /// such a sample are read with `s[R]`. For the others, what `increase` gains in the last
    /// millisecond before `R` is what it gains in the next as well (growth over time is a straight
    /// line there): `2 * s[R - 1ms] - s[R - 2ms]`.
    pub(super) fn increase(&self, s: &Selector, of: impl Fn(String) -> String) -> String {
        let whole = self.whole_rate;
        let over = |window: Millis| of(format!("increase({s}[{window}])"));
        match self.boundary {
            RangeBoundary::LeftOpen => over(whole),
            RangeBoundary::Closed => {
                // Half a millisecond is more than what floating point loses of the present time in
                // seconds.
                #[expect(clippy::cast_precision_loss, reason = "see above")]
                let edge = whole.0 as f64 / 1000.0 + 0.0005;
                format!(
                    "(({} unless timestamp({}) > time() - {edge}) or 2 * {} - {})",
                    over(whole),
                    self.at_the_start(s),
                    over(Millis(whole.0 - 1)),
                    over(Millis(whole.0 - 2))
                )
            }
        }
    }
}
