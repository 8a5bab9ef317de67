//! What each answer looks like to a network engineer: values of `arcus-api` to text.

mod counters;
mod neighbors;
mod ports;
mod routes;
mod status;
mod time;
mod trace;
mod vrfs;
mod why;

pub(crate) use counters::{counters, port_counters, rule_counters, tunnel_counters, vrf_counters};
pub(crate) use neighbors::{neighbor, neighbors};
pub(crate) use ports::{port, ports};
pub(crate) use routes::{route, routes, targets};
pub(crate) use status::{reloaded, status, statuses};
pub(crate) use time::now;
pub(crate) use trace::trace;
pub(crate) use vrfs::{drops, tunnels, vrf, vrfs};

/// Lines of `name  value`, the values below each other; what has no value is left out.
fn fields(indent: usize, fields: &[(&str, String)]) -> String {
    let fields = || fields.iter().filter(|(_, value)| !value.is_empty());
    let width = fields().map(|(name, _)| name.len()).max().unwrap_or(0);
    let blank = "";
    let lines = fields().map(|(name, value)| {
        let value = value.replace('\n', &format!("\n{blank:0$}", indent + width + 2));
        format!("{blank:indent$}{name:width$}  {value}\n")
    });
    lines.collect::<Vec<_>>().concat()
}

/// What there is of a value, as text; nothing if there is none.
fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
