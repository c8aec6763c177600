//! Characters that nobody sees, and stacks of marks that cover what is around them.

use unicode_normalization::char::canonical_combining_class;
use unicode_properties::{GeneralCategory, UnicodeEmoji as _, UnicodeGeneralCategory as _};

/// Combining marks that one letter of a name or title may have. Tibetan and Burmese syllables
/// have up to four, other scripts less.
pub const MARKS_MAX: usize = 4;

/// What a text names, which decides where it may have joiners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameOf {
    /// A user or a file. Joiners join emoji only.
    UserOrFile,
    /// A room, in its name or title. Persian and Indic words may have joiners, and flags of
    /// regions may have tags.
    Room,
}

/// Whether a text has control or invisible characters, with which two texts could look the
/// same.
pub(crate) fn has_hidden(text: &str, of: NameOf) -> bool {
    let chars: Vec<char> = text.chars().collect();
    (0..chars.len()).any(|index| is_hidden(&chars, index, of))
}

/// A text without its control and invisible characters.
pub(crate) fn visible(text: &str, of: NameOf) -> String {
    let chars: Vec<char> = text.chars().collect();
    let shown = chars.iter().enumerate().filter(|(index, _)| !is_hidden(&chars, *index, of));
    shown.map(|(_, c)| *c).collect()
}

/// Whether a text has more than [`MARKS_MAX`] combining marks on one letter, or one without
/// a letter, which would be drawn over what stands before the text. Vowels that take space
/// of their own are no such marks.
pub(crate) fn has_stacked_marks(text: &str) -> bool {
    let mut marks = MARKS_MAX;
    for c in text.chars() {
        match c.general_category() {
            GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark => marks += 1,
            GeneralCategory::SpacingMark => {}
            _ if c.is_whitespace() => marks = MARKS_MAX,
            _ => marks = 0,
        }
        if marks > MARKS_MAX {
            return true;
        }
    }
    false
}

/// Whether a character is in the control, format or separator categories, or is one of
/// the code points that Unicode lists as Default_Ignorable although their category is a
/// letter or a mark (DerivedCoreProperties.txt).
pub(crate) fn is_invisible(c: char) -> bool {
    use GeneralCategory as G;
    matches!(
        c.general_category(),
        G::Control
            | G::Format
            | G::Surrogate
            | G::PrivateUse
            | G::Unassigned
            | G::LineSeparator
            | G::ParagraphSeparator
    ) || matches!(
        c,
        '\u{034F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{2800}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FFA0}'
            | '\u{E0100}'..='\u{E01EF}'
    )
}

fn is_hidden(chars: &[char], index: usize, of: NameOf) -> bool {
    let before = index.checked_sub(1).map(|index| chars[index]);
    let after = chars.get(index + 1).copied();
    match chars[index] {
        // Variation selector 16 selects the emoji style of the character before it. With a
        // digit it is seen only in a keycap.
        '\u{FE0F}' => !match before {
            Some(digit) if digit.is_ascii() => digit.is_emoji_char() && after == Some('\u{20E3}'),
            before => before.is_some_and(is_emoji),
        },
        // A zero-width joiner combines two emoji: both neighbours must be emoji.
        '\u{200D}' => {
            let joins = |side: Option<char>| side.is_some_and(|c| is_emoji(c) || c == '\u{FE0F}');
            !(joins(before) && joins(after) || of == NameOf::Room && may_be_joined(before, after))
        }
        '\u{200C}' => !(of == NameOf::Room && may_be_joined(before, after)),
        TAG_FIRST..=TAG_END => !(of == NameOf::Room && is_in_flag(chars, index)),
        c => is_invisible(c),
    }
}

/// Whether a character is an emoji by itself, which digits, `#` and `*` are not.
fn is_emoji(c: char) -> bool {
    !c.is_ascii() && c.is_emoji_char()
}

/// Whether a joiner, or a non-joiner, changes how its neighbours are written: between letters
/// of Arabic and Syriac, and behind a virama (a simplified form of RFC 5892, appendix A.1).
fn may_be_joined(before: Option<char>, after: Option<char>) -> bool {
    let is_cursive = |c: char| matches!(c, '\u{0620}'..='\u{077F}' | '\u{0870}'..='\u{08FF}');
    match (before, after) {
        (Some(before), Some(after)) => {
            is_cursive(before) && is_cursive(after)
                || canonical_combining_class(before) == VIRAMA && after.is_alphabetic()
        }
        _ => false,
    }
}

/// The combining class of a virama, which takes the vowel from a letter.
const VIRAMA: u8 = 9;

/// Whether a tag is part of the flag of a region (UTS #51, ED-14a): a black flag, tags, and the
/// tag that ends them.
fn is_in_flag(chars: &[char], index: usize) -> bool {
    let is_tag = |c: &char| matches!(*c, TAG_FIRST..TAG_END);
    let begins = chars[..index].iter().rev().find(|c| !is_tag(c)) == Some(&BLACK_FLAG);
    let ends = chars[index..].iter().find(|c| !is_tag(c)) == Some(&TAG_END);
    // The flag has at least one tag before the end.
    let has_region = chars[index] != TAG_END || chars[..index].last().is_some_and(is_tag);
    begins && ends && has_region
}

const BLACK_FLAG: char = '\u{1F3F4}';
const TAG_FIRST: char = '\u{E0020}';
const TAG_END: char = '\u{E007F}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joiners_and_selectors_are_shown_where_they_change_something() {
        for (text, hidden, hidden_in_rooms) in [
            ("👩\u{200D}💻", false, false),
            ("❤\u{FE0F}\u{200D}🔥", false, false),
            ("1\u{FE0F}\u{20E3}", false, false),
            ("می\u{200C}خواهم", true, false),
            ("क्\u{200D}ष", true, false),
            ("🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}", true, false),
            ("bob1\u{FE0F}", true, true),
            ("1\u{200D}2", true, true),
            ("a\u{FE0F}", true, true),
            ("\u{FE0F}", true, true),
            ("❤\u{FE0F}\u{FE0F}", true, true),
            ("a\u{200C}b", true, true),
            ("می\u{200C}", true, true),
            ("🏴\u{E0067}", true, true),
            ("🏴\u{E007F}", true, true),
            ("a\u{E0067}\u{E007F}", true, true),
            ("a\u{200B}b", true, true),
            ("a\u{202E}b", true, true),
            ("a\u{2066}b\u{2069}", true, true),
            ("a\u{61C}b", true, true),
            ("a\u{3164}", true, true),
            ("a\u{34F}b", true, true),
        ] {
            assert_eq!(has_hidden(text, NameOf::UserOrFile), hidden, "{text:?}");
            assert_eq!(has_hidden(text, NameOf::Room), hidden_in_rooms, "{text:?} of a room");
        }
        assert_eq!(visible("a\u{200D}b1\u{FE0F}👩\u{200D}💻", NameOf::UserOrFile), "ab1👩\u{200D}💻");
    }

    #[test]
    fn letters_have_at_most_four_marks() {
        for good in [
            "Nguyễn Thị Ánh",
            "Nguye\u{302}\u{303}n",
            "क्षत्रिय",
            "हिन्दी",
            "กำลังที่",
            "مُحَمَّدٌ",
            "שָׁלוֹם",
            "བསྒྲུབས",
            "မြို့တော်",
            "e\u{301}\u{301}\u{301}\u{301}x\u{301}",
            "❤\u{FE0F}",
        ] {
            assert!(!has_stacked_marks(good), "{good}");
        }
        for bad in [
            "Z\u{335}\u{321}\u{327}\u{322}\u{328}algo",
            "e\u{301}\u{301}\u{301}\u{301}\u{301}",
            "\u{301}a",
            "a \u{301}",
            "\u{20DD}",
        ] {
            assert!(has_stacked_marks(bad), "{bad:?}");
        }
    }
}
