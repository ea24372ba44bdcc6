//! What a drill asks of the server, by its local socket.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::cli::failure::Failure;
use crate::model::by::By;
use crate::model::canary::{Outcome, SCOPE, Times};
use crate::model::id::ClientId;
use crate::service::{drill, revoke};
use crate::store;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Answers with a [`Canary`].
    Begin,
    Revoke {
        client: String,
        generation: i64,
    },
    Passed {
        rounds: u32,
        p50_us: u64,
        p99_us: u64,
        max_us: u64,
    },
    Failed {
        rounds: u32,
    },
}

/// The app and the resource server of a drill.
#[derive(Serialize, Deserialize)]
pub struct Canary {
    pub issuer: String,
    pub client: String,
    pub client_secret: String,
    pub generation: i64,
    pub server: String,
    pub server_secret: String,
}

impl From<drill::Error> for Failure {
    fn from(error: drill::Error) -> Self {
        match error {
            drill::Error::Store(store::Error::Exists) => {
                Self::refused(format!("another resource server has the scope {SCOPE}, which drills need"))
            }
            error => Self::refused(error.to_string()),
        }
    }
}

impl Step {
    pub async fn execute(self, app: &App, by: By) -> Result<Value, Failure> {
        let now = by.at;
        let outcome = match self {
            Self::Begin => {
                let canary = drill::begin(&app.store, now).await?;
                return Ok(json!(Canary {
                    issuer: app.config.issuer.as_str().to_owned(),
                    client: canary.client.to_string(),
                    client_secret: canary.client_secret.expose().to_owned(),
                    generation: canary.generation,
                    server: canary.server.to_string(),
                    server_secret: canary.server_secret.expose().to_owned(),
                }));
            }
            Self::Revoke { client, generation } => {
                let client = ClientId::parse(&client).ok_or_else(|| Failure::not_found("client"))?;
                return match revoke::canary(&app.store, client, generation, by).await {
                    Ok(Some(receipt)) => Ok(json!({ "receipt": receipt, "generation": generation + 1 })),
                    Ok(None) => Err(Failure::refused("somebody else revoked the drill's app".to_owned())),
                    Err(error) => Err(Failure::refused(error.to_string())),
                };
            }
            Self::Passed { rounds, p50_us, p99_us, max_us } => {
                let [p50, p99, max] = [p50_us, p99_us, max_us].map(Duration::from_micros);
                Outcome::Passed(Times { rounds, p50, p99, max })
            }
            Self::Failed { rounds } => Outcome::Failed { rounds },
        };
        Ok(json!({ "kept": drill::end(&app.store, outcome, now).await? }))
    }
}
