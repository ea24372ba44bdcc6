//! `rescind backup`.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::cli::failure::Failure;
use crate::cli::input::absolute;
use crate::cli::print::Output;
use crate::store;

#[derive(Args, Serialize, Deserialize)]
pub struct Backup {
    file: PathBuf,
    #[command(flatten)]
    #[serde(skip)]
    pub output: Output,
}

impl Backup {
    pub fn complete(&mut self) -> Result<(), Failure> {
        self.file = absolute(&self.file)?;
        Ok(())
    }

    pub async fn execute(self, app: &App) -> Result<Value, Failure> {
        let Self { file, .. } = self;
        match app.store.backup(file.clone()).await {
            Err(store::Error::Exists) => {
                Err(Failure::refused(format!("{} exists already; nothing was written", file.display())))
            }
            done => Ok(done.map(|()| json!({ "file": file }))?),
        }
    }
}
