//! A server, a guard and what can happen between them: snapshots, streams and acknowledgements are lost, cut, repeated,
//! reordered, held back or garbled.

use super::chance::Chance;
use super::json::{self, Json, number, object, text};
use super::mint::Mint;
use super::mirror::{Heard, Mirror, Unsure};
use super::oracle::Dead;
use super::server::{Line, STALENESS, Server};
use super::{AUDIENCE, ISSUER, Tally};
use crate::claims::{Claims, Stamp, UserStamp};
use crate::clock::Clock;
use crate::dead::HashedTokenIds;
use crate::feed::{self, Backoff, StreamEnd};
use crate::http_client::parse;
use crate::settings::{Settings, Timing};
use crate::shared::Shared;
use crate::sse::{Decoder, Item};
use crate::wire::{self, Subject};

/// Four lines of the greatest length, in buffers that grow by doubling.
const MOST_HELD: usize = 2 * 1024 * 1024;

/// A guard, its mirror, and tokens of all sorts.
pub struct Streams<'a> {
    mint: &'a Mint,
    /// Lists of one key and of two.
    keys: [Json; 2],
    shared: Shared,
    tokens: Vec<(Claims, HashedTokenIds)>,
}

/// The state of an input while it runs.
struct Play {
    server: Server,
    mirror: Mirror,
    /// What was dead when the server answered the acknowledgement that last made the guard fresh, and its generation.
    known: (Dead, u64),
    /// Bytes were changed on the way, so the guard may know something untrue. Only the mirror can tell.
    is_lied_to: bool,
    /// Earlier snapshots and streams, as a proxy may have kept them.
    kept: Vec<Vec<u8>>,
}

impl<'a> Streams<'a> {
    pub fn new(mint: &'a Mint) -> Self {
        let settings = Settings::new(ISSUER, "rse_1", "secret", AUDIENCE)
            .server("http://127.0.0.1:1")
            .clock(Clock::movable());
        let list = |many| json::parse(&serde_json::to_vec(&mint.keys()[..many]).unwrap()).unwrap();
        let keys = [list(1), list(2)];
        let shared = Shared::new(settings).unwrap();
        let marked = |claims: Claims| {
            let ids = shared.state.id_hasher().hash_ids_of(&claims);
            (claims, ids)
        };
        let tokens = tokens().into_iter().map(marked).collect();
        Self { mint, keys, shared, tokens }
    }

    /// One input: some minutes in the life of a guard, in its own incarnation.
    pub fn try_one(&mut self, input: u64, chance: &mut Chance, tally: &mut Tally) {
        let held = self.shared.state.progress().position;
        if held.is_some_and(|held| held.incarnation >= (input + 1) * 100) {
            // A garbled number moved it far ahead, so it would refuse this input as older.
            *self = Self::new(self.mint);
        }
        let mut play = Play {
            server: Server::new((input + 1) * 100),
            mirror: Mirror::default(),
            known: (Dead::default(), 0),
            is_lied_to: false,
            kept: Vec::new(),
        };
        (0..chance.below(6)).for_each(|_| play.server.acts(chance));
        // The guard must not be fresh from the last input.
        self.shared.state.distrust();
        let first = play.server.snapshot(self.mint);
        assert_eq!(play.mirror.snapshot(&serde_json::to_vec(&first).unwrap()).ok(), Some(true));
        feed::accept_snapshot(&self.shared, Ok(first)).unwrap();
        for _ in 0..2 + chance.below(6) {
            (0..chance.below(3)).for_each(|_| play.server.acts(chance));
            let done = match chance.below(12) {
                0 | 1 => self.snapshot(&mut play, chance, tally),
                2..6 => self.stream(&mut play, chance, tally),
                6..11 => self.acknowledge(&mut play, chance, tally),
                _ => {
                    self.shared.state.clock().sleep(std::time::Duration::from_secs(STALENESS + 1));
                    play.mirror.now += STALENESS + 1;
                    Ok(())
                }
            };
            if let Err(Unsure) = done {
                tally.count("unsure");
                // The input ends here, with any result.
                self.shared.state.distrust();
                return;
            }
            self.compare(&play, tally);
        }
    }

    fn compare(&self, play: &Play, tally: &mut Tally) {
        let (state, mirror) = (&self.shared.state, &play.mirror);
        let progress = state.progress();
        let position = progress.position.map(|position| (position.incarnation, position.sequence));
        assert_eq!((position, progress.keys_version), (mirror.position, mirror.keys_version));
        assert_eq!(state.is_fresh(), mirror.is_fresh());
        for (claims, ids) in &self.tokens {
            let is_refused = state.covering(ids).is_some();
            assert_eq!(is_refused, mirror.dead.covers(claims), "{claims:?}");
            let (known_dead, generation) = &play.known;
            let can_exist = claims.stamp.server_generation <= *generation;
            if state.is_fresh() && !play.is_lied_to && can_exist && known_dead.covers(claims) {
                assert!(is_refused, "revoked, and the guard is fresh: {claims:?}");
                tally.count("revoked and refused");
            }
        }
        tally.count(if state.is_fresh() { "fresh" } else { "not fresh" });
    }

    fn snapshot(&self, play: &mut Play, chance: &mut Chance, tally: &mut Tally) -> Result<(), Unsure> {
        let mut snapshot = play.server.snapshot(self.mint);
        match chance.below(20) {
            0 => snapshot.version = 2,
            1 => snapshot.issuer.push('/'),
            2 => snapshot.audience = "https://mail.example".to_owned(),
            3 => snapshot.keys.keys.extend(self.mint.keys()),
            _ => {}
        }
        let mut bytes = serde_json::to_vec(&snapshot).unwrap();
        let mut is_honest = true;
        match chance.below(6) {
            0 if !play.kept.is_empty() => bytes = chance.pick(&play.kept).clone(),
            1 => {
                chance.garble(&mut bytes);
                is_honest = false;
            }
            _ => play.kept.push(bytes.clone()),
        }
        let is_taken = play.mirror.snapshot(&bytes)?;
        let taken = feed::accept_snapshot(&self.shared, parse(&bytes));
        assert_eq!(taken.is_ok(), is_taken, "{:?}: {}", taken, String::from_utf8_lossy(&bytes));
        if is_taken {
            // A true snapshot replaces all that was untrue.
            play.is_lied_to = !is_honest || play.is_lied_to && play.kept.last() != Some(&bytes);
        }
        tally.count(if is_taken { "snapshot taken" } else { "snapshot refused" });
        Ok(())
    }

    fn stream(&self, play: &mut Play, chance: &mut Chance, tally: &mut Tally) -> Result<(), Unsure> {
        let Some(position) = self.shared.state.progress().position else { return Ok(()) };
        let mut lines = play.server.after(position);
        // A resumed stream may repeat what was applied already.
        if chance.once_in(6) {
            lines = play.server.after(wire::Position { sequence: 0, ..position });
        }
        for _ in 0..chance.below(3) {
            lose_or_reorder(&mut lines, chance);
        }
        let mut bytes = Vec::new();
        let ending = *chance.pick(&["\n", "\n", "\r\n", "\r"]);
        for line in &lines {
            play.is_lied_to |= self.render(line, ending, chance, &mut bytes);
        }
        match chance.below(12) {
            0 => bytes.truncate(chance.below(bytes.len() + 1)),
            1 | 2 => {
                chance.garble(&mut bytes);
                play.is_lied_to = true;
            }
            3 if !play.kept.is_empty() => {
                // Bytes of another connection end up in this one.
                let other = chance.pick(&play.kept).clone();
                let at = chance.below(bytes.len() + 1);
                drop(bytes.splice(at.., other));
                play.is_lied_to = true;
            }
            4 if chance.once_in(200) => {
                flood(&mut bytes, chance);
                play.is_lied_to = true;
            }
            _ => play.kept.push(bytes.clone()),
        }
        let expected = play.mirror.stream(&bytes)?;
        let end = self.hear(&bytes, chance);
        let heard = match &end {
            Ok(()) => Heard::All,
            Err(StreamEnd::Gap | StreamEnd::Closed(_)) => Heard::Gap,
            Err(StreamEnd::Unreadable(_)) => Heard::Unreadable,
        };
        assert_eq!(heard, expected, "{end:?}: {}", String::from_utf8_lossy(&bytes));
        tally.count(format!("stream: {heard:?}"));
        Ok(())
    }

    /// Gives the guard `bytes` in pieces. The size of the pieces must not matter.
    fn hear(&self, bytes: &[u8], chance: &mut Chance) -> Result<(), StreamEnd> {
        let (mut decoder, mut whole) = (Decoder::default(), Vec::new());
        let ended = decoder.push(bytes, &mut whole);
        let longest = *chance.pick(&[1, 7, 80, 4096]);
        let longest = if bytes.len() > 100_000 { 65_536 } else { longest };
        let (mut decoder, mut cut) = (Decoder::default(), Vec::<Item>::new());
        let (mut hearing, mut backoff) = (Decoder::default(), Backoff::new(Timing::default()));
        let mut rest = bytes;
        let mut end = Ok(());
        let mut cut_ended = Ok(());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + chance.below(longest)).min(rest.len()));
            rest = after;
            if cut_ended.is_ok() {
                cut_ended = decoder.push(piece, &mut cut);
            }
            if end.is_ok() {
                end = feed::apply_bytes(&self.shared, &mut hearing, piece, &mut backoff);
            }
            assert!(hearing.held() <= MOST_HELD, "{} bytes are held", hearing.held());
        }
        assert_eq!((cut, cut_ended), (whole, ended), "{}", String::from_utf8_lossy(bytes));
        end
    }

    fn acknowledge(&self, play: &mut Play, chance: &mut Chance, tally: &mut Tally) -> Result<(), Unsure> {
        let state = &self.shared.state;
        let (told, told_mirror) = (state.progress(), play.mirror.clone());
        let sent = state.clock().boot();
        // The server may revoke things before the question arrives and while the answer is on its way.
        (0..chance.below(4) / 3).for_each(|_| play.server.acts(chance));
        let (mut answer, known) = (play.server.answer(), (play.server.dead.clone(), play.server.generation));
        (0..chance.below(4) / 3).for_each(|_| play.server.acts(chance));
        if chance.once_in(2) {
            self.stream(play, chance, tally)?;
        }
        if chance.once_in(12) {
            state.clock().sleep(std::time::Duration::from_secs(STALENESS));
            play.mirror.now += STALENESS;
        }
        if chance.once_in(8) {
            chance.garble(&mut answer);
            play.is_lied_to = true;
        }
        let was_until = play.mirror.fresh_until;
        play.mirror.confirm(told_mirror.now, &told_mirror, &answer)?;
        if let Ok(answer) = parse(&answer) {
            state.confirm(sent, &told, &answer);
        }
        if play.mirror.fresh_until != was_until {
            play.known = known;
        }
        tally.count("acknowledged");
        Ok(())
    }

    /// Writes an event. Returns whether it differs from what the server would have sent.
    fn render(&self, line: &Line, ending: &str, chance: &mut Chance, out: &mut Vec<u8>) -> bool {
        let (name, id, mut data) = match line {
            Line::Entry { incarnation, sequence, prev, entry } => {
                let mut members = vec![("prev", number(prev)), ("at", number(1_790_000_000_000_u64))];
                members.extend(subject(&entry.subject));
                members.push(("keep", number(entry.keep)));
                ("entry", Some(format!("{incarnation}.{sequence}")), object(members))
            }
            Line::Keys(version) => {
                let keys = self.keys[usize::from(chance.once_in(6))].clone();
                ("keys", None, object(vec![("keys_version", number(version)), ("keys", keys)]))
            }
        };
        if let (true, Json::Object(members)) = (chance.once_in(8), &mut data) {
            // Unknown members are ignored, and the order does not matter.
            members.insert(chance.below(members.len() + 1), ("new".to_owned(), text("x")));
            let other = chance.below(members.len());
            members.swap(0, other);
        }
        let is_spoiled = chance.once_in(400);
        if is_spoiled {
            spoil(&mut data, chance);
        }
        let mut written = String::new();
        data.write(chance, &mut written);
        let mut fields: Vec<String> = vec![format!("event: {name}")];
        fields.extend(id.map(|id| format!("id:{id}")));
        fields.extend(written.replace('\r', " ").split('\n').map(|line| format!("data: {line}")));
        if chance.once_in(8) {
            let extra = *chance.pick(&[
                ": still here",
                "retry: 1420",
                "retry: 99999999999999999999",
                "foo: bar",
                "foo",
            ]);
            fields.insert(chance.below(fields.len() + 1), extra.to_owned());
        }
        for field in fields {
            out.extend(field.bytes());
            out.extend(ending.bytes());
        }
        out.extend(ending.bytes());
        is_spoiled
    }
}

fn subject(subject: &Subject) -> Vec<(&'static str, Json)> {
    let Some(Json::Object(members)) = json::parse(&serde_json::to_vec(subject).unwrap()) else {
        return Vec::new();
    };
    let name = |name: String| ["kind", "id", "generation"].into_iter().find(|known| **known == name).unwrap();
    members.into_iter().map(|(member, value)| (name(member), value)).collect()
}

/// What networks and proxies do to events.
fn lose_or_reorder(lines: &mut Vec<Line>, chance: &mut Chance) {
    if lines.is_empty() {
        return;
    }
    let (one, other) = (chance.below(lines.len()), chance.below(lines.len()));
    match chance.below(5) {
        0 => drop(lines.remove(one)),
        1 => lines.swap(one, other),
        2 => lines.insert(other, lines[one].clone()),
        3 => lines.truncate(one),
        _ => {
            if let Line::Entry { incarnation, .. } = &mut lines[one] {
                *incarnation -= 1;
            }
        }
    }
}

/// Changes an event so that a reader of this version can't read it, or reads something else.
fn spoil(data: &mut Json, chance: &mut Chance) {
    let Json::Object(members) = data else { return };
    let at = chance.below(members.len());
    match chance.below(3) {
        0 => drop(members.remove(at)),
        1 => members[at].1 = Json::any(chance),
        _ => members[at].1 = text("tenant"),
    }
}

/// Adds more than a reader may hold.
fn flood(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let many = chance.below(600_000);
    let start = *chance.pick(&["data: ", "event: ", "id: ", ":", "", "foo: "]);
    if chance.once_in(2) {
        bytes.extend(start.bytes());
        bytes.extend(std::iter::repeat_n(b'x', many));
        bytes.extend(*b"\n\n");
    } else {
        bytes.extend(
            format!("{start}{}\n", "y".repeat(1 + chance.below(3000))).repeat(1 + many / 3000).bytes(),
        );
    }
}

fn tokens() -> Vec<Claims> {
    let id = |kind: &str, number: u64| format!("{kind}_{}", 1 + number % 4);
    let token = |number: u64| Claims {
        sub: id("usr", number),
        client_id: id("cli", number / 2),
        scope: String::new(),
        jti: Some(id("tok", number)),
        iat: 0,
        exp: 1,
        stamp: Stamp {
            server_generation: 1 + number % 7,
            client_generation: 1 + number % 5,
            user: (!number.is_multiple_of(8)).then(|| UserStamp {
                user_generation: 1 + number % 3,
                grant_id: id("grt", number / 3),
                family_id: id("fam", number),
                grant_generation: Some(1 + number % 4),
            }),
        },
        kid: None,
    };
    (0..24).map(token).collect()
}
