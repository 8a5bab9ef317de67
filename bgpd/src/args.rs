//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use arcus_api::socket;
use clap::Parser;

/// BGP route reflector of one control node.
///
/// Reads the topology file of the federation, and is told which control node of it this is. All else
/// follows: its peers, what they may announce and what they are told. SIGHUP reads the file again;
/// a file with a mistake changes nothing.
#[derive(Debug, Parser)]
#[command(name = "arcus-bgpd", version = daemon::version(), after_help = "Examples:
  arcus-bgpd --topology /etc/arcus/leonardo.toml --node os-ctl-1
  arcus check /etc/arcus/leonardo.toml          what is wrong with the file, without a daemon
  arcus --node os-ctl-1 neighbors               what it does")]
pub(crate) struct Args {
    /// The topology file; the same for every daemon of the federation.
    #[arg(long, value_name = "FILE", required_unless_present = "replay")]
    pub(crate) topology: Option<PathBuf>,

    /// Which control node of the topology this is.
    #[arg(long, value_name = "NAME", required_unless_present = "replay")]
    pub(crate) node: Option<String>,

    /// Where the API socket NAME.sock is made.
    #[arg(long, value_name = "DIR", env = socket::RUN_DIR_ENV, default_value = socket::RUN_DIR)]
    pub(crate) run_dir: PathBuf,

    /// Listen for BGP here instead of the address and port in the topology.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    /// Serve the API on this loopback address too.
    #[arg(long, value_name = "127.0.0.1:PORT")]
    pub(crate) http: Option<SocketAddr>,

    /// Table shards, each a thread. More than one pays above four cores only.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) shards: Option<u16>,

    /// Write all inputs of each shard to DIR/shard-NUMBER.journal.
    #[arg(long, value_name = "DIR")]
    pub(crate) journal: Option<PathBuf>,

    /// Run a shard over a journal, print where it ends, and exit.
    #[arg(long, value_name = "FILE", exclusive = true)]
    pub(crate) replay: Option<PathBuf>,
}

impl Args {
    /// One shard up to four cores; above, one for each four.
    pub(crate) fn shard_count(&self) -> u16 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.shards.unwrap_or_else(|| u16::try_from(cores / 4).unwrap_or(64).clamp(1, 64))
    }
}
