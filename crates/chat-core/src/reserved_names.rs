//! Names under which somebody could pass for the server or for those who run it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::canonical_combining_class;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory as _};

use crate::{Skeleton, Username};

/// Names that nobody can register, nor a name that a person could take for one of them:
/// `admin` stands for `Admin`, `аdmin`, `adm1n`, `ad min`, `admin.`, `admin2` and `★admin★`.
///
/// Names are compared by the [skeletons](Skeleton) of their bare forms: what is left of a
/// name without spaces, punctuation, symbols, accents and digits. A reserved name that has
/// digits keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReservedNames {
    /// Keys of the names with their digits.
    whole: BTreeSet<String>,
    /// Keys of the names without digits.
    bare: BTreeSet<String>,
}

impl ReservedNames {
    /// Names under which one could ask other users for their passwords, or that stand for all
    /// of them.
    pub const DEFAULT: &[&str] = &[
        "admin",
        "administrator",
        "moderator",
        "root",
        "server",
        "system",
        "support",
        "everyone",
        "all",
        "админ",
        "администратор",
        "модератор",
        "поддержка",
        "сервер",
        "система",
    ];

    /// The name by which the operator is shown, in the audit log for one: it is always reserved.
    pub const OPERATOR: &str = "server";

    /// Reserves these names, and that of the [operator](Self::OPERATOR).
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut reserved = Self::default();
        for name in names.into_iter().chain([Self::OPERATOR]) {
            let whole = without(name, |_| false);
            let has_digits = whole.chars().any(is_digit);
            let capitals = whole.to_uppercase();
            for written in [whole, in_small_i(&capitals), capitals] {
                let skeleton = Skeleton::of(&written);
                let keys = skeleton.keys().map(str::to_owned);
                reserved.whole.extend(keys.clone());
                if !has_digits {
                    reserved.bare.extend(keys);
                }
            }
        }
        reserved
    }

    /// Whether a name is that of the [operator](Self::OPERATOR), or could be taken for it.
    pub fn is_operator(name: &Username) -> bool {
        static OPERATOR: LazyLock<ReservedNames> = LazyLock::new(|| ReservedNames::new([]));
        OPERATOR.covers(name)
    }

    /// Whether a name is one of them, or could be taken for one.
    pub fn covers(&self, name: &Username) -> bool {
        let name = name.as_str();
        let has = |keys: &BTreeSet<String>, name: &str| {
            Skeleton::of(&in_small_i(name)).keys().iter().any(|key| keys.contains(*key))
        };
        let bare = |name: &str| without(name, is_digit);
        let not_letter = |c: char| !c.is_alphabetic();
        has(&self.whole, name)
            || has(&self.whole, &without(name, |_| false))
            || has(&self.bare, &bare(name))
            // Digits and symbols stand for letters, or only follow the name.
            || [name, name.trim_end_matches(not_letter), name.trim_start_matches(not_letter)]
                .iter()
                .any(|name| has(&self.bare, &bare(&name.chars().map(as_letter).collect::<String>())))
    }
}

/// A name without spaces, punctuation, symbols and accents, and without what `drops` names.
fn without(name: &str, drops: impl Fn(char) -> bool) -> String {
    let is_kept = |c: &char| {
        let group = c.general_category_group();
        match group {
            GeneralCategoryGroup::Mark => canonical_combining_class(*c) < ACCENTS,
            GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number => !drops(*c),
            _ => false,
        }
    };
    name.nfkd().filter(is_kept).nfc().collect()
}

/// The combining classes from here on are those of marks that stand at a letter, such as
/// accents and the vowels of Arabic; below are parts of letters in other scripts.
const ACCENTS: u8 = 10;

fn is_digit(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Number
}

/// The letter for which a digit or a symbol is written.
fn as_letter(c: char) -> char {
    match c {
        '0' => 'o',
        '1' | '!' | '|' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        c => c,
    }
}

/// A name that is written in capitals, with `i` for each `I`: among capitals nobody takes it
/// for an `l`, so that `ALI` is not `all`.
fn in_small_i(name: &str) -> String {
    let is_in_capitals =
        !name.chars().any(char::is_lowercase) && name.chars().skip(1).any(|c| c.is_uppercase() && c != 'I');
    if is_in_capitals { name.replace('I', "i") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_taken_for_a_reserved_one_is_covered() {
        let reserved = ReservedNames::new(ReservedNames::DEFAULT.iter().copied());
        for name in [
            "admin",
            "Admin",
            "ADMIN",
            "аdmin",
            "ADМIN",
            "adm1n",
            "@dmin",
            "ádmin",
            "admin1",
            "1admin",
            "admin 2",
            "admin!",
            "ad-min",
            "★ Admin ★",
            "ADMlN",
            "admin²",
            "system.",
            "sys tem",
            "s.y.s.t.e.m",
            "SYSTEM",
            "syst3m",
            "r00t",
            "m0derator",
            "5upport",
            "Support",
            "support",
            "everyone",
            "Everyone!",
            "all",
            "All",
            "AII",
            "a11",
            "Система",
            "СИСТЕМА",
            "Cистема",
            "Администратор",
            "Администратор 1",
            "Модератор",
            "М0дератор",
            "Поддержка",
            "под держка",
            "Сервер",
        ] {
            assert!(reserved.covers(&Username::known(name).unwrap()), "{name}");
        }
    }

    #[test]
    fn other_names_are_free() {
        let reserved = ReservedNames::new(ReservedNames::DEFAULT.iter().copied());
        for name in [
            "Ali",
            "ALI",
            "ali",
            "Alla",
            "Allen",
            "Al",
            "Сева",
            "Adam",
            "Damian",
            "administer",
            "Rooter",
            "Алла",
            "Sever",
            "Sistem",
            "Nguyễn",
            "محمد",
            "नमस्ते",
            "สมชาย",
            "李雷",
            "👩\u{200D}💻",
            "1984",
            "Max 2",
        ] {
            assert!(!reserved.covers(&Username::known(name).unwrap()), "{name}");
        }
    }

    #[test]
    fn the_name_of_the_operator_is_always_reserved() {
        for name in ["server", "Server", "sеrver", "server 1"] {
            let name = Username::known(name).unwrap();
            assert!(ReservedNames::is_operator(&name), "{name}");
            assert!(ReservedNames::new([]).covers(&name) && ReservedNames::new(["bot"]).covers(&name));
        }
        for name in ["admin", "Serverin"] {
            assert!(!ReservedNames::is_operator(&Username::known(name).unwrap()), "{name}");
        }
    }

    #[test]
    fn a_reserved_name_with_digits_keeps_them() {
        let reserved = ReservedNames::new(["bot7"]);
        for (name, is_covered) in
            [("bot7", true), ("Bot 7", true), ("bоt7", true), ("bot", false), ("bot8", false)]
        {
            assert_eq!(reserved.covers(&Username::known(name).unwrap()), is_covered, "{name}");
        }
    }
}
