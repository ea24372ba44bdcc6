//! A second reader of the feed, written after `docs/feed.md`. It reads whole texts; the guard's reader takes pieces.

use super::json::{self, Json};
use super::oracle::Dead;
use super::{AUDIENCE, ISSUER};
use crate::wire::{Entry, Subject};

const MAX_EVENT: usize = 256 * 1024;

/// The state that a guard must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirror {
    /// Incarnation and sequence.
    pub position: Option<(u64, u64)>,
    pub keys_version: u64,
    pub dead: Dead,
    pub is_unreadable: bool,
    /// Seconds that have passed.
    pub now: u64,
    pub fresh_until: u64,
}

/// The documentation does not say what to do, because no server sends such things, for example duplicate members.
#[derive(Debug)]
pub struct Unsure;

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    All,
    Gap,
    Unreadable,
}

enum Event {
    Entry((u64, u64), u64, Entry),
    Keys(u64, bool),
}

impl Mirror {
    pub fn is_fresh(&self) -> bool {
        !self.is_unreadable && self.now < self.fresh_until
    }

    /// Whether the snapshot replaced everything.
    pub fn snapshot(&mut self, bytes: &[u8]) -> Result<bool, Unsure> {
        let said = match object(bytes)? {
            Some(said) => said,
            None => return Ok(self.distrusts()),
        };
        let whole = |name| said.integer(name, 1 << 64);
        let (Some(issuer), Some(audience)) = (said.text("issuer"), said.text("audience")) else {
            return Ok(self.distrusts());
        };
        let numbers =
            ["version", "incarnation", "through", "max_staleness", "server_generation", "keys_version"];
        let [Some(version), Some(incarnation), Some(through), Some(_), Some(generation), Some(keys_version)] =
            numbers.map(whole)
        else {
            return Ok(self.distrusts());
        };
        let (Some(has_twin_keys), Some(Json::List(entries))) = (keys(&said)?, said.get("entries")) else {
            return Ok(self.distrusts());
        };
        let mut dead = Dead::default();
        dead.add(&Subject::Server { generation });
        for said in entries {
            match entry(said)? {
                Some(entry) => dead.add(&entry.subject),
                None => return Ok(self.distrusts()),
            }
        }
        if version != 1 {
            return Ok(self.distrusts());
        }
        let is_older = self.position.is_some_and(|held| {
            (incarnation, through) < held || incarnation == held.0 && keys_version < self.keys_version
        });
        if issuer != ISSUER || audience != AUDIENCE || is_older || has_twin_keys {
            return Ok(false);
        }
        *self = Self {
            position: Some((incarnation, through)),
            keys_version,
            dead,
            is_unreadable: false,
            ..*self
        };
        Ok(true)
    }

    fn distrusts(&mut self) -> bool {
        self.is_unreadable = true;
        self.fresh_until = 0;
        false
    }

    /// Reads the bytes of one connection.
    pub fn stream(&mut self, bytes: &[u8]) -> Result<Heard, Unsure> {
        let (events, is_whole) = events(bytes);
        for (name, id, data) in events {
            let Some(event) = event(&name, id.as_deref(), &data)? else {
                self.distrusts();
                return Ok(Heard::Unreadable);
            };
            match event {
                Event::Entry(at, prev, entry) => {
                    let held = self.position.ok_or(Unsure)?;
                    if at.0 != held.0 || at.1 > held.1 && prev != held.1 {
                        return Ok(Heard::Gap);
                    }
                    if at.1 > held.1 {
                        self.position = Some(at);
                        self.dead.add(&entry.subject);
                    }
                }
                Event::Keys(version, _) if version < self.keys_version => {}
                Event::Keys(_, true) => {
                    self.distrusts();
                    return Ok(Heard::Unreadable);
                }
                Event::Keys(version, false) => self.keys_version = version,
            }
        }
        if !is_whole {
            self.distrusts();
            return Ok(Heard::Unreadable);
        }
        Ok(Heard::All)
    }

    /// Takes the answer to an acknowledgement that was sent at `sent`, when the state was `told`.
    pub fn confirm(&mut self, sent: u64, told: &Self, answer: &[u8]) -> Result<(), Unsure> {
        let said = match json::parse(answer) {
            Some(Json::List(_)) => return Err(Unsure),
            _ => object(answer)?,
        };
        let Some(said) = said else { return Ok(()) };
        let names = ["incarnation", "through", "keys_version", "max_staleness"];
        let [Some(incarnation), Some(through), Some(keys_version), Some(staleness)] =
            names.map(|name| said.integer(name, 1 << 64))
        else {
            return Ok(());
        };
        let (Some(told_at), Some(held)) = (told.position, self.position) else { return Ok(()) };
        let is_ours = incarnation == held.0 && incarnation == told_at.0;
        let is_nothing_undone = through >= told_at.1 && keys_version >= told.keys_version;
        let is_nothing_missing = through <= held.1 && keys_version <= self.keys_version;
        if is_ours && is_nothing_undone && is_nothing_missing && !self.is_unreadable {
            self.fresh_until = sent.saturating_add(staleness);
        }
        // A time so short that the duration of this test would matter.
        if (1..5).contains(&staleness) { Err(Unsure) } else { Ok(()) }
    }
}

/// A JSON object; `None` for anything else.
fn object(bytes: &[u8]) -> Result<Option<Json>, Unsure> {
    match json::parse(bytes) {
        Some(value) if value.has_twins() || value.is_extreme() => Err(Unsure),
        Some(value @ Json::Object(_)) => Ok(Some(value)),
        // The guard's reader does not decode what it skips, so it does not notice half of a character there.
        None if str::from_utf8(bytes).is_err() || has_surrogate(bytes) => Err(Unsure),
        _ => Ok(None),
    }
}

fn has_surrogate(bytes: &[u8]) -> bool {
    bytes.windows(3).any(|three| three.eq_ignore_ascii_case(br"\ud"))
}

fn events(bytes: &[u8]) -> (Vec<(String, Option<String>, String)>, bool) {
    let (mut lines, mut start) = (Vec::new(), 0);
    for (at, byte) in bytes.iter().enumerate().filter(|(_, byte)| matches!(byte, b'\n' | b'\r')) {
        if *byte == b'\r' || at == 0 || bytes[at - 1] != b'\r' {
            lines.push(&bytes[start..at]);
        }
        start = at + 1;
    }
    let unfinished = &bytes[start..];
    let mut events = Vec::new();
    let (mut name, mut id, mut data): (String, Option<String>, Option<String>) = Default::default();
    for (at, line) in lines.iter().enumerate() {
        let held = data.as_ref().map_or(0, String::len);
        let Ok(line) = str::from_utf8(line) else { return (events, false) };
        if !line.is_empty() && line.len() + held > MAX_EVENT {
            return (events, false);
        }
        let line = line.strip_prefix('\u{feff}').filter(|_| at == 0).unwrap_or(line);
        if line.is_empty() {
            let (name, id) = (std::mem::take(&mut name), id.take());
            if let Some(data) = data.take() {
                events.push((name, id, data));
            }
            continue;
        }
        let colon = line.find(':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = if let Some(b' ') = value.as_bytes().first() { &value[1..] } else { value };
        match &line[..colon] {
            "event" => name = value.to_owned(),
            "id" if !value.contains('\0') => id = Some(value.to_owned()),
            "data" => data = Some(data.map_or_else(|| value.to_owned(), |held| held + "\n" + value)),
            _ => {}
        }
    }
    let held = data.as_ref().map_or(0, String::len);
    (events, unfinished.is_empty() || unfinished.len() + held <= MAX_EVENT)
}

fn event(name: &str, id: Option<&str>, data: &str) -> Result<Option<Event>, Unsure> {
    if name != "entry" && name != "keys" {
        return Ok(None);
    }
    let at = id.and_then(position);
    if name == "entry" && at.is_none() {
        return Ok(None);
    }
    if name == "keys" && matches!(json::parse(data.as_bytes()), Some(Json::List(_))) {
        return Err(Unsure);
    }
    let Some(said) = object(data.as_bytes())? else { return Ok(None) };
    if name == "keys" {
        let version = said.integer("keys_version", 1 << 64);
        return Ok(version.zip(keys(&said)?).map(|(version, has_twins)| Event::Keys(version, has_twins)));
    }
    let is_time = match said.get("at") {
        Some(Json::Number(text)) if text == "-0" => return Err(Unsure),
        Some(Json::Number(text)) => text.parse::<i64>().is_ok(),
        _ => false,
    };
    let prev = said.integer("prev", 1 << 64).filter(|_| is_time);
    let entry = entry(&said)?;
    Ok(at.zip(prev).zip(entry).map(|((at, prev), entry)| Event::Entry(at, prev, entry)))
}

fn position(text: &str) -> Option<(u64, u64)> {
    let parts: Vec<&str> = text.split('.').collect();
    let [incarnation, sequence] = parts[..] else { return None };
    let number = |text: &str| {
        let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_digits.then(|| text.parse::<u64>().ok())?
    };
    Some((number(incarnation)?, number(sequence)?))
}

/// `None` if the keys can't be read; otherwise whether two have the same `kid`.
fn keys(said: &Json) -> Result<Option<bool>, Unsure> {
    let Some(Json::List(keys)) = said.get("keys") else { return Ok(None) };
    let mut kids = Vec::new();
    for key in keys {
        if matches!(key, Json::List(_)) {
            return Err(Unsure);
        }
        let has_all = ["kid", "kty", "crv", "x", "alg", "use"].iter().all(|name| key.text(name).is_some());
        let is_y_fine = matches!(key.get("y"), None | Some(Json::Null | Json::Text(_)));
        if !has_all || !is_y_fine {
            return Ok(None);
        }
        kids.extend(key.text("kid"));
    }
    Ok(Some((0..kids.len()).any(|at| kids[..at].contains(&kids[at]))))
}

fn entry(said: &Json) -> Result<Option<Entry>, Unsure> {
    let generation = || said.integer("generation", 1 << 64);
    let id = || said.text("id").map(str::to_owned);
    let named = |make: fn(String, u64) -> Subject| Some(make(id()?, generation()?));
    let subject = match said.text("kind") {
        Some("token") => id().map(|id| Subject::Token { id }),
        Some("family") => id().map(|id| Subject::Family { id }),
        Some("grant") => match said.get("generation") {
            None | Some(Json::Null) => id().map(|id| Subject::Grant { id, generation: None }),
            Some(_) => named(|id, generation| Subject::Grant { id, generation: Some(generation) }),
        },
        Some("client") => named(|id, generation| Subject::Client { id, generation }),
        Some("user") => named(|id, generation| Subject::User { id, generation }),
        Some("server") => generation().map(|generation| Subject::Server { generation }),
        _ => None,
    };
    // The documentation does not say what a `kind` of another type means.
    if matches!(said.get("kind"), Some(Json::Number(_) | Json::Object(_) | Json::List(_))) {
        return Err(Unsure);
    }
    Ok(subject.zip(said.integer("keep", 1 << 64)).map(|(subject, keep)| Entry { subject, keep }))
}
