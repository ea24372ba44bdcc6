//! The command line.

mod backup;
mod client;
mod client_add;
mod command;
mod connections;
mod demo;
mod drill;
mod drill_step;
mod exposed;
mod failure;
mod guard;
mod holder;
mod input;
mod key;
mod ledger;
mod list;
mod migrate;
mod print;
mod purge;
mod reason;
mod resource_server;
mod restore;
mod revoke;
mod serve;
mod socket;
mod timed_stream;
mod token_endpoint;
mod user;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::clock::Clock;
use crate::config::guard::GuardConfig;
use crate::config::{Config, Faults};
use command::Command;
use failure::Failure;
use print::Output;

/// An OAuth 2.0 authorization server in which taking access back works as well as giving it.
#[derive(Parser)]
#[command(name = "rescind", version)]
pub struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start a whole sample world on loopback: server, sample app, sample API and three people
    Demo(demo::Options),
    /// Start the server; settings come from the environment (docs/settings.md)
    Serve,
    /// Answer the proxy of a resource server, which asks about each request (docs/resource-servers.md)
    Guard {
        #[command(flatten)]
        output: Output,
    },
    /// Print all settings
    Settings,
    #[command(flatten)]
    OnDatabase(Command),
    /// Revoke an app of the drill's own again and again, and say how long a guard took to refuse it
    Drill(drill::Options),
    /// Copy the SQLite database, while no server runs on it, into an empty PostgreSQL one
    Migrate(migrate::Options),
    /// Put a backup in the place of the database; everything that was given before ends
    Restore(restore::Options),
}

/// The settings of this process's environment.
///
/// # Errors
/// All that is wrong with them.
fn config() -> Result<Config, Failure> {
    from_environment(Config::read)
}

fn from_environment<T>(
    read: impl Fn(&dyn Fn(&str) -> Option<String>) -> Result<T, Faults>,
) -> Result<T, Failure> {
    // U+FFFD stands in no valid value, so one that is no text is reported with the other faults.
    let get = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    read(&get).map_err(|faults| Failure::usage(faults.to_string()))
}

impl Cli {
    /// Runs the command; what it returns is the process's exit code.
    pub fn run(self) -> u8 {
        let result = match self.task {
            Task::Settings => print::print(&Config::documentation()),
            Task::Serve => config().and_then(|config| block_on(serve::run(config))),
            Task::Guard { output } => {
                from_environment(GuardConfig::read).and_then(|config| block_on(guard::run(config, output)))
            }
            Task::Restore(options) => config().and_then(|config| {
                let output = options.output;
                let answer = block_on(restore::run(config, Clock::System, options))?;
                print::answer(&answer, output)
            }),
            Task::Migrate(options) => config().and_then(|config| {
                let output = options.output;
                let answer = block_on(migrate::run(config, options))?;
                print::answer(&answer, output)
            }),
            Task::Demo(options) => block_on(demo::run(options)),
            Task::Drill(options) => run_drill(options),
            Task::OnDatabase(command) => run_on_database(command),
        };
        match result {
            Ok(()) => 0,
            Err(failure) => {
                print::print_error(&format!("rescind: {failure}"));
                failure.exit
            }
        }
    }
}

fn run_drill(options: drill::Options) -> Result<(), Failure> {
    let output = options.output;
    let answer = if options.is_standalone() {
        block_on(drill::run_standalone(options))?
    } else {
        block_on(drill::run(config()?, options))?
    };
    print::answer(&answer, output)
}

fn run_on_database(mut command: Command) -> Result<(), Failure> {
    let output = command.output();
    command.complete()?;
    let answer = block_on(holder::run(config()?, Clock::System, command))?;
    print::answer(&answer, output)
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Runtime::new().context("the runtime can't start").map_err(Failure::from)?;
    runtime.block_on(work)
}
