/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* The node itself may open connections to ports that say so; their answers go to its own stack. */
#pragma once

#include "tunnel.h"

#define HOST_PACKET 0 /* PACKET_HOST of <linux/if_packet.h> */

/* Whether the packet goes to the node's own address, from a port that the node may talk to. */
static __always_inline int is_for_host(const struct port *port, const struct packet *p)
{
	__u32 none = 0;
	struct node *self;

	if (!(port->flags & PORT_HOST_ACCESS))
		return 0;
	self = bpf_map_lookup_elem(&node, &none);
	if (!self)
		return 0;
	if (p->flags & V6)
		return same_address(&p->was.destination, &self->tunnel_v6);
	return p->was.destination.word[3] == self->tunnel_v4;
}

/* Answers only: a workload opens no connection to its node. */
static __always_inline int answer_host(struct __sk_buff *skb, const struct packet *p)
{
	int answers = (p->protocol == IPPROTO_TCP && !(p->flags & (OPENS | LATER_FRAGMENT))) ||
		      (is_icmp(p) && !(p->flags & ECHO_REQUEST));

	if (!answers)
		return drop(DROP_DENIED);
	/* The workload sent it to the gateway's MAC. */
	if (bpf_skb_change_type(skb, HOST_PACKET))
		return drop(DROP_REFUSED);
	return PASS;
}
