//! Ways to next hops, by the kernel's routes of a namespace: those that are lost take their paths along,
//! and the shorter one wins.

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arcus_api::v1::{Path, Route};
use interop_tests::Binaries;
use testbed::{Bed, Fabric, FrrRouter, Namespace, Process};

const CEILING: Duration = Duration::from_mins(1);
const ASN: u32 = 64512;
const CONTROL_NODE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PREFIX: &str = "203.0.113.0/24";

/// A router that tells the prefix, and the next hop that it names: none of a link.
struct Router {
    name: &'static str,
    asn: u32,
    address: Ipv4Addr,
    next_hop: Ipv4Addr,
}

const ONE: Router = Router {
    name: "mx1",
    asn: 65101,
    address: Ipv4Addr::new(10, 0, 2, 1),
    next_hop: Ipv4Addr::new(192, 0, 2, 1),
};
const OTHER: Router = Router {
    name: "mx2",
    asn: 65102,
    address: Ipv4Addr::new(10, 0, 2, 2),
    next_hop: Ipv4Addr::new(192, 0, 2, 2),
};

/// It tells nothing and hears what is best.
const LISTENER: (&str, u32, Ipv4Addr) = ("mx3", 65103, Ipv4Addr::new(10, 0, 2, 3));

struct Lab {
    bed: Bed,
    _fabric: Fabric,
    namespace: Namespace,
    binaries: Binaries,
    _daemon: Process,
    _routers: Vec<FrrRouter>,
    listener: FrrRouter,
}

impl Lab {
    async fn raise() -> Result<Self> {
        let bed = Bed::new("arcus-test")?;
        let binaries = Binaries::find()?;
        let fabric = bed.fabric().await?;
        let namespace = fabric.node(&bed, "ctl-1", CONTROL_NODE).await?;
        let topology = bed.run_dir().join("topology.toml");
        fs::write(&topology, text())?;
        let (run_dir, topology) =
            (bed.run_dir().display().to_string(), topology.display().to_string());
        let args = ["--topology", &topology, "--node", "ctl-1", "--run-dir", &run_dir];
        let daemon = bed.start(&namespace, "ctl-1", &binaries.bgpd, args)?;
        let mut routers = Vec::new();
        for Router { name, asn, address, next_hop } in [&ONE, &OTHER] {
            let node = fabric.node(&bed, name, *address).await?;
            let configuration = bgpd(*asn, *address, &format!(" network {PREFIX}\n"))
                + &format!("route-map out permit 10\n set ip next-hop {next_hop}\n");
            routers.push(FrrRouter::start(&bed, &node, name, &[("bgpd", &configuration)]).await?);
        }
        let (name, asn, address) = LISTENER;
        let node = fabric.node(&bed, name, address).await?;
        let configuration = bgpd(asn, address, "") + "route-map out deny 10\n";
        let listener = FrrRouter::start(&bed, &node, name, &[("bgpd", &configuration)]).await?;
        Ok(Self {
            bed,
            _fabric: fabric,
            namespace,
            binaries,
            _daemon: daemon,
            _routers: routers,
            listener,
        })
    }

    async fn way(&self, words: &str) -> Result<()> {
        self.namespace.ip(&format!("route {words}")).await.map(drop)
    }

    async fn paths(&self) -> Result<Vec<Path>> {
        let arcus = self.binaries.arcus.display().to_string();
        let socket = arcus_api::socket::path(self.bed.run_dir(), "ctl-1").display().to_string();
        let args = [&arcus, "--socket", &socket, "routes", "ipv4", "-o", "json"];
        let routes: Vec<Route> = serde_json::from_str(&self.namespace.run(&args).await?)?;
        let route = routes.into_iter().find(|route| route.nlri == PREFIX);
        Ok(route.context("no route")?.paths)
    }

    /// Waits until the best path is by this router (nobody: none is used), and the listener knows it.
    async fn is_best(&self, what: &str, router: Option<&Router>) -> Result<()> {
        self.bed
            .wait_for(what, CEILING, async || {
                let paths = self.paths().await?;
                ensure!(paths.len() == 2, "{paths:?}");
                let best = paths.iter().find(|path| path.best && path.why != "reachable");
                let by = best.map(|path| path.neighbor);
                let told = self.told().await?;
                ensure!(told == router.map(|router| router.next_hop), "told {told:?}: {paths:?}");
                if let Some(router) = router {
                    let first = paths.first().context("one")?;
                    ensure!(first.neighbor == router.address, "{by:?}: {paths:?}");
                }
                Ok(())
            })
            .await
            .with_context(|| self.bed.logs())
    }

    /// The next hop that the listener was told.
    async fn told(&self) -> Result<Option<Ipv4Addr>> {
        let route = self.listener.json(&format!("show bgp ipv4 unicast {PREFIX} json")).await?;
        let next_hop = &route["paths"][0]["nexthops"][0]["ip"];
        next_hop.as_str().map(|text| text.parse().context("a next hop")).transpose()
    }
}

fn text() -> String {
    let mut text = format!(
        "[federation]\nname = \"test\"\n\n[cloud.lab]\nasn = {ASN}\n\n\
         [cloud.lab.decision]\ntrack-next-hops = true\n\n\
         [cloud.lab.control-node.ctl-1]\naddress = \"{CONTROL_NODE}\"\n"
    );
    let (name, asn, address) = LISTENER;
    let routers = [&ONE, &OTHER].map(|router| (router.name, router.asn, router.address));
    for (name, asn, address) in routers.into_iter().chain([(name, asn, address)]) {
        let entry = format!(
            "\n[neighbor.{name}]\ncontrol-nodes = [\"ctl-1\"]\naddress = \"{address}\"\n\
             asn = {asn}\nfamilies = [\"ipv4\"]\nnext-hop = \"unchanged\"\n"
        );
        text.push_str(&entry);
    }
    text
}

fn bgpd(asn: u32, address: Ipv4Addr, tells: &str) -> String {
    format!(
        "router bgp {asn}\n bgp router-id {address}\n no bgp ebgp-requires-policy\n \
         no bgp default ipv4-unicast\n no bgp network import-check\n \
         neighbor {CONTROL_NODE} remote-as {ASN}\n neighbor {CONTROL_NODE} timers connect 1\n \
         neighbor {CONTROL_NODE} disable-connected-check\n \
         address-family ipv4 unicast\n  neighbor {CONTROL_NODE} activate\n  \
         neighbor {CONTROL_NODE} route-map out out\n {tells} exit-address-family\n"
    )
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn paths_come_and_go_with_the_kernels_ways_and_the_shorter_way_wins() -> Result<()> {
    let lab = Lab::raise().await?;
    lab.bed
        .wait_for("both have told their route", CEILING, async || {
            let paths = lab.paths().await?;
            ensure!(paths.len() == 2, "{paths:?}");
            Ok(())
        })
        .await?;
    lab.is_best("no way, no route", None).await?;

    let (one, other) = (ONE.next_hop, OTHER.next_hop);
    let (via_one, via_other) = (ONE.address, OTHER.address);
    lab.way(&format!("add {one}/32 via {via_one} metric 20")).await?;
    lab.is_best("the only one with a way", Some(&ONE)).await?;
    lab.way(&format!("add {other}/32 via {via_other} metric 10")).await?;
    lab.is_best("the nearer one", Some(&OTHER)).await?;
    let why: Vec<String> = lab.paths().await?.into_iter().map(|path| path.why).collect();
    ensure!(why.iter().all(|why| why == "next-hop-cost"), "{why:?}");

    lab.way(&format!("del {other}/32")).await?;
    lab.is_best("the way is lost, and the path with it", Some(&ONE)).await?;
    lab.way(&format!("add {other}/32 via {via_other} metric 30")).await?;
    lab.is_best("it is back, and farther", Some(&ONE)).await?;
    lab.way(&format!("add {other}/32 via {via_other} metric 15")).await?;
    lab.is_best("a shorter way beside it", Some(&OTHER)).await?;

    lab.way(&format!("del {one}/32")).await?;
    lab.is_best("the one that is left", Some(&OTHER)).await?;
    for _ in 0..2 {
        lab.way(&format!("del {other}/32")).await?;
    }
    lab.is_best("no way is left", None).await?;
    // A covering route is a way, too; one that says that there is none is not.
    lab.way(&format!("add 192.0.2.0/24 via {via_one}")).await?;
    lab.way(&format!("add unreachable {other}/32")).await?;
    lab.is_best("by a covering route", Some(&ONE)).await
}
