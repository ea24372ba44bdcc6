//! Text that people read and type: what is refused in it, and the forms in which it is compared.
//!
//! All tables are the Unicode ones of ICU4X and of UTS #39. The classes follow PRECIS (RFC 8264 §4.3), whose own
//! tables stop at Unicode 6.3 and lack most emoji.

use std::borrow::Cow;

use icu_casemap::CaseMapperBorrowed;
use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{
    CanonicalCombiningClass, DefaultIgnorableCodePoint, ExtendedPictographic, GeneralCategory, JoiningType,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_security::skeleton;

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';
/// After an emoji: show it in colour.
const EMOJI_STYLE: char = '\u{fe0f}';
/// Symbols whose glyph is empty. No Unicode property tells them from others.
const BLANK_SYMBOLS: [char; 4] = ['\u{2800}', '\u{fffc}', '\u{fffd}', '\u{1d159}'];
/// More nonspacing marks than this in a row belong to no writing system (UTS #39 §5.4).
const MOST_MARKS: usize = 4;

fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

fn is_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

fn is_emoji(c: char) -> bool {
    // Skin tones follow an emoji and may stand before a joiner too.
    CodePointSetData::new::<ExtendedPictographic>().contains(c) || matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

fn is_mark(c: char) -> bool {
    matches!(
        category(c),
        GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark | GeneralCategory::SpacingMark
    )
}

fn is_nonspacing_mark(c: char) -> bool {
    matches!(category(c), GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark)
}

/// Whether a character may stand anywhere: it shows something, and does not change the order of others.
fn is_visible(c: char) -> bool {
    let is_hidden = matches!(
        category(c),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::Surrogate
            | GeneralCategory::PrivateUse
            | GeneralCategory::Unassigned
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    );
    !is_hidden && !is_ignorable(c) && !BLANK_SYMBOLS.contains(&c)
}

/// Whether a joiner between these characters changes how they are written (RFC 5892, appendices A.1 and A.2).
fn joins(joiner: char, before: &[char], after: &[char]) -> bool {
    let Some(&previous) = before.last() else { return false };
    if CodePointMapData::<CanonicalCombiningClass>::new().get(previous) == CanonicalCombiningClass::Virama {
        return true;
    }
    let joining = |c: &char| CodePointMapData::<JoiningType>::new().get(*c);
    let is_letter = |c: &&char| joining(c) != JoiningType::Transparent;
    let left = before.iter().rev().find(is_letter).map(joining);
    let right = after.iter().find(is_letter).map(joining);
    joiner == ZERO_WIDTH_NON_JOINER
        && matches!(left, Some(JoiningType::LeftJoining | JoiningType::DualJoining))
        && matches!(right, Some(JoiningType::RightJoining | JoiningType::DualJoining))
}

/// Whether the invisible character at `place` has work to do there: in an emoji, or between joined letters.
fn is_needed(text: &[char], place: usize) -> bool {
    let (before, after) = (&text[..place], &text[place + 1..]);
    let follows_emoji = || match before {
        [.., emoji, EMOJI_STYLE] => is_emoji(*emoji),
        [.., emoji] => is_emoji(*emoji),
        [] => false,
    };
    match text[place] {
        EMOJI_STYLE => before.last().is_some_and(|&c| is_emoji(c)),
        ZERO_WIDTH_JOINER if follows_emoji() => {
            after.first().is_some_and(|&c| is_emoji(c) || c == '♀' || c == '♂')
        }
        joiner @ (ZERO_WIDTH_JOINER | ZERO_WIDTH_NON_JOINER) => joins(joiner, before, after),
        _ => false,
    }
}

/// Whether all characters show something, and none changes the order of others.
fn is_legible(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    chars.iter().enumerate().all(|(place, &c)| is_visible(c) || is_needed(&chars, place))
}

/// Whether each combining mark has a character to stand on, and none carries a tower of them (UTS #39 §5.4).
fn has_ordinary_marks(text: &str) -> bool {
    let mut marks = 0;
    let mut previous = ' ';
    text.chars().all(|c| {
        marks = if is_nonspacing_mark(c) { marks + 1 } else { 0 };
        let is_bound = !is_mark(c) || previous != ' ';
        let is_repeated = is_nonspacing_mark(c) && c == previous;
        previous = c;
        is_bound && !is_repeated && marks <= MOST_MARKS
    })
}

/// Every space of any width as the one of ASCII.
fn plain_spaces(text: &str) -> Cow<'_, str> {
    let is_wide = |c| c != ' ' && category(c) == GeneralCategory::SpaceSeparator;
    if text.contains(is_wide) { text.replace(is_wide, " ").into() } else { text.into() }
}

fn nfc(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

fn nfkc(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfkc().normalize(text)
}

fn single_spaces(text: &str) -> String {
    text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    Empty,
    Long,
    /// Invisible characters, such as change the order of others, or marks that no letter carries.
    Characters,
}

/// A line that others read, in NFC and with single spaces.
///
/// # Errors
/// See [`LineFault`]; `longest` counts characters.
pub fn line(text: &str, longest: usize) -> Result<String, LineFault> {
    let text = text.trim();
    // A character of NFC is made of a few at most: what is longer still need not be looked at.
    if text.len() > longest * 16 {
        return Err(LineFault::Long);
    }
    let text = single_spaces(&nfc(&plain_spaces(text)));
    if text.is_empty() {
        Err(LineFault::Empty)
    } else if text.chars().count() > longest {
        Err(LineFault::Long)
    } else if !is_legible(&text) || !has_ordinary_marks(&text) {
        Err(LineFault::Characters)
    } else {
        Ok(text)
    }
}

/// A password in the form that is hashed: OpaqueString (RFC 8265 §4.2). `None` if a character may not stand in it.
pub fn opaque(text: &str) -> Option<String> {
    let text = nfc(&plain_spaces(text)).into_owned();
    (!text.is_empty() && is_legible(&text)).then_some(text)
}

fn without_ignorable(text: &str) -> String {
    text.chars().filter(|&c| !is_ignorable(c)).collect()
}

/// However it was typed: NFKC and single spaces. Case counts.
pub fn normal(text: &str) -> String {
    single_spaces(&plain_spaces(&nfkc(text)))
}

/// Equal for texts that a person reads as the same: the normal form, and nothing invisible.
pub fn comparable(text: &str) -> String {
    normal(&without_ignorable(text))
}

/// For searches: as [`comparable`], and without case in any script.
pub fn folded(text: &str) -> String {
    let folded = CaseMapperBorrowed::new().fold_string(&comparable(text)).into_owned();
    // Folding can leave text that is not normalized (Unicode §3.13, toNFKC_Casefold).
    nfkc(&folded).into_owned()
}

/// Equal for texts that look alike, whatever script they are written in (UTS #39 §4).
///
/// Twice, as written and in lower case: some letters are alike only in one of them.
pub fn skeletons(text: &str) -> [String; 2] {
    let fold = |text: &str| folded(&skeleton(text).collect::<String>());
    let text = comparable(text);
    [fold(&text), fold(&folded(&text))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_of_every_script_are_kept() {
        for name in [
            "Fotowerk Größe",
            "写真",
            "Фото",
            "עברית",
            "שָׁלוֹם",
            "ภาพถ่ายที่นี่",
            "हिन्दी",
            "தமிழ்",
            "한국어",
            "Việt Nam",
            "❤️ Photos",
            "👩‍👩‍👧 Family",
            "🏳️‍🌈",
            "👍🏽",
            "🦊",
            "می‌خواهم",
            "ශ්‍රී ලංකා",
            "O’Neill & Sons (UK)",
            "C++",
            "Foto™",
        ] {
            assert_eq!(line(name, 80).as_deref(), Ok(name));
        }
    }

    #[test]
    fn invisible_and_reordering_characters_are_refused() {
        for c in [
            '\u{0}',
            '\n',
            '\t',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{600}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180e}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{2028}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{206a}',
            '\u{2800}',
            '\u{3164}',
            '\u{e000}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{fffc}',
            '\u{fffd}',
            '\u{ffff}',
            '\u{1bca0}',
            '\u{1d159}',
            '\u{1d173}',
            '\u{1d17a}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e0100}',
            '\u{f0000}',
            '\u{10ffff}',
        ] {
            for text in [format!("Foto{c}werk"), format!("x{c}"), format!("{c}x")] {
                // At the ends, white space is what people leave behind.
                if text.trim() == text {
                    assert_eq!(line(&text, 80), Err(LineFault::Characters), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn marks_have_a_letter_to_stand_on_and_no_tower() {
        for text in
            ["\u{301}", "\u{301}a", "a \u{301}", "x\u{301}\u{302}\u{303}\u{304}\u{306}", "z\u{335}\u{335}"]
        {
            assert_eq!(line(text, 80), Err(LineFault::Characters), "{text:?}");
        }
        assert_eq!(line(&"\u{301}".repeat(70), 80), Err(LineFault::Characters));
        assert_eq!(line("x\u{301}\u{302}\u{303}", 80).as_deref(), Ok("x\u{301}\u{302}\u{303}"));
    }

    #[test]
    fn lines_are_composed_and_have_single_spaces() {
        assert_eq!(line("  Gro\u{308}\u{df}e \u{3000} \u{a0}Foto ", 80).as_deref(), Ok("Größe Foto"));
        assert_eq!(comparable("Ｆｏｔｏ  werk"), "Foto werk");
        assert_eq!(comparable("\u{1d173}Foto\u{200b}"), "Foto");
    }

    #[test]
    fn searches_ignore_case_in_every_script() {
        for (one, other) in
            [("ФОТО", "фото"), ("GRÖSSE", "größe"), ("ΟΔΟΣ", "οδος"), ("ＡＢ", "ab"), ("Éa", "e\u{301}A")]
        {
            assert_eq!(folded(one), folded(other));
        }
    }

    #[test]
    fn look_alikes_have_a_skeleton_in_common() {
        let are_alike = |one: &str, other: &str| {
            let (one, other) = (skeletons(one), skeletons(other));
            one[0] == other[0] || one[1] == other[1]
        };
        for (one, other) in [
            ("Paypal", "Раураl"),
            ("Paypal", "PaypaI"),
            ("Paypal", "Paypa1"),
            ("PAYPAL", "РАУРАL"),
            ("scope", "ѕсоре"),
            ("Bank", "Вank"),
            ("❤ Foto", "❤\u{fe0f} Foto"),
            ("Ａpp", "App"),
        ] {
            assert!(are_alike(one, other), "{one} {other}");
        }
        for (one, other) in
            [("Mail", "Mall"), ("Foto", "Photo"), ("Фото", "Foto"), ("Größe", "Grosse"), ("写真", "写直")]
        {
            assert!(!are_alike(one, other), "{one} {other}");
        }
    }

    #[test]
    fn passwords_are_composed_and_have_plain_spaces() {
        assert_eq!(opaque("a\u{308}\u{a0} b").as_deref(), Some("ä  b"));
        assert_eq!(opaque(" a ").as_deref(), Some(" a "));
        for text in ["", "a\0", "a\tb", "a\u{200b}b", "a\u{202e}b"] {
            assert_eq!(opaque(text), None, "{text:?}");
        }
    }
}
