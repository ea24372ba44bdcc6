//! All sentences of pages and commands: looked up by key, in `locales/`.

use std::borrow::Cow;
use std::collections::HashMap;

use fluent_templates::fluent_bundle::FluentValue;
use fluent_templates::{LanguageIdentifier, Loader, static_loader};

static_loader! {
    static LOCALES = {
        locales: "./locales",
        fallback_language: "en",
        // Names are free of characters that reorder text, so they need no isolating marks.
        customise: |bundle| {
            bundle.set_use_isolating(false);
            bundle.set_formatter(Some(grouped));
        },
    };
}

/// Whole numbers with their thousands apart: 1,204.
fn grouped<M>(value: &FluentValue<'_>, _: &M) -> Option<String> {
    let FluentValue::Number(number) = value else { return None };
    let digits = (number.value.abs() as u64).to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    Some(format!("{}{}", if number.value < 0.0 { "−" } else { "" }, groups.join(",")))
}

const ENGLISH: LanguageIdentifier = fluent_templates::langid!("en");

/// What may stand in a sentence.
pub trait Argument {
    fn argument(&self) -> FluentValue<'static>;
}

impl Argument for str {
    fn argument(&self) -> FluentValue<'static> {
        FluentValue::from(self.to_owned())
    }
}

impl Argument for String {
    fn argument(&self) -> FluentValue<'static> {
        self.as_str().argument()
    }
}

macro_rules! number {
    ($($type:ty)+) => {$(
        impl Argument for $type {
            fn argument(&self) -> FluentValue<'static> {
                FluentValue::from(*self)
            }
        }
    )+};
}

number!(i64 u64 usize);

impl<T: Argument + ?Sized> Argument for &T {
    fn argument(&self) -> FluentValue<'static> {
        (**self).argument()
    }
}

impl Argument for crate::model::client::AppName {
    fn argument(&self) -> FluentValue<'static> {
        self.as_str().argument()
    }
}

/// The sentence `key`.
pub fn t(key: &str) -> String {
    LOCALES.lookup(&ENGLISH, key)
}

/// The sentence `key` with `arguments` in it.
pub fn t_with(key: &str, arguments: &[(&'static str, &dyn Argument)]) -> String {
    let arguments: HashMap<Cow<'static, str>, FluentValue<'_>> =
        arguments.iter().map(|(name, value)| (Cow::Borrowed(*name), value.argument())).collect();
    LOCALES.lookup_with_args(&ENGLISH, key, &arguments)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn files(folder: &Path, out: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, out);
            } else {
                out.push(std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    /// Keys stand in quotes: `t("key")` in code and templates, and as plain constants in code.
    #[test]
    fn every_key_that_templates_use_has_a_sentence() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut texts = Vec::new();
        files(&root.join("templates"), &mut texts);
        files(&root.join("src/web"), &mut texts);
        files(&root.join("src/cli"), &mut texts);
        let mut sentences = Vec::new();
        files(&root.join("locales/en"), &mut sentences);
        let lines = sentences.iter().flat_map(|file| file.lines());
        let mut known: Vec<&str> = lines.filter_map(|line| Some(line.split_once(" =")?.0)).collect();
        known.sort_unstable();
        let twice = known.windows(2).find(|pair| pair[0] == pair[1]);
        assert_eq!(twice, None, "a key stands twice");
        let mut used = 0;
        for text in &texts {
            for call in [".t(\"", ".t1(\"", ".t2(\"", "{{ t(\"", " t(\"", " t_with(\""] {
                for rest in text.split(call).skip(1) {
                    let key = rest.split('"').next().unwrap();
                    assert!(known.contains(&key), "no sentence for {key}");
                    used += 1;
                }
            }
        }
        assert!(used > 50, "only {used} keys found");
    }

    #[test]
    fn numbers_choose_their_plural() {
        assert_eq!(t_with("devices", &[("count", &1_i64)]), "1 sign-in");
        assert_eq!(t_with("devices", &[("count", &1204_i64)]), "1,204 sign-ins");
    }
}
