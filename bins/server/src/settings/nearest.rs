//! Which known name was probably meant.

/// The known name that is spelled most like the given one, if one is close: about
/// a third of its characters differ at most.
pub(crate) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let close = known.map(|name| (distance(given, name), name));
    let (distance, name) = close.min_by_key(|(distance, _)| *distance)?;
    (distance <= given.chars().count().div_ceil(3)).then_some(name)
}

/// How many characters have to be inserted, removed or replaced to turn one text
/// into the other (Levenshtein's distance).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["shards", "listen", "message_max_bytes", "message_rate"];
        for (given, found) in [
            ("shardz", Some("shards")),
            ("shard", Some("shards")),
            ("lisetn", Some("listen")),
            ("max_message_bytes", None),
            ("message_bytes_max", None),
            ("message_max_byte", Some("message_max_bytes")),
            ("messagerate", Some("message_rate")),
            ("nosuch", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, known.into_iter()), found, "{given}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
