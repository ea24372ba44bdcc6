//! Commands on the database: run here when nobody holds it, else by the server that does.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::app::App;
use crate::cli::client_add::{self, ClientAdd};
use crate::cli::reason::Reason;
use crate::cli::{client, drill, resource_server, socket, user};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::model::by::By;
use crate::model::client::AppName;
use crate::model::id::{ClientId, GrantId, KeyId, UserId};
use crate::model::key::SigningKey;
use crate::model::password::Password;
use crate::model::resource_server::{Guard, Guarding, MaxStaleness, is_audience};
use crate::model::scope::Scope;
use crate::model::text::line;
use crate::model::user::{Role, Username, is_email};
use crate::service::keys;
use crate::service::ledger_file;
use crate::service::moderate;
use crate::service::register::{self, NewResourceServer, NewUser};
use crate::service::revoke::{self, Authority, Token, TokenRevocation};
use crate::store::purges::Unfinished;
use crate::store::sqlite::lock::{Absent, DatabaseLock, resolve};
use crate::store::{self, Store};
use crate::web::page::iso;
use crate::web::text::t;

/// How long a command waits until it can have the database or reach the server.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(50);

/// A command as it crosses the local socket. Not `Debug`: it holds passwords and tokens.
#[derive(Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    UserAdd {
        name: String,
        email: Option<String>,
        role: String,
        password: String,
    },
    UserSetPassword {
        name: String,
        password: String,
        reason: Reason,
    },
    ClientAdd(ClientAdd),
    ResourceServerAdd {
        name: String,
        audience: String,
        scopes: Vec<String>,
        max_staleness: i64,
        without_guard: bool,
    },
    RevokeClient {
        id: String,
        reason: Reason,
    },
    RevokeUser {
        name: String,
        reason: Reason,
    },
    RevokeGrant {
        id: String,
        reason: Reason,
    },
    RevokeToken {
        token: String,
    },
    UserSetRole {
        name: String,
        role: String,
        reason: Reason,
    },
    User {
        task: user::Task,
    },
    Client {
        task: client::Task,
    },
    ResourceServer {
        task: resource_server::Task,
    },
    PurgeStatus,
    KeyList,
    KeyRotate,
    KeyWithdraw {
        kid: String,
        reason: Reason,
    },
    /// `file` is absolute: the server may run in another folder.
    Backup {
        file: PathBuf,
    },
    /// Likewise.
    LedgerExport {
        file: PathBuf,
    },
    Drill(drill::Step),
}

impl Command {
    /// Whether it may be the first thing that is done with a database.
    const fn may_begin(&self) -> bool {
        matches!(self, Self::UserAdd { .. } | Self::ClientAdd(_) | Self::ResourceServerAdd { .. })
    }
}

/// Why a command did nothing, and the exit code that says so.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failure {
    pub exit: u8,
    pub message: String,
}

impl Failure {
    /// 1: refused or failed.
    pub const fn refused(message: String) -> Self {
        Self { exit: 1, message }
    }

    /// 2: the command or a setting is wrong.
    pub const fn usage(message: String) -> Self {
        Self { exit: 2, message }
    }

    /// 3: there is no such thing.
    pub fn not_found(what: &str) -> Self {
        Self { exit: 3, message: format!("there is no such {what}") }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::refused(format!("{error:#}"))
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::refused(error.to_string())
    }
}

impl From<keys::Error> for Failure {
    fn from(error: keys::Error) -> Self {
        match error {
            keys::Error::NotFound => Self::not_found("key"),
            keys::Error::KeyFile(error) => Self::usage(error.to_string()),
            error => Self::refused(error.to_string()),
        }
    }
}

impl From<register::Error> for Failure {
    fn from(error: register::Error) -> Self {
        Self::refused(error.to_string())
    }
}

/// Who has the database.
pub enum Holder {
    Us(DatabaseLock),
    Server(UnixStream),
}

/// Reaches the server that holds the database, or takes it. The server is asked first: where it answers, no lost lock can
/// mislead. Another command, and a server that is just starting, hold it without listening: they are waited for.
///
/// # Errors
/// When neither could be done in five seconds, or the lock file can't be made.
pub async fn holder(database: &Path, absent: Absent) -> Result<Holder, Failure> {
    let attempts = async {
        loop {
            if let Ok(stream) = socket::connect(database).await {
                return Ok(Holder::Server(stream));
            }
            if let Some(lock) = DatabaseLock::acquire(database, absent)? {
                return Ok(Holder::Us(lock));
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    let shown = database.display();
    match tokio::time::timeout(PATIENCE, attempts).await {
        Ok(found) => found.map_err(|error: std::io::Error| Failure::refused(format!("{shown}: {error}"))),
        Err(_) => Err(Failure::refused(format!(
            "another process holds the database {shown}, and no server answers for it"
        ))),
    }
}

/// Runs a command on the database of `config`.
///
/// # Errors
/// With the exit code.
pub async fn run(config: Config, clock: Clock, command: Command) -> Result<Value, Failure> {
    let database = resolve(&config.database);
    // An empty one made here would be backed up, and nothing would say that it is not the server's.
    if !command.may_begin() && !std::fs::metadata(&database).is_ok_and(|file| file.len() > 0) {
        // A server whose file lost its name goes on with it.
        return match socket::connect(&database).await {
            Ok(stream) => socket::ask(stream, &command).await,
            Err(_) => {
                let shown = config.database.display();
                Err(Failure::not_found(&format!("database: {shown} (RESCIND_DATABASE_URL)")))
            }
        };
    }
    let absent = if command.may_begin() { Absent::Create } else { Absent::Leave };
    let _lock = match holder(&database, absent).await? {
        Holder::Us(lock) => lock,
        Holder::Server(stream) => return socket::ask(stream, &command).await,
    };
    let store = Store::open(&database).await?;
    let app = App::new(config, store, clock).map_err(|error| Failure::refused(error.to_string()))?;
    let answer = execute(&app, command).await;
    app.store.close().await;
    answer
}

/// Runs a command in the process that holds the database.
///
/// # Errors
/// With the exit code.
pub async fn execute(app: &App, command: Command) -> Result<Value, Failure> {
    let now = app.clock.now();
    let by = By::operator(now);
    match command {
        Command::UserAdd { name, email, role, password } => {
            let new = NewUser {
                username: username(&name)?,
                email: email.map(self::email).transpose()?,
                role: Role::parse(&role).ok_or_else(|| usage("--role", "user, developer or admin"))?,
                password: chosen(password)?,
            };
            let id = register::user(&app.store, &app.passwords, new, by).await.map_err(taken("a user"))?;
            Ok(json!({ "id": id, "username": username(&name)? }))
        }
        Command::User { task } => task.run(app).await,
        Command::Client { task } => task.run(app, by).await,
        Command::ResourceServer { task } => task.run(app, by).await,
        Command::UserSetPassword { name, password, reason } => {
            let by = reason.of(by)?;
            let (username, password) = (username(&name)?, chosen(password)?);
            let id = register::set_password(&app.store, &app.passwords, username, password, by).await?;
            Ok(json!({ "id": id.ok_or_else(|| Failure::not_found("user"))? }))
        }
        Command::ClientAdd(add) => client_add::run(app, add, by).await,
        Command::ResourceServerAdd { name, audience, scopes, max_staleness, without_guard } => {
            let name = AppName::parse(&name).map_err(|_| usage("NAME", "1 to 80 visible characters"))?;
            if !is_audience(&audience) {
                return Err(usage("--audience", "an absolute URI without a fragment"));
            }
            let scopes = scopes.iter().map(|text| described_scope(text)).collect::<Result<_, _>>()?;
            let new = NewResourceServer {
                name: name.to_string(),
                audience,
                scopes,
                guarding: guarding(max_staleness, without_guard)?,
            };
            let made = register::resource_server(&app.store, new, by).await;
            let (id, secret) =
                made.map_err(taken("a resource server with this audience, or one of the scopes,"))?;
            Ok(json!({ "id": id, "secret": secret.expose() }))
        }
        Command::RevokeClient { id, reason } => {
            let by = reason.of(by)?;
            let client = ClientId::parse(&id).ok_or_else(|| Failure::not_found("client"))?;
            answer("client", revoke::client_tokens(&app.store, client, Authority::Provider, None, by).await)
        }
        Command::RevokeUser { name, reason } => {
            let by = reason.of(by)?;
            let user = user_named(app, &name)?;
            answer("user", revoke::user(&app.store, user, None, by).await)
        }
        Command::RevokeGrant { id, reason } => {
            let by = reason.of(by)?;
            let grant = GrantId::parse(&id).ok_or_else(|| Failure::not_found("grant"))?;
            answer("grant", revoke::any_grant(&app.store, grant, by).await)
        }
        Command::UserSetRole { name, role, reason } => {
            let by = reason.of(by)?;
            let user = user_named(app, &name)?;
            let role = Role::parse(&role).ok_or_else(|| usage("ROLE", "user, developer or admin"))?;
            match moderate::set_role(&app.store, user.clone(), role, by).await {
                Ok(()) => Ok(json!({ "id": user, "role": role })),
                Err(moderate::Error::NotFound) => Err(Failure::not_found("user")),
                Err(error) => Err(Failure::refused(error.to_string())),
            }
        }
        Command::KeyList => {
            let keys: Vec<Value> =
                app.store.signing_keys()?.iter().map(|row| key_json(&row.key, now)).collect();
            Ok(json!({ "keys_version": app.store.keys_version_now(), "keys": keys }))
        }
        Command::KeyRotate => Ok(json!({ "kid": app.keys.rotate(&app.store, by).await? })),
        Command::KeyWithdraw { kid, reason } => {
            let by = reason.of(by)?;
            let id = KeyId::parse(&kid).ok_or_else(|| Failure::not_found("key"))?;
            let withdrawn = app.keys.withdraw(&app.store, id, by).await?;
            Ok(json!({ "kid": kid, "withdrawn": withdrawn }))
        }
        Command::PurgeStatus => {
            let unfinished = app.store.unfinished_purges().await?;
            let purges: Vec<Value> = unfinished.iter().map(purge_json).collect();
            Ok(json!({ "unfinished": purges.len(), "purges": purges }))
        }
        Command::Backup { file } => match app.store.backup(file.clone()).await {
            Err(store::Error::Exists) => {
                Err(Failure::refused(format!("{} exists already; nothing was written", file.display())))
            }
            done => Ok(done.map(|()| json!({ "file": file }))?),
        },
        Command::LedgerExport { file } => {
            let rows = ledger_file::export(&app.store, &file, now).await;
            let rows = rows.map_err(|error| Failure::refused(error.to_string()))?;
            Ok(json!({ "file": file, "rows": rows }))
        }
        Command::Drill(step) => drill::step(app, step).await,
        Command::RevokeToken { token } => {
            let reader = app.keys.reader(&app.store)?;
            let token = Token::read(token.trim(), &reader).ok_or_else(|| Failure::not_found("token"))?;
            match revoke::token(&app.store, token, None, by).await {
                Ok(TokenRevocation::Revoked(receipt)) => Ok(json!({ "receipt": receipt })),
                Ok(TokenRevocation::Nothing | TokenRevocation::NotYours) => Err(Failure::not_found("token")),
                Err(error) => Err(Failure::refused(error.to_string())),
            }
        }
    }
}

fn key_json(key: &SigningKey, now: Timestamp) -> Value {
    let retirement = key.retirement;
    json!({
        "kid": key.public.id, "alg": key.public.algorithm.as_str(), "state": key.state(now).as_str(),
        "published_at": iso(key.published_at), "active_from": iso(key.active_from),
        "retired_at": retirement.map(|retirement| iso(retirement.at)),
        "accepted_until": retirement.map(|retirement| iso(retirement.expires_at)),
        "withdrawn_at": key.withdrawn_at.map(iso),
    })
}

fn purge_json(purge: &Unfinished) -> Value {
    json!({
        "receipt": purge.receipt_id, "act": purge.act.as_str(), "subject": purge.subject_id, "at": iso(purge.at),
        "step": purge.step.as_str(), "access_tokens": purge.deleted.access_tokens,
        "refresh_tokens": purge.deleted.refresh_tokens, "authorization_codes": purge.deleted.authorization_codes,
        "families": purge.deleted.families, "sessions": purge.deleted.sessions,
    })
}

/// The person of this name.
///
/// # Errors
/// When there is none.
pub fn user_named(app: &App, name: &str) -> Result<UserId, Failure> {
    let user = Username::parse(name).map(|name| app.store.user_id(&name)).transpose()?.flatten();
    user.ok_or_else(|| Failure::not_found("user"))
}

pub(super) fn answer(what: &str, result: revoke::Result<revoke::Receipt>) -> Result<Value, Failure> {
    match result {
        Ok(receipt) => Ok(json!({ "receipt": receipt })),
        Err(revoke::Error::NotFound) => Err(Failure::not_found(what)),
        Err(error) => Err(Failure::refused(error.to_string())),
    }
}

pub fn usage(what: &str, expected: &str) -> Failure {
    Failure::usage(format!("{what} has to be {expected}"))
}

fn taken(what: &'static str) -> impl Fn(register::Error) -> Failure {
    move |error| match error {
        register::Error::Store(store::Error::Exists) => Failure::refused(format!("{what} exists already")),
        error => error.into(),
    }
}

pub(super) fn username(text: &str) -> Result<Username, Failure> {
    Username::parse(text).ok_or_else(|| usage("NAME", "1 to 64 of a-z, 0-9, '.', '_' and '-'"))
}

fn email(text: String) -> Result<String, Failure> {
    if is_email(&text) { Ok(text) } else { Err(usage("--email", "an e-mail address")) }
}

fn chosen(password: String) -> Result<Password, Failure> {
    Password::chosen(password).map_err(|key| Failure::usage(t(key)))
}

fn guarding(max_staleness: i64, without_guard: bool) -> Result<Guarding, Failure> {
    let max_staleness = MaxStaleness::new(max_staleness)
        .ok_or_else(|| usage("--max-staleness", "a number of seconds from 1 to 300"))?;
    let guard = if without_guard { Guard::None } else { Guard::Expected };
    Ok(Guarding { guard, max_staleness })
}

pub(super) fn described_scope(text: &str) -> Result<(String, String), Failure> {
    let (name, description) =
        text.split_once('=').ok_or_else(|| usage("--scope", "NAME=What it allows, in plain words"))?;
    let description = line(description, 200).ok().filter(|_| Scope::is_name(name));
    let description = description.ok_or_else(|| {
        usage("--scope", "NAME=What it allows, in plain words (200 visible characters at most)")
    })?;
    Ok((name.to_owned(), description))
}
