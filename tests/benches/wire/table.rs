//! What is told of several rounds.

/// The middle one; of two, the larger.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    percentile(values, 50.0)
}

/// The median of what the second is of the first in each round, so that what disturbed a whole round
/// does not count.
pub(crate) fn ratio(rounds: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    median(rounds.into_iter().map(|(first, second)| second / first))
}

/// The value that so many of a hundred are not above.
pub(crate) fn percentile(values: impl IntoIterator<Item = f64>, percent: f64) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * percent / 100.0) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
