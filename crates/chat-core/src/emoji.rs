//! Emoji: which texts are exactly one, and how it is written.

use std::fmt;
use std::sync::Arc;

use unicode_properties::{EmojiStatus, UnicodeEmoji as _};

/// One emoji, fully qualified: so that an emoji is the same text, whoever wrote it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Emoji(Arc<str>);

/// A text that is not exactly one emoji.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not exactly one emoji")]
pub struct EmojiError;

/// The number of code points in the longest emoji.
pub const EMOJI_MAX_CHARS: usize = 10;

impl Emoji {
    /// The emoji in a text: any well-formed sequence of UTS #51 of at most
    /// [`EMOJI_MAX_CHARS`] code points, also one for which no font has a picture. Selectors
    /// of the emoji style (U+FE0F) are added where they are missing, and removed where they
    /// change nothing.
    ///
    /// # Errors
    ///
    /// The text is not exactly one emoji. It is none, either, if it asks for the text style
    /// (U+FE0E), is a flag of no region, or consists of a part alone: a skin tone, hair, a
    /// digit, half a flag.
    pub fn parse(text: &str) -> Result<Self, EmojiError> {
        let chars: Vec<char> = text.chars().take(EMOJI_MAX_CHARS + 1).collect();
        if chars.len() > EMOJI_MAX_CHARS {
            return Err(EmojiError);
        }
        match qualified(&chars) {
            Some(emoji) if emoji.chars().count() <= EMOJI_MAX_CHARS => Ok(Self(emoji.into())),
            _ => Err(EmojiError),
        }
    }

    /// The emoji that a log has stored.
    pub fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The emoji as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Emoji {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// The emoji in a text, fully qualified (UTS #51, ED-18a).
fn qualified(chars: &[char]) -> Option<String> {
    match *chars {
        [first, second] if region_letter(first).is_some() => {
            let is_flag = is_region(region_letter(first)?, region_letter(second)?);
            is_flag.then(|| String::from_iter([first, second]))
        }
        [key @ ('0'..='9' | '#' | '*'), KEYCAP] | [key @ ('0'..='9' | '#' | '*'), EMOJI_STYLE, KEYCAP] => {
            Some(String::from_iter([key, EMOJI_STYLE, KEYCAP]))
        }
        [BLACK_FLAG, ref tags @ .., CANCEL_TAG] => is_subdivision(tags).then(|| String::from_iter(chars)),
        _ => joined(chars),
    }
}

/// Emoji that are joined to one (UTS #51, ED-16), or a single one.
fn joined(chars: &[char]) -> Option<String> {
    let mut written = String::new();
    for (index, element) in chars.split(|&c| c == JOINER).enumerate() {
        if index > 0 {
            written.push(JOINER);
        }
        match *element {
            // Older systems put the selector before the skin tone (UTS #51, ED-13).
            [base, tone] | [base, EMOJI_STYLE, tone] if has_skin_tones(base) && is_skin_tone(tone) => {
                written.extend([base, tone]);
            }
            [emoji] | [emoji, EMOJI_STYLE] if is_emoji(emoji) || (index > 0 && is_hair(emoji)) => {
                written.push(emoji);
                if !is_shown_as_emoji(emoji) {
                    written.push(EMOJI_STYLE);
                }
            }
            _ => return None,
        }
    }
    Some(written)
}

/// Whether a character is an emoji by itself.
fn is_emoji(c: char) -> bool {
    matches!(
        c.emoji_status(),
        EmojiStatus::EmojiPresentation
            | EmojiStatus::EmojiModifierBase
            | EmojiStatus::EmojiPresentationAndModifierBase
            | EmojiStatus::EmojiOther
    )
}

/// Whether a character is an emoji without a selector.
fn is_shown_as_emoji(c: char) -> bool {
    !matches!(c.emoji_status(), EmojiStatus::EmojiModifierBase | EmojiStatus::EmojiOther)
}

fn has_skin_tones(c: char) -> bool {
    use EmojiStatus::{EmojiModifierBase, EmojiPresentationAndModifierBase};
    matches!(c.emoji_status(), EmojiModifierBase | EmojiPresentationAndModifierBase)
}

fn is_skin_tone(c: char) -> bool {
    c.emoji_status() == EmojiStatus::EmojiPresentationAndModifierAndEmojiComponent
}

/// Whether a character is hair, which joins with a person.
fn is_hair(c: char) -> bool {
    c.emoji_status() == EmojiStatus::EmojiPresentationAndEmojiComponent && region_letter(c).is_none()
}

/// The letter of a regional indicator: half a flag.
fn region_letter(c: char) -> Option<u8> {
    let index = u32::from(c).checked_sub(u32::from(REGIONAL_A))?;
    u8::try_from(index).ok().filter(|index| *index < 26).map(|index| b'A' + index)
}

/// Whether two capital letters are a region that has a flag.
fn is_region(first: u8, second: u8) -> bool {
    let row = first.checked_sub(b'A').and_then(|row| REGIONS.get(usize::from(row)));
    row.is_some_and(|row| row.as_bytes().contains(&second))
}

/// Whether tags name a part of a region that has a flag, as `gbeng` does.
fn is_subdivision(tags: &[char]) -> bool {
    let mut name = [0; 5];
    if !(3..=name.len()).contains(&tags.len()) {
        return false;
    }
    for (letter, &tag) in name.iter_mut().zip(tags) {
        let ascii = u32::from(tag).checked_sub(TAGS).and_then(|ascii| u8::try_from(ascii).ok());
        match ascii {
            Some(ascii @ (b'a'..=b'z' | b'0'..=b'9')) => *letter = ascii.to_ascii_uppercase(),
            _ => return false,
        }
    }
    is_region(name[0], name[1])
}

const JOINER: char = '\u{200D}';
const EMOJI_STYLE: char = '\u{FE0F}';
const KEYCAP: char = '\u{20E3}';
const REGIONAL_A: char = '\u{1F1E6}';
const BLACK_FLAG: char = '\u{1F3F4}';
const CANCEL_TAG: char = '\u{E007F}';
/// Where the characters begin that stand for ASCII in a flag's name.
const TAGS: u32 = 0xE0000;
/// The regions that have a flag: for each first letter from A to Z, the second letters.
/// From the Unicode data, version 18; a test compares them.
const REGIONS: [&str; 26] = [
    "CDEFGILMOQRSTUWXZ",
    "ABDEFGHIJLMNOQRSTVWYZ",
    "ACDFGHIKLMNOPQRUVWXYZ",
    "EGJKMOZ",
    "ACEGHRSTU",
    "IJKMOR",
    "ABDEFGHILMNPQRSTUWY",
    "KMNRTU",
    "CDELMNOQRST",
    "EMOP",
    "EGHIMNPRWYZ",
    "ABCIKRSTUVY",
    "ACDEFGHKLMNOPQRSTUVWXYZ",
    "ACEFGILOPRUZ",
    "M",
    "AEFGHKLMNRSTWY",
    "A",
    "EOSUW",
    "ABCDEGHIJKLMNORSTVXYZ",
    "ACDFGHJKLMNORTVWZ",
    "AGMNSYZ",
    "ACEGINU",
    "FS",
    "K",
    "ET",
    "AMW",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Option<String> {
        Emoji::parse(text).ok().map(|emoji| emoji.as_str().to_owned())
    }

    /// All emoji that Unicode recommends, fully qualified.
    fn recommended() -> impl Iterator<Item = &'static str> {
        let with_tones = |emoji: &'static emojis::Emoji| match emoji.skin_tones() {
            Some(tones) => tones.collect(),
            None => vec![emoji],
        };
        emojis::iter().flat_map(with_tones).map(emojis::Emoji::as_str)
    }

    #[test]
    fn every_recommended_emoji_is_one_and_stays_as_it_is() {
        let mut count = 0;
        for emoji in recommended() {
            assert_eq!(parsed(emoji).as_deref(), Some(emoji), "{}", emoji.escape_unicode());
            let unqualified = emoji.replace(EMOJI_STYLE, "");
            assert_eq!(parsed(&unqualified).as_deref(), Some(emoji), "{}", unqualified.escape_unicode());
            count += 1;
        }
        assert!(count > 3_900, "{count}");
    }

    #[test]
    fn flags_are_those_of_regions() {
        let letters = || (0..26).filter_map(|index| char::from_u32(u32::from(REGIONAL_A) + index));
        let mut count = 0;
        for flag in
            letters().flat_map(|first| letters().map(move |second| String::from_iter([first, second])))
        {
            assert_eq!(parsed(&flag).is_some(), emojis::get(&flag).is_some(), "{flag}");
            count += usize::from(parsed(&flag).is_some());
        }
        assert_eq!(count, 259);
    }

    #[test]
    fn an_emoji_is_written_in_one_way() {
        for (text, expected) in [
            ("❤", "❤\u{FE0F}"),
            ("❤\u{FE0F}", "❤\u{FE0F}"),
            ("😀", "😀"),
            ("😀\u{FE0F}", "😀"),
            ("⌚\u{FE0F}", "⌚"),
            ("©", "©\u{FE0F}"),
            ("1\u{20E3}", "1\u{FE0F}\u{20E3}"),
            ("*\u{FE0F}\u{20E3}", "*\u{FE0F}\u{20E3}"),
            ("☝🏽", "☝🏽"),
            ("☝\u{FE0F}🏽", "☝🏽"),
            ("👩\u{200D}❤\u{200D}👨", "👩\u{200D}❤\u{FE0F}\u{200D}👨"),
            ("👩\u{FE0F}\u{200D}🚀\u{FE0F}", "👩\u{200D}🚀"),
            ("👨🏿\u{200D}🦰", "👨🏿\u{200D}🦰"),
            // Well-formed, although no font has a picture of it.
            ("🐈\u{200D}🚀", "🐈\u{200D}🚀"),
            ("🇷🇺", "🇷🇺"),
            (
                "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
                "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
            ),
            (
                "🏴\u{E0075}\u{E0073}\u{E0074}\u{E0078}\u{E007F}",
                "🏴\u{E0075}\u{E0073}\u{E0074}\u{E0078}\u{E007F}",
            ),
            ("👩🏻\u{200D}❤\u{200D}💋\u{200D}👨🏼", "👩🏻\u{200D}❤\u{FE0F}\u{200D}💋\u{200D}👨🏼"),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(expected), "{}", text.escape_unicode());
        }
    }

    #[test]
    fn what_is_not_exactly_one_emoji_is_refused() {
        for text in [
            "",
            " ",
            "a",
            "hi",
            ":heart:",
            "7",
            "7\u{FE0F}",
            "#",
            "\u{FE0F}",
            "\u{20E3}",
            "\u{200D}",
            "a\u{FE0F}\u{20E3}",
            "77\u{20E3}",
            "😀😀",
            "😀 ",
            " 😀",
            "😀a",
            "😀\u{FE0F}\u{FE0F}",
            // In the style of text.
            "❤\u{FE0E}",
            "👩\u{200D}❤\u{FE0E}\u{200D}👨",
            // Skin tones and hair alone, on something without skin, or twice.
            "🏽",
            "🏽\u{FE0F}",
            "🦰",
            "❤🏽",
            "🚀🏽",
            "👍🏽🏽",
            "👍🏽\u{FE0F}",
            "👩\u{200D}🏽",
            "🦰\u{200D}👩",
            // Half a flag, one and a half, two, and those of no region.
            "🇷",
            "🇷🇺🇷",
            "🇷🇺🇷🇺",
            "🇷😀",
            "🇽🇽",
            "🇦🇦",
            "🇷🇺\u{FE0F}",
            "🇷🇺\u{200D}😀",
            // Joiners at the ends, or two.
            "\u{200D}😀",
            "😀\u{200D}",
            "😀\u{200D}\u{200D}😀",
            "👩\u{200D}a",
            // Tags of no region, without an end, on something else, or too many.
            "🏴\u{E007F}",
            "🏴\u{E0067}\u{E0062}\u{E007F}",
            "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}",
            "🏴\u{E0061}\u{E0061}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
            "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E0067}\u{E007F}",
            "🏴\u{E0047}\u{E0042}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
            "😀\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
            // 11 code points, and 10 that are 11 when they are qualified.
            "😀\u{200D}😀\u{200D}😀\u{200D}😀\u{200D}😀\u{200D}😀",
            "👩🏻\u{200D}👩🏻\u{200D}👩🏻\u{200D}❤\u{200D}❤",
        ] {
            assert_eq!(parsed(text), None, "{}", text.escape_unicode());
        }
        let long = "😀".repeat(1_000_000);
        assert_eq!(parsed(&long), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read_as_the_same(
            text in "[❤😀👩🚀🏽🦰🇷🇺🏴1#a\u{FE0F}\u{FE0E}\u{20E3}\u{200D}\u{E0067}\u{E0062}\u{E007F}]{1,11}",
        ) {
            if let Some(emoji) = parsed(&text) {
                prop_assert_eq!(parsed(&emoji), Some(emoji.clone()));
                prop_assert!(emoji.chars().count() <= EMOJI_MAX_CHARS);
            }
        }
    }
}
