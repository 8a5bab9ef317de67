/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Counting: drops by reason, traffic of ports, VRFs and tunnels. */
#pragma once

#include <linux/pkt_cls.h>

#include "trace.h"

/* Lets the next program on the interface, and then the kernel, have the packet. */
#define PASS TC_ACT_UNSPEC

/* A function of its own for the verifier: it follows the paths inside once, not once for each path
 * that leads to a call. Its pointers may be null as far as it knows, and Linux 6.1 takes nothing that they
 * point to as a map's key or value. */
#define VERIFIED_ONCE __attribute__((noinline))

/* A function with a stack frame of its own: all frames of a chain of calls have 512 octets together. */
#define OWN_FRAME static __attribute__((noinline))

static __always_inline int drop(enum drop_reason reason)
{
	__u32 key = reason;
	__u64 *count = bpf_map_lookup_elem(&drops, &key);

	TRACE(STEP_DROPPED, step->number[0] = reason);
	if (COUNTS && count)
		*count += 1;
	return TC_ACT_SHOT;
}

static __always_inline void received(struct traffic *traffic, __u32 octets)
{
	if (COUNTS && traffic) {
		traffic->rx_packets += 1;
		traffic->rx_bytes += octets;
	}
}

static __always_inline void sent(struct traffic *traffic, __u32 octets)
{
	if (COUNTS && traffic) {
		traffic->tx_packets += 1;
		traffic->tx_bytes += octets;
	}
}

static __always_inline struct traffic *port_traffic_of(__u32 slot)
{
	return bpf_map_lookup_elem(&port_traffic, &slot);
}

static __always_inline struct traffic *vrf_traffic_of(__u32 vrf)
{
	return bpf_map_lookup_elem(&vrf_traffic, &vrf);
}

static __always_inline struct traffic *tunnel_traffic_of(const struct address *remote)
{
	struct address key = *remote;
	struct traffic *traffic = bpf_map_lookup_elem(&tunnel_traffic, &key);
	struct traffic nothing = {};

	if (traffic)
		return traffic;
	bpf_map_update_elem(&tunnel_traffic, &key, &nothing, BPF_NOEXIST);
	return bpf_map_lookup_elem(&tunnel_traffic, &key);
}
