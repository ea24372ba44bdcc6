//! What all settings have in common: where they come from, and how faults are reported.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// One environment variable: its name, its default and what it does.
pub struct Setting {
    pub name: &'static str,
    pub default: &'static str,
    pub meaning: &'static str,
}

macro_rules! settings {
    ($($ident:ident = $name:literal, $default:literal, $meaning:literal;)+) => {
        $(pub const $ident: Setting = Setting { name: $name, default: $default, meaning: $meaning };)+
        /// All of them, in the order of `docs/settings.md`.
        pub const SETTINGS: &[Setting] = &[$($ident),+];
    };
}
pub(super) use settings;

/// All faults of the settings, one on each line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Faults(String);

impl Faults {
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(super) struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    faults: String,
    /// The files that secrets were read from.
    pub secret_files: Vec<PathBuf>,
}

impl<'a> Reader<'a> {
    pub fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { get, faults: String::new(), secret_files: Vec::new() }
    }

    pub fn faults(&self) -> Faults {
        Faults(self.faults.trim_end().to_owned())
    }

    /// Notes a fault of a setting.
    pub fn fault(&mut self, name: &str, wrong: &str) {
        // Writing to a String can't fail.
        let _ = writeln!(self.faults, "{name} {wrong}");
    }

    pub fn read<T>(&mut self, setting: &Setting, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let value = (self.get)(setting.name).unwrap_or_else(|| setting.default.to_owned());
        match parse(&value) {
            Ok(parsed) => Some(parsed),
            Err(wrong) => {
                self.fault(setting.name, &format!("{wrong} (it is {value:?})"));
                None
            }
        }
    }

    /// Reads a setting that must be one of these words.
    pub fn choice<T: Copy, const N: usize>(
        &mut self,
        setting: &Setting,
        choices: [(&str, T); N],
    ) -> Option<T> {
        self.read(setting, |value| {
            let chosen = choices.iter().find(|(name, _)| *name == value);
            chosen.map(|(_, choice)| *choice).ok_or_else(|| {
                let words: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
                format!("has to be {}", words.join(" or "))
            })
        })
    }

    /// A secret, from the variable itself or from the file that `…_FILE` names. `Some(None)` if neither is set. No
    /// fault repeats the secret.
    pub fn secret<T>(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        let in_file = format!("{}_FILE", setting.name);
        let (name, value) = match ((self.get)(setting.name), (self.get)(&in_file)) {
            (Some(_), Some(_)) => (in_file, Err(format!("and {} are both set", setting.name))),
            (None, Some(path)) => {
                self.secret_files.push(PathBuf::from(&path));
                let text = std::fs::read_to_string(&path).map_err(|error| format!("names {path:?}: {error}"));
                (in_file, text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned()))
            }
            (None, None) => return Some(None),
            (Some(value), None) => (setting.name.to_owned(), Ok(value)),
        };
        match value.and_then(|text| parse(&text)) {
            Ok(parsed) => Some(Some(parsed)),
            Err(wrong) => {
                self.fault(&name, &wrong);
                None
            }
        }
    }

    pub fn seconds(&mut self, setting: &Setting, least: u64, most: u64) -> Option<Duration> {
        self.read(setting, |value| {
            value
                .parse()
                .ok()
                .filter(|seconds| (least..=most).contains(seconds))
                .map(Duration::from_secs)
                .ok_or_else(|| format!("has to be a number of seconds from {least} to {most}"))
        })
    }
}
