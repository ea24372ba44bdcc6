//! Commands on the database. One description serves the command line, the local socket and the process that runs them.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::cli::backup::Backup;
use crate::cli::client::ClientCommand;
use crate::cli::drill_step::Step;
use crate::cli::failure::Failure;
use crate::cli::key::KeyCommand;
use crate::cli::ledger::LedgerCommand;
use crate::cli::print::Output;
use crate::cli::purge::PurgeCommand;
use crate::cli::resource_server::ResourceServerCommand;
use crate::cli::revoke::RevokeCommand;
use crate::cli::user::UserCommand;
use crate::model::by::By;

/// Not `Debug`: it holds passwords and tokens.
#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// People: add them, look them up, set roles and passwords
    User(Group<UserCommand>),
    /// Apps: register, look up, rotate secrets, hand over, delete
    Client(Group<ClientCommand>),
    /// The APIs that accept tokens: register, change, rotate secrets, delete
    ResourceServer(Group<ResourceServerCommand>),
    /// Take access back
    Revoke(Group<RevokeCommand>),
    /// The keys that sign JWT access tokens
    Key(Group<KeyCommand>),
    /// Watch dead rows being removed
    Purge(Group<PurgeCommand>),
    /// Write a consistent copy of the database to a new file, while the server runs
    Backup(Backup),
    /// The record of who took what away
    Ledger(Group<LedgerCommand>),
    // A drill sends these; nobody can type them.
    #[command(skip)]
    Drill(Step),
}

/// Commands that share their first word.
#[derive(Args, Serialize, Deserialize)]
pub struct Group<C: Subcommand> {
    #[command(subcommand)]
    pub command: C,
    #[command(flatten)]
    #[serde(skip)]
    output: Output,
}

impl Command {
    /// How its answer is printed.
    pub fn output(&self) -> Output {
        match self {
            Self::User(group) => group.output,
            Self::Client(group) => group.output,
            Self::ResourceServer(group) => group.output,
            Self::Revoke(group) => group.output,
            Self::Key(group) => group.output,
            Self::Purge(group) => group.output,
            Self::Backup(backup) => backup.output,
            Self::Ledger(group) => group.output,
            Self::Drill(_) => Output::default(),
        }
    }

    /// Reads what only the caller's process can: its standard input, and the folder that it runs in.
    ///
    /// # Errors
    /// When that can't be read.
    pub fn complete(&mut self) -> Result<(), Failure> {
        match self {
            Self::User(group) => group.command.complete(),
            Self::Revoke(group) => group.command.complete(),
            Self::Backup(backup) => backup.complete(),
            Self::Ledger(group) => group.command.complete(),
            _ => Ok(()),
        }
    }

    /// Whether it may be the first thing that is done with a database.
    pub const fn may_be_first(&self) -> bool {
        match self {
            Self::User(group) => matches!(group.command, UserCommand::Add { .. }),
            Self::Client(group) => matches!(group.command, ClientCommand::Add(_)),
            Self::ResourceServer(group) => matches!(group.command, ResourceServerCommand::Add { .. }),
            _ => false,
        }
    }

    /// Runs it in the process that holds the database.
    pub async fn execute(self, app: &App) -> Result<Value, Failure> {
        let by = By::operator(app.clock.now());
        match self {
            Self::User(group) => group.command.execute(app, by).await,
            Self::Client(group) => group.command.execute(app, by).await,
            Self::ResourceServer(group) => group.command.execute(app, by).await,
            Self::Revoke(group) => group.command.execute(app, by).await,
            Self::Key(group) => group.command.execute(app, by).await,
            Self::Purge(group) => group.command.execute(app).await,
            Self::Backup(backup) => backup.execute(app).await,
            Self::Ledger(group) => group.command.execute(app, by).await,
            Self::Drill(step) => step.execute(app, by).await,
        }
    }
}
