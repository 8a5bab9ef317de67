use std::net::IpAddr;

use arcus_api::v1::{Floating, PortState, PortStatus, ServiceEndpoint};

use super::{fields, text};
use crate::port_args::{allowed_text, bandwidth_text, floating_text, service_text};
use crate::table::{Cell, Paint, Table, Width, joined, or_dash};

/// Ports of a node, a line each.
pub(crate) fn ports(ports: &[PortStatus], width: Width, paint: Paint) -> String {
    let mut table = Table::new(width)
        .text("Port")
        .text("Network")
        .text("Address")
        .number("Label")
        .text("State")
        .text("Ready")
        .text("Floating")
        .text("Services")
        .wide_text("Filter")
        .wide_text("Groups")
        .wide_text("Bandwidth")
        .wide_text("MAC")
        .wide_text("Interface")
        .wide_text("Namespace")
        .wide_text("Reason");
    for port in ports {
        let (state, reason) = match &port.state {
            PortState::Pending => ("pending".into(), ""),
            PortState::Programmed => (Cell::good("programmed"), ""),
            PortState::Failed { reason } => (Cell::bad("failed"), reason.as_str()),
        };
        table.row([
            (&port.id).into(),
            (&port.network).into(),
            joined(addresses(port), ",").into(),
            port.label.into(),
            state,
            if port.ready { "yes" } else { "no" }.into(),
            joined(port.floating.iter().map(floating_text), ",").into(),
            joined(port.services.iter().map(service_text), ",").into(),
            or_dash(port.filter.as_ref()).into(),
            joined(&port.groups, ",").into(),
            or_dash(port.bandwidth.map(bandwidth_text)).into(),
            (&port.mac).into(),
            (&port.interface).into(),
            port.netns.display().into(),
            reason.into(),
        ]);
    }
    let reasons: String = ports.iter().filter_map(|port| failure(port, paint)).collect();
    table.render(paint, "no ports; add one with `arcus port add`") + &reasons
}

/// One port in words.
pub(crate) fn port(port: &PortStatus, paint: Paint) -> String {
    let state = match &port.state {
        PortState::Pending => "pending: the data plane does not have it yet".to_owned(),
        PortState::Programmed => "programmed".to_owned(),
        PortState::Failed { reason } => format!("{}: {reason}", paint.bad("failed")),
    };
    let fields = fields(
        2,
        &[
            ("network", port.network.clone()),
            ("address", joined(addresses(port), ", ")),
            ("MAC", port.mac.clone()),
            ("interface", format!("{} in {}", port.interface, port.netns.display())),
            ("label", port.label.to_string()),
            ("state", state),
            ("ready", if port.ready { "yes" } else { "no" }.to_owned()),
            ("floating", listed(port.floating.iter().map(floating_words))),
            ("services", listed(port.services.iter().map(service_words))),
            ("filter", port.filter.clone().unwrap_or_default()),
            ("groups", port.groups.join(", ")),
            ("allowed", listed(port.allowed.iter().map(allowed_text))),
            ("bandwidth", text(port.bandwidth.map(bandwidth_text))),
        ],
    );
    format!("{}\n{fields}", paint.strong(port.id.as_str()))
}

fn addresses(port: &PortStatus) -> impl Iterator<Item = IpAddr> {
    [Some(port.address), port.ip6.map(IpAddr::V6)].into_iter().flatten()
}

fn listed(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

fn floating_words(floating: &Floating) -> String {
    floating_text(floating) + &weight_words(floating.weight)
}

fn service_words(service: &ServiceEndpoint) -> String {
    let affinity = service
        .affinity_seconds
        .map(|seconds| format!(" affinity {seconds} s"))
        .unwrap_or_default();
    service_text(service) + &weight_words(service.weight) + &affinity
}

fn weight_words(weight: Option<u32>) -> String {
    weight.map(|weight| format!(" weight {weight}")).unwrap_or_default()
}

fn failure(port: &PortStatus, paint: Paint) -> Option<String> {
    match &port.state {
        PortState::Failed { reason } => {
            Some(format!("{}: {reason}\n", paint.bad(port.id.as_str())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port_args::{floating, service};

    fn nginx() -> PortStatus {
        PortStatus {
            id: "web-1".parse().unwrap(),
            network: "nginx".to_owned(),
            address: [10, 10, 0, 5].into(),
            ip6: None,
            mac: "02:00:0a:0a:00:05".to_owned(),
            netns: "/run/netns/web-1".into(),
            interface: "eth0".to_owned(),
            label: 17,
            state: PortState::Programmed,
            ready: true,
            floating: vec![floating("public/185.22.97.188").unwrap()],
            services: vec![],
            filter: None,
            groups: vec![],
            allowed: vec![],
            bandwidth: None,
        }
    }

    fn leonardo() -> PortStatus {
        PortStatus {
            id: "leo-1".parse().unwrap(),
            network: "leonardo".to_owned(),
            address: [10, 20, 0, 5].into(),
            label: 16,
            state: PortState::Failed { reason: "no such namespace".to_owned() },
            ready: false,
            floating: vec![],
            services: vec![service("leonardo/10.254.98.15:80=8080").unwrap()],
            ..nginx()
        }
    }

    #[test]
    fn ports_are_a_line_each_and_failures_are_explained() {
        let want = "\
Port   Network   Address    Label  State       Ready  Floating              Services
web-1  nginx     10.10.0.5     17  programmed  yes    public/185.22.97.188  -
leo-1  leonardo  10.20.0.5     16  failed      no     -                     leonardo/10.254.98.15:80=8080
leo-1: no such namespace
";
        assert_eq!(ports(&[nginx(), leonardo()], Width::Normal, Paint::Off), want);
    }

    #[test]
    fn a_port_in_words() {
        let want = "\
web-1
  network    nginx
  address    10.10.0.5
  MAC        02:00:0a:0a:00:05
  interface  eth0 in /run/netns/web-1
  label      17
  state      programmed
  ready      yes
  floating   public/185.22.97.188
";
        assert_eq!(port(&nginx(), Paint::Off), want);
    }

    #[test]
    fn what_a_port_may_do_is_said_in_words() {
        let service = service("web/10.254.10.5:80=8080").unwrap();
        let full = PortStatus {
            ip6: Some("2001:db8:10::5".parse().unwrap()),
            floating: vec![],
            services: vec![ServiceEndpoint {
                affinity_seconds: Some(300),
                weight: Some(2),
                ..service
            }],
            filter: Some("web".to_owned()),
            groups: vec!["front".to_owned(), "web".to_owned()],
            allowed: vec![crate::port_args::allowed("10.99.0.0/16").unwrap()],
            bandwidth: Some(100_000_000),
            ..nginx()
        };
        let want = "\
web-1
  network    nginx
  address    10.10.0.5, 2001:db8:10::5
  MAC        02:00:0a:0a:00:05
  interface  eth0 in /run/netns/web-1
  label      17
  state      programmed
  ready      yes
  services   web/10.254.10.5:80=8080 weight 2 affinity 300 s
  filter     web
  groups     front, web
  allowed    10.99.0.0/16
  bandwidth  100M
";
        assert_eq!(port(&full, Paint::Off), want);
    }
}
