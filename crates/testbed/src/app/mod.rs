//! The small programs that run inside the namespaces: a web application, its client, a measured TCP
//! transfer, and the follower that programs a gateway. They need no package.
//!
//! A program of a bed includes [`App`] as a subcommand; [`AppBinary`] says how it is started then.

mod http;
mod transfer;
mod web;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::gateway::follower::Follow;

pub use http::get;
pub use transfer::{Sink, Source};
pub use web::{Fetch, Web};

/// What a workload or a gateway of the bed can run.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum App {
    /// Serve the web application of one workload
    Web(Web),
    /// Get a page several times, each over a connection of its own
    Fetch(Fetch),
    /// Receive TCP transfers and check every octet
    Sink(Sink),
    /// Send a TCP transfer to a sink, and check what it says
    Source(Source),
    /// Keep the flows of an Open vSwitch as a table of an FRR says
    Follow(Follow),
}

impl App {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Web(web) => web.run().await,
            Self::Fetch(fetch) => fetch.run().await,
            Self::Sink(sink) => sink.run().await,
            Self::Source(source) => source.run().await,
            Self::Follow(follow) => follow.run().await,
        }
    }
}

/// A program that has [`App`] as its subcommands, and the words that lead to them.
#[derive(Debug, Clone)]
pub struct AppBinary {
    program: PathBuf,
    words: Vec<String>,
}

impl AppBinary {
    pub fn new(program: impl Into<PathBuf>, words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { program: program.into(), words }
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// All arguments for the app that `args` names.
    pub fn args(&self, args: &[&str]) -> Vec<String> {
        self.words.iter().cloned().chain(args.iter().map(|arg| (*arg).to_owned())).collect()
    }
}
