//! The command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use arcus_api::socket;
use clap::Parser;

/// Where the state directories of agents are.
const STATE_DIR: &str = "/var/lib/arcus";

/// Forwarding agent of one node.
///
/// Reads the topology file of the federation, and is told which node of which cloud this is. Ports
/// come in through its API (`arcus port add`), routes through BGP from the control nodes of its
/// cloud; the data plane forwards by both, and goes on while the agent is away. SIGHUP reads the file
/// again; a file with a mistake changes nothing.
#[derive(Debug, Parser)]
#[command(name = "arcus-vrouter-agent", version = daemon::version(), after_help = "Examples:
  arcus-vrouter-agent --topology /etc/arcus/leonardo.toml --cloud kubernetes --address 10.2.1.11
  arcus port list                               what it has
  arcus-vrouter-agent --topology /etc/arcus/leonardo.toml --cloud kubernetes --address 10.2.1.11 \\
      --purge                                   takes its data plane away and ends")]
pub struct Args {
    /// The topology file; the same for every daemon of the federation.
    #[arg(long, value_name = "FILE")]
    pub topology: PathBuf,

    /// The cloud that this node belongs to.
    #[arg(long, value_name = "NAME")]
    pub cloud: String,

    /// This node's address in the underlay: BGP connects from it, tunnels end at it.
    #[arg(long, value_name = "IP")]
    pub address: IpAddr,

    /// Beside an IPv4 address: where tunnels over IPv6 end.
    #[arg(long, value_name = "IPV6")]
    pub address6: Option<Ipv6Addr>,

    /// BGP identifier and upper part of route distinguishers, unique in the federation; the IPv4
    /// address, or made from the IPv6 address, if not given.
    #[arg(long, value_name = "IPV4")]
    pub router_id: Option<Ipv4Addr>,

    /// What the node is called; CLOUD-ADDRESS if not given.
    #[arg(long)]
    pub name: Option<String>,

    /// Where ports, labels and VRF numbers are kept; /var/lib/arcus/NAME if not given.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Where the API socket NAME.sock is made.
    #[arg(long, value_name = "DIR", env = socket::RUN_DIR_ENV, default_value = socket::RUN_DIR)]
    pub run_dir: PathBuf,

    /// The interface of the underlay; the one that holds the address if not given.
    #[arg(long, value_name = "INTERFACE")]
    pub uplink: Option<String>,

    /// Name of the data plane's pinned state, unlike that of every other agent on the machine; made
    /// from the node's name if not given.
    #[arg(long, value_name = "NAME", alias = "bpffs-instance")]
    pub instance: Option<String>,

    /// Serve the API on this loopback address too, for reading.
    #[arg(long, value_name = "127.0.0.1:PORT")]
    pub http: Option<SocketAddr>,

    /// Remove the data plane of this node, with all its interfaces, and end.
    #[arg(long)]
    pub purge: bool,
}

impl Args {
    pub fn node_name(&self) -> String {
        let default = || socket::agent_name(&self.cloud, self.address);
        self.name.clone().unwrap_or_else(default)
    }

    pub fn state_dir(&self) -> PathBuf {
        let default = || PathBuf::from(STATE_DIR).join(self.node_name());
        self.state_dir.clone().unwrap_or_else(default)
    }

    /// One directory name of letters, digits, `-` and `_`.
    pub fn instance(&self) -> String {
        let given = self.instance.clone().unwrap_or_else(|| self.node_name());
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        given.chars().map(plain).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn args(more: &[&str]) -> Args {
        let least = ["agent", "--topology", "t.toml", "--cloud", "k8s", "--address", "10.2.1.11"];
        Args::try_parse_from(least.iter().chain(more)).expect("a command line")
    }

    #[test]
    fn names_follow_from_cloud_and_address() {
        Args::command().debug_assert();
        let plain = args(&[]);
        assert_eq!(plain.node_name(), "k8s-10.2.1.11");
        assert_eq!(plain.instance(), "k8s-10-2-1-11");
        assert_eq!(plain.state_dir(), PathBuf::from("/var/lib/arcus/k8s-10.2.1.11"));
        let named = args(&["--name", "n1", "--state-dir", "/x", "--bpffs-instance", "a/b"]);
        assert_eq!((named.node_name().as_str(), named.instance().as_str()), ("n1", "a-b"));
        assert_eq!(named.state_dir(), PathBuf::from("/x"));
    }
}
