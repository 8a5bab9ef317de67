/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Translated connections.
 *
 * One of a floating or service address has two entries: FORWARD, so that it keeps its server, and
 * REVERSE, so that the server's answers, and nothing else that it sends, come from the address that was
 * called, and are routed in that address's VRF. One that leaves with the node's address has OUTWARD and
 * INWARD.
 *
 * What a flood of SYNs leaves behind lives in `new_flows`, a table of its own: a TCP connection moves to
 * `flows` when it was answered and its client goes on. Both tables forget what was unused for longest.
 */
#pragma once

#include "packet.h"

#define NANOSECONDS 1000000000ull

/* After so many quiet seconds a flow without a connection is another one. TCP says when it opens. */
#define IDLE_UDP 180
#define IDLE_OTHER 60

/* What the stack has no room for: all frames of a chain of calls have 512 octets together. A program
 * keeps its CPU while it runs, and no two functions that use the same field call each other. */
struct scratch {
	struct packet quoted;
	struct flow_key key;
	struct flow_key back;
	struct flow flow;
	struct tuple to;
	struct affinity_key client;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline struct scratch *scratch(void)
{
	__u32 none = 0;

	return bpf_map_lookup_elem(&scratches, &none);
}

static __always_inline __u32 seconds(void)
{
	return bpf_ktime_get_coarse_ns() / NANOSECONDS;
}

static __always_inline void flow_key_of(struct flow_key *key, __u32 vrf, const struct packet *p,
					enum direction direction)
{
	key->vrf = vrf;
	key->source = p->now.source;
	key->destination = p->now.destination;
	key->source_port = p->now.source_port;
	key->destination_port = p->now.destination_port;
	key->protocol = p->protocol;
	key->direction = direction;
	key->unused = 0;
}

/* Makes a flow's key that of its packets of the other direction. */
static __always_inline void turn_key(struct flow_key *key, const struct flow *flow, __u32 vrf,
				     enum direction direction)
{
	key->vrf = vrf;
	key->source = flow->destination;
	key->destination = flow->source;
	key->source_port = flow->destination_port;
	key->destination_port = flow->source_port;
	key->direction = direction;
}

/* Moves a connection to `flows`, if it was answered. `key` is its FORWARD one. */
OWN_FRAME int promote(const struct flow_key *key, const struct flow *opening)
{
	struct scratch *room = scratch();
	struct flow_key *back;
	struct flow *answer;

	if (!room)
		return -1;
	back = &room->key;
	*back = *key;
	turn_key(back, opening, opening->vrf, REVERSE);
	answer = bpf_map_lookup_elem(&new_flows, back);
	if (!answer || !((answer->state | opening->state) & FLOW_ANSWERED))
		return -1;
	if (bpf_map_update_elem(&flows, back, answer, BPF_ANY) ||
	    bpf_map_update_elem(&flows, key, opening, BPF_ANY))
		return -1;
	bpf_map_delete_elem(&new_flows, back);
	bpf_map_delete_elem(&new_flows, key);
	return 0;
}

/* A connection that is not yet in `flows`. */
static __always_inline struct flow *opening(struct flow_key *key, const struct packet *p)
{
	struct flow *flow;

	if (p->protocol != IPPROTO_TCP || key->direction > REVERSE)
		return NULL;
	flow = bpf_map_lookup_elem(&new_flows, key);
	if (!flow || !COUNTS || p->flags & ICMP_ERROR || p->tcp_flags & TCP_RST)
		return flow;
	if (key->direction == REVERSE)
		flow->state |= FLOW_ANSWERED;
	else if (!promote(key, flow))
		flow = bpf_map_lookup_elem(&flows, key);
	return flow;
}

/* A client that goes on is not quiet (affinity.h). */
static __always_inline void renew_affinity(const struct flow_key *key)
{
	struct scratch *room = scratch();
	struct affinity *affinity;

	if (!room)
		return;
	room->client.vrf = key->vrf;
	room->client.address = key->destination;
	room->client.client = key->source;
	room->client.port = key->destination_port;
	room->client.protocol = key->protocol;
	room->client.unused = 0;
	affinity = bpf_map_lookup_elem(&affinities, &room->client);
	if (affinity)
		affinity->seen = seconds();
}

/* Once a second of a flow's use: what else stays because of it. Not 0: the flow is no more. */
OWN_FRAME int renew(struct flow_key *key, const struct flow *flow, __u32 closes)
{
	struct flow *back;
	struct address own;
	__be16 own_port;

	if (key->direction == FORWARD)
		renew_affinity(key);
	if (key->direction != OUTWARD)
		return 0;
	/* What a workload sends keeps its way back open (RFC 4787 REQ-6). */
	own = key->source;
	own_port = key->source_port;
	turn_key(key, flow, UNDERLAY, INWARD);
	back = bpf_map_lookup_elem(&flows, key);
	if (!back || back->port != flow->port || back->destination_port != own_port ||
	    !same_address(&back->destination, &own))
		return -1;
	back->seen = seconds();
	if (closes)
		back->state |= FLOW_CLOSED;
	return 0;
}

/* The flow that the packet belongs to, if its port is still the one that it was. */
OWN_FRAME struct flow *known_flow(__u32 vrf, const struct packet *p, enum direction direction)
{
	struct flow_key key;
	struct flow *flow;
	struct port *port;
	__u32 now, idle, closes;

	/* Without ports it could be any connection's. */
	if (p->flags & OPENS || !knows_ports(p))
		return NULL;
	flow_key_of(&key, vrf, p, direction);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow)
		flow = opening(&key, p);
	if (!flow)
		return NULL;
	port = bpf_map_lookup_elem(&ports, &flow->port);
	if (!port || port->generation != flow->generation)
		return NULL;
	now = seconds();
	idle = now - flow->seen;
	if (p->protocol != IPPROTO_TCP && idle > (p->protocol == IPPROTO_UDP ? IDLE_UDP : IDLE_OTHER))
		return NULL;
	closes = p->tcp_flags & (TCP_FIN | TCP_RST);
	/* Written at most once a second, so that cores do not fight for it. An error is no use of the flow
	 * (RFC 5508 REQ-3). */
	if (COUNTS && (idle || closes) && !(p->flags & ICMP_ERROR)) {
		if (renew(&key, flow, closes))
			return NULL;
		flow->seen = now;
	}
	return flow;
}

static __always_inline void follow(struct packet *p, const struct flow *flow)
{
	p->now.source = flow->source;
	p->now.destination = flow->destination;
	p->now.source_port = flow->source_port;
	p->now.destination_port = flow->destination_port;
}

static __always_inline int write_flow(const struct flow_key *key, const struct flow *flow, int opens)
{
	if (opens)
		return bpf_map_update_elem(&new_flows, key, flow, BPF_ANY);
	return bpf_map_update_elem(&flows, key, flow, BPF_ANY);
}

/* Remembers both directions of a connection.
 *
 * `room->key` is the one of its direction towards the server, before translation, and is used up;
 * `room->to` is the tuple behind the translation, at port `slot`. Who `opens` may be nobody. */
static __always_inline int remember(struct scratch *room, __u32 slot, const struct port *port,
				    __u32 state, int opens)
{
	struct flow_key *key = &room->key;
	struct flow *there, *flow = &room->flow;
	const struct tuple *to = &room->to;

	flow->source = to->source;
	flow->destination = to->destination;
	flow->source_port = to->source_port;
	flow->destination_port = to->destination_port;
	flow->vrf = port->vrf;
	flow->port = slot;
	flow->generation = port->generation;
	flow->seen = seconds();
	flow->state = state;
	key->direction = FORWARD;
	if (write_flow(key, flow, opens))
		return -1;

	flow->source = key->destination;
	flow->destination = key->source;
	flow->source_port = key->destination_port;
	flow->destination_port = key->source_port;
	flow->vrf = key->vrf;
	key->vrf = port->vrf;
	key->source = to->destination;
	key->destination = to->source;
	key->source_port = to->destination_port;
	key->destination_port = to->source_port;
	key->direction = REVERSE;
	/* Who asks again may have been answered meanwhile. */
	there = opens ? bpf_map_lookup_elem(&new_flows, key) : NULL;
	if (there && there->port == slot)
		flow->state |= there->state;
	return write_flow(key, flow, opens);
}
