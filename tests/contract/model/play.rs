//! One step, done to the server and to the sets; then everything that was ever issued is compared.

use std::time::Duration;

use rescind::clock::Timestamp;
use rescind::model::by::{Actor, By};
use rescind::model::client::TokenFormat;
use rescind::model::id::{ClientId, FamilyId, GrantId, UserId};
use rescind::model::secret::{AuthorizationCode, ClientSecret, RefreshToken};
use rescind::model::user::{Role, Username};
use rescind::service::authorize::{self, Basis, ConsentState};
use rescind::service::issue::{self, CodeRequest, Issued, Refreshing};
use rescind::service::revoke::{self, Apps, Asking, Authority, Token, TokenRevocation};
use rescind::service::{account, moderate, register, sign_in};
use rescind::store::users::Credentials;

use super::sets::{Answer, Client, Look, Of, Refreshed, SESSION_LIFE, Secret, Session, Sets, Standing};
use super::steps::{Kind, Step};
use crate::guarded::Guarded;
use crate::world::{self, CHALLENGE, Held, LIVES, NOW, World, copy, copy_refresh, scope};

/// The admin, who can't be shut: somebody has to moderate.
const ADMIN: usize = 0;
const SCOPES: [&str; 4] = ["a", "a", "b", "a b"];
/// Few people and few apps, so that old pages and credentials meet new acts.
const NAMES: usize = 3;
/// Secrets beyond these are not listed, so nobody rotates that often here.
const SECRETS: usize = 6;

/// What the server gave, in the order of the sets.
pub struct Play {
    world: World,
    guarded: Guarded,
    /// What the guard was asked, and how often it accepted.
    pub verdicts: (usize, usize),
    pub sets: Sets,
    users: Vec<UserId>,
    clients: Vec<ClientId>,
    grants: Vec<GrantId>,
    families: Vec<FamilyId>,
    codes: Vec<AuthorizationCode>,
    access: Vec<Held>,
    refresh: Vec<RefreshToken>,
    sessions: Vec<world::Session>,
    secrets: Vec<ClientSecret>,
    pages: Vec<ConsentState>,
    sign_ins: Vec<Credentials>,
    numbers: Vec<i64>,
}

pub type Verdict = Result<(), String>;

fn check(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, found: &T) -> Verdict {
    check(expected == found, || format!("{what}: expected {expected:?}, found {found:?}"))
}

impl Play {
    pub async fn new() -> Self {
        let world = World::new().await;
        let api = world.api(&["a", "b"]).await;
        let mut play = Self {
            guarded: Guarded::new(&world, api).await,
            world,
            verdicts: (0, 0),
            sets: Sets { now: NOW.millis(), ..Sets::default() },
            users: Vec::new(),
            clients: Vec::new(),
            grants: Vec::new(),
            families: Vec::new(),
            codes: Vec::new(),
            access: Vec::new(),
            refresh: Vec::new(),
            sessions: Vec::new(),
            secrets: Vec::new(),
            pages: Vec::new(),
            sign_ins: Vec::new(),
            numbers: Vec::new(),
        };
        for user in 0..NAMES {
            play.add_user(user).await;
        }
        for owner in [1, 2] {
            play.add_client(owner).await;
        }
        play
    }

    fn name(user: usize) -> Username {
        Username::parse(&format!("user-{user}")).unwrap()
    }

    async fn add_user(&mut self, user: usize) {
        let role = if user == ADMIN { Role::Admin } else { Role::Developer };
        self.users.push(self.world.user(Self::name(user).as_str(), role).await);
        self.sets.users.push(Standing::Active);
    }

    async fn add_client(&mut self, owner: usize) {
        let domain = format!("app-{}.example", self.clients.len());
        // Apps of both formats, one after the other.
        let format = TokenFormat::ALL[self.clients.len() % 2];
        let (client, secret) = self.world.client(&self.users[owner], &domain, format).await;
        self.sets.secrets.push(Secret { client: self.clients.len(), live: true, ends: None });
        self.sets.clients.push(Client { owner, standing: Standing::Active });
        self.clients.push(client);
        self.secrets.push(secret);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.sets.now)
    }

    fn by(&self, user: usize) -> By {
        By { actor: Actor::User(self.users[user].clone()), ..By::operator(self.now()) }
    }

    fn gave(&mut self, issued: Issued) {
        self.access.push(Held::new(&issued.access_token));
    }

    pub async fn step(&mut self, step: Step) -> Verdict {
        let Step { kind, a, b, c } = step;
        let user = a % self.users.len();
        let client = b % self.clients.len();
        match kind {
            Kind::Consent | Kind::SignInAndConsent => {
                if kind == Kind::SignInAndConsent {
                    self.begin_sign_in(user).await;
                    self.finish_sign_in(self.sign_ins.len().wrapping_sub(1)).await?;
                }
                self.look(user, client).await?;
                let page = self.pages.len().wrapping_sub(1);
                self.approve(page, c).await
            }
            Kind::Look => self.look(user, client).await,
            Kind::ApproveOutdated if !self.pages.is_empty() => self.approve(a % self.pages.len(), c).await,
            Kind::StandingConsent => self.authorize(user, client, None, c).await,
            Kind::Redeem => self.redeem_newest(a, c).await,
            Kind::RedeemAny if !self.codes.is_empty() => self.redeem(a % self.codes.len(), b, c).await,
            Kind::Refresh => self.refresh_newest(a).await,
            Kind::RefreshAny if !self.refresh.is_empty() => self.refresh(a % self.refresh.len(), b).await,
            Kind::ClientCredentials => self.client_credentials(client).await,
            Kind::BeginSignIn => {
                self.begin_sign_in(user).await;
                Ok(())
            }
            Kind::FinishSignIn if !self.sign_ins.is_empty() => {
                self.finish_sign_in(a % self.sign_ins.len()).await
            }
            Kind::SignOut if !self.sessions.is_empty() => self.sign_out(a % self.sessions.len(), b).await,
            Kind::RevokeAccess if !self.access.is_empty() => {
                self.revoke_access(a % self.access.len(), b, c).await
            }
            Kind::RevokeRefresh if !self.refresh.is_empty() => {
                self.revoke_refresh(a % self.refresh.len(), b, c).await
            }
            Kind::SignDeviceOut if !self.families.is_empty() => self.device(a % self.families.len(), b).await,
            Kind::RevokeGrants | Kind::RevokeAndBlock if !self.grants.is_empty() => {
                self.revoke_grants(kind, [a, b].map(|at| at % self.grants.len()), c).await
            }
            Kind::RevokeAllGrants => {
                revoke::all_grants(&self.world.store, self.users[user].clone(), self.by(user)).await.unwrap();
                self.sets.end_all_grants(user);
                Ok(())
            }
            Kind::OperatorRevokesGrant if !self.grants.is_empty() => {
                let grant = a % self.grants.len();
                let by = By::operator(self.now());
                revoke::any_grant(&self.world.store, self.grants[grant].clone(), by).await.unwrap();
                self.sets.end_grant(grant);
                Ok(())
            }
            Kind::Unblock => {
                let (user_id, client_id) = (self.users[user].clone(), self.clients[client].clone());
                let (grant, by) = (GrantId::generate(self.now()), self.by(user));
                moderate::lift_block(&self.world.store, grant, client_id, user_id, by).await.unwrap();
                self.sets.blocked.remove(&(user, client));
                Ok(())
            }
            Kind::LookAtNumbers => {
                let generation =
                    self.world.store.client(&self.clients[client]).await.unwrap().unwrap().generation;
                self.numbers.push(generation);
                self.sets.numbers.push(Look { user, client, good: true });
                Ok(())
            }
            Kind::RevokeTokens => self.revoke_tokens(client, a, c).await,
            Kind::RotateSecret => self.rotate(client, a, c).await,
            Kind::DeleteClient => self.delete_client(client, a).await,
            Kind::Suspend => {
                let (id, by) = (
                    self.clients[client].clone(),
                    By { actor: Actor::Admin(self.users[ADMIN].clone()), ..By::operator(self.now()) },
                );
                let done = revoke::suspend_client(&self.world.store, id, "Spam".to_owned(), by).await;
                let known = self.sets.clients[client].standing != Standing::Deleted;
                self.sets.shut_client(client, Standing::Paused);
                same("suspending", &known, &done.is_ok())
            }
            Kind::Ban => {
                let (id, by) = (
                    self.clients[client].clone(),
                    By { actor: Actor::Admin(self.users[ADMIN].clone()), ..By::operator(self.now()) },
                );
                revoke::ban_client(&self.world.store, id, "Malware".to_owned(), by).await.unwrap();
                self.sets.shut_client(client, Standing::Banned);
                Ok(())
            }
            Kind::Reinstate => {
                let (id, by) = (
                    self.clients[client].clone(),
                    By { actor: Actor::Admin(self.users[ADMIN].clone()), ..By::operator(self.now()) },
                );
                let admin = self.users[ADMIN].clone();
                let done = moderate::reinstate_client(&self.world.store, id, admin, by).await;
                let Client { owner, standing } = &mut self.sets.clients[client];
                let may = *owner != ADMIN;
                if may && *standing == Standing::Paused {
                    *standing = Standing::Active;
                }
                same("reinstating", &may, &done.is_ok())
            }
            Kind::DisableUser => self.disable(user, c).await,
            Kind::EnableUser => {
                let by = By::operator(self.now());
                moderate::enable_user(&self.world.store, self.users[user].clone(), by).await.unwrap();
                let standing = &mut self.sets.users[user];
                if *standing == Standing::Paused {
                    *standing = Standing::Active;
                }
                Ok(())
            }
            Kind::RevokeUser => {
                let by = By::operator(self.now());
                let done = revoke::user(&self.world.store, self.users[user].clone(), None, by).await;
                let known = self.sets.users[user] != Standing::Deleted;
                if known {
                    self.sets.kill_user(user);
                }
                same("revoking a user", &known, &done.is_ok())
            }
            Kind::TakenOver => {
                let checked = self.world.store.credentials(&Self::name(user)).await.unwrap();
                same("taking back an account", &self.sets.user_acts(user), &checked.is_some())?;
                let Some(checked) = checked else { return Ok(()) };
                let (hash, by) = ("another hash".to_owned(), self.by(user));
                revoke::taken_over_account(&self.world.store, checked, hash, by).await.unwrap();
                self.sets.kill_user(user);
                Ok(())
            }
            Kind::ChangePassword => self.change_password(user, c).await,
            Kind::DeleteUser => self.delete_user(user).await,
            Kind::Register => {
                if c.is_multiple_of(2) && self.users.len() < 2 * NAMES {
                    self.add_user(self.users.len()).await;
                } else if self.clients.len() < 5 && self.sets.user_acts(user) {
                    self.add_client(user).await;
                }
                Ok(())
            }
            Kind::Wait => {
                let waits =
                    [1, 9_999, 10_000, 10_001, 59_999, 60_000, 1_800_000, 3_600_000, 43_200_000, 86_400_000];
                self.sets.now += waits[a % waits.len()];
                Ok(())
            }
            Kind::WaitBriefly => {
                self.sets.now += i64::try_from(a % 3).unwrap();
                Ok(())
            }
            Kind::PurgeSlice => self.purge_slice(a, c).await,
            Kind::PurgeAll => {
                let clock = rescind::clock::Clock::fixed(self.now());
                crate::engine::database::catch_up(&self.world.store, &clock, LIVES.refresh_grace)
                    .await
                    .unwrap();
                self.sets.forget_expired();
                Ok(())
            }
            Kind::Restart => {
                self.guarded.stops();
                self.world.restart().await;
                self.guarded.serves(&self.world);
                Ok(())
            }
            // There is nothing yet that it could be done to.
            _ => Ok(()),
        }
    }

    // Signing in

    async fn begin_sign_in(&mut self, user: usize) {
        let found = self.world.store.credentials(&Self::name(user)).await.unwrap();
        assert_eq!(found.is_some(), self.sets.user_acts(user), "who may sign in");
        if let Some(found) = found {
            self.sign_ins.push(found);
            self.sets.sign_ins.push(Look { user, client: 0, good: true });
        }
    }

    async fn finish_sign_in(&mut self, at: usize) -> Verdict {
        let Some(Look { user, good, .. }) = self.sets.sign_ins.get(at) else { return Ok(()) };
        let (user, good) = (*user, *good);
        let session = self.world.begin_session(self.sign_ins[at].clone(), self.now()).await;
        same("signing in", &good, &session.is_some())?;
        if let Some(session) = session {
            self.sessions.push(session);
            self.sets.sessions.push(Session { user, live: true, ends: self.sets.now + SESSION_LIFE });
        }
        Ok(())
    }

    async fn sign_out(&mut self, at: usize, b: usize) -> Verdict {
        let session = self.sessions[at].clone();
        // Half of them from the account page, which names a session and its user.
        if b.is_multiple_of(2) {
            sign_in::forget_session(&self.world.store, session.digest).await.unwrap();
            self.sets.sessions[at].live = false;
            return Ok(());
        }
        let user = b / 2 % self.users.len();
        account::end_session(&self.world.store, session.id, self.users[user].clone(), self.by(user))
            .await
            .unwrap();
        if self.sets.sessions[at].user == user {
            self.sets.sessions[at].live = false;
        }
        Ok(())
    }

    // Consent

    async fn look(&mut self, user: usize, client: usize) -> Verdict {
        let seen =
            authorize::look(&self.world.store, &self.clients[client], &self.users[user]).await.unwrap();
        let can_be_asked = self.sets.user_acts(user) && self.sets.client_acts(client);
        same("looking at the consent page", &can_be_asked, &seen.is_some())?;
        if let Some(seen) = seen {
            self.pages.push(seen);
            self.sets.pages.push(Look { user, client, good: true });
        }
        Ok(())
    }

    async fn approve(&mut self, page: usize, c: usize) -> Verdict {
        let Some(Look { user, client, .. }) = self.sets.pages.get(page) else { return Ok(()) };
        self.authorize(*user, *client, Some(page), c).await
    }

    /// Mostly in a session that is the user's and lives.
    fn session_for(&self, user: usize, c: usize) -> Option<usize> {
        let is_fit = |session: &Session| session.user == user && self.sets.session_lives(session);
        let fit = self.sets.sessions.iter().rposition(is_fit).filter(|_| !c.is_multiple_of(8));
        fit.or_else(|| (!self.sessions.is_empty()).then(|| c / 8 % self.sessions.len()))
    }

    async fn authorize(&mut self, user: usize, client: usize, page: Option<usize>, c: usize) -> Verdict {
        let Some(session) = self.session_for(user, c) else { return Ok(()) };
        let names = SCOPES[c / 64 % 4];
        let bits = u8::from(names.contains('a')) | u8::from(names.contains('b')) << 1;
        let basis = page.map_or(Basis::EarlierConsent, |page| Basis::Approved(self.pages[page].clone()));
        let (of, by) = (&self.clients[client], &self.users[user]);
        let given =
            self.world.authorize(of, by, &self.sessions[session], scope(names), basis, self.now()).await;
        let expected = self.sets.authorize(user, client, session, page, bits);
        same("consent", &(expected == Answer::Done), &given.is_ok())?;
        if let Ok(code) = given {
            let (family, grant) = self.world.family_of(&self.world.beside(), &code).unwrap();
            let index = self.sets.families.last().unwrap().grant;
            if index == self.grants.len() {
                self.grants.push(grant.clone());
            }
            same("the grant of a consent", &self.grants[index], &grant)?;
            self.families.push(family);
            self.codes.push(code);
        }
        Ok(())
    }

    // Exchanging

    async fn redeem_newest(&mut self, a: usize, c: usize) -> Verdict {
        let unused = self.sets.codes.iter().rposition(|code| !code.used);
        let Some(code) = unused else { return Ok(()) };
        let client = self.sets.families[self.sets.codes[code].family].client;
        self.redeem(code, client, if a.is_multiple_of(16) { 1 } else { c | 0b11 << 1 }).await
    }

    async fn redeem(&mut self, code: usize, b: usize, c: usize) -> Verdict {
        let own = self.sets.families[self.sets.codes[code].family].client;
        let client = if c & 0b10 == 0 { b % self.clients.len() } else { own };
        let right = c & 0b100 != 0 || c & 0b1000 != 0;
        let with_refresh = c & 0b111_0000 != 0;
        let challenge = if right { CHALLENGE.to_owned() } else { "another".repeat(6) };
        let request = CodeRequest {
            code: copy(&self.codes[code]),
            redirect_uri: None,
            code_challenge: Some(challenge),
            refreshing: if with_refresh { Refreshing::Yes } else { Refreshing::No },
        };
        let terms = self.world.terms(&self.clients[client], self.now()).await;
        let issued = issue::redeem(&self.world.store, request, terms).await;
        let expected = self.sets.redeem(code, client, right, with_refresh);
        same("redeeming a code", &(expected == Answer::Done), &issued.is_ok())?;
        if let Ok(mut issued) = issued {
            self.refresh.extend(issued.refresh_token.take());
            self.gave(issued);
        }
        Ok(())
    }

    async fn refresh_newest(&mut self, a: usize) -> Verdict {
        let current: Vec<usize> =
            (0..self.refresh.len()).filter(|&at| self.sets.refresh[at].superseded.is_none()).collect();
        if current.is_empty() {
            return Ok(());
        }
        let token = current[current.len() - 1 - a % current.len().min(4)];
        self.refresh(token, 0).await
    }

    async fn refresh(&mut self, token: usize, b: usize) -> Verdict {
        let own = self.sets.families[self.sets.refresh[token].family].client;
        let client = if b % 8 == 1 { b / 8 % self.clients.len() } else { own };
        let issued = self.world.refresh(&self.clients[client], &self.refresh[token], self.now()).await;
        let expected = self.sets.refresh(token, client);
        same("refreshing", &(expected != Refreshed::Refused), &issued.is_ok())?;
        let Ok(mut issued) = issued else { return Ok(()) };
        let given = issued.refresh_token.take().unwrap();
        if let Refreshed::Same(successor) = expected {
            same("the same successor", &self.refresh[successor].digest(), &given.digest())?;
        } else {
            self.refresh.push(given);
        }
        self.gave(issued);
        Ok(())
    }

    async fn client_credentials(&mut self, client: usize) -> Verdict {
        let terms = self.world.terms(&self.clients[client], self.now()).await;
        let issued = issue::for_client(&self.world.store, scope("a"), terms).await;
        let expected = self.sets.client_credentials(client);
        same("client_credentials", &(expected == Answer::Done), &issued.is_ok())?;
        issued.into_iter().for_each(|issued| self.gave(issued));
        Ok(())
    }

    // RFC 7009

    /// Half by the token's own client, half by anyone.
    fn caller(&self, own: usize, b: usize, c: usize) -> usize {
        if c.is_multiple_of(2) { own } else { b % self.clients.len() }
    }

    async fn revoke_access(&mut self, token: usize, b: usize, c: usize) -> Verdict {
        let lived = self.sets.access_lives(&self.sets.access[token]);
        let own = self.sets.client_of(self.sets.access[token].of);
        let client = self.caller(own, b, c);
        let shown = self.world.shown(&self.access[token]).await;
        self.sets.revoke_access(token, client);
        self.revoke_token(shown, client, own, lived).await
    }

    async fn revoke_refresh(&mut self, token: usize, b: usize, c: usize) -> Verdict {
        let lived = self.sets.is_current(&self.sets.refresh[token]);
        let own = self.sets.families[self.sets.refresh[token].family].client;
        let client = self.caller(own, b, c);
        let shown = Token::Refresh(copy_refresh(&self.refresh[token]));
        self.sets.revoke_refresh(token, client);
        self.revoke_token(shown, client, own, lived).await
    }

    async fn revoke_token(&self, shown: Token, client: usize, own: usize, lived: bool) -> Verdict {
        let by = By::client_by_protocol(&self.clients[client], self.now());
        let caller = Some(self.clients[client].clone());
        let found = revoke::token(&self.world.store, shown, caller, by).await.unwrap();
        // What is dead may or may not be remembered.
        let as_told = match found {
            TokenRevocation::Revoked(_) => client == own,
            TokenRevocation::NotYours => client != own,
            TokenRevocation::Nothing => !lived,
        };
        check(as_told, || format!("revoking a token: {found:?}"))
    }

    // Users

    async fn device(&mut self, family: usize, b: usize) -> Verdict {
        let of = self.sets.families[family];
        let user = if b.is_multiple_of(4) { b / 4 % self.users.len() } else { of.user };
        let (owner, grant) = (self.users[user].clone(), self.grants[of.grant].clone());
        let by = self.by(user);
        let done = revoke::device(&self.world.store, owner, grant, self.families[family].clone(), by).await;
        if user == of.user {
            self.sets.close_family(family);
        } else {
            check(done.is_err(), || "somebody signed another's device out".to_owned())?;
        }
        Ok(())
    }

    async fn revoke_grants(&mut self, kind: Kind, grants: [usize; 2], c: usize) -> Verdict {
        let user =
            if c.is_multiple_of(8) { c / 8 % self.users.len() } else { self.sets.grants[grants[0]].user };
        let ids = grants.iter().map(|&grant| self.grants[grant].clone()).collect();
        let asking = if kind == Kind::RevokeAndBlock { Asking::Blocked } else { Asking::Allowed };
        let owner = self.users[user].clone();
        let done = revoke::grants(&self.world.store, owner, ids, asking, self.by(user)).await;
        let all_theirs = grants.iter().all(|&grant| self.sets.grants[grant].user == user);
        if all_theirs {
            for grant in grants {
                self.sets.end_grant(grant);
                if asking == Asking::Blocked {
                    self.sets.blocked.insert((user, self.sets.grants[grant].client));
                }
            }
        }
        same("revoking apps", &all_theirs, &done.is_ok())
    }

    async fn change_password(&mut self, user: usize, c: usize) -> Verdict {
        let apps = if c.is_multiple_of(2) { account::AppAccess::Keep } else { account::AppAccess::Revoke };
        let checked = self.world.store.credentials(&Self::name(user)).await.unwrap();
        same("changing a password", &self.sets.user_acts(user), &checked.is_some())?;
        let Some(checked) = checked else { return Ok(()) };
        let (hash, by) = ("another hash".to_owned(), self.by(user));
        account::change_password(&self.world.store, checked, hash, apps, by).await.unwrap();
        self.sets.sign_out_everywhere(user);
        if apps == account::AppAccess::Revoke {
            self.sets.end_all_grants(user);
        }
        Ok(())
    }

    async fn delete_user(&mut self, user: usize) -> Verdict {
        let done = revoke::delete_user(&self.world.store, self.users[user].clone(), self.by(user)).await;
        let needs_them = |client: &Client| {
            client.owner == user && matches!(client.standing, Standing::Active | Standing::Paused)
        };
        let may = user != ADMIN && !self.sets.clients.iter().any(needs_them);
        if may {
            self.sets.shut_user(user, Standing::Deleted);
        }
        same("deleting an account", &may, &done.is_ok())
    }

    async fn disable(&mut self, user: usize, c: usize) -> Verdict {
        let apps = if c.is_multiple_of(2) { Apps::Keep } else { Apps::Suspend };
        let with_apps = c % 2 == 1 && self.sets.user_acts(user);
        let by = By { actor: Actor::Admin(self.users[ADMIN].clone()), ..By::operator(self.now()) };
        let done = revoke::disable_user(&self.world.store, self.users[user].clone(), apps, by).await;
        if user != ADMIN {
            self.sets.shut_user(user, Standing::Paused);
            for client in (0..self.clients.len()).filter(|_| with_apps) {
                if self.sets.clients[client].owner == user {
                    self.sets.shut_client(client, Standing::Paused);
                }
            }
        }
        same("disabling an account", &(user != ADMIN), &done.is_ok())
    }

    // Developers

    /// Mostly the owner.
    fn developer(&self, client: usize, a: usize) -> usize {
        if a.is_multiple_of(4) { a / 4 % self.users.len() } else { self.sets.clients[client].owner }
    }

    async fn revoke_tokens(&mut self, client: usize, a: usize, c: usize) -> Verdict {
        let seen = (0..self.numbers.len())
            .rfind(|&at| self.sets.numbers[at].client == client && c.is_multiple_of(2));
        let developer = self.developer(client, a);
        let (id, owner) = (self.clients[client].clone(), self.users[developer].clone());
        let (authority, by) = (
            Authority::Owner(owner.clone()),
            By { actor: Actor::Developer(owner.clone()), ..By::operator(self.now()) },
        );
        let generation = seen.map(|at| self.numbers[at]);
        let done = revoke::client_tokens(&self.world.store, id, authority, generation, by).await;
        let of = &self.sets.clients[client];
        let may = of.owner == developer && of.standing != Standing::Deleted;
        if may && seen.is_none_or(|at| self.sets.numbers[at].good) {
            self.sets.kill_client(client);
        }
        same("revoking all user tokens", &may, &done.is_ok())
    }

    async fn rotate(&mut self, client: usize, a: usize, c: usize) -> Verdict {
        let found = self.world.store.client_and_secrets(&self.clients[client], self.now()).await.unwrap();
        if found.unwrap().secrets(self.now()).count() >= SECRETS {
            return Ok(());
        }
        let developer = self.developer(client, a);
        let overlap = [0, 5, 3_600][c % 3];
        let (id, owner) = (self.clients[client].clone(), self.users[developer].clone());
        let rotated = register::rotate_secret(
            &self.world.store,
            id,
            owner,
            Duration::from_secs(overlap),
            By::operator(self.now()),
        )
        .await;
        let may = self.sets.clients[client].owner == developer && self.sets.client_acts(client);
        same("rotating a secret", &may, &rotated.is_ok())?;
        if let Ok(secret) = rotated {
            let until = self.sets.now + i64::try_from(overlap).unwrap() * 1000;
            for earlier in self.sets.secrets.iter_mut().filter(|secret| secret.client == client) {
                earlier.ends = Some(earlier.ends.map_or(until, |ends| ends.min(until)));
            }
            self.sets.secrets.push(Secret { client, live: true, ends: None });
            self.secrets.push(secret);
        }
        Ok(())
    }

    async fn delete_client(&mut self, client: usize, a: usize) -> Verdict {
        let developer = self.developer(client, a);
        let (id, owner) = (self.clients[client].clone(), self.users[developer].clone());
        let by = By { actor: Actor::Developer(owner.clone()), ..By::operator(self.now()) };
        let done = revoke::delete_client(&self.world.store, id, Authority::Owner(owner), by).await;
        let of = &self.sets.clients[client];
        let may = of.owner == developer && matches!(of.standing, Standing::Active | Standing::Paused);
        if may {
            self.sets.shut_client(client, Standing::Deleted);
        }
        same("deleting an app", &may, &done.is_ok())
    }

    // The purge

    async fn purge_slice(&mut self, a: usize, c: usize) -> Verdict {
        let now = self.now();
        let rows = i64::try_from(1 + a % 7).unwrap();
        if c.is_multiple_of(4) {
            self.world.store.write(move |tx| tx.purge_expired_slice(100_000, now)).await.unwrap();
            self.sets.forget_expired();
        }
        self.world.store.write(move |tx| tx.purge_dead_slice(rows, now)).await.unwrap();
        self.world.store.write(move |tx| tx.forget_successor_keys(LIVES.refresh_grace, now)).await.unwrap();
        Ok(())
    }

    // Comparing

    /// Holds every credential that was ever issued against the sets.
    pub async fn compare(&mut self) -> Verdict {
        let now = self.now();
        self.guarded.follows(now).await;
        let sets = &self.sets;
        for (at, (expected, token)) in sets.access.iter().zip(&self.access).enumerate() {
            let lives = sets.access_lives(expected);
            // A guard decides by whole seconds, and time goes on while it does.
            if token.is_jwt() && !(lives && expected.ends < sets.now + 2_000) {
                let found = self.guarded.accepts(token.expose());
                same(&format!("access token {at} at a guard"), &lives, &found)?;
                self.verdicts.0 += 1;
                self.verdicts.1 += usize::from(found);
            }
        }
        for (at, (expected, token)) in sets.access.iter().zip(&self.access).enumerate() {
            let found = self.world.accepts(token, now).await;
            same(&format!("access token {at}"), &sets.access_lives(expected), &found)?;
        }
        let client_of = |family: usize| self.clients[sets.families[family].client].clone();
        let codes =
            sets.codes.iter().zip(&self.codes).map(|(of, code)| (client_of(of.family), code.digest()));
        let refresh = sets
            .refresh
            .iter()
            .zip(&self.refresh)
            .map(|(of, token)| (client_of(of.family), copy_refresh(token)));
        let found = self.world.exchangeable(codes.collect(), refresh.collect(), now).await;
        for (at, (expected, found)) in sets.codes.iter().zip(&found.codes).enumerate() {
            same(&format!("code {at}"), &sets.code_lives(expected), found)?;
        }
        for (at, (expected, found)) in sets.refresh.iter().zip(&found.current).enumerate() {
            same(&format!("refresh token {at}"), &sets.is_current(expected), found)?;
        }
        for (at, (expected, found)) in sets.refresh.iter().zip(&found.again).enumerate() {
            same(&format!("refresh token {at}, once more"), &sets.may_repeat(expected), found)?;
        }
        for (at, (expected, session)) in sets.sessions.iter().zip(&self.sessions).enumerate() {
            let found = self.world.store.session(&session.digest, now).await.unwrap().is_some();
            same(&format!("session {at}"), &sets.session_lives(expected), &found)?;
        }
        for (at, (expected, secret)) in sets.secrets.iter().zip(&self.secrets).enumerate() {
            let client = &self.clients[expected.client];
            let client = self.world.store.client_and_secrets(client, now).await.unwrap().unwrap();
            let opens = client.secrets(now).any(|digest| digest.matches(&secret.digest()));
            let found = client.status.is_active() && opens;
            same(&format!("client secret {at}"), &sets.secret_opens(expected), &found)?;
        }
        Ok(())
    }

    /// Credentials that live and that have been issued.
    pub fn counts(&self) -> (usize, usize) {
        let sets = &self.sets;
        let live = sets.access.iter().filter(|token| sets.access_lives(token)).count()
            + sets.refresh.iter().filter(|token| sets.is_current(token)).count()
            + sets.codes.iter().filter(|code| sets.code_lives(code)).count()
            + sets.sessions.iter().filter(|session| sets.session_lives(session)).count()
            + sets.secrets.iter().filter(|secret| sets.secret_opens(secret)).count();
        let all = sets.access.len()
            + sets.refresh.len()
            + sets.codes.len()
            + sets.sessions.len()
            + sets.secrets.len();
        (live, all)
    }

    pub fn jwts(&self) -> usize {
        self.access.iter().filter(|token| token.is_jwt()).count()
    }

    pub fn of_clients_own(&self) -> usize {
        self.sets.access.iter().filter(|token| matches!(token.of, Of::Client(_))).count()
    }
}
