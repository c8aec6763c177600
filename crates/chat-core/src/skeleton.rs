//! The skeleton of a name: what two names that look alike have in common.

use unicode_normalization::UnicodeNormalization as _;
use unicode_security::confusable_detection::skeleton;

/// The skeleton of a name, as in UTS #39 §4: two names are confusable if their
/// skeletons share a key.
///
/// The keys map together characters that Unicode lists as confusable (Cyrillic
/// `а` and `a`, `1` and `l`), both cases (`ALICE`), compatibility characters
/// (`ａlice`, NFKC), and runs of white space, which a page shows as one space.
///
/// A skeleton has two keys, because no single order of the two steps is right:
/// `I` looks like `l`, but its lower case is `i`. Folding case first would miss
/// that `AIice` looks like `Alice`; folding it last would miss that `ALICE` is
/// `alice`; and one key for both orders would make `mai` and `mal` confusable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skeleton {
    cased: String,
    folded: String,
}

impl Skeleton {
    /// The version of the rules that make the keys. Stored keys of another version
    /// cannot be compared with keys made now.
    pub const RULES_VERSION: u32 = 1_000 + unicode_security::UNICODE_VERSION.0 as u32;

    /// The skeleton of any text.
    pub fn of(name: &str) -> Self {
        let name: String = name.nfkc().collect();
        Self { cased: key(&name), folded: key(&fold(&name)) }
    }

    /// Whether a person could take one name for the other.
    pub fn is_confusable_with(&self, other: &Self) -> bool {
        self.keys().iter().any(|key| other.keys().contains(key))
    }

    /// Both keys: of the name as it is written, and of the name in folded case. A
    /// key of one kind may equal a key of the other kind of another name.
    pub fn keys(&self) -> [&str; 2] {
        [&self.cased, &self.folded]
    }
}

/// Maps confusable characters first and folds case second: some of the characters
/// that they are mapped to are capital letters (`0` becomes `O`).
fn key(name: &str) -> String {
    let mapped: String = skeleton(name).collect();
    let words: Vec<String> = mapped.split_whitespace().map(fold).collect();
    words.join(" ")
}

/// A text in NFC and in folded case, which is equal for texts that differ only in case.
pub fn fold_case(text: &str) -> String {
    fold(&text.nfc().collect::<String>())
}

/// Folds case by way of capital letters, so that `ς` and `σ` become the same.
fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_confusable() {
        for (one, other) in [
            ("alice", "alice"),
            ("alice", "Alice"),
            ("alice", "ALICE"),
            ("alice", "аlice"),
            ("alice", "a1ice"),
            ("alice", "a|ice"),
            ("Alice", "AIice"),
            ("alice", "AIice"),
            ("ALICE", "AIice"),
            ("alice", "ＡＬＩＣＥ"),
            ("alice", "𝒶𝓁𝒾𝒸ℯ"),
            ("bob", "b0b"),
            ("bob2", "bob²"),
            ("BOB", "ВОВ"),
            ("Алиса", "АЛИСА"),
            ("ΝΙΚΟΣ", "νικοσ"),
            ("νικος", "νικοσ"),
            ("STRASSE", "straße"),
            ("O'Neil", "O’Neil"),
            ("two words", "two  words"),
            ("two words", "two\u{a0}words"),
            ("e\u{301}", "\u{c9}"),
        ] {
            let (one_skeleton, other_skeleton) = (Skeleton::of(one), Skeleton::of(other));
            assert!(
                one_skeleton.is_confusable_with(&other_skeleton),
                "{one} {other}: {one_skeleton:?} {other_skeleton:?}"
            );
            assert!(other_skeleton.is_confusable_with(&one_skeleton), "{other} {one}");
        }
    }

    #[test]
    fn names_that_a_person_can_tell_apart_are_not_confusable() {
        for (one, other) in [
            ("alice", "alicia"),
            ("alice", "alice2"),
            ("mai", "mal"),
            ("bob", "bób"),
            ("user2", "user3"),
            ("Алиса", "Алина"),
            ("李雷", "李蕾"),
            ("two words", "twowords"),
            ("👩‍💻", "👨‍💻"),
        ] {
            assert!(!Skeleton::of(one).is_confusable_with(&Skeleton::of(other)), "{one} {other}");
        }
    }

    #[test]
    fn numbered_names_are_not_confusable() {
        let skeletons: Vec<Skeleton> =
            (0..300).map(|number| Skeleton::of(&format!("User{number}"))).collect();
        for (index, skeleton) in skeletons.iter().enumerate() {
            assert!(!skeletons[..index].iter().any(|other| other.is_confusable_with(skeleton)), "{index}");
        }
    }
}
