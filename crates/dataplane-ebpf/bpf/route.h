/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* From a VRF and an address to a next hop. */
#pragma once

#include "hash.h"

/* The group of the longest match, or 0: no route. */
static __always_inline struct group *route(__u32 vrf, __be32 address)
{
	struct host_key host = { .vrf = vrf, .address = address };
	__u32 *id = bpf_map_lookup_elem(&hosts, &host);

	if (!id) {
		struct net_key net = {
			.prefix_len = 64,
			.vrf = bpf_htonl(vrf),
			.address = address,
		};

		id = bpf_map_lookup_elem(&nets, &net);
	}
	return id ? bpf_map_lookup_elem(&groups, id) : NULL;
}

/* The flow's next hop among the first `count` members. */
static __always_inline struct next_hop *choose(struct group *group, __u32 count, __u32 hash)
{
	__u32 hop = group->members[0].next_hop;

	if (count > 1) {
		__u64 best = 0;

		for (int i = 0; i < GROUP_MAX; i++) {
			if (i >= count)
				break;
			best = greater(best, draw(hash, group->members[i].key,
						  group->members[i].next_hop));
		}
		hop = winner(best);
	}
	return bpf_map_lookup_elem(&next_hops, &hop);
}
