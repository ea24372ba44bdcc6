//! `rescind client add`.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::cli::failure::Failure;
use crate::cli::user::username;
use crate::model::by::By;
use crate::model::client::{AppName, ClientKind, GrantType, GrantTypes, RedirectUri, TokenFormat};
use crate::model::scope::Scope;
use crate::service::register::{self, NewClient};
use crate::text::t;

#[derive(Args, Serialize, Deserialize)]
pub struct ClientAdd {
    /// The name of the developer who owns it
    #[arg(long)]
    owner: String,
    /// What pages call it
    #[arg(long)]
    name: String,
    /// Who is behind it, as pages say; its owner's name by default
    #[arg(long)]
    publisher: Option<String>,
    /// May be given several times
    #[arg(long = "redirect-uri", value_name = "REDIRECT_URI")]
    redirect_uris: Vec<String>,
    /// It can keep no secret (it runs in a browser or on a device)
    #[arg(long)]
    public: bool,
    /// opaque (looked up at each use), or jwt (checked by resource servers themselves)
    #[arg(long, default_value = "opaque")]
    token_format: String,
    /// authorization_code, refresh_token or client_credentials; may be given several times
    #[arg(long = "grant-type")]
    grant_types: Vec<String>,
    /// What it may ask for; may be given several times; everything by default
    #[arg(long = "scope")]
    scopes: Vec<String>,
}

impl ClientAdd {
    /// Registers an app.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn execute(self, app: &App, by: By) -> Result<Value, Failure> {
        let owner_name = username(&self.owner)?;
        let owner = app.store.user_id(&owner_name).await?.ok_or_else(|| Failure::not_found("owner"))?;
        let redirect_uris = self
            .redirect_uris
            .iter()
            .map(|uri| RedirectUri::parse(uri).map_err(|key| text_fault("--redirect-uri", key)));
        let redirect_uris = redirect_uris.collect::<Result<Vec<_>, _>>()?;
        let kind = if self.public { ClientKind::Public } else { ClientKind::Confidential };
        let grant_types = self.grant_types(kind, &redirect_uris)?;
        let scope = self.scope(app).await?;
        let publisher = match &self.publisher {
            Some(text) => AppName::parse(text).map_err(|key| text_fault("--publisher", key))?.to_string(),
            None => owner_name.to_string(),
        };
        let new = NewClient {
            owner,
            name: AppName::parse(&self.name).map_err(|key| text_fault("--name", key))?,
            publisher,
            kind,
            token_format: TokenFormat::parse(&self.token_format)
                .ok_or_else(|| Failure::argument("--token-format", "opaque or jwt"))?,
            grant_types,
            scope,
            redirect_uris,
        };
        let (id, secret) = register::client(&app.store, new, by).await?;
        Ok(json!({ "client_id": id, "client_secret": secret.as_ref().map(|secret| secret.expose()) }))
    }

    fn grant_types(&self, kind: ClientKind, redirect_uris: &[RedirectUri]) -> Result<GrantTypes, Failure> {
        let known = self.grant_types.iter().map(|name| GrantType::parse(name)).collect::<Option<Vec<_>>>();
        let known = known.ok_or_else(|| {
            Failure::argument("--grant-type", "authorization_code, refresh_token or client_credentials")
        })?;
        let grant_types = if known.is_empty() { GrantTypes::default() } else { GrantTypes::new(known) };
        if grant_types.allow(GrantType::AuthorizationCode) && redirect_uris.is_empty() {
            let missing = "--redirect-uri is missing: authorization_code needs one";
            return Err(Failure::usage(missing.to_owned()));
        }
        if grant_types.allow(GrantType::ClientCredentials) && kind == ClientKind::Public {
            let unfit = "--grant-type client_credentials is only for confidential clients";
            return Err(Failure::usage(unfit.to_owned()));
        }
        Ok(grant_types)
    }

    async fn scope(&self, app: &App) -> Result<Option<Scope>, Failure> {
        let known = app.store.scopes().await?.all();
        if let Some(unknown) = self.scopes.iter().find(|name| !known.contains(name)) {
            return Err(Failure::usage(format!("--scope: no resource server has a scope {unknown:?}")));
        }
        Ok((!self.scopes.is_empty()).then(|| self.scopes.iter().map(String::as_str).collect::<Scope>()))
    }
}

/// What the text of `key` says about the argument `name`.
fn text_fault(name: &str, key: &str) -> Failure {
    Failure::usage(format!("{name}: {}", t(key)))
}
