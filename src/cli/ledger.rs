//! `rescind ledger export`.

use std::path::PathBuf;

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::cli::failure::Failure;
use crate::cli::input::absolute;
use crate::model::by::By;
use crate::service::ledger_file;

#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerCommand {
    /// Write the whole ledger to a new file, as JSON lines, while the server runs
    Export { file: PathBuf },
}

impl LedgerCommand {
    pub fn complete(&mut self) -> Result<(), Failure> {
        let Self::Export { file } = self;
        *file = absolute(file)?;
        Ok(())
    }

    pub async fn execute(self, app: &App, by: By) -> Result<Value, Failure> {
        let Self::Export { file } = self;
        let rows = ledger_file::export(&app.store, &file, by.at).await;
        let rows = rows.map_err(|error| Failure::refused(error.to_string()))?;
        Ok(json!({ "file": file, "rows": rows }))
    }
}
