//! Parts of a file that a request asks for (RFC 9110 §14).

use std::ops::Range;

use hyper::HeaderMap;
use hyper::header::{IF_NONE_MATCH, IF_RANGE, RANGE};

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The client has the content already.
    Known,
    Whole,
    Part(Range<u64>),
    /// The part begins after the end.
    Nothing,
}

/// What a GET asks for of a content of `size` bytes with this strong tag. Lists of ranges,
/// other units and damaged headers are ignored, as HTTP allows.
pub(crate) fn asked_range(headers: &HeaderMap, etag: &str, size: u64) -> Asked {
    let tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|header| header.to_str().ok());
    let is_known = tags.flat_map(|header| header.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    });
    if is_known {
        return Asked::Known;
    }
    // A date is never that of this content, which has none.
    if headers.get(IF_RANGE).is_some_and(|tag| tag.as_bytes() != etag.as_bytes()) {
        return Asked::Whole;
    }
    let mut ranges = headers.get_all(RANGE).iter();
    match (ranges.next().and_then(|range| range.to_str().ok()), ranges.next()) {
        (Some(range), None) => part(range, size).unwrap_or(Asked::Whole),
        _ => Asked::Whole,
    }
}

/// `None` if the header is to be ignored.
fn part(range: &str, size: u64) -> Option<Asked> {
    let (unit, range) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            // A number that is too large is behind every end.
            Some(Some(digits.parse::<u64>().unwrap_or(u64::MAX)))
        }
        _ => None,
    };
    let part = match (number(first)?, number(last)?) {
        (Some(first), Some(last)) if last < first => return None,
        (Some(first), last) => first..last.map_or(size, |last| last.saturating_add(1).min(size)),
        (None, Some(count)) => size.saturating_sub(count)..size,
        (None, None) => return None,
    };
    Some(if part.start < part.end { Asked::Part(part) } else { Asked::Nothing })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn asked(headers: &[(&str, &str)], size: u64) -> Asked {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: hyper::header::HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        asked_range(&map, "\"x\"", size)
    }

    #[test]
    fn a_part_is_within_the_file() {
        for (range, expected) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=2-5", Asked::Part(2..6)),
            ("bytes=2-", Asked::Part(2..10)),
            ("bytes=9-99999999999999999999", Asked::Part(9..10)),
            ("bytes=-3", Asked::Part(7..10)),
            ("bytes=-99", Asked::Part(0..10)),
            ("Bytes = 1 - 2", Asked::Part(1..3)),
            ("bytes=10-", Asked::Nothing),
            ("bytes=99999999999999999999-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=5-2", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=0-1,3-4", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("items=0-1", Asked::Whole),
            ("bytes", Asked::Whole),
        ] {
            assert_eq!(asked(&[("range", range)], 10), expected, "{range}");
        }
        assert_eq!(asked(&[("range", "bytes=0-")], 0), Asked::Nothing);
        assert_eq!(asked(&[("range", "bytes=0-1"), ("range", "bytes=0-1")], 10), Asked::Whole);
    }

    #[test]
    fn conditions_come_before_the_part() {
        let part = ("range", "bytes=0-1");
        assert_eq!(asked(&[part, ("if-range", "\"x\"")], 10), Asked::Part(0..2));
        for other in ["\"y\"", "W/\"x\"", "Sat, 28 Nov 2026 00:00:00 GMT"] {
            assert_eq!(asked(&[part, ("if-range", other)], 10), Asked::Whole, "{other}");
        }
        for known in ["\"x\"", "W/\"x\"", "\"a\", \"x\"", "*"] {
            assert_eq!(asked(&[part, ("if-none-match", known)], 10), Asked::Known, "{known}");
        }
        assert_eq!(asked(&[("if-none-match", "\"y\"")], 10), Asked::Whole);
    }
}
