/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* ICMP errors about translated packets: who gets one must recognise what it quotes (RFC 5508 §4). */
#pragma once

#include "nat.h"
#include "rewrite.h"

/* Where things are in an ICMP error. */
struct quote {
	__u32 check; /* the message's checksum */
	__u32 ip;    /* the quoted header */
	__u32 l4;    /* what is behind it */
};

static __always_inline int replace_quoted_address(struct __sk_buff *skb, const struct quote *at,
						  __u32 field, const struct address *was,
						  const struct address *now, int v6)
{
	if (same_address(was, now))
		return 0;
	if (v6) {
		__s64 change = bpf_csum_diff((__be32 *)was, sizeof(*was), (__be32 *)now,
					     sizeof(*now), 0);

		if (bpf_l4_csum_replace(skb, at->check, 0, change, 0))
			return -1;
		return bpf_skb_store_bytes(skb, at->ip + field, now, sizeof(*now), 0);
	}
	/* The sum over the ICMP message stays: the quoted header's checksum makes up for it. */
	if (bpf_l3_csum_replace(skb, at->ip + offsetof(struct iphdr, check), was->word[3],
				now->word[3], 4))
		return -1;
	return bpf_skb_store_bytes(skb, at->ip + field, &now->word[3], 4, 0);
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

/* Addresses and protocol of a quoted packet. Not 0: it is none that a flow would be known by. */
VERIFIED_ONCE int quoted_header(struct __sk_buff *skb, const struct packet *p,
				struct packet *quoted, struct quote *at)
{
	if (!p || !quoted || !at)
		return -1;
	__builtin_memset(quoted, 0, sizeof(*quoted));
	at->check = p->l4 + offsetof(struct icmp, checksum);
	at->ip = p->l4 + sizeof(struct icmp);
	if (p->flags & V6) {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, at->ip, &ip, sizeof(ip)) || ip.version != 6)
			return -1;
		__builtin_memcpy(&quoted->was.source, &ip.saddr, sizeof(quoted->was.source));
		__builtin_memcpy(&quoted->was.destination, &ip.daddr,
				 sizeof(quoted->was.destination));
		quoted->protocol = ip.nexthdr;
		quoted->l4 = at->ip + sizeof(ip);
		if (skip_extensions(skb, quoted) || quoted->flags & LATER_FRAGMENT)
			return -1;
		quoted->flags = V6;
		at->l4 = quoted->l4;
		return 0;
	}
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, at->ip, &ip, sizeof(ip)))
		return -1;
	if (ip.version != 4 || ip.ihl < 5 || ip.frag_off & bpf_htons(IP_OFFSET))
		return -1;
	quoted->was.source = mapped(ip.saddr);
	quoted->was.destination = mapped(ip.daddr);
	quoted->protocol = ip.protocol;
	at->l4 = at->ip + ip.ihl * 4;
	return 0;
}

/* The ports of a quoted packet. Not 0: it has none that a flow would be known by. */
static __always_inline int quoted_ports(struct __sk_buff *skb, __u32 at, struct packet *quoted)
{
	if (has_ports(quoted->protocol)) {
		__be16 ports[2];

		if (bpf_skb_load_bytes(skb, at, ports, sizeof(ports)))
			return -1;
		quoted->was.source_port = ports[0];
		quoted->was.destination_port = ports[1];
		return 0;
	}
	if (is_icmp(quoted)) {
		struct icmp icmp;

		if (bpf_skb_load_bytes(skb, at, &icmp, sizeof(icmp)))
			return -1;
		parse_icmp(quoted, &icmp);
		/* Neither a question nor an answer. */
		if (!quoted->was.source_port && !quoted->was.destination_port)
			return -1;
	}
	return 0;
}

/* Keeps the quoted checksum right, if the quote is long enough to have it. */
static __always_inline int update_quoted_sum(struct __sk_buff *skb, const struct packet *quoted,
					     const struct quote *at)
{
	__u32 check = at->l4;
	__u64 flags = 0;
	__be16 was, now;
	__s64 change;

	/* An ICMP message is summed without addresses; all others with them. */
	if (is_icmp(quoted) && !(quoted->flags & V6))
		change = bpf_csum_diff((__be32 *)&quoted->was.source_port, 4,
				       (__be32 *)&quoted->now.source_port, 4, 0);
	else
		change = bpf_csum_diff((__be32 *)&quoted->was, sizeof(quoted->was),
				       (__be32 *)&quoted->now, sizeof(quoted->now), 0);
	if (quoted->protocol == IPPROTO_TCP) {
		check += offsetof(struct tcphdr, check);
	} else if (quoted->protocol == IPPROTO_UDP) {
		check += offsetof(struct udphdr, check);
		flags = BPF_F_MARK_MANGLED_0;
	} else if (is_icmp(quoted)) {
		check += offsetof(struct icmp, checksum);
	} else {
		return 0;
	}
	if (bpf_skb_load_bytes(skb, check, &was, sizeof(was)))
		return 0;
	if (bpf_l4_csum_replace(skb, check, 0, change, flags) ||
	    bpf_skb_load_bytes(skb, check, &now, sizeof(now)))
		return -1;
	return was == now ? 0 : bpf_l4_csum_replace(skb, at->check, was, now, sizeof(now));
}

/* Makes the quoted addresses and ports what they are to be. */
VERIFIED_ONCE int requote(struct __sk_buff *skb, const struct packet *quoted,
			  const struct quote *at)
{
	int v6;

	if (!quoted || !at)
		return -1;
	v6 = quoted->flags & V6;
	if (replace_quoted_address(skb, at,
				   v6 ? offsetof(struct ipv6hdr, saddr) :
					offsetof(struct iphdr, saddr),
				   &quoted->was.source, &quoted->now.source, v6) ||
	    replace_quoted_address(skb, at,
				   v6 ? offsetof(struct ipv6hdr, daddr) :
					offsetof(struct iphdr, daddr),
				   &quoted->was.destination, &quoted->now.destination, v6))
		return -1;
	if (is_icmp(quoted)) {
		if (replace_quoted_port(skb, at->check, at->l4 + offsetof(struct icmp, id),
					quoted->was.source_port | quoted->was.destination_port,
					quoted->now.source_port | quoted->now.destination_port))
			return -1;
	} else if (quoted->protocol == IPPROTO_TCP || quoted->protocol == IPPROTO_UDP) {
		if (replace_quoted_port(skb, at->check, at->l4, quoted->was.source_port,
					quoted->now.source_port) ||
		    replace_quoted_port(skb, at->check, at->l4 + sizeof(__be16),
					quoted->was.destination_port,
					quoted->now.destination_port))
			return -1;
	}
	return update_quoted_sum(skb, quoted, at);
}

/* Translates an error that belongs to a flow, as the flow's own packets of that direction are.
 * Returns the flow's port, with `*routed` set to where it is routed, or -1: it belongs to none. */
VERIFIED_ONCE int translate_error(struct __sk_buff *skb, struct packet *p, __u32 vrf,
				  __u32 direction, __u32 *routed)
{
	struct scratch *room = scratch();
	struct packet *quoted;
	struct quote at;
	struct flow *flow;

	if (!p || !routed || !room)
		return -1;
	quoted = &room->quoted;
	if (quoted_header(skb, p, quoted, &at) || quoted_ports(skb, at.l4, quoted))
		return -1;
	/* The error goes against the packet that it is about. */
	quoted->now.source = quoted->was.destination;
	quoted->now.destination = quoted->was.source;
	quoted->now.source_port = quoted->was.destination_port;
	quoted->now.destination_port = quoted->was.source_port;
	quoted->flags |= ICMP_ERROR;
	flow = known_flow(vrf, quoted, direction);
	if (!flow)
		return -1;

	quoted->now.source = flow->destination;
	quoted->now.destination = flow->source;
	quoted->now.source_port = flow->destination_port;
	quoted->now.destination_port = flow->source_port;
	if (requote(skb, quoted, &at))
		return -1;
	/* A router on the way speaks for itself; the end of the flow for the flow. */
	if (same_address(&p->was.source, &quoted->was.destination))
		p->now.source = flow->source;
	p->now.destination = flow->destination;
	*routed = flow->vrf;
	return flow->port;
}

/* Translates an error from outside about what a port sent with a floating address that is its alone.
 * Returns the port, or -1. */
VERIFIED_ONCE int translate_error_inwards(struct __sk_buff *skb, struct packet *p, __u32 vrf,
					  const struct address *address)
{
	struct translation *translation;
	struct scratch *room = scratch();
	struct packet *quoted;
	struct quote at;
	struct port *port;
	__u32 slot, reason;

	if (!p || !address || !room)
		return -1;
	quoted = &room->quoted;
	if (quoted_header(skb, p, quoted, &at))
		return -1;
	translation = translation_of(vrf, address, p, &reason);
	if (!translation || translation->kind != FLOATING ||
	    !same_address(&quoted->was.source, address))
		return -1;
	slot = translation->backends[0].port;
	port = bpf_map_lookup_elem(&ports, &slot);
	if (!port ||
	    !is_stateless(translation, port, vrf, address, &quoted->was.destination))
		return -1;
	own_address(port, p, &p->now.destination);
	quoted->now = quoted->was;
	quoted->now.source = p->now.destination;
	return requote(skb, quoted, &at) ? -1 : slot;
}

/* Translates what a port says about a packet to its floating address. Not 0: it is none. */
VERIFIED_ONCE int translate_error_outwards(struct __sk_buff *skb, struct packet *p,
					   const struct port *port, const struct address *floating)
{
	struct scratch *room = scratch();
	struct packet *quoted;
	struct quote at;
	struct address own;

	if (!p || !port || !floating || !room)
		return -1;
	quoted = &room->quoted;
	if (quoted_header(skb, p, quoted, &at))
		return -1;
	own_address(port, p, &own);
	if (!same_address(&quoted->was.destination, &own))
		return -1;
	quoted->now = quoted->was;
	quoted->now.destination = *floating;
	p->now.source = *floating;
	return requote(skb, quoted, &at);
}
