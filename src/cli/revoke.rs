//! `rescind revoke client`, `user`, `grant` and `token`.

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::cli::failure::Failure;
use crate::cli::input::line_from_stdin;
use crate::cli::reason::Reason;
use crate::cli::user::user_named;
use crate::model::by::By;
use crate::model::id::{ClientId, GrantId};
use crate::service::revoke::{self, Authority, Token, TokenRevocation};

#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeCommand {
    /// All tokens of an app; the app stays registered and has to ask its users again
    Client {
        id: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// All that apps hold for a person; their browsers are signed out
    User {
        name: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// One app's access to one account
    Grant {
        id: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// One token, read from standard input: `-`
    Token {
        from: String,
        // Other processes can read a command line.
        #[arg(skip)]
        token: String,
    },
}

impl RevokeCommand {
    /// Reads the token.
    pub fn complete(&mut self) -> Result<(), Failure> {
        let Self::Token { from, token } = self else { return Ok(()) };
        if from != "-" {
            return Err(Failure::usage("a token is read only from standard input: give `-`".to_owned()));
        }
        *token = line_from_stdin()?;
        Ok(())
    }

    pub async fn execute(self, app: &App, by: By) -> Result<Value, Failure> {
        match self {
            Self::Client { id, reason } => {
                let by = reason.add_to(by)?;
                let client = ClientId::parse(&id).ok_or_else(|| Failure::not_found("client"))?;
                let revoked = revoke::client_tokens(&app.store, client, Authority::Provider, None, by).await;
                receipt("client", revoked)
            }
            Self::User { name, reason } => {
                let by = reason.add_to(by)?;
                let user = user_named(app, &name).await?;
                receipt("user", revoke::user(&app.store, user, None, by).await)
            }
            Self::Grant { id, reason } => {
                let by = reason.add_to(by)?;
                let grant = GrantId::parse(&id).ok_or_else(|| Failure::not_found("grant"))?;
                receipt("grant", revoke::any_grant(&app.store, grant, by).await)
            }
            Self::Token { token, .. } => revoke_token(app, &token, by).await,
        }
    }
}

async fn revoke_token(app: &App, token: &str, by: By) -> Result<Value, Failure> {
    let reader = app.keys.reader(&app.store).await?;
    let token = Token::read(token.trim(), &reader).ok_or_else(|| Failure::not_found("token"))?;
    match revoke::token(&app.store, token, None, by).await {
        Ok(TokenRevocation::Revoked(receipt)) => Ok(json!({ "receipt": receipt })),
        Ok(TokenRevocation::Nothing | TokenRevocation::NotYours) => Err(Failure::not_found("token")),
        Err(error) => Err(Failure::refused(error.to_string())),
    }
}

/// What a command that revokes a `what` answers.
pub fn receipt(what: &str, revoked: revoke::Result<revoke::Receipt>) -> Result<Value, Failure> {
    match revoked {
        Ok(receipt) => Ok(json!({ "receipt": receipt })),
        Err(revoke::Error::NotFound) => Err(Failure::not_found(what)),
        Err(error) => Err(Failure::refused(error.to_string())),
    }
}
