/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* From a VRF and an address to a next hop. */
#pragma once

#include "hash.h"

/* The longest match, or none. */
OWN_FRAME struct route *route(__u32 vrf, const struct address *to)
{
	struct route *found;

	if (is_v4(to)) {
		struct host_v4 host = { .vrf = vrf, .address = to->word[3] };

		found = bpf_map_lookup_elem(&hosts_v4, &host);
		if (!found) {
			struct net_v4 net = {
				.prefix_len = 64,
				.vrf = bpf_htonl(vrf),
				.address = to->word[3],
			};

			found = bpf_map_lookup_elem(&nets_v4, &net);
		}
	} else {
		struct host_v6 host = { .vrf = vrf, .address = *to };

		found = bpf_map_lookup_elem(&hosts_v6, &host);
		if (!found) {
			struct net_v6 net = {
				.prefix_len = 160,
				.vrf = bpf_htonl(vrf),
				.address = *to,
			};

			found = bpf_map_lookup_elem(&nets_v6, &net);
		}
	}
	TRACE(STEP_ROUTED, step->address[0] = *to; step->number[0] = vrf; step->number[1] = found != NULL);
	return found;
}

/* Whether a VRF has no way of its own: no route, or the one by which its workloads leave with the
 * node's address. A floating address is then what they have instead. */
OWN_FRAME int leads_out(const struct route *found)
{
	struct next_hop *hop;
	__u32 number;

	if (!found)
		return 1;
	number = found->target & ~ONE_HOP;
	if (!(found->target & ONE_HOP)) {
		struct group *group = bpf_map_lookup_elem(&groups, &number);

		if (!group)
			return 0;
		number = group->hops[0];
	}
	hop = bpf_map_lookup_elem(&next_hops, &number);
	return hop && hop->kind == HOP_MASQUERADE;
}

/* Who may be chosen. */
enum members {
	ANY_MEMBER,
	LOCAL_MEMBERS,
};

/* The flow's next hop by a route; of several, its member of the group. Where only those count that stay
 * here and none does, one that does not. */
OWN_FRAME struct next_hop *choose(const struct packet *p, const struct route *found, enum members among)
{
	__u32 count = 1, hop = found->target & ~ONE_HOP;

	if (!(found->target & ONE_HOP)) {
		struct group *group = bpf_map_lookup_elem(&groups, &found->target);

		if (!group)
			return NULL;
		count = among == LOCAL_MEMBERS ? group->local : group->count;
		hop = group->hops[0];
		if (count > 1) {
			__u32 key = found->target * 2 + (among == LOCAL_MEMBERS);
			struct shares *shares = bpf_map_lookup_elem(&group_shares, &key);
			__u32 hash = group->by_source ? source_hash(p, HASH_MEMBER) :
							flow_hash(p, HASH_MEMBER);

			if (shares) {
				__u32 member = shares->member[hash % SHARES];

				/* A group of other members may just have been written. */
				if (member < count && member < GROUP_MAX)
					hop = group->hops[member];
			}
		}
	}
	TRACE(STEP_CHOSEN, step->number[0] = hop; step->number[1] = count);
	return bpf_map_lookup_elem(&next_hops, &hop);
}
