//! The words of the command line.

mod port;
mod trace;

use std::net::IpAddr;
use std::path::PathBuf;

use arcus_api::v1::{Family, PortId};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ipnet::IpNet;

pub(crate) use self::port::{PortAddArgs, PortCommand};
pub(crate) use self::trace::TraceArgs;

const EXAMPLES: &str = "\
Examples:
  arcus status                                   every daemon on this machine
  arcus --node os-ctl-1 neighbors                BGP sessions of a control node
  arcus --node os-ctl-1 routes vpnv4 --target 64512:100
  arcus --node os-ctl-1 route vpnv4 10.2.1.11:1:10.20.0.5/32
  arcus vrf leonardo                             where a node sends what
  arcus drops                                    what it does not send, and why
  arcus trace --from-port db-1 --to 10.0.0.1:80  what becomes of a packet, step by step
  arcus port add --network database --netns db-1 --ip 10.0.100.4
  arcus check leonardo.toml                      a topology file, without a daemon

Which daemon is asked: --socket, else --node, else $ARCUS_SOCKET, else the only one that runs here.
Exit status: 0 done, 1 refused or failed, 2 not understood.";

/// Look into the daemons of Arcus, and give a node its ports.
#[derive(Debug, Parser)]
#[command(name = "arcus", version, after_help = EXAMPLES, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) at: At,

    /// `wide` shows more columns, `json` everything.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORM",
        help_heading = "Which daemon, and how"
    )]
    pub(crate) output: Output,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which daemon is asked.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Which daemon, and how")]
pub(crate) struct At {
    /// The daemon's socket.
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "node")]
    pub(crate) socket: Option<PathBuf>,

    /// The daemon's name: a control node's, or CLOUD-ADDRESS of an agent (kubernetes-10.2.1.11).
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) node: Option<String>,

    /// Where the daemons have their sockets.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = arcus_api::socket::RUN_DIR_ENV,
        default_value = arcus_api::socket::RUN_DIR
    )]
    pub(crate) run_dir: PathBuf,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    #[default]
    Table,
    Wide,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Who runs here, on which generation of the topology.
    Status,

    /// BGP neighbors, or one in detail.
    #[command(after_help = "\
Examples:
  arcus neighbors                       all of them, by address
  arcus neighbors 10.2.0.1              one, by its address
  arcus neighbors mx1                   one, by its name in the topology")]
    Neighbors {
        #[arg(value_name = "ADDRESS|NAME")]
        neighbor: Option<String>,
    },

    /// Routes of a control node.
    #[command(after_help = "\
Status of a route: * a path, > the best, = as good but for its identity, S stale (kept over a restart of the neighbor).
The first column is what `arcus route FAMILY NLRI` takes.")]
    Routes(RoutesArgs),

    /// One route of a control node, all its paths, and why the best is the best.
    #[command(after_help = "\
Examples:
  arcus route vpnv4 10.2.1.11:1:10.20.0.5/32     one route distinguisher
  arcus route vpnv4 10.20.0.5/32                 all of them
  arcus route ipv4 192.0.2.0/24")]
    Route {
        #[arg(value_parser = family())]
        family: Family,
        /// As `arcus routes` prints it.
        nlri: String,
    },

    /// Route targets of a control node: who asked for them, how many routes carry them.
    Targets,

    /// What a control node has told a neighbor.
    Advertised {
        address: IpAddr,
        #[arg(default_value = "vpnv4", value_parser = family())]
        family: Family,
        /// Show at most so many; 0 shows all.
        #[arg(long, default_value_t = 1000, value_name = "COUNT")]
        limit: usize,
    },

    /// VRFs of a node.
    Vrfs,

    /// One VRF of a node and all its routes.
    Vrf { name: String },

    /// Ports of a node.
    #[command(subcommand)]
    Port(PortCommand),

    /// Tunnels that routes of a node use.
    Tunnels,

    /// Packets that a node dropped, by reason.
    Drops {
        /// Also the reasons that never occurred.
        #[arg(short, long)]
        all: bool,
    },

    /// What a node has counted: all of it, or one kind.
    #[command(after_help = "\
Received is what workloads sent, or what came out of tunnels; octets are those of the workloads' packets.
Drops have a list of their own: `arcus drops`.")]
    Counters { kind: Option<CounterKind> },

    /// Follow one packet through the tables of a node. Nothing is sent, counted or remembered.
    #[command(after_help = "\
Examples:
  arcus trace --from-port db-1 --to 10.20.0.5                an ICMP echo request
  arcus trace --from-port db-1 --to 10.0.0.1:80              the first packet of a TCP connection
  arcus trace --from-port db-1 --to [2001:db8::5]:53 --protocol udp --size 1400
  arcus trace --from-uplink --tunnel mpls-over-udp/10.1.1.11/16 --source 10.10.0.5 --to 10.20.0.5:80
  arcus trace --from-port db-1 --octets 45000054..           any packet, in hexadecimal digits

Exit status: 0 when it is delivered, sent or answered, 1 when it is dropped.")]
    Trace(Box<TraceArgs>),

    /// Copy the packets of a port into a pcap file.
    #[command(after_help = "\
Examples:
  arcus mirror db-1 | tcpdump -nr -
  arcus mirror db-1 -w db-1.pcap --seconds 60
  arcus mirror db-1 --erspan 10.3.0.9 --session 7")]
    Mirror {
        port: PortId,
        /// - is standard output.
        #[arg(short, long, value_name = "FILE", default_value = "-", conflicts_with = "erspan")]
        write: PathBuf,
        /// Until Ctrl-C if left out.
        #[arg(long)]
        seconds: Option<u32>,
        /// Octets of each packet at most.
        #[arg(long, value_name = "OCTETS")]
        snaplen: Option<u32>,
        /// Have the node send the packets there, in ERSPAN type II over GRE, instead of writing them.
        #[arg(long, value_name = "ADDRESS")]
        erspan: Option<IpAddr>,
        /// The session there, 0 to 1023; 1 if left out.
        #[arg(long, value_name = "NUMBER", requires = "erspan")]
        session: Option<u16>,
    },

    /// Have a daemon read its topology file again, and say what that changed.
    Reload,

    /// Say whether a topology file is right; if not, at which line, and what to write.
    #[command(after_help = "\
Example:
  arcus check /etc/arcus/topology.toml && systemctl reload 'arcus-*'")]
    Check { file: PathBuf },

    /// Say what would change from one topology file to another, and which sessions would notice.
    #[command(after_help = "\
Example:
  arcus plan /etc/arcus/topology.toml new.toml")]
    Plan { old: PathBuf, new: PathBuf },

    /// Choose the route targets that connections leave out, and record them beside the file.
    Allocate { file: PathBuf },

    /// Print the completions of a shell.
    #[command(after_help = "\
Example:
  arcus completions bash > /etc/bash_completion.d/arcus")]
    Completions { shell: Shell },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CounterKind {
    Ports,
    Tunnels,
    Vrfs,
    Rules,
}

#[derive(Debug, Args)]
pub(crate) struct RoutesArgs {
    #[arg(default_value = "vpnv4", value_parser = family())]
    pub(crate) family: Family,

    /// Only of this route distinguisher.
    #[arg(long)]
    pub(crate) rd: Option<String>,

    /// Only with this route target.
    #[arg(long)]
    pub(crate) target: Option<String>,

    /// Only this prefix and what is inside it.
    #[arg(long)]
    pub(crate) prefix: Option<IpNet>,

    /// Only what this neighbor told.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) neighbor: Option<IpAddr>,

    /// Show at most so many; 0 shows all.
    #[arg(long, default_value_t = 1000, value_name = "COUNT")]
    pub(crate) limit: usize,
}

/// The families by name, so that help and completions list them.
fn family() -> impl TypedValueParser<Value = Family> {
    PossibleValuesParser::new(Family::ALL.map(Family::name)).try_map(|name| name.parse::<Family>())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn routes_of_vpnv4_are_the_usual_question() {
        let cli = parse("arcus routes --target 64512:100 --node os-ctl-1 -o wide").expect("parses");
        assert_eq!((cli.at.node.as_deref(), cli.output), (Some("os-ctl-1"), Output::Wide));
        let Command::Routes(args) = cli.command else { panic!("another command") };
        assert_eq!((args.family, args.target.as_deref()), (Family::Vpnv4, Some("64512:100")));
    }

    #[test]
    fn a_port_is_added_as_the_readme_says() {
        let cli = parse(
            "arcus port add --network leonardo --netns leo-1 --ip 10.20.0.5 \
             --floating public/185.22.97.188 --service leonardo/10.254.98.15:80=8080 --unready",
        )
        .expect("parses");
        let Command::Port(PortCommand::Add(args)) = cli.command else { panic!("another command") };
        assert_eq!(args.floating[0].network, "public");
        assert_eq!(args.service[0].target_port, 8080);
        assert!(args.unready);
        assert_eq!(args.interface, "eth0");
        assert_eq!(args.ip.len(), 1);
    }

    #[test]
    fn what_is_not_understood_is_status_2() {
        for line in [
            "arcus",
            "arcus routes l3vpn",
            "arcus --socket /x --node y status",
            "arcus port add --network database --netns db-1 --ip 10.0.100.4/24",
            "arcus port add --network n --netns db-1 --ip 10.0.0.4 --service leonardo:80",
            "arcus port remove ../x",
        ] {
            assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
        }
    }
}
