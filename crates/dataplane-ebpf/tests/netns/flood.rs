//! A table of flows that somebody tries to fill.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use dataplane::Protocol;

use crate::hosts::{answer_tcp, call};
use crate::raw;
use crate::services::{put, service};
use crate::world::World;

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 254, 98, 15);

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_flood_of_syns_harms_no_connection_and_leaves_little_behind() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let client = world.workload("client", [172, 16, 1, 10]).await?;
    let flooder = world.workload("flooder", [172, 16, 1, 11]).await?;
    let pod = world.workload("pod", [172, 16, 2, 11]).await?;
    node.vrf(1, 101).port(1, &client).port(1, &flooder).port(1, &pod);
    let ports = [(Protocol::Tcp, 80, 8080), (Protocol::Tcp, 81, 8081)];
    put(&mut node, 1, SERVICE.into(), service(&ports, &[&pod]));
    node.reconcile().await?;
    answer_tcp(&pod.namespace, "pod", 8080)?;
    let open = call(&client.namespace, (SERVICE, 80).into())?;
    open.echo(1000)?;
    ensure!(node.counters().await?.flows == 2, "an answered connection has two entries");

    for port in [80, 81] {
        let segments: Vec<_> = (1..=u16::MAX).map(|from| raw::syn(from, port).to_vec()).collect();
        raw::send_tcp(&flooder.namespace, SERVICE, &segments)?;
    }
    let flows = node.counters().await?.flows;
    ensure!(flows > 1000, "{flows}: they did open something");
    ensure!(flows <= 131_072 / 8 + 2, "{flows}");
    open.echo(100_000)?;
    call(&client.namespace, (SERVICE, 80).into())?.echo(100_000)?;
    Ok(())
}
