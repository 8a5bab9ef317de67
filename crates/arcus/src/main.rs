//! `arcus`: what the daemons of this machine know, and what a topology file would do.
//!
//! A command is one or a few requests to one daemon (`client`), whose answers are plain values
//! (`arcus-api`) and become text in `view`. Knows nothing of the inside of a daemon.

mod cli;
mod client;
mod commands;
mod daemons;
mod output;
mod packets;
mod port_args;
mod table;
mod topology_commands;
mod view;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::output::Printer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut printer = Printer::stdout(cli.output);
    match commands::run(cli, &mut printer).await {
        Ok(code) => code,
        // `arcus routes | head` is no failure.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            printer.complain(&error);
            ExitCode::FAILURE
        }
    }
}
