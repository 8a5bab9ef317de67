/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Whether a workload may send from where it says that it is. */
#pragma once

#include "packet.h"

static __always_inline int is_mac(struct __sk_buff *skb, const __u8 *mac)
{
	struct ethhdr eth;

	return !LOAD(skb, 0, eth) && same_mac(eth.h_source, mac);
}

static __always_inline int is_own(const struct port *port, const struct packet *p)
{
	if (p->flags & V6)
		return port->flags & PORT_V6 && same_address(&p->was.source, &port->v6);
	return port->flags & PORT_V4 && p->was.source.word[3] == port->v4;
}

static __always_inline int may_send(struct __sk_buff *skb, __u32 slot, const struct port *port,
				    const struct packet *p)
{
	struct allowed *allowed;
	struct allowed_key key;

	if (is_own(port, p) && is_mac(skb, port->mac))
		return 1;
	if (!(port->flags & PORT_ALLOWED))
		return 0;
	key.prefix_len = 160;
	key.port = bpf_htonl(slot);
	key.address = p->was.source;
	allowed = bpf_map_lookup_elem(&allowed_sources, &key);
	if (!allowed)
		return 0;
	return is_mac(skb, is_no_mac(allowed->mac) ? port->mac : allowed->mac);
}
