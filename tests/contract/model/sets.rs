//! What ought to live, as plain sets: every act says in words of its own what it kills.
//!
//! Nothing here knows of generations, of tables or of how the server finds out.

use std::collections::{BTreeMap, BTreeSet};

pub const GRACE: i64 = 10_000;
pub const CODE_LIFE: i64 = 60_000;
pub const ACCESS_LIFE: i64 = 3_600_000;
pub const REFRESH_LIFE: i64 = 86_400_000;
pub const SESSION_LIFE: i64 = 200_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Active,
    /// Disabled or suspended.
    Paused,
    Banned,
    Deleted,
}

pub struct Client {
    pub owner: usize,
    pub standing: Standing,
}

pub struct Grant {
    pub user: usize,
    pub client: usize,
    pub open: bool,
}

#[derive(Clone, Copy)]
pub struct Family {
    pub grant: usize,
    pub user: usize,
    pub client: usize,
}

pub struct Code {
    pub family: usize,
    pub live: bool,
    pub used: bool,
    pub ends: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Family(usize),
    Client(usize),
}

pub struct Access {
    pub of: Of,
    pub live: bool,
    pub ends: i64,
}

pub struct Refresh {
    pub family: usize,
    pub live: bool,
    pub ends: i64,
    pub superseded: Option<i64>,
    pub successor: Option<usize>,
    /// Whether the expired row may have been purged: what nobody remembers proves no reuse.
    pub forgotten: bool,
}

pub struct Session {
    pub user: usize,
    pub live: bool,
    pub ends: i64,
}

pub struct Secret {
    pub client: usize,
    pub live: bool,
    pub ends: Option<i64>,
}

/// Something that somebody looked at and may act on later: good while nothing has moved since.
pub struct Look {
    pub user: usize,
    pub client: usize,
    pub good: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    Refused,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Refreshed {
    New,
    Same(usize),
    Refused,
}

#[derive(Default)]
pub struct Sets {
    pub now: i64,
    pub users: Vec<Standing>,
    pub clients: Vec<Client>,
    pub grants: Vec<Grant>,
    pub families: Vec<Family>,
    pub codes: Vec<Code>,
    pub access: Vec<Access>,
    pub refresh: Vec<Refresh>,
    pub sessions: Vec<Session>,
    pub secrets: Vec<Secret>,
    /// Consent pages that stand open.
    pub pages: Vec<Look>,
    /// Sign-ins whose password has been checked, and no more.
    pub sign_ins: Vec<Look>,
    /// Developers' pages that stand open.
    pub numbers: Vec<Look>,
    pub blocked: BTreeSet<(usize, usize)>,
    /// Consents that may be passed over, by user and client, with their scopes as bits.
    pub standing: BTreeMap<(usize, usize), u8>,
}

impl Sets {
    // What lives

    pub fn code_lives(&self, code: &Code) -> bool {
        code.live && !code.used && self.now < code.ends
    }

    pub fn access_lives(&self, token: &Access) -> bool {
        token.live && self.now < token.ends
    }

    pub fn is_current(&self, token: &Refresh) -> bool {
        token.live && token.superseded.is_none() && self.now < token.ends
    }

    pub fn may_repeat(&self, token: &Refresh) -> bool {
        let in_window = token.superseded.is_some_and(|at| self.now < at + GRACE);
        let untouched = token.successor.is_some_and(|next| self.refresh[next].superseded.is_none());
        token.live && in_window && untouched && self.now < token.ends
    }

    pub fn session_lives(&self, session: &Session) -> bool {
        session.live && self.now < session.ends
    }

    pub fn secret_opens(&self, secret: &Secret) -> bool {
        let unexpired = secret.ends.is_none_or(|ends| self.now < ends);
        secret.live && unexpired && self.clients[secret.client].standing == Standing::Active
    }

    pub fn user_acts(&self, user: usize) -> bool {
        self.users[user] == Standing::Active
    }

    pub fn client_acts(&self, client: usize) -> bool {
        self.clients[client].standing == Standing::Active
    }

    pub fn open_grant(&self, user: usize, client: usize) -> Option<usize> {
        let is_it = |grant: &Grant| grant.open && grant.user == user && grant.client == client;
        self.grants.iter().position(is_it)
    }

    // What dies

    fn kill_families(&mut self, doomed: impl Fn(usize, &Family) -> bool) {
        let doomed: Vec<bool> =
            self.families.iter().enumerate().map(|(at, family)| doomed(at, family)).collect();
        self.codes.iter_mut().filter(|code| doomed[code.family]).for_each(|code| code.live = false);
        self.refresh.iter_mut().filter(|token| doomed[token.family]).for_each(|token| token.live = false);
        for token in &mut self.access {
            if matches!(token.of, Of::Family(family) if doomed[family]) {
                token.live = false;
            }
        }
    }

    pub fn close_family(&mut self, family: usize) {
        self.kill_families(|at, _| at == family);
    }

    pub fn end_grant(&mut self, grant: usize) {
        let Grant { user, client, open, .. } = self.grants[grant];
        if open {
            self.grants[grant].open = false;
            self.kill_families(|_, family| family.grant == grant);
            self.standing.remove(&(user, client));
            self.spoil_pages(|page| page.user == user && page.client == client);
        }
    }

    pub fn end_all_grants(&mut self, user: usize) {
        for grant in 0..self.grants.len() {
            if self.grants[grant].user == user {
                self.end_grant(grant);
            }
        }
    }

    fn spoil_pages(&mut self, doomed: impl Fn(&Look) -> bool) {
        self.pages.iter_mut().filter(|page| doomed(page)).for_each(|page| page.good = false);
    }

    /// All that a client holds, its own tokens too.
    pub fn kill_client(&mut self, client: usize) {
        self.kill_families(|_, family| family.client == client);
        self.access
            .iter_mut()
            .filter(|token| token.of == Of::Client(client))
            .for_each(|token| token.live = false);
        self.standing.retain(|(_, of), _| *of != client);
        self.spoil_pages(|page| page.client == client);
        self.numbers.iter_mut().filter(|look| look.client == client).for_each(|look| look.good = false);
    }

    /// All that was ever given for a user, and their browsers.
    pub fn kill_user(&mut self, user: usize) {
        self.kill_families(|_, family| family.user == user);
        self.standing.retain(|(of, _), _| *of != user);
        self.spoil_pages(|page| page.user == user);
        self.sign_out_everywhere(user);
    }

    pub fn sign_out_everywhere(&mut self, user: usize) {
        self.sessions
            .iter_mut()
            .filter(|session| session.user == user)
            .for_each(|session| session.live = false);
        self.sign_ins.iter_mut().filter(|look| look.user == user).for_each(|look| look.good = false);
    }

    /// Suspends, bans or deletes.
    pub fn shut_client(&mut self, client: usize, standing: Standing) {
        let from = self.clients[client].standing;
        if from == Standing::Active || from == Standing::Paused && standing != Standing::Paused {
            self.clients[client].standing = standing;
            self.kill_client(client);
            if standing != Standing::Paused {
                self.secrets.iter_mut().filter(|secret| secret.client == client).for_each(|s| s.live = false);
            }
        }
    }

    /// Disables or deletes.
    pub fn shut_user(&mut self, user: usize, standing: Standing) {
        if self.user_acts(user) {
            self.users[user] = standing;
            self.kill_user(user);
        }
    }

    // What is minted

    /// An approval on a page that may be outdated, or a consent that stands (`page` is `None`).
    pub fn authorize(
        &mut self,
        user: usize,
        client: usize,
        session: usize,
        page: Option<usize>,
        scope: u8,
    ) -> Answer {
        let session = &self.sessions[session];
        let is_theirs = self.session_lives(session) && session.user == user;
        let standing = self.standing.get(&(user, client)).copied();
        let based = match page {
            Some(page) => self.pages[page].good,
            None => standing.is_some_and(|given| scope & !given == 0),
        };
        let may_ask =
            self.user_acts(user) && self.client_acts(client) && !self.blocked.contains(&(user, client));
        if !(is_theirs && based && may_ask) {
            return Answer::Refused;
        }
        let grant = self.open_grant(user, client).unwrap_or_else(|| {
            self.grants.push(Grant { user, client, open: true });
            self.grants.len() - 1
        });
        self.standing.insert((user, client), scope | standing.unwrap_or_default());
        self.families.push(Family { grant, user, client });
        let family = self.families.len() - 1;
        self.codes.push(Code { family, live: true, used: false, ends: self.now + CODE_LIFE });
        Answer::Done
    }

    fn mint_access(&mut self, of: Of) {
        self.access.push(Access { of, live: true, ends: self.now + ACCESS_LIFE });
    }

    fn mint_refresh(&mut self, family: usize) {
        self.refresh.push(Refresh {
            family,
            live: true,
            ends: self.now + REFRESH_LIFE,
            superseded: None,
            successor: None,
            forgotten: false,
        });
    }

    /// `right`: the verifier is the code's own.
    pub fn redeem(&mut self, code: usize, client: usize, right: bool, with_refresh: bool) -> Answer {
        let Code { family, used, ends, .. } = self.codes[code];
        if !right || self.families[family].client != client {
            return Answer::Refused;
        }
        if self.code_lives(&self.codes[code]) {
            self.codes[code].used = true;
            self.mint_access(Of::Family(family));
            if with_refresh {
                self.mint_refresh(family);
            }
            return Answer::Done;
        }
        if used && self.now < ends {
            self.close_family(family);
        }
        Answer::Refused
    }

    pub fn refresh(&mut self, token: usize, client: usize) -> Refreshed {
        let Refresh { family, superseded, forgotten, .. } = self.refresh[token];
        if self.families[family].client != client {
            return Refreshed::Refused;
        }
        if self.is_current(&self.refresh[token]) {
            self.refresh[token].superseded = Some(self.now);
            self.refresh[token].successor = Some(self.refresh.len());
            self.mint_refresh(family);
            self.mint_access(Of::Family(family));
            return Refreshed::New;
        }
        if self.may_repeat(&self.refresh[token]) {
            self.mint_access(Of::Family(family));
            return Refreshed::Same(self.refresh[token].successor.unwrap());
        }
        if superseded.is_some() && !forgotten {
            self.close_family(family);
        }
        Refreshed::Refused
    }

    pub fn client_credentials(&mut self, client: usize) -> Answer {
        if !self.client_acts(client) {
            return Answer::Refused;
        }
        self.mint_access(Of::Client(client));
        Answer::Done
    }

    pub fn client_of(&self, of: Of) -> usize {
        match of {
            Of::Family(family) => self.families[family].client,
            Of::Client(client) => client,
        }
    }

    /// RFC 7009, by whichever client.
    pub fn revoke_access(&mut self, token: usize, client: usize) {
        if self.client_of(self.access[token].of) == client {
            self.access[token].live = false;
        }
    }

    pub fn revoke_refresh(&mut self, token: usize, client: usize) {
        let Refresh { family, forgotten, .. } = self.refresh[token];
        if self.families[family].client == client && !forgotten {
            self.close_family(family);
        }
    }

    /// The sweep has taken what has expired.
    pub fn forget_expired(&mut self) {
        let now = self.now;
        self.refresh.iter_mut().filter(|token| token.ends <= now).for_each(|token| token.forgotten = true);
    }
}
