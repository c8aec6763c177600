//! Queries of requests.

use crate::error::HttpError;
use crate::percent;

/// The parameters of a query in their order, with decoded values.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = Result<(&str, String), HttpError>> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((key, percent::decode(value, true).ok_or(HttpError::QueryEncoding)?))
    })
}

/// Parses the `next` of an earlier page that is the id of its last item.
pub(super) fn id(value: &str) -> Result<u64, HttpError> {
    // The largest number that the databases store.
    value.parse().ok().filter(|id| *id <= i64::MAX as u64).ok_or(HttpError::Before)
}

/// Parses the most items of a page: 1 to `max`.
pub(super) fn limit(value: &str, max: usize) -> Result<usize, HttpError> {
    value.parse().ok().filter(|limit| (1..=max).contains(limit)).ok_or(HttpError::Limit { max })
}
