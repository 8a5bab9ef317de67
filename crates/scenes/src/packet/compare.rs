//! Expected and seen.

use std::collections::BTreeMap;

use super::{Body, Content, Frame, Icmp, IcmpBody, Ip, Label, Macs, Payload, Port, Sum, Tcp};

/// Numbers that were seen, by the names that a scene gave them.
pub type Bindings = BTreeMap<String, u16>;

/// From which on UDP tunnels take their source ports (RFC 7510 §3, RFC 7348 §5).
const FIRST_ENTROPY_PORT: u16 = 49_152;

impl Frame {
    /// Whether `seen` is what is expected. `usual`: whether the addresses are, if this says none.
    pub fn matches(
        &self,
        seen: &Self,
        usual: impl Fn(Macs) -> bool,
        bindings: &mut Bindings,
    ) -> bool {
        let is_usual = match self.macs {
            Some(macs) => seen.macs == Some(macs),
            None => seen.macs.is_some_and(usual),
        };
        is_usual
            && self.vlan == seen.vlan
            && match (&self.body, &seen.body) {
                (Body::Ip(expected), Body::Ip(seen)) => expected.matches(seen, bindings),
                (expected, seen) => expected == seen,
            }
    }

    /// With the numbers that were seen in the place of their names.
    pub fn bind(&mut self, bindings: &Bindings) {
        if let Body::Ip(ip) = &mut self.body {
            ip.bind(bindings);
        }
    }
}

fn same<T: PartialEq>(expected: Option<&T>, seen: Option<&T>) -> bool {
    expected.is_none() || expected == seen
}

impl Ip {
    /// Whether `seen` is what is expected.
    pub fn matches(&self, seen: &Self, bindings: &mut Bindings) -> bool {
        (self.source, self.destination) == (seen.source, seen.destination)
            && same(self.ttl.as_ref(), seen.ttl.as_ref())
            && same(self.traffic_class.as_ref(), seen.traffic_class.as_ref())
            && same(self.id.as_ref(), seen.id.as_ref())
            // IPv6 is never cut on its way.
            && (!self.is_v4() || same(self.df.as_ref(), seen.df.as_ref()))
            && (self.offset, self.more) == (seen.offset, seen.more)
            && self.extras == seen.extras
            && self.payload.matches(&seen.payload, bindings)
    }

    /// With the numbers that were seen in the place of their names.
    pub fn bind(&mut self, bindings: &Bindings) {
        match &mut self.payload {
            Payload::Tcp(Tcp { source, destination, .. }) => {
                source.bind(bindings);
                destination.bind(bindings);
            }
            Payload::Udp { source, destination, content, .. } => {
                source.bind(bindings);
                destination.bind(bindings);
                content.bind(bindings);
            }
            Payload::Icmp(Icmp { body: IcmpBody::Echo { id, .. }, .. }) => id.bind(bindings),
            Payload::Icmp(Icmp { body: IcmpBody::Error { quoted, .. }, .. }) => {
                quoted.bind(bindings);
            }
            Payload::Gre { content, .. } => content.bind(bindings),
            Payload::Icmp(_) | Payload::Other { .. } => {}
        }
    }
}

impl Content {
    fn bind(&mut self, bindings: &Bindings) {
        match self {
            Self::Data { .. } => {}
            Self::Mpls { inner, .. } | Self::Vxlan { inner, .. } | Self::Ip(inner) => {
                inner.bind(bindings);
            }
        }
    }

    fn matches(&self, seen: &Self, bindings: &mut Bindings) -> bool {
        match (self, seen) {
            (Self::Mpls { stack, inner }, Self::Mpls { stack: of_seen, inner: seen }) => {
                stack.len() == of_seen.len()
                    && stack.iter().zip(of_seen).all(|(label, seen)| label.matches(*seen))
                    && inner.matches(seen, bindings)
            }
            (
                Self::Vxlan { vni, macs, inner },
                Self::Vxlan { vni: seen_vni, macs: seen_macs, inner: seen },
            ) => {
                vni == seen_vni
                    && same(macs.as_ref(), seen_macs.as_ref())
                    && inner.matches(seen, bindings)
            }
            (Self::Ip(inner), Self::Ip(seen)) => inner.matches(seen, bindings),
            (expected, seen) => expected == seen,
        }
    }
}

impl Label {
    fn matches(self, seen: Self) -> bool {
        self.value == seen.value && same(self.ttl.as_ref(), seen.ttl.as_ref())
    }
}

impl Payload {
    fn matches(&self, seen: &Self, bindings: &mut Bindings) -> bool {
        match (self, seen) {
            (Self::Tcp(expected), Self::Tcp(seen)) => expected.matches(seen, bindings),
            (
                Self::Udp { source, destination, sum, content },
                Self::Udp {
                    source: seen_source,
                    destination: seen_destination,
                    sum: seen_sum,
                    content: seen_content,
                },
            ) => {
                let is_tunnel = !matches!(seen_content, Content::Data { .. });
                let spreads =
                    |port: &Port| !matches!(port, Port::Is(number) if *number < FIRST_ENTROPY_PORT);
                let as_a_tunnel = *source != Port::Any || spreads(seen_source);
                source.matches(seen_source, bindings)
                    && (!is_tunnel || (as_a_tunnel && *seen_sum != Sum::Wrong))
                    && destination.matches(seen_destination, bindings)
                    && (is_tunnel || sum.matches(*seen_sum))
                    && (*seen_sum == Sum::Unknown || content.matches(seen_content, bindings))
            }
            (Self::Icmp(expected), Self::Icmp(seen)) => expected.matches(seen, bindings),
            (Self::Gre { kind, content }, Self::Gre { kind: seen_kind, content: seen }) => {
                kind == seen_kind && content.matches(seen, bindings)
            }
            (expected, seen) => expected == seen,
        }
    }
}

impl Tcp {
    fn matches(&self, seen: &Self, bindings: &mut Bindings) -> bool {
        self.source.matches(&seen.source, bindings)
            && self.destination.matches(&seen.destination, bindings)
            && (seen.flags.is_none() || self.flags == seen.flags)
            && self.sum.matches(seen.sum)
            && same(self.mss.as_ref(), seen.mss.as_ref())
            && (seen.sum == Sum::Unknown || self.length == seen.length)
    }
}

impl Icmp {
    fn matches(&self, seen: &Self, bindings: &mut Bindings) -> bool {
        (self.kind, self.code) == (seen.kind, seen.code)
            && self.sum.matches(seen.sum)
            && match (&self.body, &seen.body) {
                (
                    IcmpBody::Echo { id, sequence, length },
                    IcmpBody::Echo { id: seen_id, sequence: seen_sequence, length: seen_length },
                ) => {
                    id.matches(seen_id, bindings)
                        && same(sequence.as_ref(), seen_sequence.as_ref())
                        && (seen.sum == Sum::Unknown || length == seen_length)
                }
                (
                    IcmpBody::Neighbour { target, mac, routes },
                    IcmpBody::Neighbour { target: seen_target, mac: seen_mac, routes: seen },
                ) => {
                    (target, mac) == (seen_target, seen_mac) && same(routes.as_ref(), seen.as_ref())
                }
                (
                    IcmpBody::Error { mtu, quoted },
                    IcmpBody::Error { mtu: seen_mtu, quoted: seen },
                ) => same(mtu.as_ref(), seen_mtu.as_ref()) && quoted.matches(seen, bindings),
                (expected, seen) => expected == seen,
            }
    }
}

impl Port {
    fn bind(&mut self, bindings: &Bindings) {
        if let Self::Named(name) = self
            && let Some(number) = bindings.get(name)
        {
            *self = Self::Is(*number);
        }
    }

    fn matches(&self, seen: &Self, bindings: &mut Bindings) -> bool {
        let Self::Is(number) = seen else { return true };
        match self {
            Self::Is(expected) => expected == number,
            Self::Any => true,
            Self::Named(name) => *bindings.entry(name.clone()).or_insert(*number) == *number,
        }
    }
}

impl Sum {
    fn matches(self, seen: Self) -> bool {
        seen == Self::Unknown || self == seen
    }
}
