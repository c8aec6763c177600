//! What a client accepts, as its `Accept…` headers say it (RFC 9110 §12.5).

use hyper::HeaderMap;
use hyper::header::HeaderName;

/// Whether a list names this value, in any case, and does not refuse it with a weight
/// of 0. Of wildcards nothing is concluded.
pub(crate) fn accepts(headers: &HeaderMap, list: &HeaderName, value: &str) -> bool {
    members(headers, list).any(|(name, weight)| name.eq_ignore_ascii_case(value) && weight > 0.0)
}

/// Which of these languages the client prefers; `None` if its list names none of them.
pub(crate) fn preferred_language<'a>(
    headers: &HeaderMap,
    list: &HeaderName,
    languages: &[&'a str],
) -> Option<&'a str> {
    let mut preferred: Option<(&'a str, f32)> = None;
    for (tag, weight) in members(headers, list) {
        let primary = tag.split('-').next().unwrap_or_default();
        let Some(language) = languages.iter().find(|known| known.eq_ignore_ascii_case(primary)) else {
            continue;
        };
        if weight > preferred.map_or(0.0, |(_, heaviest)| heaviest) {
            preferred = Some((language, weight));
        }
    }
    preferred.map(|(language, _)| language)
}

/// The members of a list, each with its weight, which is 1 where none is given.
fn members<'a>(headers: &'a HeaderMap, list: &HeaderName) -> impl Iterator<Item = (&'a str, f32)> {
    let lines = headers.get_all(list).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|member| {
        let mut parts = member.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).and_then(|weight| weight.parse().ok());
        (name, weight.unwrap_or(1.0))
    })
}

#[cfg(test)]
mod tests {
    use hyper::header::{ACCEPT, ACCEPT_LANGUAGE, HeaderValue};

    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_value_is_accepted_if_it_is_named_and_not_refused() {
        for (list, accepted) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("application/json, TEXT/HTML;level=1;q=0.1", true),
            ("text/html;q=0", false),
            ("text/html; q=0.0", false),
            ("*/*", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(accepts(&headers(ACCEPT, list), &ACCEPT, "text/html"), accepted, "{list}");
        }
        assert!(!accepts(&HeaderMap::new(), &ACCEPT, "text/html"));
    }

    #[test]
    fn the_language_of_the_greatest_weight_is_preferred_and_the_first_of_equal_ones() {
        for (list, language) in [
            ("ru", Some("ru")),
            ("ru-RU,ru;q=0.9,en-US;q=0.8,en;q=0.7", Some("ru")),
            ("en-GB, ru", Some("en")),
            ("de,en;q=0.5,ru;q=0.7", Some("ru")),
            ("RU;q=0,en;q=0.1", Some("en")),
            ("de, fr;q=0.5, *;q=0.1", None),
            ("", None),
        ] {
            let found = preferred_language(&headers(ACCEPT_LANGUAGE, list), &ACCEPT_LANGUAGE, &["ru", "en"]);
            assert_eq!(found, language, "{list}");
        }
    }
}
