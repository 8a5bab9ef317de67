//! Open vSwitch in user space, as a router between a cable and tunnels of MPLS over GRE, or of VXLAN.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{Bed, GiveUp, Namespace, Process, UPLINK};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
const DATABASE: &str = "/usr/sbin/ovsdb-server";
const SWITCH: &str = "/usr/sbin/ovs-vswitchd";
const CEILING: Duration = Duration::from_secs(10);

/// `OpenFlow` port numbers of `br-int`.
pub(super) const MPLS_PORT: u16 = 10;
pub(super) const VXLAN_PORT: u16 = 11;
pub(super) const LAN_PORT: u16 = 20;

/// A running Open vSwitch with its own database, both in one namespace.
#[derive(Debug)]
pub struct Switch {
    namespace: Namespace,
    directory: PathBuf,
    /// The daemon first: it is dropped, and so ended, before its database.
    _daemon: Process,
    _database: Process,
}

impl Switch {
    /// Starts both daemons. The switch has no bridge yet.
    pub async fn start(bed: &Bed, namespace: &Namespace, name: &str) -> Result<Self> {
        ensure!(
            Path::new(SWITCH).exists(),
            "Open vSwitch is not installed: apt-get install openvswitch-switch"
        );
        let directory = bed.run_dir().join(format!("{name}-ovs"));
        fs::create_dir_all(&directory)?;
        let file = |name: &str| directory.join(name).display().to_string();
        namespace.run(&["ovsdb-tool", "create", &file("conf.db"), SCHEMA]).await?;
        let here = [("OVS_RUNDIR", directory.as_path())];
        let remote = format!("--remote=punix:{}", file("db.sock"));
        let control = |daemon: &str| format!("--unixctl={}", file(&format!("{daemon}.ctl")));
        let mut database = bed.start_with(
            namespace,
            &format!("{name}-ovsdb"),
            DATABASE,
            [&file("conf.db"), &remote, &control("db"), "--no-chdir"],
            &here,
        )?;
        let socket = directory.join("db.sock");
        bed.wait_for("ovsdb-server listens", CEILING, async || {
            ensure!(database.is_running(), GiveUp("it ended".to_owned()));
            ensure!(socket.exists(), "no socket yet");
            Ok(())
        })
        .await?;
        let db = format!("unix:{}", file("db.sock"));
        namespace.run(&["ovs-vsctl", &format!("--db={db}"), "--no-wait", "init"]).await?;
        let switch = bed.start_with(
            namespace,
            &format!("{name}-ovs"),
            SWITCH,
            [&db, &control("vs"), "--no-chdir"],
            &here,
        )?;
        Ok(Self { namespace: namespace.clone(), directory, _daemon: switch, _database: database })
    }

    /// `ovs-vsctl`; waits until the switch has done it.
    pub async fn vsctl(&self, args: &str) -> Result<String> {
        let database = format!("--db=unix:{}", self.directory.join("db.sock").display());
        let mut words = vec!["ovs-vsctl", &database, "--timeout=10"];
        words.extend(args.split_whitespace());
        self.namespace.run(&words).await
    }

    /// `ovs-ofctl COMMAND br-int REST`, for example `ofctl("add-flow", &["ip,actions=drop"])`.
    pub async fn ofctl(&self, command: &str, rest: &[&str]) -> Result<String> {
        let bridge = self.bridge();
        let mut words = vec!["ovs-ofctl", "-O", "OpenFlow15", command, &bridge];
        words.extend(rest);
        self.namespace.run(&words).await
    }

    /// How `br-int` is named on the command line of `ovs-ofctl`.
    pub fn bridge(&self) -> String {
        format!("unix:{}", self.directory.join("br-int.mgmt").display())
    }

    /// Puts the uplink and `address` on `br-phy`, and makes `br-int` with a tunnel port whose remote end
    /// and label are set by flows.
    ///
    /// The userspace datapath finds the way of a tunnel by itself: it needs the address on a bridge
    /// of its own, with the interface to the underlay as a port.
    pub async fn add_underlay(&self, address: Ipv4Addr) -> Result<()> {
        self.vsctl(&format!(
            "add-br br-phy -- set bridge br-phy datapath_type=netdev -- add-port br-phy {UPLINK} \
             -- add-br br-int -- set bridge br-int datapath_type=netdev fail_mode=secure \
             protocols=OpenFlow13,OpenFlow15 \
             -- add-port br-int gre0 -- set interface gre0 type=gre options:remote_ip=flow \
             options:packet_type=legacy_l3 ofport_request={MPLS_PORT}"
        ))
        .await?;
        // The kernel sees the frames of the uplink too, and would answer for the address of br-phy
        // with the hardware address of the uplink, where nobody takes a tunnel apart.
        let quiet = format!("net.ipv4.conf.{UPLINK}.arp_ignore=8");
        self.namespace.run(&["sysctl", "-qw", &quiet]).await?;
        self.namespace.ip(&format!("addr add {address}/8 dev br-phy")).await?;
        self.namespace.ip("link set dev br-phy up").await?;
        self.namespace.offload_off("br-phy").await
    }

    /// Adds a tunnel port for VXLAN, whose remote end and VNI are set by flows.
    pub async fn add_vxlan(&self) -> Result<()> {
        self.vsctl(&format!(
            "add-port br-int vxlan0 -- set interface vxlan0 type=vxlan options:remote_ip=flow \
             options:key=flow ofport_request={VXLAN_PORT}"
        ))
        .await
        .map(drop)
    }

    /// Makes an interface of the namespace a port of `br-int`.
    pub async fn add_lan(&self, interface: &str) -> Result<()> {
        self.vsctl(&format!(
            "add-port br-int {interface} -- set interface {interface} ofport_request={LAN_PORT}"
        ))
        .await
        .map(drop)
    }

    /// What the datapath does at this moment, for a person to read.
    pub async fn datapath_flows(&self) -> Result<String> {
        let control = self.directory.join("vs.ctl").display().to_string();
        self.namespace.run(&["ovs-appctl", "-t", &control, "dpctl/dump-flows"]).await
    }
}
