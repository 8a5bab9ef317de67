/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Workloads that leave with the node's own address, by the underlay, without a tunnel.
 *
 * A connection has a source port, or an echo an identifier, out of a range that the node's own sockets do
 * not use. It depends on who sends, not on the other side, so that a workload's socket looks the same
 * from everywhere (RFC 4787 REQ-1), unless another one has that port towards the same other side.
 */
#pragma once

#include "fragment.h"
#include "hash.h"
#include "related.h"

#define OTHER_TRIES 16

/* How long what may be a TCP connection is not given up for another (RFC 5382 REQ-5). */
#define IDLE_ESTABLISHED 7440
#define IDLE_TRANSITORY 240

static __always_inline int is_masquerade_port(const struct node *self, __be16 port)
{
	__u16 place = bpf_ntohs(port) - self->masquerade_first;

	return place < self->masquerade_count;
}

static __always_inline int is_over(const struct flow *flow, __u8 protocol)
{
	__u32 number = flow->port, idle = seconds() - flow->seen;
	struct port *port = bpf_map_lookup_elem(&ports, &number);

	if (!port || !port->ifindex || port->generation != flow->generation)
		return 1;
	if (protocol == IPPROTO_TCP)
		return idle > (flow->state == FLOW_ANSWERED ? IDLE_ESTABLISHED : IDLE_TRANSITORY);
	return idle > (protocol == IPPROTO_UDP ? IDLE_UDP : IDLE_OTHER);
}

/* Takes the source port of `scratch()->key` for the flow beside it. Not 0: another flow has it. */
VERIFIED_ONCE int take_port(void)
{
	struct scratch *room = scratch();
	const struct flow *wanted;
	struct flow_key *key;
	struct flow *there;
	__u32 seen, now = seconds();

	if (!room)
		return -1;
	key = &room->key;
	wanted = &room->flow;
	there = bpf_map_lookup_elem(&flows, key);
	if (there) {
		if (there->port == wanted->port && there->generation == wanted->generation &&
		    there->destination_port == wanted->destination_port &&
		    same_address(&there->destination, &wanted->destination)) {
			if (COUNTS) {
				there->seen = now;
				there->state = 0;
			}
			return 0;
		}
		seen = there->seen;
		/* Of several cores that see it is over one takes it. */
		if (!is_over(there, key->protocol))
			return -1;
		if (!COUNTS)
			return 0;
		if (__sync_val_compare_and_swap(&there->seen, seen, now) != seen)
			return -1;
		bpf_map_delete_elem(&flows, key);
	}
	return bpf_map_update_elem(&flows, key, wanted, BPF_NOEXIST) ? -1 : 0;
}

/* Gives a new connection its source. 0, or a reason and one. */
VERIFIED_ONCE int new_source(struct packet *p, __u32 slot, const struct port *port,
			     const struct node *self, const struct address *own)
{
	struct scratch *room = scratch();
	__u32 hash, found = 0;
	struct flow_key *key;
	struct flow *flow;

	if (!p || !port || !self || !own || !room || !self->masquerade_count)
		return DROP_NO_SOURCE_PORT + 1;
	key = &room->key;
	flow = &room->flow;
	flow->source = p->now.destination;
	flow->destination = p->now.source;
	flow->source_port = p->now.destination_port;
	flow->destination_port = p->now.source_port;
	flow->vrf = port->vrf;
	flow->port = slot;
	flow->generation = port->generation;
	flow->seen = seconds();
	flow->state = 0;
	key->vrf = UNDERLAY;
	key->source = p->now.destination;
	key->destination = *own;
	key->source_port = p->now.destination_port;
	key->protocol = p->protocol;
	key->direction = INWARD;
	key->unused = 0;
	hash = mix(source_hash(p, HASH_MASQUERADE) ^ mix((__u32)p->now.source_port << 16 | slot));
	for (__u32 i = 0; i <= OTHER_TRIES; i++) {
		__u16 place = hash % self->masquerade_count;

		key->destination_port = bpf_htons(self->masquerade_first + place);
		if (!take_port()) {
			found = 1;
			break;
		}
		hash = mix(hash + i);
	}
	if (!found)
		return DROP_NO_SOURCE_PORT + 1;
	p->now.source = *own;
	p->now.source_port = key->destination_port;

	flow->source = *own;
	flow->destination = key->source;
	flow->source_port = key->destination_port;
	flow->destination_port = key->source_port;
	flow->vrf = UNDERLAY;
	flow_key_of(key, port->vrf, p, OUTWARD);
	key->source = p->was.source;
	key->source_port = p->was.source_port;
	return bpf_map_update_elem(&flows, key, flow, BPF_ANY) ? DROP_REFUSED + 1 : 0;
}

/* Gives a packet the source that its connection has. 0, or a reason and one. */
VERIFIED_ONCE int own_source(struct __sk_buff *skb, struct packet *p, __u32 slot,
			     const struct port *port)
{
	__u32 none = 0, routed;
	struct node *self = bpf_map_lookup_elem(&node, &none);
	struct address own;
	struct flow *flow;

	if (!p || !port || !self)
		return DROP_REFUSED + 1;
	/* Whatever source it would have had in an overlay. */
	p->now = p->was;
	own = p->flags & V6 ? self->tunnel_v6 : mapped(self->tunnel_v4);
	if (p->flags & V6 ? is_none(&own) : !own.word[3])
		return DROP_REFUSED + 1;
	/* A workload opens no connection to its node. */
	if (same_address(&p->now.destination, &own))
		return DROP_DENIED + 1;
	if (p->flags & ICMP_ERROR) {
		if (translate_error(skb, p, port->vrf, OUTWARD, &routed) != slot)
			return DROP_UNSUPPORTED + 1;
		p->now.source = own;
		return 0;
	}
	if (!knows_ports(p))
		return DROP_FRAGMENT + 1;
	/* Who answers an echo has not asked. */
	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP &&
	    !(is_icmp(p) && (p->flags & ECHO_REQUEST || p->now.source_port)))
		return DROP_UNSUPPORTED + 1;
	flow = known_flow(port->vrf, p, OUTWARD);
	if (flow && flow->port == slot && is_masquerade_port(self, flow->source_port) &&
	    same_address(&flow->source, &own)) {
		follow(p, flow);
		return 0;
	}
	return new_source(p, slot, port, self, &own);
}

/* The flow that a packet from the underlay to `own` answers. */
OWN_FRAME struct flow *answered_flow(const struct packet *p)
{
	struct flow *flow = known_flow(UNDERLAY, p, INWARD);
	__u32 state;

	if (!flow)
		return NULL;
	state = flow->state | FLOW_ANSWERED;
	if (p->tcp_flags & (TCP_FIN | TCP_RST))
		state |= FLOW_CLOSED;
	if (COUNTS && flow->state != state)
		flow->state = state;
	return flow;
}
