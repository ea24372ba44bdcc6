//! `rescind key list`, `rotate` and `withdraw`.

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::cli::failure::Failure;
use crate::cli::reason::Reason;
use crate::clock::Timestamp;
use crate::clock::iso;
use crate::model::by::By;
use crate::model::id::KeyId;
use crate::model::key::SigningKey;

#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyCommand {
    /// All keys and what each is good for
    List,
    /// Publish another key, which signs a minute later
    Rotate,
    /// Refuse all that a key has signed, at once and everywhere
    Withdraw {
        kid: String,
        #[command(flatten)]
        reason: Reason,
    },
}

impl KeyCommand {
    pub async fn execute(self, app: &App, by: By) -> Result<Value, Failure> {
        match self {
            Self::List => {
                let keys = app.store.signing_keys().await?;
                let keys: Vec<Value> = keys.iter().map(|row| key_json(&row.key, by.at)).collect();
                Ok(json!({ "keys_version": app.store.keys_version_now().await?, "keys": keys }))
            }
            Self::Rotate => Ok(json!({ "kid": app.keys.rotate(&app.store, by).await? })),
            Self::Withdraw { kid, reason } => {
                let by = reason.add_to(by)?;
                let id = KeyId::parse(&kid).ok_or_else(|| Failure::not_found("key"))?;
                let withdrawn = app.keys.withdraw(&app.store, id, by).await?;
                Ok(json!({ "kid": kid, "withdrawn": withdrawn }))
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
