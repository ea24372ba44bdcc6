//! Reads the command line and runs one command.

use clap::Parser as _;
use rescind::cli::Cli;

fn main() -> std::process::ExitCode {
    Cli::parse().run().into()
}
