/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Counting: drops by reason, traffic of ports and tunnels. */
#pragma once

#include <linux/pkt_cls.h>

#include "maps.h"

/* Lets the next program on the interface, and then the kernel, have the packet. */
#define PASS TC_ACT_UNSPEC

/* A function of its own for the verifier: it follows the paths inside once, not once for each path
 * that leads to a call. Its pointers may be null as far as it knows. */
#define VERIFIED_ONCE __attribute__((noinline))

static __always_inline int drop(enum drop_reason reason)
{
	__u32 key = reason;
	__u64 *count = bpf_map_lookup_elem(&drops, &key);

	if (count)
		*count += 1;
	return TC_ACT_SHOT;
}

static __always_inline void count_port_rx(__u32 slot, __u32 octets)
{
	struct traffic *traffic = bpf_map_lookup_elem(&port_traffic, &slot);

	if (traffic) {
		traffic->rx_packets += 1;
		traffic->rx_bytes += octets;
	}
}

static __always_inline void count_port_tx(__u32 slot, __u32 octets)
{
	struct traffic *traffic = bpf_map_lookup_elem(&port_traffic, &slot);

	if (traffic) {
		traffic->tx_packets += 1;
		traffic->tx_bytes += octets;
	}
}

static __always_inline struct traffic *tunnel_traffic_of(__be32 remote)
{
	struct traffic *traffic = bpf_map_lookup_elem(&tunnel_traffic, &remote);
	struct traffic nothing = {};

	if (traffic)
		return traffic;
	bpf_map_update_elem(&tunnel_traffic, &remote, &nothing, BPF_NOEXIST);
	return bpf_map_lookup_elem(&tunnel_traffic, &remote);
}

static __always_inline void count_tunnel_rx(__be32 remote, __u32 octets)
{
	struct traffic *traffic = tunnel_traffic_of(remote);

	if (traffic) {
		traffic->rx_packets += 1;
		traffic->rx_bytes += octets;
	}
}

static __always_inline void count_tunnel_tx(__be32 remote, __u32 octets)
{
	struct traffic *traffic = tunnel_traffic_of(remote);

	if (traffic) {
		traffic->tx_packets += 1;
		traffic->tx_bytes += octets;
	}
}
