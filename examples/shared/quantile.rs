//! Quantiles, by the nearest rank: always one of the values.

/// Values in order, the smallest first.
pub(crate) struct Sorted<T>(Vec<T>);

impl<T: Copy + PartialOrd> Sorted<T> {
    /// What is not a number is left out.
    pub(crate) fn new(values: impl IntoIterator<Item = T>) -> Self {
        let is_number = |value: &T| value.partial_cmp(value).is_some();
        let mut values: Vec<T> = values.into_iter().filter(is_number).collect();
        values.sort_unstable_by(|a, b| a.partial_cmp(b).expect("they are numbers"));
        Self(values)
    }

    /// The smallest value that at least this share of all does not exceed: 0.5 is the median, 0 the least, 1 the greatest.
    /// `None` if there are no values.
    pub(crate) fn quantile(&self, share: f64) -> Option<T> {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied()
    }
}
