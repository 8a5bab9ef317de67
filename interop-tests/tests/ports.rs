//! Ports, services and floating addresses that change while everything runs.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use interop_tests::proofs::{self, Encapsulation};
use interop_tests::traffic::reaches;
use interop_tests::{Federation, SILENT, scene};
use testbed::{Bed, GiveUp, Namespace, Process};

const CEILING: Duration = Duration::from_secs(30);
const REQUEST: Duration = Duration::from_secs(3);

/// A floating address that nobody has in the scene.
const OWN: Ipv4Addr = Ipv4Addr::new(185, 22, 97, 200);
const OWN_FLOATING: &str = "public/185.22.97.200";

/// Where the client outside listens.
const OUTSIDE_PORT: u16 = 9000;

async fn raise() -> Result<Federation> {
    let bed = Bed::fresh("arcus-test")?;
    let topology = Encapsulation::MplsOverGre.topology()?;
    let federation = Federation::raise(bed, &topology, SILENT).await?;
    federation.wait_for_sessions().await?;
    Ok(federation)
}

/// The next hops that FRR on mx1 has for an address.
async fn next_hops(federation: &Federation, address: Ipv4Addr) -> Result<BTreeSet<String>> {
    let command = format!("show bgp ipv4 vpn {address}/32 json");
    let text = federation.gateway("mx1")?.frr().show(&command).await?;
    let table: serde_json::Value = serde_json::from_str(&text)?;
    let want = format!("{address}/32");
    let routes = table.as_object().into_iter().flat_map(|rds| rds.values());
    let paths = routes
        .filter(|route| route["prefix"].as_str() == Some(&want))
        .flat_map(|route| route["paths"].as_array().into_iter().flatten());
    let next_hops = paths.filter_map(|path| path["nexthops"][0]["ip"].as_str());
    Ok(next_hops.map(str::to_owned).collect())
}

async fn wait_for_next_hops(
    federation: &Federation,
    address: Ipv4Addr,
    nodes: &[&str],
) -> Result<()> {
    let want: BTreeSet<String> = scene::NODES
        .iter()
        .filter(|node| nodes.contains(&node.name))
        .map(|node| node.address.to_string())
        .collect();
    federation
        .bed()
        .wait_for(&format!("FRR has {address} at {nodes:?}"), CEILING, async || {
            let seen = next_hops(federation, address).await?;
            ensure!(seen == want, "it has {seen:?}");
            Ok(())
        })
        .await
}

/// Who answers `count` requests, of which none may fail.
async fn who_answers(
    federation: &Federation,
    from: &Namespace,
    to: Ipv4Addr,
    count: u32,
) -> Result<BTreeSet<String>> {
    let to = SocketAddr::from((to, 80));
    let answers = federation.fetch(from, to, "/", count, REQUEST).await?;
    Ok(answers.lines().map(str::to_owned).collect())
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn the_route_of_a_port_that_is_removed_leaves_the_gateways() -> Result<()> {
    let federation = raise().await?;
    let all = ["k8s-node-1", "k8s-node-2", "k8s-node-3"];
    wait_for_next_hops(&federation, scene::FLOATING, &all).await?;
    proofs::outside_reaches_all_nginx_pods(&federation).await?;

    federation.arcus("k8s-node-3", &["port", "remove", "nginx-3"]).await?;
    wait_for_next_hops(&federation, scene::FLOATING, &["k8s-node-1", "k8s-node-2"]).await?;
    let want = names(["nginx-1", "nginx-2"]);
    federation
        .bed()
        .wait_for("only two pods answer, and always", CEILING, async || {
            let seen = who_answers(&federation, federation.outside(), scene::FLOATING, 40).await?;
            ensure!(seen == want, "it was {seen:?}");
            Ok(())
        })
        .await?;
    // The workload has no interface any more, and its node no other trace of it.
    let workload = federation.workload("nginx-3")?;
    federation
        .bed()
        .wait_for("the interface goes", CEILING, async || {
            let links = workload.run(&["ip", "-br", "link"]).await?;
            ensure!(!links.contains("eth0"), "{links}");
            Ok(())
        })
        .await?;
    let ports = federation.arcus("k8s-node-3", &["port", "list"]).await?;
    ensure!(!ports.contains("nginx-3"), "{ports}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_pod_that_is_not_ready_leaves_the_service_and_keeps_its_address() -> Result<()> {
    let federation = raise().await?;
    proofs::nginx_reaches_leonardo_by_its_service(&federation).await?;
    federation.arcus("k8s-node-2", &["port", "unready", "leonardo-2"]).await?;
    let others = names(["leonardo-1", "leonardo-3"]);
    for pod in scene::workloads("nginx") {
        let from = federation.workload(pod.name)?;
        federation
            .bed()
            .wait_for(&format!("{} asks the other two", pod.name), CEILING, async || {
                let seen = who_answers(&federation, from, scene::SERVICE, 40).await?;
                ensure!(seen == others, "it was {seen:?}");
                Ok(())
            })
            .await?;
    }
    let leonardo = scene::workloads("leonardo").nth(1).context("a second pod")?;
    let db = federation.workload("db-1")?;
    ensure!(reaches(db, leonardo.address).await?, "its own address is lost");
    federation.arcus("k8s-node-2", &["port", "ready", "leonardo-2"]).await?;
    proofs::nginx_reaches_leonardo_by_its_service(&federation).await.map(drop)
}

/// A server outside that logs where connections come from.
struct Outside {
    sink: Process,
}

impl Outside {
    async fn listen(federation: &Federation) -> Result<Self> {
        let app = federation.app();
        let at = format!("{}:{OUTSIDE_PORT}", scene::CLIENT);
        let listen = app.args(&["sink", "--listen", &at]);
        let bed = federation.bed();
        let mut sink = bed.start(federation.outside(), "outside-sink", app.program(), listen)?;
        bed.wait_for("the server outside listens", CEILING, async || {
            ensure!(sink.is_running(), GiveUp(sink.output()));
            ensure!(sink.output().contains("listening"), "not yet");
            Ok(())
        })
        .await?;
        Ok(Self { sink })
    }

    /// Sends for a second from a workload to the outside; an error if there is no connection.
    async fn is_sent_to(&self, federation: &Federation, from: &str) -> Result<()> {
        let app = federation.app();
        let program = app.program().to_str().context("a path that is not UTF-8")?;
        let to = format!("{}:{OUTSIDE_PORT}", scene::CLIENT);
        let send = app.args(&["source", &to, "--seconds", "1"]);
        let words: Vec<&str> =
            [program].into_iter().chain(send.iter().map(String::as_str)).collect();
        federation.workload(from)?.run(&words).await.map(drop)
    }

    /// The addresses that whole transfers came from.
    fn sources(&self) -> BTreeSet<String> {
        let output = self.sink.output();
        let lines = output.lines().filter(|line| line.contains("took"));
        lines.filter_map(|line| line.split_once(':')).map(|(from, _)| from.to_owned()).collect()
    }
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn only_a_floating_address_of_one_port_alone_opens_connections() -> Result<()> {
    let mut federation = raise().await?;
    wait_for_next_hops(&federation, scene::FLOATING, &["k8s-node-1", "k8s-node-2", "k8s-node-3"])
        .await?;
    proofs::outside_reaches_all_nginx_pods(&federation).await?;
    let own = ["--floating", OWN_FLOATING];
    let address = Ipv4Addr::new(10, 10, 0, 21);
    federation.add_workload("solo-1", "k8s-node-1", "nginx", address, &own).await?;
    wait_for_next_hops(&federation, OWN, &["k8s-node-1"]).await?;

    let outside = Outside::listen(&federation).await?;
    federation
        .bed()
        .wait_for("the pod alone sends to the outside", CEILING, async || {
            outside.is_sent_to(&federation, "solo-1").await
        })
        .await?;
    ensure!(outside.sources() == names([&OWN.to_string()]), "{:?}", outside.sources());
    // A pod of which the floating address is shared has no way out, nor has one without any.
    for pod in ["nginx-1", "leonardo-1"] {
        ensure!(
            outside.is_sent_to(&federation, pod).await.is_err(),
            "{pod} has sent to the outside"
        );
    }

    // On the same node, then on another: shared, it is for inbound connections only.
    for (name, node, last) in [("solo-2", "k8s-node-1", 22), ("solo-3", "k8s-node-2", 23)] {
        let address = Ipv4Addr::new(10, 10, 0, last);
        federation.add_workload(name, node, "nginx", address, &own).await?;
        wait_for_next_hops(&federation, OWN, &["k8s-node-1", node]).await?;
        federation
            .bed()
            .wait_for("the way out is closed", CEILING, async || {
                for pod in ["solo-1", name] {
                    let sent = outside.is_sent_to(&federation, pod).await;
                    ensure!(sent.is_err(), "{pod} has sent to the outside");
                }
                Ok(())
            })
            .await?;
        federation.arcus(node, &["port", "remove", name]).await?;
        wait_for_next_hops(&federation, OWN, &["k8s-node-1"]).await?;
        federation
            .bed()
            .wait_for("the pod alone sends again", CEILING, async || {
                outside.is_sent_to(&federation, "solo-1").await
            })
            .await?;
    }
    ensure!(outside.sources() == names([&OWN.to_string()]), "{:?}", outside.sources());
    Ok(())
}
