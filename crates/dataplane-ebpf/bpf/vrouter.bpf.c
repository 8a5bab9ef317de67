/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only)
 *
 * The forwarding of a node: one program on what workloads send, one on what comes from the
 * underlay.
 *
 * What came out of a tunnel never enters one again: two nodes that both serve an address would pass
 * it back and forth. `arcus_uplink` therefore chooses among the local members of a group only.
 */
#include "answer.h"
#include "filter.h"
#include "fragment.h"
#include "host.h"
#include "masquerade.h"
#include "nat.h"
#include "pace.h"
#include "probe.h"
#include "related.h"
#include "rewrite.h"
#include "route.h"
#include "source.h"
#include "tunnel.h"
#include "underlay.h"
#include "watch.h"

enum { TOO_LONG = -2 };

/* Who has sent the packet: only a workload of this node is told that its packets are too big. What came from
 * elsewhere is delivered whatever its size, as an interface may receive more than it sends. */
enum sender { ELSEWHERE, WORKLOAD };

/* Into the workload, past its host's stack. TOO_LONG: the sender is to hear of `p->mtu`. */
static __always_inline int deliver(struct __sk_buff *skb, struct packet *p, __u32 slot,
				   enum sender sender, int turned)
{
	struct port *port = bpf_map_lookup_elem(&ports, &slot);
	struct ethhdr eth;

	if (!port || !port->ifindex)
		return drop(DROP_PORT_GONE);
	if (port->filter && refuses(skb, p, slot, port, SIDE_IN))
		return drop(DROP_DENIED);
	if (sender == WORKLOAD && longest_segment(skb, p) > port->mtu) {
		drop(DROP_TOO_BIG);
		p->mtu = port->mtu;
		return p->flags & DONT_FRAGMENT ? TOO_LONG : TC_ACT_SHOT;
	}
	if (is_translated(p) && rewrite(skb, p))
		return drop(DROP_REFUSED);
	__builtin_memcpy(eth.h_dest, port->mac, ETH_ALEN);
	__builtin_memcpy(eth.h_source, GATEWAY_MAC, ETH_ALEN);
	eth.h_proto = ethernet_type(p);
	if (STORE(skb, 0, eth))
		return drop(DROP_REFUSED);
	if (COUNTS && port->flags & PORT_MIRROR)
		mirror(skb, slot, port, SIDE_IN, p->length);
	TRACE(STEP_DELIVERED, step->number[0] = slot);
	sent(port_traffic_of(slot), p->length);
	/* The kernel still takes it for the other version of IP, and reads the header again only on
	 * the long way. */
	if (turned)
		return bpf_redirect(port->ifindex, 0);
	return bpf_redirect_peer(port->ifindex, 0);
}

/* Turns a packet towards who serves the address: an element of `ports`, or -1 - reason. */
VERIFIED_ONCE int server(struct __sk_buff *skb, struct packet *p, const struct next_hop *hop)
{
	__u32 reason = DROP_NO_BACKEND, vrf;
	int slot;

	if (!p || !hop)
		return -1 - DROP_REFUSED;
	vrf = hop->number;
	if (p->flags & ICMP_ERROR) {
		slot = translate_error(skb, p, vrf, FORWARD, &vrf);
		if (slot < 0)
			slot = translate_error_inwards(skb, p, vrf, &hop->address);
	} else {
		slot = translate(p, vrf, &hop->address, &reason);
	}
	return slot < 0 ? -1 - (int)reason : slot;
}

/* To another node. TOO_LONG: the workload is to hear of `p->mtu`. */
VERIFIED_ONCE int send(struct __sk_buff *skb, struct packet *p, const struct next_hop *hop)
{
	__u32 none = 0, octets, mtu;
	struct node *self = bpf_map_lookup_elem(&node, &none);
	struct way way = {};

	if (!p || !hop)
		return TC_ACT_SHOT;
	octets = p->length;
	if (!self || (is_v4(&hop->address) ? !self->tunnel_v4 : is_none(&self->tunnel_v6)) ||
	    find_way(skb, self, p, &hop->address, &way))
		return drop(DROP_REFUSED);
	mtu = way.mtu - overhead(hop);
	if (longest_segment(skb, p) > mtu || skb->len - L3 + overhead(hop) > IP_LENGTH_MAX) {
		drop(DROP_TOO_BIG);
		if (!(p->flags & DONT_FRAGMENT))
			return TC_ACT_SHOT;
		p->mtu = mtu;
		return TOO_LONG;
	}
	if (p->flags & SYN && clamp_mss(skb, p, mtu))
		return drop(DROP_MALFORMED);
	if ((is_translated(p) && rewrite(skb, p)) || encapsulate(skb, p, hop, self))
		return drop(DROP_REFUSED);
	sent(tunnel_traffic_of(&hop->address), octets);
	return go(&way);
}

/* To the underlay, without a tunnel. TOO_LONG: the workload is to hear of `p->mtu`. */
VERIFIED_ONCE int depart(struct __sk_buff *skb, struct packet *p)
{
	__u32 none = 0;
	struct node *self = bpf_map_lookup_elem(&node, &none);
	struct way way = {};

	if (!p || !self || find_way(skb, self, p, &p->now.destination, &way))
		return drop(DROP_REFUSED);
	if (longest_segment(skb, p) > way.mtu) {
		drop(DROP_TOO_BIG);
		if (!(p->flags & DONT_FRAGMENT))
			return TC_ACT_SHOT;
		p->mtu = way.mtu;
		return TOO_LONG;
	}
	if (p->flags & SYN && clamp_mss(skb, p, way.mtu))
		return drop(DROP_MALFORMED);
	if (is_translated(p) && rewrite(skb, p))
		return drop(DROP_REFUSED);
	return go(&way);
}

/* What comes from the underlay, and not in a tunnel, may answer what left with the node's address. All
 * else is the kernel's. */
VERIFIED_ONCE int unmasquerade(struct __sk_buff *skb, struct packet *p, const struct node *self)
{
	__u32 ifindex = skb->ifindex, vrf;
	struct uplink *uplink;
	struct flow *flow;
	int slot;

	if (!p || !self || parse(skb, p, skb->protocol))
		return PASS;
	if (p->flags & V6 ? !same_address(&p->was.destination, &self->tunnel_v6) :
			    p->was.destination.word[3] != self->tunnel_v4)
		return PASS;
	if (p->flags & FRAGMENT)
		join_fragments(p, UNDERLAY);
	if (p->flags & ICMP_ERROR) {
		slot = translate_error(skb, p, UNDERLAY, INWARD, &vrf);
		if (slot < 0)
			return PASS;
	} else {
		if (!is_masquerade_port(self, p->was.destination_port))
			return PASS;
		flow = answered_flow(p);
		if (!flow)
			return PASS;
		TRACE(STEP_FLOW, step->number[0] = FORWARD);
		slot = flow->port;
		vrf = flow->vrf;
		follow(p, flow);
	}
	received(vrf_traffic_of(vrf), p->length);
	if (p->ttl <= 1)
		return drop(DROP_TTL_EXPIRED);
	if (p->flags & SYN) {
		uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
		if (uplink && clamp_mss(skb, p, uplink->mtu))
			return drop(DROP_MALFORMED);
	}
	if (decrement_ttl(skb, p))
		return drop(DROP_REFUSED);
	return deliver(skb, p, slot, ELSEWHERE, 0);
}

/* A connection out of a VRF that has no way of its own for it leaves with the port's floating address. */
OWN_FRAME struct route *leave(struct __sk_buff *skb, struct packet *p, __u32 slot,
			      const struct port *port, const struct route *by)
{
	struct address floating = p->flags & V6 ? port->floating_v6 : mapped(port->floating_v4);
	__u32 vrf = p->flags & V6 ? port->floating_v6_vrf : port->floating_v4_vrf;
	struct route *found;

	if (!vrf || !leads_out(by))
		return NULL;
	found = route(vrf, &p->now.destination);
	if (!found)
		return NULL;
	if (p->flags & ICMP_ERROR)
		return translate_error_outwards(skb, p, port, &floating) ? NULL : found;
	/* Only its own address stands for the floating one. */
	if (!is_own(port, p))
		return translate_outwards(p, slot, port, &floating, vrf) ? NULL : found;
	p->now.source = floating;
	return found;
}

SEC("classifier")
int arcus_port(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex, vrf, none = 0;
	__u32 *slot = bpf_map_lookup_elem(&port_of, &ifindex);
	struct next_hop *hop;
	struct route *found;
	struct flow *flow;
	struct port *port;
	struct packet p;
	int answers = 0, verdict;

	if (!slot)
		return drop(DROP_PORT_GONE);
	port = bpf_map_lookup_elem(&ports, slot);
	if (!port)
		return drop(DROP_PORT_GONE);
	if (is_of_vlan(skb))
		return drop(DROP_UNSUPPORTED);
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return answer_arp(skb, port);
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return drop(DROP_UNSUPPORTED);
	if (parse(skb, &p, skb->protocol) || cut_padding(skb, &p))
		return drop(DROP_MALFORMED);
	if (p.flags & V6 && p.protocol == IPPROTO_ICMPV6) {
		if (p.icmp_type == ICMPV6_NEIGHBOR_SOLICITATION)
			return answer_solicitation(skb, port, &p);
		/* What hosts say to their link in a new network: listeners, routers wanted. */
		if (is_for_many(&p.was.destination) && is_for_link(&p))
			return TC_ACT_SHOT;
	}
	received(port_traffic_of(*slot), p.length);
	if (COUNTS && port->flags & PORT_MIRROR)
		mirror(skb, *slot, port, SIDE_OUT, p.length);
	if (is_for_many(&p.was.destination) || is_of_no_link(&p.was.destination))
		return drop(DROP_UNSUPPORTED);
	if (!may_send(skb, *slot, port, &p))
		return drop(DROP_SPOOFED);
	if (is_for_host(port, &p))
		return answer_host(skb, &p);
	if (may_be_echo(&p)) {
		struct address gateway = p.flags & V6 ? port->gateway_v6 : mapped(port->gateway_v4);

		if (same_address(&p.was.destination, &gateway))
			return answer_echo(skb, port, &p);
	}
	/* A gateway may have such an address, and answers pings, but nothing is routed to one. */
	if (is_link_local(&p.was.destination))
		return drop(DROP_UNSUPPORTED);
	if (p.flags & FRAGMENT)
		join_fragments(&p, port->vrf);
	if (port->filter && refuses(skb, &p, *slot, port, SIDE_OUT))
		return drop(DROP_DENIED);
	if (p.ttl <= 1) {
		drop(DROP_TTL_EXPIRED);
		return answer_error(skb, port, &p, TIME_EXCEEDED, 0);
	}

	if (port->bandwidth && pace(skb, *slot, port->bandwidth, p.length))
		return drop(DROP_RATE_LIMIT);
	vrf = port->vrf;
	if (port->flags & PORT_SERVES && p.flags & ICMP_ERROR) {
		answers = translate_error(skb, &p, vrf, REVERSE, &vrf) == *slot;
	} else if (port->flags & PORT_SERVES) {
		flow = known_flow(vrf, &p, REVERSE);
		if (flow && flow->port == *slot) {
			TRACE(STEP_FLOW, step->number[0] = REVERSE);
			answers = 1;
			vrf = flow->vrf;
			follow(&p, flow);
		}
	}
	found = route(vrf, &p.now.destination);
	if (!answers && port->floating_v4_vrf | port->floating_v6_vrf) {
		struct route *instead = leave(skb, &p, *slot, port, found);

		if (instead) {
			found = instead;
			TRACE(STEP_LEFT, step->address[0] = p.now.source;
			      step->number[0] = p.flags & V6 ? port->floating_v6_vrf :
							       port->floating_v4_vrf);
		}
	}
	if (!found) {
		drop(DROP_NO_ROUTE);
		return answer_error(skb, port, &p, NO_ROUTE, 0);
	}
	hop = choose(&p, found, ANY_MEMBER);
	if (!hop)
		return drop(DROP_NO_ROUTE);
	if (COUNTS && port->flags & PORT_SAMPLE)
		sample(&p, *slot, port, SIDE_OUT, hop->kind == HOP_TUNNEL ? &hop->address : NULL);
	if (decrement_ttl(skb, &p))
		return drop(DROP_REFUSED);
	switch (hop->kind) {
	case HOP_PORT:
	case HOP_TRANSLATE:
		verdict = hop->number;
		if (hop->kind == HOP_TRANSLATE)
			verdict = server(skb, &p, hop);
		if (verdict < 0)
			return drop(-1 - verdict);
		verdict = deliver(skb, &p, verdict, WORKLOAD, none);
		if (verdict != TOO_LONG)
			return verdict;
		break;
	case HOP_TUNNEL:
		verdict = send(skb, &p, hop);
		break;
	case HOP_MASQUERADE:
		verdict = own_source(skb, &p, *slot, port);
		if (verdict)
			return drop(verdict - 1);
		TRACE(STEP_LEFT, step->address[0] = p.now.source; step->number[0] = UNDERLAY);
		verdict = depart(skb, &p);
		break;
	default:
		return drop(DROP_DISCARD);
	}
	if (verdict == TOO_LONG)
		return answer_error(skb, port, &p, TOO_BIG, p.mtu);
	if (verdict == TC_ACT_REDIRECT)
		sent(vrf_traffic_of(vrf), p.length);
	return verdict;
}

SEC("classifier")
int arcus_uplink(struct __sk_buff *skb)
{
	struct arrival arrival = {};
	__u32 none = 0, ifindex = skb->ifindex;
	struct node *self = bpf_map_lookup_elem(&node, &none);
	struct next_hop *hop;
	struct route *found;
	struct packet p;
	int taken;

	/* An interface of that VLAN has a program of its own, if it is an uplink. */
	if (!self || is_of_vlan(skb))
		return PASS;
	taken = decapsulate(skb, self, &arrival);
	if (taken == NOT_OURS)
		return self->masquerade_count ? unmasquerade(skb, &p, self) : PASS;
	if (taken == PROBE)
		return answer_probe(skb, L3 + arrival.overhead);
	if (taken)
		return drop(-2 - taken);
	if (parse(skb, &p, arrival.protocol) || cut_padding(skb, &p))
		return drop(DROP_MALFORMED);
	received(tunnel_traffic_of(&arrival.remote), p.length);
	received(vrf_traffic_of(arrival.vrf), p.length);
	if ((arrival.tos & ECN) == ECN_CONGESTED && mark_congested(skb, &p))
		return drop(DROP_CONGESTED);
	if (p.flags & SYN) {
		struct uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);

		if (uplink && clamp_mss(skb, &p, uplink->mtu - arrival.overhead))
			return drop(DROP_MALFORMED);
	}
	if (p.flags & FRAGMENT)
		join_fragments(&p, arrival.vrf);
	if (arrival.port) {
		sample_arrival(&p, arrival.port - 1, &arrival.remote);
		return deliver(skb, &p, arrival.port - 1, ELSEWHERE, arrival.turned);
	}
	found = route(arrival.vrf, &p.now.destination);
	if (!found)
		return drop(DROP_NO_ROUTE);
	hop = choose(&p, found, LOCAL_MEMBERS);
	if (!hop)
		return drop(DROP_NO_ROUTE);
	switch (hop->kind) {
	case HOP_PORT:
		taken = hop->number;
		break;
	case HOP_TRANSLATE:
		taken = server(skb, &p, hop);
		if (taken < 0)
			return drop(-1 - taken);
		break;
	case HOP_TUNNEL:
	case HOP_MASQUERADE:
		return drop(DROP_TUNNEL_TO_TUNNEL);
	default:
		return drop(DROP_DISCARD);
	}
	sample_arrival(&p, taken, &arrival.remote);
	return deliver(skb, &p, taken, ELSEWHERE, arrival.turned);
}

char _license[] SEC("license") = "GPL";
