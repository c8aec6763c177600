//! What a name looks like to a person.

use unicode_normalization::UnicodeNormalization as _;
use unicode_security::confusable_detection::skeleton;

/// What a name looks like: two names that a person could take for one another
/// share a key. By Unicode's confusables (UTS #39 §4: Cyrillic `а` for `a`, `1`
/// for `l`), by case (`ALICE`), by compatibility (`ａlice`, NFKC), and by runs
/// of white space, which a page shows as one.
///
/// There are two keys, because case and shape cannot be judged in one order: `I`
/// looks like `l`, but its other case is `i`. Folding case first would miss that
/// `AIice` looks like `Alice`, folding it last that `ALICE` is `alice`, and one
/// key for all of them would call `mai` and `mal` the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    cased: String,
    folded: String,
}

impl Look {
    /// Names the rules by which looks are made: keys that were kept by others
    /// say nothing about those of today.
    pub const RULES: u32 = 1_000 + unicode_security::UNICODE_VERSION.0 as u32;

    /// The look of any text.
    pub fn of(name: &str) -> Self {
        let name: String = name.nfkc().collect();
        Self { cased: key(&name), folded: key(&fold(&name)) }
    }

    /// Whether somebody could take one for the other.
    pub fn resembles(&self, other: &Self) -> bool {
        self.keys().iter().any(|key| other.keys().contains(key))
    }

    /// Both keys, the one that minds case when it compares shapes first. Any of
    /// one name may be any of the other.
    pub fn keys(&self) -> [&str; 2] {
        [&self.cased, &self.folded]
    }
}

/// The shapes, then their case: some of the shapes are capital letters (`0` is an `O`).
fn key(name: &str) -> String {
    let shapes: String = skeleton(name).collect();
    let words: Vec<String> = shapes.split_whitespace().map(fold).collect();
    words.join(" ")
}

/// One case for all. By way of capital letters, so that `ς` and `σ` become one.
fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_could_mistake_looks_alike() {
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
            let (one_look, other_look) = (Look::of(one), Look::of(other));
            assert!(one_look.resembles(&other_look), "{one} {other}: {one_look:?} {other_look:?}");
            assert!(other_look.resembles(&one_look), "{other} {one}");
        }
    }

    #[test]
    fn what_a_person_can_tell_apart_does_not() {
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
            assert!(!Look::of(one).resembles(&Look::of(other)), "{one} {other}");
        }
    }

    #[test]
    fn numbered_names_stay_different() {
        let looks: Vec<Look> = (0..300).map(|number| Look::of(&format!("User{number}"))).collect();
        for (index, look) in looks.iter().enumerate() {
            assert!(!looks[..index].iter().any(|other| other.resembles(look)), "{index}");
        }
    }
}
