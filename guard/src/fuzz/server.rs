//! The server that a guard follows: what it has revoked, and what it sends about that.

use super::chance::Chance;
use super::mint::Mint;
use super::oracle::Dead;
use super::{AUDIENCE, ISSUER};
use crate::wire::{self, Acknowledged, Entry, Snapshot, Subject};

/// Seconds.
pub const STALENESS: u64 = 10;

/// A line of the server's stream.
#[derive(Clone)]
pub enum Line {
    Entry { incarnation: u64, sequence: u64, prev: u64, entry: Entry },
    Keys(u64),
}

/// The true state.
pub struct Server {
    incarnation: u64,
    through: u64,
    keys_version: u64,
    pub generation: u64,
    lines: Vec<Line>,
    pub dead: Dead,
}

impl Server {
    pub fn new(incarnation: u64) -> Self {
        let mut server = Self {
            incarnation,
            through: 0,
            keys_version: 1,
            generation: 1,
            lines: Vec::new(),
            dead: Dead::default(),
        };
        server.dead.add(&Subject::Server { generation: 1 });
        server
    }

    pub fn acts(&mut self, chance: &mut Chance) {
        if chance.once_in(8) {
            self.keys_version += 1;
            self.lines.push(Line::Keys(self.keys_version));
            return;
        }
        if chance.once_in(40) {
            // A backup was restored: a new history, in which everything earlier is dead by the server's generation.
            self.incarnation += 1;
            self.generation += 1;
            self.lines.clear();
            self.dead = Dead::default();
            self.dead.add(&Subject::Server { generation: self.generation });
            return;
        }
        let mut id = |kind: &str| format!("{kind}_{}", 1 + chance.below(4));
        let (token, family, grant, client, user) = (id("tok"), id("fam"), id("grt"), id("cli"), id("usr"));
        let generation = 2 + chance.below(4) as u64;
        let subject = match chance.below(8) {
            0 | 1 => Subject::Token { id: token },
            2 => Subject::Family { id: family },
            3 => Subject::Grant { id: grant, generation: None },
            4 => Subject::Grant { id: grant, generation: Some(generation) },
            5 => Subject::Client { id: client, generation },
            6 => Subject::User { id: user, generation },
            _ => {
                self.generation += 1;
                Subject::Server { generation: self.generation }
            }
        };
        self.dead.add(&subject);
        let (prev, incarnation) = (self.through, self.incarnation);
        self.through += 1 + chance.below(3) as u64;
        let entry = Entry { subject, keep: 7500 };
        self.lines.push(Line::Entry { incarnation, sequence: self.through, prev, entry });
    }

    pub fn snapshot(&self, mint: &Mint) -> Snapshot {
        let entries = self.lines.iter().filter_map(|line| match line {
            Line::Entry { entry, .. } => Some(entry.clone()),
            Line::Keys(_) => None,
        });
        Snapshot {
            version: wire::VERSION,
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            incarnation: self.incarnation,
            through: self.through,
            max_staleness: STALENESS,
            server_generation: self.generation,
            keys: wire::Keys { keys_version: self.keys_version, keys: mint.keys()[..1].to_vec() },
            entries: entries.collect(),
        }
    }

    /// All lines after `from`, as the server sends them.
    pub fn after(&self, from: wire::Position) -> Vec<Line> {
        let is_new = |line: &&Line| match line {
            Line::Entry { sequence, .. } => *sequence > from.sequence,
            Line::Keys(_) => true,
        };
        let mut lines = vec![Line::Keys(self.keys_version)];
        lines.extend(self.lines.iter().filter(is_new).cloned());
        lines
    }

    pub fn answer(&self) -> Vec<u8> {
        let answer = Acknowledged {
            incarnation: self.incarnation,
            through: self.through,
            keys_version: self.keys_version,
            max_staleness: STALENESS,
        };
        serde_json::to_vec(&answer).unwrap()
    }
}
