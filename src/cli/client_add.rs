//! `rescind client add`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::cli::command::{Failure, usage, username};
use crate::model::by::By;
use crate::model::client::{AppName, ClientKind, GrantType, GrantTypes, RedirectUri, TokenFormat};
use crate::model::scope::Scope;
use crate::service::register::{self, NewClient};
use crate::web::text::t;

#[derive(Debug, Serialize, Deserialize)]
pub struct ClientAdd {
    pub owner: String,
    pub name: String,
    pub publisher: Option<String>,
    pub redirect_uris: Vec<String>,
    pub kind: String,
    pub token_format: String,
    pub grant_types: Vec<String>,
    pub scopes: Vec<String>,
}

/// Registers an app.
///
/// # Errors
/// What is wrong with it.
pub async fn run(app: &App, add: ClientAdd, by: By) -> Result<Value, Failure> {
    let owner_name = username(&add.owner)?;
    let owner = app.store.user_id(&owner_name)?.ok_or_else(|| Failure::not_found("owner"))?;
    let named = |flag: &str, key: &str| Failure::usage(format!("{flag}: {}", t(key)));
    let redirect_uris = add
        .redirect_uris
        .iter()
        .map(|uri| RedirectUri::parse(uri).map_err(|key| named("--redirect-uri", key)))
        .collect::<Result<Vec<_>, _>>()?;
    let grant_types =
        add.grant_types.iter().map(|name| GrantType::parse(name)).collect::<Option<Vec<_>>>().ok_or_else(
            || usage("--grant-type", "authorization_code, refresh_token or client_credentials"),
        )?;
    let grant_types =
        if grant_types.is_empty() { GrantTypes::default() } else { GrantTypes::new(grant_types) };
    let kind = ClientKind::parse(&add.kind).ok_or_else(|| usage("--public", "given or not"))?;
    if grant_types.allow(GrantType::AuthorizationCode) && redirect_uris.is_empty() {
        return Err(Failure::usage("--redirect-uri is missing: authorization_code needs one".to_owned()));
    }
    if grant_types.allow(GrantType::ClientCredentials) && kind == ClientKind::Public {
        return Err(Failure::usage(
            "--grant-type client_credentials is for confidential clients alone".to_owned(),
        ));
    }
    let known = app.store.scopes()?.all();
    if let Some(unknown) = add.scopes.iter().find(|name| !known.contains(name)) {
        return Err(Failure::usage(format!("--scope: no resource server has a scope {unknown:?}")));
    }
    let scope = (!add.scopes.is_empty()).then(|| add.scopes.iter().map(String::as_str).collect::<Scope>());
    let publisher = match add.publisher {
        Some(text) => AppName::parse(&text).map_err(|key| named("--publisher", key))?.to_string(),
        None => owner_name.to_string(),
    };
    let new = NewClient {
        owner,
        name: AppName::parse(&add.name).map_err(|key| named("--name", key))?,
        publisher,
        kind,
        token_format: TokenFormat::parse(&add.token_format)
            .ok_or_else(|| usage("--token-format", "opaque or jwt"))?,
        grant_types,
        scope,
        redirect_uris,
    };
    let (id, secret) = register::client(&app.store, new, by).await?;
    Ok(json!({ "client_id": id, "client_secret": secret.as_ref().map(|secret| secret.expose()) }))
}
