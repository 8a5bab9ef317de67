/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* The way to another node, by the kernel's own routes. */
#pragma once

#include "tunnel.h"

#define AF_INET 2
#define AF_INET6 10

/* In each network namespace. A packet that "comes" from there is one of this node's own, for which the
 * kernel looks routes up as for its own sockets. */
#define LOOPBACK 1

struct way {
	__u32 interface;
	__u32 mtu;
	/* Of the router on the way, where `known` says so; else the kernel is asked once the packet leaves. */
	__u32 known;
	struct bpf_redir_neigh via;
};

/* What the kernel has said lately, where there is one uplink: only the router may be another one since. */
struct recent_way {
	struct address remote;
	__u32 interface;
	__u32 period;
	struct bpf_redir_neigh via; /* no family: it has said nothing */
};

#define RECENT_WAYS 256
#define RECENT_SHIFT 5 /* a period is 32 ticks of the kernel's clock: 128 ms at 250 a second */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RECENT_WAYS);
	__type(key, __u32);
	__type(value, struct recent_way);
} recent_ways SEC(".maps");

/* For the flow with a source port: the kernel may spread flows over several ways, too. */
static __always_inline int ask_kernel(struct __sk_buff *skb, const struct node *self, __u16 flow,
				      const struct address *remote, struct way *way)
{
	struct bpf_fib_lookup fib = {};
	long answer;

	fib.ifindex = LOOPBACK;
	fib.l4_protocol = IPPROTO_UDP;
	fib.sport = bpf_htons(flow);
	if (is_v4(remote)) {
		fib.family = AF_INET;
		fib.ipv4_src = self->tunnel_v4;
		fib.ipv4_dst = remote->word[3];
	} else {
		fib.family = AF_INET6;
		__builtin_memcpy(fib.ipv6_src, &self->tunnel_v6, sizeof(fib.ipv6_src));
		__builtin_memcpy(fib.ipv6_dst, remote, sizeof(fib.ipv6_dst));
	}
	answer = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	if (answer != BPF_FIB_LKUP_RET_SUCCESS && answer != BPF_FIB_LKUP_RET_NO_NEIGH)
		return -1;
	way->interface = fib.ifindex;
	way->via.nh_family = fib.family;
	__builtin_memcpy(way->via.ipv6_nh, fib.ipv6_dst, sizeof(way->via.ipv6_nh));
	way->known = 1;
	return 0;
}

/* A look-up of the kernel's costs more than all of ours together. All flows to a node go by one router:
 * each period may be begun by another of them, and none shall change its way for that. */
static __always_inline void ask_seldom(struct __sk_buff *skb, const struct node *self,
				       const struct address *remote, struct way *way)
{
	__u32 place = bpf_ntohl(remote->word[3]) % RECENT_WAYS;
	__u32 period = bpf_jiffies64() >> RECENT_SHIFT;
	struct recent_way *recent = bpf_map_lookup_elem(&recent_ways, &place);

	way->interface = self->uplink;
	way->known = 0;
	if (!recent)
		return;
	if (recent->period != period || recent->interface != self->uplink ||
	    !same_address(&recent->remote, remote)) {
		recent->period = period;
		recent->interface = self->uplink;
		recent->remote = *remote;
		recent->via.nh_family = 0;
		if (!ask_kernel(skb, self, 0, remote, way) && way->interface == self->uplink)
			recent->via = way->via;
		way->interface = self->uplink;
	}
	way->known = recent->via.nh_family != 0;
	way->via = recent->via;
}

/* Not 0: there is none. */
VERIFIED_ONCE int find_way(struct __sk_buff *skb, const struct node *self, const struct packet *p,
			   const struct address *remote, struct way *way)
{
	struct uplink *uplink;
	__u32 interface;

	if (!self || !p || !remote || !way)
		return -1;
	if (self->uplink)
		ask_seldom(skb, self, remote, way);
	else if (ask_kernel(skb, self, source_port(p), remote, way))
		return -1;
	way->mtu = self->uplink_mtu;
	if (self->uplink && way->mtu)
		return 0;
	interface = way->interface;
	uplink = bpf_map_lookup_elem(&uplinks, &interface);
	if (!uplink)
		return -1;
	way->mtu = uplink->mtu;
	return 0;
}

static __always_inline int go(struct way *way)
{
	TRACE(STEP_SENT, step->number[0] = way->interface);
	if (way->known)
		return bpf_redirect_neigh(way->interface, &way->via, sizeof(way->via), 0);
	return bpf_redirect_neigh(way->interface, NULL, 0, 0);
}
