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

/* Whether a socket of the node has asked who sends this datagram, and nobody else. */
VERIFIED_ONCE int is_asked_for(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size = sizeof(tuple.ipv4);
	struct bpf_sock *socket;
	int connected;

	if (!p)
		return 0;
	if (p->flags & V6) {
		size = sizeof(tuple.ipv6);
		__builtin_memcpy(tuple.ipv6.saddr, &p->was.source, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, &p->was.destination, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = p->was.source_port;
		tuple.ipv6.dport = p->was.destination_port;
	} else {
		tuple.ipv4.saddr = p->was.source.word[3];
		tuple.ipv4.daddr = p->was.destination.word[3];
		tuple.ipv4.sport = p->was.source_port;
		tuple.ipv4.dport = p->was.destination_port;
	}
	socket = bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return 0;
	connected = socket->state == BPF_TCP_ESTABLISHED;
	bpf_sk_release(socket);
	return connected;
}

/* Answers only: a workload opens no connection to its node. UDP does not say which it is; without a first
 * fragment the others are nothing. */
static __always_inline int answer_host(struct __sk_buff *skb, const struct packet *p)
{
	int answers = (p->protocol == IPPROTO_TCP && !(p->flags & (OPENS | LATER_FRAGMENT))) ||
		      (is_icmp(p) && !(p->flags & ECHO_REQUEST));

	if (!answers && p->protocol == IPPROTO_UDP)
		answers = p->flags & LATER_FRAGMENT || is_asked_for(skb, p);
	if (!answers)
		return drop(DROP_DENIED);
	/* The workload sent it to the gateway's MAC. */
	if (bpf_skb_change_type(skb, HOST_PACKET))
		return drop(DROP_REFUSED);
	return PASS;
}
