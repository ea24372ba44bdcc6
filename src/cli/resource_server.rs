//! `rescind resource-server list`, `edit`, `rotate-secret`, `delete` and `add`.

use std::time::Duration;

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::cli::failure::Failure;
use crate::cli::reason::Reason;
use crate::clock::iso;
use crate::model::by::By;
use crate::model::client::AppName;
use crate::model::id::ResourceServerId;
use crate::model::resource_server::{Guard, Guarding, MaxStaleness, ResourceServer, is_audience};
use crate::model::scope::Scope;
use crate::model::secret::MAX_OVERLAP_HOURS;
use crate::model::text::line;
use crate::service::register::{self, NewResourceServer};
use crate::service::resource_servers::{self, Edit, Error};
use crate::store::resource_servers::Scopes;
use crate::text::t;

#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceServerCommand {
    /// All APIs, with what their scopes allow
    List,
    /// Change an API's name and scopes; its audience stays
    Edit {
        id: String,
        #[arg(long)]
        name: Option<String>,
        /// `NAME=What it allows, in plain words`: added, or its words changed; may be given several times
        #[arg(long = "scope")]
        scopes: Vec<String>,
        /// The name of a scope to delete, for good; may be given several times
        #[arg(long = "delete-scope")]
        deleted: Vec<String>,
    },
    /// Give an API another secret, which is printed once
    RotateSecret {
        id: String,
        /// Hours for which earlier secrets still work: 0 to 168
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(..=MAX_OVERLAP_HOURS))]
        overlap_hours: u64,
    },
    /// Delete an API for good: its secrets and its scopes stop working
    Delete {
        id: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Register an API; its secret is printed once
    Add {
        name: String,
        /// The `aud` of tokens for it: an absolute URI
        #[arg(long)]
        audience: String,
        /// `NAME=What it allows, in plain words`; may be given several times
        #[arg(long = "scope")]
        scopes: Vec<String>,
        /// Seconds for which its guards may go on without an answer from here: 1 to 300
        #[arg(long, default_value_t = 10, allow_negative_numbers = true)]
        max_staleness: i64,
        /// It checks JWTs without a guard: each works there until it expires
        #[arg(long)]
        without_guard: bool,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::not_found("resource server"),
            error => Self::refused(error.to_string()),
        }
    }
}

fn server_id(text: &str) -> Result<ResourceServerId, Failure> {
    ResourceServerId::parse(text).ok_or_else(|| Failure::not_found("resource server"))
}

impl ResourceServerCommand {
    pub async fn execute(self, app: &App, by: By) -> Result<Value, Failure> {
        match self {
            Self::List => {
                let (servers, scopes) = (app.store.resource_servers().await?, app.store.scopes().await?);
                let servers: Vec<Value> =
                    servers.iter().map(|server| server_json(server, &scopes, &by)).collect();
                Ok(json!({ "resource_servers": servers }))
            }
            Self::Edit { id, name, scopes, deleted } => {
                let id = server_id(&id)?;
                let name = name.map(|name| AppName::parse(&name)).transpose();
                let name = name.map_err(|key| Failure::usage(format!("--name: {}", t(key))))?;
                let scopes = described_scopes(&scopes)?;
                let edit = Edit { name: name.map(|name| name.to_string()), scopes, deleted, seen: None };
                resource_servers::edit(&app.store, id.clone(), edit, by).await?;
                Ok(json!({ "id": id }))
            }
            Self::RotateSecret { id, overlap_hours } => {
                let id = server_id(&id)?;
                let overlap = Duration::from_secs(overlap_hours.min(MAX_OVERLAP_HOURS) * 3600);
                let secret = resource_servers::rotate_secret(&app.store, id.clone(), overlap, by).await?;
                Ok(json!({ "id": id, "secret": secret.expose() }))
            }
            Self::Delete { id, reason } => {
                let id = server_id(&id)?;
                resource_servers::delete(&app.store, id.clone(), reason.add_to(by)?).await?;
                Ok(json!({ "id": id }))
            }
            Self::Add { name, audience, scopes, max_staleness, without_guard } => {
                let name = AppName::parse(&name)
                    .map_err(|_| Failure::argument("NAME", "1 to 80 visible characters"))?;
                if !is_audience(&audience) {
                    return Err(Failure::argument("--audience", "an absolute URI without a fragment"));
                }
                let new = NewResourceServer {
                    name: name.to_string(),
                    audience,
                    scopes: described_scopes(&scopes)?,
                    guarding: guarding(max_staleness, without_guard)?,
                };
                add(app, new, by).await
            }
        }
    }
}

async fn add(app: &App, new: NewResourceServer, by: By) -> Result<Value, Failure> {
    let added = register::resource_server(&app.store, new, by).await;
    let what = "a resource server with this audience, or one of the scopes,";
    let (id, secret) = added.map_err(|error| Failure::not_added(what, error))?;
    Ok(json!({ "id": id, "secret": secret.expose() }))
}

fn described_scopes(texts: &[String]) -> Result<Vec<(String, String)>, Failure> {
    texts.iter().map(|text| described_scope(text)).collect()
}

fn described_scope(text: &str) -> Result<(String, String), Failure> {
    let unfit = |expected| Failure::argument("--scope", expected);
    let (name, description) =
        text.split_once('=').ok_or_else(|| unfit("NAME=What it allows, in plain words"))?;
    let description = line(description, 200).ok().filter(|_| Scope::is_name(name));
    let description = description
        .ok_or_else(|| unfit("NAME=What it allows, in plain words (200 visible characters at most)"))?;
    Ok((name.to_owned(), description))
}

fn guarding(max_staleness: i64, without_guard: bool) -> Result<Guarding, Failure> {
    let max_staleness = MaxStaleness::new(max_staleness)
        .ok_or_else(|| Failure::argument("--max-staleness", "a number of seconds from 1 to 300"))?;
    let guard = if without_guard { Guard::None } else { Guard::Expected };
    Ok(Guarding { guard, max_staleness })
}

fn server_json(server: &ResourceServer, scopes: &Scopes, by: &By) -> Value {
    let own = scopes.entries().iter().filter(|entry| *entry.audience == *server.audience);
    let scopes: Vec<Value> =
        own.map(|entry| json!({ "name": entry.name, "description": entry.description })).collect();
    json!({
        "id": server.id, "name": &*server.name, "audience": &*server.audience, "scopes": scopes,
        "guard": server.guarding.guard.as_str(), "max_staleness": server.guarding.max_staleness.seconds(),
        "earlier_secrets_until": server.earlier_until(by.at).map(iso),
    })
}
