//! `arcus port`.

use std::net::IpAddr;

use arcus_api::v1::{AllowedSource, Floating, PortId, ServiceEndpoint};
use clap::{Args, Subcommand, value_parser};

use crate::port_args;

#[derive(Debug, Subcommand)]
pub(crate) enum PortCommand {
    /// Connect a network namespace to a network. Adding the same again changes nothing.
    #[command(after_help = "\
Examples:
  arcus port add --network database --netns db-1 --ip 10.0.100.4
  arcus port add --network nginx --netns web-1 --ip 10.10.0.5 --floating public/185.22.97.188
  arcus port add --network leonardo --netns leo-1 --ip 10.20.0.5 \\
                 --service leonardo/10.254.98.15:80=8080
  arcus port add --network web --netns fw-1 --ip 10.10.0.9 --ip 2001:db8:10::9 --filter web \\
                 --group web --allowed 10.99.0.0/16 --bandwidth 100M")]
    Add(Box<PortAddArgs>),

    /// Take a port away: first nobody is told of it any more, then it goes.
    Remove { id: PortId },

    /// All ports.
    List,

    /// Let a port take part in its services and floating addresses.
    Ready { id: PortId },

    /// Take a port out of its services and floating addresses; its own address stays.
    Unready { id: PortId },
}

#[derive(Debug, Args)]
pub(crate) struct PortAddArgs {
    /// A network of the topology.
    #[arg(long)]
    pub(crate) network: String,

    /// The workload's network namespace: a name as `ip netns` has it, or a path.
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) netns: String,

    /// Its address in the network; twice for one of each IP version.
    #[arg(long, required = true, value_name = "ADDRESS")]
    pub(crate) ip: Vec<IpAddr>,

    /// Made from the address if left out.
    #[arg(long)]
    pub(crate) mac: Option<String>,

    /// What the interface is called in the namespace.
    #[arg(long, default_value = "eth0")]
    pub(crate) interface: String,

    /// An address of another network under which the port is reached; may be given several times.
    #[arg(long, value_name = "NETWORK/ADDRESS", value_parser = port_args::floating)]
    pub(crate) floating: Vec<Floating>,

    /// A service that the port answers for: what comes to ADDRESS:PORT goes to TARGET of the port.
    /// /udp at the end for UDP; may be given several times.
    #[arg(
        long,
        value_name = "NETWORK/ADDRESS:PORT=TARGET",
        value_parser = port_args::service
    )]
    pub(crate) service: Vec<ServiceEndpoint>,

    /// A client of its services that was quiet for no longer than so many seconds comes back to it.
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u32).range(1..), requires = "service")]
    pub(crate) affinity: Option<u32>,

    /// Its share of the connections to its services and floating addresses, beside the weights of the
    /// other ports that have them.
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u32).range(1..))]
    pub(crate) weight: Option<u32>,

    /// A filter of the topology; that of the network if left out.
    #[arg(long, value_name = "NAME")]
    pub(crate) filter: Option<String>,

    /// A group of the topology; may be given several times. Those of the network if left out.
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Vec<String>,

    /// It belongs to no group, not even to those of its network.
    #[arg(long, conflicts_with = "group")]
    pub(crate) no_groups: bool,

    /// What it may send from besides its own addresses, with a MAC address if that is not its own; may
    /// be given several times.
    #[arg(long, value_name = "PREFIX[=MAC]", value_parser = port_args::allowed)]
    pub(crate) allowed: Vec<AllowedSource>,

    /// Most that it sends in a second: 500k, 100M, 1G or bits.
    #[arg(long, value_name = "BITS", value_parser = port_args::bandwidth)]
    pub(crate) bandwidth: Option<u64>,

    /// What the port is called; the name of the namespace if left out.
    #[arg(long)]
    pub(crate) id: Option<PortId>,

    /// Do not take part in services and floating addresses until `arcus port ready`.
    #[arg(long)]
    pub(crate) unready: bool,
}
