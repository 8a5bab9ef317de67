/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Whether this node is alive: a packet that asks comes back (BFD echo, RFC 5880 §6.4, RFC 5881 §4), also
 * while there is no agent. */
#pragma once

#include "tunnel.h"

/* Sends what a control node asked back to it. Source and destination change places, so the checksums
 * stay; the TTL does, too. UDP begins at `l4`. */
VERIFIED_ONCE int answer_probe(struct __sk_buff *skb, __u32 l4)
{
	int v6 = skb->protocol == bpf_htons(ETH_P_IPV6);
	__u32 at = L3 + (v6 ? offsetof(struct ipv6hdr, saddr) : offsetof(struct iphdr, saddr));
	struct address from, to;
	__be16 ports[2], back[2];
	int failed;

	if (v6) {
		if (bpf_skb_load_bytes(skb, at, &from, sizeof(from)) ||
		    bpf_skb_load_bytes(skb, at + sizeof(from), &to, sizeof(to)))
			return PASS;
	} else {
		__be32 pair[2];

		if (bpf_skb_load_bytes(skb, at, pair, sizeof(pair)))
			return PASS;
		from = mapped(pair[0]);
		to = mapped(pair[1]);
	}
	/* Nobody else gets anything sent anywhere. */
	if (!bpf_map_lookup_elem(&probers, &from) ||
	    bpf_skb_load_bytes(skb, l4, ports, sizeof(ports)))
		return PASS;
	back[0] = ports[1];
	back[1] = ports[0];
	if (v6)
		failed = bpf_skb_store_bytes(skb, at, &to, sizeof(to), 0) ||
			 bpf_skb_store_bytes(skb, at + sizeof(to), &from, sizeof(from), 0);
	else
		failed = bpf_skb_store_bytes(skb, at, &to.word[3], 4, 0) ||
			 bpf_skb_store_bytes(skb, at + 4, &from.word[3], 4, 0);
	if (failed || bpf_skb_store_bytes(skb, l4, back, sizeof(back), 0))
		return drop(DROP_REFUSED);
	TRACE(STEP_ANSWERED, (void)step);
	return bpf_redirect_neigh(skb->ifindex, NULL, 0, 0);
}
