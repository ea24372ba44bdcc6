//! `rescind resource-server list`, `edit`, `rotate-secret` and `delete`.

use std::time::Duration;

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::cli::Output;
use crate::cli::command::{Failure, described_scope};
use crate::cli::reason::Reason;
use crate::model::by::By;
use crate::model::client::AppName;
use crate::model::id::ResourceServerId;
use crate::model::resource_server::ResourceServer;
use crate::service::resource_servers::{self, Edit, Error};
use crate::store::resource_servers::Scopes;
use crate::web::app_acts::MOST_HOURS;
use crate::web::page::iso;
use crate::web::text::t;

#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// All APIs, with what their scopes allow
    List {
        #[command(flatten)]
        #[serde(skip)]
        output: Output,
    },
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
        #[command(flatten)]
        #[serde(skip)]
        output: Output,
    },
    /// Give an API another secret, which is printed once
    RotateSecret {
        id: String,
        /// Hours for which earlier secrets still work: 0 to 168
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(..=MOST_HOURS))]
        overlap_hours: u64,
        #[command(flatten)]
        #[serde(skip)]
        output: Output,
    },
    /// Delete an API for good: its secrets and its scopes stop working
    Delete {
        id: String,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        #[serde(skip)]
        output: Output,
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

impl Task {
    pub const fn output(&self) -> Output {
        match self {
            Self::List { output }
            | Self::Edit { output, .. }
            | Self::RotateSecret { output, .. }
            | Self::Delete { output, .. } => *output,
        }
    }

    /// # Errors
    /// With the exit code.
    pub async fn run(self, app: &App, by: By) -> Result<Value, Failure> {
        match self {
            Self::List { .. } => {
                let (servers, scopes) = (app.store.resource_servers()?, app.store.scopes()?);
                let servers: Vec<Value> =
                    servers.iter().map(|server| server_json(server, &scopes, &by)).collect();
                Ok(json!({ "resource_servers": servers }))
            }
            Self::Edit { id, name, scopes, deleted, .. } => {
                let id = server_id(&id)?;
                let name = name.map(|name| AppName::parse(&name)).transpose();
                let name = name.map_err(|key| Failure::usage(format!("--name: {}", t(key))))?;
                let scopes = scopes.iter().map(|text| described_scope(text)).collect::<Result<_, _>>()?;
                let edit = Edit { name: name.map(|name| name.to_string()), scopes, deleted, seen: None };
                resource_servers::edit(&app.store, id.clone(), edit, by).await?;
                Ok(json!({ "id": id }))
            }
            Self::RotateSecret { id, overlap_hours, .. } => {
                let id = server_id(&id)?;
                let overlap = Duration::from_secs(overlap_hours.min(MOST_HOURS) * 3600);
                let secret = resource_servers::rotate_secret(&app.store, id.clone(), overlap, by).await?;
                Ok(json!({ "id": id, "secret": secret.expose() }))
            }
            Self::Delete { id, reason, .. } => {
                let id = server_id(&id)?;
                resource_servers::delete(&app.store, id.clone(), reason.of(by)?).await?;
                Ok(json!({ "id": id }))
            }
        }
    }
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
