//! `rescind client list`, `show`, `rotate-secret`, `delete` and `set-owner`.

use std::time::Duration;

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::cli::client_add::ClientAdd;
use crate::cli::failure::Failure;
use crate::cli::list::List;
use crate::cli::reason::Reason;
use crate::cli::revoke::receipt;
use crate::cli::user::username;
use crate::clock::iso;
use crate::model::by::By;
use crate::model::client::RedirectUri;
use crate::model::id::ClientId;
use crate::model::secret::MAX_OVERLAP_HOURS;
use crate::service::revoke::{self, Authority};
use crate::service::{hand_over, register};
use crate::store::client_lists::{ClientOrder, ClientRow, ClientSearch};

#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCommand {
    /// Fifty apps a page, newest first
    #[command(mut_arg("search", |search| {
        search.help("Part of a name or a publisher, the owner's name, or an id")
    }))]
    List(List),
    /// What is known of an app
    Show { id: String },
    /// Give an app another secret, which is printed once; tokens stay
    RotateSecret {
        id: String,
        /// Hours for which earlier secrets still work: 0 to 168
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(..=MAX_OVERLAP_HOURS))]
        overlap_hours: u64,
    },
    /// Delete an app for good, with everything that it holds
    Delete {
        id: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Hand an app over to another developer; tokens stay
    SetOwner {
        id: String,
        /// Who owns it from now on
        name: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Register an app; its secret is printed once
    Add(ClientAdd),
}

fn client_id(text: &str) -> Result<ClientId, Failure> {
    ClientId::parse(text).ok_or_else(|| Failure::not_found("client"))
}

impl ClientCommand {
    pub async fn execute(self, app: &App, by: By) -> Result<Value, Failure> {
        match self {
            Self::List(list) => {
                let (text, order, page) = (list.search.clone(), ClientOrder::Age, list.store_page());
                let search = ClientSearch { text, status: None, order, page };
                Ok(list.answer("clients", &app.store.search_clients(&search).await?, client_json))
            }
            Self::Show { id } => show(app, &client_id(&id)?, &by).await,
            Self::RotateSecret { id, overlap_hours } => {
                rotate_secret(app, client_id(&id)?, overlap_hours, by).await
            }
            Self::Delete { id, reason } => {
                let by = reason.add_to(by)?;
                let id = client_id(&id)?;
                receipt("client", revoke::delete_client(&app.store, id, Authority::Provider, by).await)
            }
            Self::SetOwner { id, name, reason } => {
                let (id, owner) = (client_id(&id)?, username(&name)?);
                match hand_over::client(&app.store, id.clone(), owner, reason.add_to(by)?).await {
                    Ok(owner) => Ok(json!({ "client_id": id, "owner": owner })),
                    Err(hand_over::Error::NotFound) => Err(Failure::not_found("client")),
                    Err(hand_over::Error::NoOwner) => Err(Failure::not_found("user")),
                    Err(error) => Err(Failure::refused(error.to_string())),
                }
            }
            Self::Add(add) => add.execute(app, by).await,
        }
    }
}

fn client_json(row: &ClientRow) -> Value {
    json!({
        "client_id": row.id, "name": row.name.as_str(), "publisher": row.publisher, "owner": row.owner,
        "type": row.kind.as_str(), "status": row.status.as_str(), "created_at": iso(row.created_at),
        "users": row.numbers.users, "devices": row.numbers.devices, "access_tokens": row.numbers.tokens,
    })
}

async fn show(app: &App, id: &ClientId, by: &By) -> Result<Value, Failure> {
    let not_found = || Failure::not_found("client");
    let row = app.store.client_row(id).await?.ok_or_else(not_found)?;
    let client = app.store.client(id).await?.ok_or_else(not_found)?;
    let secrets = app.store.client_secret_rows(id, by.at).await?;
    let secret = |at| json!({ "expires_at": at });
    let mut shown = client_json(&row);
    shown["status_reason"] = json!(row.status.reason());
    shown["token_format"] = json!(client.token_format.as_str());
    shown["scope"] = json!(client.scope.map(|scope| scope.to_string()));
    shown["redirect_uris"] = client.redirect_uris.iter().map(RedirectUri::as_str).collect();
    shown["secrets"] = secrets.iter().map(|row| secret(row.expires_at.map(iso))).collect();
    Ok(shown)
}

async fn rotate_secret(app: &App, id: ClientId, hours: u64, by: By) -> Result<Value, Failure> {
    let client = app.store.client(&id).await?.ok_or_else(|| Failure::not_found("client"))?;
    let overlap = Duration::from_secs(hours.min(MAX_OVERLAP_HOURS) * 3600);
    match register::rotate_secret(&app.store, id.clone(), client.owner, overlap, by).await {
        Ok(secret) => Ok(json!({ "client_id": id, "client_secret": secret.expose() })),
        Err(register::Error::NotFound) => {
            Err(Failure::refused("only an active, confidential app has a secret to rotate".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}
