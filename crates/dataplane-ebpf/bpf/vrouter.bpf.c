/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only)
 *
 * The forwarding of a node: one program on what workloads send, one on what comes from the
 * underlay.
 *
 * What came out of a tunnel never enters one again: two nodes that both serve an address would pass
 * it back and forth. `arcus_uplink` therefore chooses among the local members of a group only.
 */
#include "answer.h"
#include "nat.h"
#include "related.h"
#include "rewrite.h"
#include "route.h"
#include "tunnel.h"

/* Into the workload, past its host's stack. */
static __always_inline int deliver(struct __sk_buff *skb, const struct packet *p, __u32 slot)
{
	struct port *port = bpf_map_lookup_elem(&ports, &slot);
	struct ethhdr eth;

	if (!port || !port->ifindex)
		return drop(DROP_PORT_GONE);
	if (rewrite(skb, p))
		return drop(DROP_REFUSED);
	__builtin_memcpy(eth.h_dest, port->mac, ETH_ALEN);
	__builtin_memcpy(eth.h_source, GATEWAY_MAC, ETH_ALEN);
	eth.h_proto = bpf_htons(ETH_P_IP);
	if (bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0))
		return drop(DROP_REFUSED);
	count_port_tx(slot, p->length);
	return bpf_redirect_peer(port->ifindex, 0);
}

/* To who serves the address. */
static __always_inline int serve_locally(struct __sk_buff *skb, struct packet *p,
					 const struct next_hop *hop)
{
	__u32 reason = DROP_NO_BACKEND, vrf = hop->number;
	int slot;

	if (p->flags & ICMP_ERROR)
		slot = translate_error(skb, p, vrf, FORWARD, &vrf);
	else
		slot = translate(p, vrf, hop->address, &reason);
	if (slot < 0)
		return drop(reason);
	return deliver(skb, p, slot);
}

/* To another node. */
static __always_inline int send(struct __sk_buff *skb, struct packet *p, const struct port *port,
				const struct next_hop *hop)
{
	__u32 none = 0, out, octets = p->length, mtu;
	struct node *self = bpf_map_lookup_elem(&node, &none);
	struct uplink *uplink;

	if (!self)
		return drop(DROP_REFUSED);
	out = hop->uplink ? hop->uplink : self->uplink;
	uplink = bpf_map_lookup_elem(&uplinks, &out);
	if (!uplink || !self->tunnel_address)
		return drop(DROP_REFUSED);
	mtu = uplink->mtu - overhead(hop->encapsulation);
	if (longest_segment(skb, p) > mtu ||
	    skb->len - L3 + overhead(hop->encapsulation) > IP_LENGTH_MAX) {
		drop(DROP_TOO_BIG);
		if (!(p->flags & DONT_FRAGMENT))
			return TC_ACT_SHOT;
		return answer_error(skb, port, p, ICMP_KIND(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED),
				    mtu);
	}
	if (p->flags & SYN && clamp_mss(skb, p, mtu))
		return drop(DROP_MALFORMED);
	if (rewrite(skb, p) || encapsulate(skb, p, hop, self->tunnel_address))
		return drop(DROP_REFUSED);
	count_tunnel_tx(hop->address, octets);
	return bpf_redirect_neigh(out, NULL, 0, 0);
}

SEC("classifier")
int arcus_port(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex, vrf;
	__u32 *slot = bpf_map_lookup_elem(&port_of, &ifindex);
	struct next_hop *hop;
	struct group *group;
	struct flow *flow;
	struct port *port;
	struct packet p;
	int answers = 0;

	if (!slot)
		return drop(DROP_PORT_GONE);
	port = bpf_map_lookup_elem(&ports, slot);
	if (!port)
		return drop(DROP_PORT_GONE);
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return answer_arp(skb, port);
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return drop(DROP_UNSUPPORTED);
	if (parse(skb, &p))
		return drop(DROP_MALFORMED);
	count_port_rx(*slot, p.length);
	/* A port has one address; nothing could be sent back to another one. */
	if (p.was.source != port->address)
		return drop(DROP_SPOOFED);
	if (p.was.destination == port->gateway && p.flags & ECHO_REQUEST)
		return answer_echo(skb, port, &p);
	if (p.ttl <= 1) {
		drop(DROP_TTL_EXPIRED);
		return answer_error(skb, port, &p, ICMP_KIND(ICMP_TIME_EXCEEDED, ICMP_EXC_TTL), 0);
	}

	vrf = port->vrf;
	if (p.flags & ICMP_ERROR) {
		answers = translate_error(skb, &p, vrf, REVERSE, &vrf) == *slot;
	} else {
		flow = known_flow(vrf, &p, REVERSE);
		if (flow && flow->port == *slot) {
			answers = 1;
			vrf = flow->vrf;
			follow(&p, flow);
		}
	}
	group = route(vrf, p.now.destination);
	if (!group && !answers && port->floating) {
		group = route(port->floating_vrf, p.now.destination);
		if (group && translate_outwards(&p, *slot, port))
			return drop(DROP_REFUSED);
	}
	if (!group) {
		drop(DROP_NO_ROUTE);
		return answer_error(skb, port, &p, ICMP_KIND(ICMP_DEST_UNREACH, ICMP_NET_UNREACH),
				    0);
	}
	hop = choose(group, group->count, flow_hash(&p, HASH_MEMBER));
	if (!hop)
		return drop(DROP_NO_ROUTE);
	if (decrement_ttl(skb, &p))
		return drop(DROP_REFUSED);
	switch (hop->kind) {
	case HOP_PORT:
		return deliver(skb, &p, hop->number);
	case HOP_TRANSLATE:
		return serve_locally(skb, &p, hop);
	case HOP_TUNNEL:
		return send(skb, &p, port, hop);
	default:
		return drop(DROP_DISCARD);
	}
}

SEC("classifier")
int arcus_uplink(struct __sk_buff *skb)
{
	struct arrival arrival = {};
	__u32 none = 0, ifindex = skb->ifindex;
	struct node *self = bpf_map_lookup_elem(&node, &none);
	struct uplink *uplink;
	struct next_hop *hop;
	struct group *group;
	struct packet p;
	int taken;

	if (!self || !self->tunnel_address || skb->protocol != bpf_htons(ETH_P_IP))
		return PASS;
	taken = decapsulate(skb, self->tunnel_address, &arrival);
	if (taken == NOT_OURS)
		return PASS;
	if (taken)
		return drop(-2 - taken);
	if (parse(skb, &p))
		return drop(DROP_MALFORMED);
	count_tunnel_rx(arrival.remote, p.length);
	group = route(arrival.vrf, p.now.destination);
	if (!group)
		return drop(DROP_NO_ROUTE);
	if (!group->local)
		return drop(DROP_TUNNEL_TO_TUNNEL);
	hop = choose(group, group->local, flow_hash(&p, HASH_MEMBER));
	if (!hop)
		return drop(DROP_NO_ROUTE);
	uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	if (p.flags & SYN && uplink && clamp_mss(skb, &p, uplink->mtu - arrival.overhead))
		return drop(DROP_MALFORMED);
	switch (hop->kind) {
	case HOP_PORT:
		return deliver(skb, &p, hop->number);
	case HOP_TRANSLATE:
		return serve_locally(skb, &p, hop);
	default:
		return drop(DROP_DISCARD);
	}
}

char _license[] SEC("license") = "GPL";
