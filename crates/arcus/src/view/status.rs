use arcus_api::v1::{Reloaded, Status};

use super::{fields, text, time};
use crate::table::{Cell, Paint, Table, Width};

/// One daemon in words.
pub(crate) fn status(status: &Status, now: u64, paint: Paint) -> String {
    let Status { daemon, name, version, topology, ready, started_at } = status;
    let title = paint.strong(&format!("{name} ({daemon} {version})"));
    let ready = if *ready { "yes".to_owned() } else { paint.bad("not yet") };
    let since = |epoch: u64| {
        format!("{}, {} ago", time::date(epoch), time::span(now.saturating_sub(epoch)))
    };
    let last_error = match &topology.last_error {
        Some(error) => paint.bad("the file has changed and was refused:") + "\n" + error,
        None => String::new(),
    };
    let fields = fields(
        2,
        &[
            ("ready", ready),
            ("started", since(*started_at)),
            ("topology", topology.file.clone()),
            ("generation", format!("{}, read {}", topology.generation, since(topology.loaded_at))),
            ("hash", topology.hash.clone()),
            ("last reload", last_error),
        ],
    );
    format!("{title}\n{fields}")
}

/// Several daemons, a line each.
pub(crate) fn statuses(statuses: &[Status], now: u64, width: Width, paint: Paint) -> String {
    let mut table = Table::new(width)
        .text("Name")
        .text("Daemon")
        .text("Ready")
        .text("Up")
        .number("Generation")
        .text("Hash")
        .text("Last reload")
        .wide_text("Version")
        .wide_text("Topology");
    for Status { daemon, name, version, topology, ready, started_at } in statuses {
        table.row([
            name.into(),
            daemon.into(),
            if *ready { Cell::good("yes") } else { Cell::bad("not yet") },
            time::span(now.saturating_sub(*started_at)).into(),
            topology.generation.into(),
            topology.hash.chars().take(12).collect::<String>().into(),
            if topology.last_error.is_some() { Cell::bad("refused") } else { "ok".into() },
            version.into(),
            (&topology.file).into(),
        ]);
    }
    table.render(paint, "no daemon runs here")
}

/// What a reload did.
pub(crate) fn reloaded(reloaded: &Reloaded, paint: Paint) -> String {
    let Reloaded { topology, changes } = reloaded;
    let title = format!("{} is generation {}", topology.file, topology.generation);
    let changes = if changes.is_empty() {
        "  nothing changed\n".to_owned()
    } else {
        let lines = changes.iter().map(|change| format!("  {}\n", change.replace('\n', "\n  ")));
        lines.collect::<Vec<_>>().concat()
    };
    let refused = text(topology.last_error.as_ref());
    format!("{}\n{changes}{refused}", paint.strong(&title))
}

#[cfg(test)]
mod tests {
    use arcus_api::v1::TopologyStatus;

    use super::*;

    fn control_node() -> Status {
        Status {
            daemon: "arcus-bgpd".to_owned(),
            name: "os-ctl-1".to_owned(),
            version: "0.1.0".to_owned(),
            topology: TopologyStatus {
                file: "/etc/arcus/leonardo.toml".to_owned(),
                generation: 3,
                hash: "9f86d081884c7d65".to_owned(),
                loaded_at: 1_795_205_748,
                last_error: None,
            },
            ready: true,
            started_at: 1_795_205_000,
        }
    }

    #[test]
    fn one_daemon_is_described() {
        let want = "\
os-ctl-1 (arcus-bgpd 0.1.0)
  ready       yes
  started     2026-11-20 20:03:20 UTC, 00:13:20 ago
  topology    /etc/arcus/leonardo.toml
  generation  3, read 2026-11-20 20:15:48 UTC, 00:00:52 ago
  hash        9f86d081884c7d65
";
        assert_eq!(status(&control_node(), 1_795_205_800, Paint::Off), want);
    }

    #[test]
    fn a_refused_file_is_shown_as_it_was_refused() {
        let mut daemon = control_node();
        daemon.topology.last_error = Some("t.toml:3:1: unknown key\n3 | asm = 1".to_owned());
        let text = status(&daemon, 1_795_205_800, Paint::Off);
        let want = "\
  last reload  the file has changed and was refused:
               t.toml:3:1: unknown key
               3 | asm = 1
";
        assert!(text.ends_with(want), "{text}");
    }

    #[test]
    fn several_daemons_have_a_line_each() {
        let mut agent = control_node();
        agent.name = "openstack-10.1.1.11".to_owned();
        agent.daemon = "arcus-vrouter-agent".to_owned();
        agent.ready = false;
        agent.topology.last_error = Some("x".to_owned());
        let want = "\
Name                 Daemon               Ready    Up        Generation  Hash          Last reload
os-ctl-1             arcus-bgpd           yes      00:13:20           3  9f86d081884c  ok
openstack-10.1.1.11  arcus-vrouter-agent  not yet  00:13:20           3  9f86d081884c  refused
";
        let text = statuses(&[control_node(), agent], 1_795_205_800, Width::Normal, Paint::Off);
        assert_eq!(text, want);
    }

    #[test]
    fn a_reload_says_what_it_did() {
        let topology = control_node().topology;
        let nothing = Reloaded { topology: topology.clone(), changes: vec![] };
        assert!(reloaded(&nothing, Paint::Off).ends_with("generation 3\n  nothing changed\n"));
        let some = Reloaded { topology, changes: vec!["network `database`: targets".to_owned()] };
        assert!(reloaded(&some, Paint::Off).ends_with("\n  network `database`: targets\n"));
    }
}
