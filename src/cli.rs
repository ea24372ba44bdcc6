//! The command line.

pub mod client;
pub mod client_add;
pub mod command;
pub mod connections;
pub mod demo;
pub mod drill;
mod exposed;
pub mod guard;
pub mod print;
pub mod reason;
pub mod resource_server;
pub mod restore;
pub mod serve;
pub mod socket;
mod token_endpoint;
pub mod user;
mod wire;

use std::io::Read as _;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::clock::Clock;
use crate::config::guard::GuardConfig;
use crate::config::{Config, Faults};
use command::{Command, Failure};
use reason::Reason;

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
    /// People: add them, look them up, set roles and passwords
    #[command(subcommand)]
    User(UserTask),
    /// Apps: register, look up, rotate secrets, hand over, delete
    #[command(subcommand)]
    Client(ClientTask),
    /// The APIs that accept tokens: register, change, rotate secrets, delete
    #[command(subcommand)]
    ResourceServer(ResourceServerTask),
    /// Take access back
    #[command(subcommand)]
    Revoke(RevokeTask),
    /// The keys that sign JWT access tokens
    #[command(subcommand)]
    Key(KeyTask),
    /// Watch dead rows being removed
    #[command(subcommand)]
    Purge(PurgeTask),
    /// Write a consistent copy of the database to a new file, while the server runs
    Backup {
        file: std::path::PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Revoke an app of the drill's own again and again, and say how long a guard took to refuse it
    Drill(drill::Options),
    /// Put a backup in the place of the database; everything that was given before ends
    Restore(restore::Options),
    /// The record of who took what away
    #[command(subcommand)]
    Ledger(LedgerTask),
}

/// How results are printed.
#[derive(Args, Clone, Copy, Default)]
pub struct Output {
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum UserTask {
    #[command(flatten)]
    Known(user::Task),
    /// Add a person
    Add {
        name: String,
        #[arg(long)]
        email: Option<String>,
        /// user, developer or admin
        #[arg(long, default_value = "user")]
        role: String,
        /// Read the password from standard input
        #[arg(long, required = true)]
        password_stdin: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Set what a person may do: user, developer or admin
    SetRole {
        name: String,
        role: String,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        output: Output,
    },
    /// Set a person's password; their browsers are signed out
    SetPassword {
        name: String,
        /// Read the password from standard input
        #[arg(long, required = true)]
        password_stdin: bool,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Subcommand)]
enum KeyTask {
    /// All keys and what each is good for
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Publish another key, which signs a minute later
    Rotate {
        #[command(flatten)]
        output: Output,
    },
    /// Refuse all that a key has signed, at once and everywhere
    Withdraw {
        kid: String,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Subcommand)]
enum PurgeTask {
    /// What is being removed, and how much of it is gone
    Status {
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Subcommand)]
enum LedgerTask {
    /// Write the whole ledger to a new file, as JSON lines, while the server runs
    Export {
        file: std::path::PathBuf,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Subcommand)]
enum ClientTask {
    #[command(flatten)]
    Known(client::Task),
    /// Register an app; its secret is printed once
    Add {
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
        #[arg(long)]
        redirect_uri: Vec<String>,
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
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Subcommand)]
enum ResourceServerTask {
    #[command(flatten)]
    Known(resource_server::Task),
    /// Register an API; its secret is printed once
    Add {
        name: String,
        /// The `aud` of tokens for it: an absolute URI
        #[arg(long)]
        audience: String,
        /// `NAME=What it allows, in plain words`; may be given several times
        #[arg(long = "scope")]
        scopes: Vec<String>,
        /// Seconds for which its guards may go on without an answer from here: 1 to 300
        #[arg(long, default_value_t = 10, allow_negative_numbers = true)]
        max_staleness: i64,
        /// It checks JWTs without a guard: each works there until it expires
        #[arg(long)]
        without_guard: bool,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Subcommand)]
enum RevokeTask {
    /// All tokens of an app; the app goes on and has to ask its users anew
    Client {
        id: String,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        output: Output,
    },
    /// All that apps hold for a person; their browsers are signed out
    User {
        name: String,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        output: Output,
    },
    /// One app's access to one account
    Grant {
        id: String,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        output: Output,
    },
    /// One token, read from standard input: `-`
    Token {
        from: String,
        #[command(flatten)]
        output: Output,
    },
}

/// Whoever runs the command may run in another folder.
fn absolute(file: &std::path::Path) -> Result<std::path::PathBuf, Failure> {
    std::path::absolute(file).map_err(|error| Failure::usage(format!("FILE {}: {error}", file.display())))
}

/// The first line of standard input.
fn line_from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(64 * 1024)
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("standard input: {error}")))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// What a database task asks for, and how to print the answer.
fn command(task: Task) -> Result<(Command, Output), Failure> {
    Ok(match task {
        Task::User(UserTask::Add { name, email, role, output, .. }) => {
            (Command::UserAdd { name, email, role, password: line_from_stdin()? }, output)
        }
        Task::User(UserTask::SetPassword { name, reason, output, .. }) => {
            (Command::UserSetPassword { name, password: line_from_stdin()?, reason }, output)
        }
        Task::User(UserTask::SetRole { name, role, reason, output }) => {
            (Command::UserSetRole { name, role, reason }, output)
        }
        Task::User(UserTask::Known(task)) => {
            let output = task.output();
            (Command::User { task }, output)
        }
        Task::Client(ClientTask::Known(task)) => {
            let output = task.output();
            (Command::Client { task }, output)
        }
        Task::ResourceServer(ResourceServerTask::Known(task)) => {
            let output = task.output();
            (Command::ResourceServer { task }, output)
        }
        Task::Key(KeyTask::List { output }) => (Command::KeyList, output),
        Task::Key(KeyTask::Rotate { output }) => (Command::KeyRotate, output),
        Task::Key(KeyTask::Withdraw { kid, reason, output }) => {
            (Command::KeyWithdraw { kid, reason }, output)
        }
        Task::Purge(PurgeTask::Status { output }) => (Command::PurgeStatus, output),
        Task::Backup { file, output } => (Command::Backup { file: absolute(&file)? }, output),
        Task::Ledger(LedgerTask::Export { file, output }) => {
            (Command::LedgerExport { file: absolute(&file)? }, output)
        }
        Task::Client(ClientTask::Add {
            owner,
            name,
            publisher,
            redirect_uri,
            public,
            token_format,
            grant_types,
            scopes,
            output,
        }) => {
            let kind = if public { "public" } else { "confidential" }.to_owned();
            let client = client_add::ClientAdd {
                owner,
                name,
                publisher,
                redirect_uris: redirect_uri,
                kind,
                token_format,
                grant_types,
                scopes,
            };
            (Command::ClientAdd(client), output)
        }
        Task::ResourceServer(ResourceServerTask::Add {
            name,
            audience,
            scopes,
            max_staleness,
            without_guard,
            output,
        }) => (Command::ResourceServerAdd { name, audience, scopes, max_staleness, without_guard }, output),
        Task::Revoke(RevokeTask::Client { id, reason, output }) => {
            (Command::RevokeClient { id, reason }, output)
        }
        Task::Revoke(RevokeTask::User { name, reason, output }) => {
            (Command::RevokeUser { name, reason }, output)
        }
        Task::Revoke(RevokeTask::Grant { id, reason, output }) => {
            (Command::RevokeGrant { id, reason }, output)
        }
        Task::Revoke(RevokeTask::Token { from, output }) => {
            if from != "-" {
                return Err(Failure::usage("a token is read from standard input alone: give `-`".to_owned()));
            }
            (Command::RevokeToken { token: line_from_stdin()? }, output)
        }
        Task::Demo(_)
        | Task::Drill(_)
        | Task::Guard { .. }
        | Task::Restore(_)
        | Task::Serve
        | Task::Settings => {
            return Err(Failure::usage("not a command on the database".to_owned()));
        }
    })
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
            Task::Demo(options) => block_on(demo::run(options)),
            Task::Drill(options) => run_drill(options),
            task => run_command(task),
        };
        match result {
            Ok(()) => 0,
            Err(failure) => {
                print::complain(&format!("rescind: {failure}"));
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

fn run_command(task: Task) -> Result<(), Failure> {
    let (command, output) = command(task)?;
    let config = config()?;
    let answer = block_on(command::run(config, Clock::System, command))?;
    print::answer(&answer, output)
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Runtime::new().context("the runtime can't start").map_err(Failure::from)?;
    runtime.block_on(work)
}
