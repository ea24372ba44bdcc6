//! Finds every SQL statement of the store by reading its sources, so that nobody has to keep a list.
//!
//! It understands what the sources use: string literals, `concat!`, and macros with one arm whose body is made of
//! these.

use std::collections::HashMap;
use std::path::Path;

/// A macro that makes SQL text.
struct Macro<'s> {
    parameters: Vec<&'s str>,
    body: &'s str,
}

struct File<'s> {
    macros: HashMap<&'s str, Macro<'s>>,
}

/// The text up to the parenthesis or brace that closes the one just opened, and what follows it.
fn inside(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut in_text, mut escaped) = (1, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            '(' | '{' if !in_text => depth += 1,
            ')' | '}' if !in_text => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[..at], &text[at + 1..]));
        }
    }
    None
}

/// A string literal's value, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                '\n' => while letters.next_if(|(_, letter)| letter.is_whitespace()).is_some() {},
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// Arguments, split at the commas between them.
fn arguments(text: &str) -> Vec<&str> {
    let (mut found, mut from, mut depth, mut in_text, mut escaped) = (Vec::new(), 0, 0, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            '(' if !in_text => depth += 1,
            ')' if !in_text => depth -= 1,
            ',' if !in_text && depth == 0 => {
                found.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(text[from..].trim());
    found.retain(|argument| !argument.is_empty());
    found
}

impl<'s> File<'s> {
    fn read(text: &'s str) -> Self {
        let definition = |text: &'s str| -> Option<(&'s str, Macro<'s>)> {
            let (name, rest) = text.split_once(" {")?;
            let (_, rest) = rest.split_once('(')?;
            let (parameters, rest) = inside(rest)?;
            let (_, body) = rest.split_once("=> {")?;
            let parameters = arguments(parameters);
            let names = parameters.iter().map(|one| one.split(':').next().unwrap_or_default()).collect();
            Some((name.trim(), Macro { parameters: names, body: inside(body)?.0.trim() }))
        };
        Self { macros: text.split("macro_rules! ").skip(1).filter_map(definition).collect() }
    }

    /// The text that an expression stands for. `None` if it is not understood.
    fn value(&self, expression: &str, given: &HashMap<&str, String>) -> Option<String> {
        let expression = expression.trim();
        if let Some((value, rest)) = literal(expression) {
            return rest.trim().is_empty().then_some(value);
        }
        if let Some(value) = given.get(expression) {
            return Some(value.clone());
        }
        let (name, rest) = expression.split_once("!(")?;
        let values = |text| arguments(text).into_iter().map(|one| self.value(one, given)).collect();
        let values: Vec<String> = Option::from_iter::<Vec<Option<String>>>(values(inside(rest)?.0))?;
        if name == "concat" {
            return Some(values.concat());
        }
        let made = self.macros.get(name)?;
        self.value(made.body, &made.parameters.iter().copied().zip(values).collect())
    }

    /// The value of the expression at the beginning of `text`, if it is understood, and what follows it.
    fn next<'t>(&self, text: &'t str) -> Option<(Option<String>, &'t str)> {
        if text.starts_with('"') {
            return literal(text).map(|(value, rest)| (Some(value), rest));
        }
        let name = text.split_once('!').map(|(name, _)| name).filter(|name| name.len() < 40)?;
        if name == "macro_rules" {
            return Some((None, inside(text.split_once('{')?.1)?.1));
        }
        let (_, after) = text[name.len()..].split_once("!(").filter(|(before, _)| before.is_empty())?;
        if name != "concat" && !self.macros.contains_key(name) {
            return None;
        }
        let (_, rest) = inside(after)?;
        Some((self.value(&text[..text.len() - rest.len()], &HashMap::new()), rest))
    }

    /// Every text in a file.
    fn texts(&self, mut text: &str) -> Vec<String> {
        let mut found = Vec::new();
        while !text.is_empty() {
            if text.starts_with("//") {
                text = text.split_once('\n').map_or("", |(_, rest)| rest);
            } else if let Some((value, rest)) = self.next(text) {
                found.extend(value);
                text = rest;
            } else {
                let word = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
                let step = word
                    .filter(|word| *word > 0)
                    .unwrap_or_else(|| text.chars().next().map_or(1, char::len_utf8));
                text = &text[step..];
            }
        }
        found
    }
}

/// All statements of the store's files, each with its file.
pub(super) fn all() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut found = Vec::new();
    for folder in [folder.clone(), folder.join("memory"), folder.join("sqlite")] {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.ends_with(".rs") || ["plans.rs", "statements.rs"].contains(&&*name) {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let is_statement = |text: &String| {
                let text = text.trim_start();
                ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "]
                    .iter()
                    .any(|verb| text.starts_with(verb))
            };
            let texts = File::read(code).texts(code);
            found.extend(texts.into_iter().filter(is_statement).map(|text| (name.clone(), text)));
        }
    }
    found
}

#[test]
fn statements_are_read_from_constants_macros_and_concat() {
    let source = r#"
        // "SELECT comment"
        macro_rules! list { ($where:literal, $rest:expr) => { concat!("SELECT (1) FROM t WHERE ", $where, $rest) }; }
        const A: &str = "SELECT \"grant\" \
            FROM u";
        const B: &str = list!("x = ')'", concat!(" LIMIT ", "1"));
    "#;
    let texts = File::read(source).texts(source);
    assert_eq!(texts, ["SELECT \"grant\" FROM u", "SELECT (1) FROM t WHERE x = ')' LIMIT 1"]);
}
