//! Clients that keep their backend.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Result, ensure};
use dataplane::{Protocol, TranslationKind};

use crate::hosts::{answer_tcp, answer_udp, ask, call, dual_stack, v6};
use crate::services::{put, service};
use crate::world::{Workload, World};

fn keeping(affinity: Option<u32>, backends: &[&Workload]) -> TranslationKind {
    let mut kind = service(&[(Protocol::Tcp, 80, 8080), (Protocol::Udp, 53, 5353)], backends);
    if let TranslationKind::Service { affinity: kept, .. } = &mut kind {
        *kept = affinity;
    }
    kind
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_client_keeps_its_backend_while_there_is_that_backend() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    node.vrf(1, 101);
    let mut backends = Vec::new();
    for n in 0..4u8 {
        let backend = world.workload(&format!("p{n}"), [172, 16, 2, 10 + n]).await?;
        node.port(1, &backend);
        dual_stack(&mut node, 1, &backend, v6(0x20 + u16::from(n)));
        backends.push(backend);
    }
    let client = world.workload("client", [172, 16, 1, 10]).await?;
    node.port(1, &client);
    dual_stack(&mut node, 1, &client, v6(1));
    let services: [IpAddr; 2] = ["10.254.98.15".parse()?, "fd00:5::15".parse()?];
    let all: Vec<&Workload> = backends.iter().collect();
    for address in services {
        put(&mut node, 1, address, keeping(Some(60), &all));
    }
    node.reconcile().await?;
    for backend in &backends {
        answer_tcp(&backend.namespace, &backend.id.0, 8080)?;
        answer_udp(&backend.namespace, &backend.id.0, 5353)?;
    }
    for address in services {
        let mut seen = BTreeSet::new();
        for n in 0..20 {
            seen.insert(call(&client.namespace, (address, 80).into())?.answer.name);
            // Each port of a service has clients of its own.
            let name = ask(&client.namespace, 6000 + n, (address, 53).into(), 10)?.name;
            seen.insert(format!("{name} udp"));
        }
        ensure!(seen.len() == 2, "{address}: {seen:?}");

        // The order of backends means nothing; that there are others does not, either.
        let had = call(&client.namespace, (address, 80).into())?.answer.name;
        let fewer: Vec<&Workload> =
            all.iter().rev().copied().filter(|b| b.id.0 == had || b.id.0 == "p0").collect();
        put(&mut node, 1, address, keeping(Some(60), &fewer));
        node.reconcile().await?;
        for _ in 0..5 {
            ensure!(call(&client.namespace, (address, 80).into())?.answer.name == had);
        }
        // It is gone: another one, and that is kept when the first is back.
        let others: Vec<&Workload> = all.iter().copied().filter(|b| b.id.0 != had).collect();
        put(&mut node, 1, address, keeping(Some(60), &others));
        node.reconcile().await?;
        let has = call(&client.namespace, (address, 80).into())?.answer.name;
        ensure!(has != had);
        put(&mut node, 1, address, keeping(Some(60), &all));
        node.reconcile().await?;
        for _ in 0..10 {
            ensure!(call(&client.namespace, (address, 80).into())?.answer.name == has);
        }
    }
    // Without it, or for longer than it lasts: each connection for itself.
    for lasts in [None, Some(1)] {
        put(&mut node, 1, services[0], keeping(lasts, &all));
        node.reconcile().await?;
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            if lasts.is_some() {
                // The plane's clock is the kernel's: nothing else can let the time pass.
                tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
            }
            seen.insert(call(&client.namespace, (services[0], 80).into())?.answer.name);
            if seen.len() > 1 {
                break;
            }
        }
        ensure!(seen.len() > 1, "{lasts:?}: {seen:?}");
    }
    Ok(())
}
