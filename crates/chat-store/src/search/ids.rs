//! The ids of messages in an index, which are in the order of messages: the millisecond in which
//! a message was stored, and bits that tell those of one millisecond apart.

use std::collections::BTreeMap;

use chat_core::SearchPosition;

use super::document::Document;

/// The bits of an id that tell messages of one millisecond apart.
pub(crate) const PLACE_BITS: u32 = 20;

/// The first id of a millisecond.
pub(crate) fn first_id(at_ms: u64) -> i64 {
    i64::try_from(at_ms).unwrap_or(i64::MAX).min(i64::MAX >> PLACE_BITS) << PLACE_BITS
}

/// The position of the message with this id.
pub(crate) fn position_of(id: i64) -> SearchPosition {
    let id = id.unsigned_abs();
    SearchPosition { at_ms: id >> PLACE_BITS, place: id & ((1 << PLACE_BITS) - 1) }
}

/// The id at a position.
pub(crate) fn id_of(position: SearchPosition) -> i64 {
    let place = i64::try_from(position.place).unwrap_or(i64::MAX).min((1 << PLACE_BITS) - 1);
    first_id(position.at_ms) | place
}

/// The first ids of the milliseconds of documents, each once.
pub(crate) fn milliseconds(documents: &[Document]) -> Vec<i64> {
    let mut firsts: Vec<i64> = documents.iter().map(|document| first_id(document.at_ms)).collect();
    firsts.sort_unstable();
    firsts.dedup();
    firsts
}

/// Gives ids to new documents. `used` has the lowest and highest id that is used of each
/// [millisecond](milliseconds), if any is. The result is in the order of ids.
///
/// The first message of a millisecond gets the middle; older messages, which are added after
/// newer ones, go down from there.
pub(crate) fn assign(documents: &[Document], mut used: BTreeMap<i64, (i64, i64)>) -> Vec<(i64, &Document)> {
    let mut sorted: Vec<&Document> = documents.iter().collect();
    sorted.sort_by_key(|document| (document.topic, document.seq));
    let (old, new): (Vec<&Document>, Vec<&Document>) =
        sorted.into_iter().partition(|document| document.is_old);
    let mut ids = BTreeMap::new();
    for document in new.into_iter().chain(old.into_iter().rev()) {
        let first = first_id(document.at_ms);
        let middle = first + (1 << (PLACE_BITS - 1));
        let id = match used.get_mut(&first) {
            None => {
                used.insert(first, (middle, middle));
                middle
            }
            Some((lowest, _)) if document.is_old => {
                *lowest -= 1;
                *lowest
            }
            Some((_, highest)) => {
                *highest += 1;
                *highest
            }
        };
        ids.insert(id, document);
    }
    ids.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_position() {
        for id in [0, 1, first_id(1_795_371_797_000) + 5, first_id(u64::MAX)] {
            assert_eq!(id_of(position_of(id)), id);
        }
        assert!(first_id(7) + (1 << PLACE_BITS) - 1 < first_id(8));
    }

    #[test]
    fn ids_of_a_topic_rise_with_its_numbers_whichever_are_added_first() {
        let document =
            |seq, is_old| Document { topic: 1, seq, at_ms: 7, is_old, marks: Vec::new(), words: Vec::new() };
        let mut used = BTreeMap::new();
        let mut all = BTreeMap::new();
        for (seqs, is_old) in
            [(8..=10, true), (11..=12, false), (5..=7, true), (13..=13, false), (1..=4, true)]
        {
            let documents: Vec<Document> = seqs.map(|seq| document(seq, is_old)).collect();
            for (id, document) in assign(&documents, used.clone()) {
                assert_eq!(all.insert(id, document.seq), None);
            }
            let ends = (*all.first_key_value().unwrap().0, *all.last_key_value().unwrap().0);
            used = BTreeMap::from([(first_id(7), ends)]);
        }
        assert!(all.into_values().eq(1..=13));
    }
}
