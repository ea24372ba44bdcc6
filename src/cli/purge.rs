//! `rescind purge status`.

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::cli::failure::Failure;
use crate::clock::iso;
use crate::store::purges::Unfinished;

#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PurgeCommand {
    /// What is being removed, and how much of it is gone
    Status,
}

impl PurgeCommand {
    pub async fn execute(self, app: &App) -> Result<Value, Failure> {
        let Self::Status = self;
        let unfinished = app.store.unfinished_purges().await?;
        let purges: Vec<Value> = unfinished.iter().map(purge_json).collect();
        Ok(json!({ "unfinished": purges.len(), "purges": purges }))
    }
}

fn purge_json(purge: &Unfinished) -> Value {
    json!({
        "receipt": purge.receipt_id, "act": purge.act.as_str(), "subject": purge.subject_id, "at": iso(purge.at),
        "step": purge.step.as_str(), "access_tokens": purge.deleted.access_tokens,
        "refresh_tokens": purge.deleted.refresh_tokens,
        "authorization_codes": purge.deleted.authorization_codes, "families": purge.deleted.families,
        "sessions": purge.deleted.sessions,
    })
}
