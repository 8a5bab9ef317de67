/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* ICMP errors about translated packets: who gets one must recognise what it quotes. */
#pragma once

#include "nat.h"

static __always_inline int replace_quoted_address(struct __sk_buff *skb, __u32 ip, __u32 field,
						  __be32 was, __be32 now)
{
	if (was == now)
		return 0;
	/* The sum over the ICMP message stays: the quoted header's checksum makes up for it. */
	if (bpf_l3_csum_replace(skb, ip + offsetof(struct iphdr, check), was, now, sizeof(now)))
		return -1;
	return bpf_skb_store_bytes(skb, ip + field, &now, sizeof(now), 0);
}

static __always_inline int replace_quoted_port(struct __sk_buff *skb, __u32 icmp_check, __u32 at,
					       __be16 was, __be16 now)
{
	if (was == now)
		return 0;
	if (bpf_l4_csum_replace(skb, icmp_check, was, now, sizeof(now)))
		return -1;
	return bpf_skb_store_bytes(skb, at, &now, sizeof(now), 0);
}

/* The ports of a quoted packet. Not 0: it has none that a flow would be known by. */
static __always_inline int quoted_ports(struct __sk_buff *skb, __u32 at, struct packet *quoted)
{
	if (quoted->protocol == IPPROTO_TCP || quoted->protocol == IPPROTO_UDP) {
		__be16 ports[2];

		if (bpf_skb_load_bytes(skb, at, ports, sizeof(ports)))
			return -1;
		quoted->was.source_port = ports[0];
		quoted->was.destination_port = ports[1];
		return 0;
	}
	if (quoted->protocol == IPPROTO_ICMP) {
		struct icmphdr icmp;

		if (bpf_skb_load_bytes(skb, at, &icmp, sizeof(icmp)))
			return -1;
		if (icmp.type == ICMP_ECHO)
			quoted->was.source_port = icmp.id;
		else if (icmp.type == ICMP_ECHOREPLY)
			quoted->was.destination_port = icmp.id;
		else
			return -1;
	}
	return 0;
}

/* Translates an error that belongs to a flow, as the flow's own packets of that direction are.
 * Returns the flow's port, with `*routed` set to where it is routed, or -1: it belongs to none. */
VERIFIED_ONCE int translate_error(struct __sk_buff *skb, struct packet *p, __u32 vrf,
				  __u32 direction, __u32 *routed)
{
	struct packet quoted = {};
	__u32 at, ports, check;
	struct flow *flow;
	struct iphdr ip;

	if (!p || !routed)
		return -1;
	at = p->l4 + sizeof(struct icmphdr);
	check = p->l4 + offsetof(struct icmphdr, checksum);
	if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)))
		return -1;
	if (ip.version != 4 || ip.ihl != 5 || ip.frag_off & bpf_htons(IP_OFFSET))
		return -1;
	ports = at + sizeof(ip);
	quoted.protocol = ip.protocol;
	if (quoted_ports(skb, ports, &quoted))
		return -1;
	/* The error goes against the packet that it is about. */
	quoted.now.source = ip.daddr;
	quoted.now.destination = ip.saddr;
	quoted.now.source_port = quoted.was.destination_port;
	quoted.now.destination_port = quoted.was.source_port;
	flow = known_flow(vrf, &quoted, direction);
	if (!flow)
		return -1;

	if (replace_quoted_address(skb, at, offsetof(struct iphdr, saddr), ip.saddr,
				   flow->destination) ||
	    replace_quoted_address(skb, at, offsetof(struct iphdr, daddr), ip.daddr, flow->source))
		return -1;
	if ((quoted.protocol == IPPROTO_TCP || quoted.protocol == IPPROTO_UDP) &&
	    (replace_quoted_port(skb, check, ports, quoted.was.source_port,
				 flow->destination_port) ||
	     replace_quoted_port(skb, check, ports + sizeof(__be16), quoted.was.destination_port,
				 flow->source_port)))
		return -1;
	/* A router on the way speaks for itself; the end of the flow for the flow. */
	if (p->was.source == ip.daddr)
		p->now.source = flow->source;
	p->now.destination = flow->destination;
	*routed = flow->vrf;
	return flow->port;
}
