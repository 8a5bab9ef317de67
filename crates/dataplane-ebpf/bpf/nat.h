/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Floating addresses and services.
 *
 * The first packet of a connection chooses who serves it and leaves two entries in `flows`: FORWARD,
 * so that the connection keeps its server, and REVERSE, so that the server's answers, and nothing
 * else that it sends, come from the address that was called, and are routed in that address's VRF.
 */
#pragma once

#include "hash.h"

#define NANOSECONDS 1000000000ull

/* After so many quiet seconds a flow without a connection is another one. TCP says when it opens. */
#define IDLE_UDP 180
#define IDLE_OTHER 60

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

/* The flow that the packet belongs to, if its port is still the one that it was. */
OWN_FRAME struct flow *known_flow(__u32 vrf, const struct packet *p, enum direction direction)
{
	struct flow_key key;
	struct flow *flow;
	struct port *port;
	__u32 now, idle;

	/* Without ports it could be any connection's. */
	if (p->flags & (OPENS | LATER_FRAGMENT))
		return NULL;
	flow_key_of(&key, vrf, p, direction);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow)
		return NULL;
	port = bpf_map_lookup_elem(&ports, &flow->port);
	if (!port || port->generation != flow->generation)
		return NULL;
	now = seconds();
	idle = now - flow->seen;
	if (p->protocol != IPPROTO_TCP && idle > (p->protocol == IPPROTO_UDP ? IDLE_UDP : IDLE_OTHER))
		return NULL;
	/* Written at most once a second, so that cores do not fight for it. */
	if (idle)
		flow->seen = now;
	return flow;
}

static __always_inline void follow(struct packet *p, const struct flow *flow)
{
	p->now.source = flow->source;
	p->now.destination = flow->destination;
	p->now.source_port = flow->source_port;
	p->now.destination_port = flow->destination_port;
}

/* The port's own address of the packet's version. */
static __always_inline void own_address(const struct port *port, const struct packet *p,
					struct address *address)
{
	*address = p->flags & V6 ? port->v6 : mapped(port->v4);
}

/* Remembers both directions of a connection.
 *
 * `key` is the one of its direction towards the server, before translation, and is used up; `to` is
 * the tuple behind the translation, at port `slot`. */
static __always_inline int remember(struct flow_key *key, const struct tuple *to, __u32 slot,
				    const struct port *port)
{
	struct flow flow = {
		.source = to->source,
		.destination = to->destination,
		.source_port = to->source_port,
		.destination_port = to->destination_port,
		.vrf = port->vrf,
		.port = slot,
		.generation = port->generation,
		.seen = seconds(),
	};

	key->direction = FORWARD;
	if (bpf_map_update_elem(&flows, key, &flow, BPF_ANY))
		return -1;

	flow.source = key->destination;
	flow.destination = key->source;
	flow.source_port = key->destination_port;
	flow.destination_port = key->source_port;
	flow.vrf = key->vrf;
	key->vrf = port->vrf;
	key->source = to->destination;
	key->destination = to->source;
	key->source_port = to->destination_port;
	key->destination_port = to->source_port;
	key->direction = REVERSE;
	return bpf_map_update_elem(&flows, key, &flow, BPF_ANY);
}

/* Who serves a new connection; NULL with `*reason` set when nobody does. */
static __always_inline struct backend *serve(__u32 vrf, const struct address *address,
					     const struct packet *p, __u32 *reason)
{
	struct translation_key key = {
		.vrf = vrf,
		.address = *address,
		.port = p->now.destination_port,
		.protocol = p->protocol,
	};
	struct translation *translation = NULL;
	__u32 hash, count;
	__u64 best = 0;

	*reason = DROP_NO_BACKEND;
	if (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP)
		translation = bpf_map_lookup_elem(&translations, &key);
	if (!translation) {
		key.port = 0;
		key.protocol = 0;
		translation = bpf_map_lookup_elem(&translations, &key);
		if (!translation || translation->kind == SERVICE) {
			if (p->flags & FRAGMENT)
				*reason = DROP_FRAGMENT;
			return NULL;
		}
	}
	count = translation->count;
	if (!count)
		return NULL;
	/* It has no ports to tell which holder its connection went to. */
	if (count > 1 && p->flags & FRAGMENT) {
		*reason = DROP_FRAGMENT;
		return NULL;
	}
	hash = flow_hash(p, HASH_BACKEND);
	for (__u32 i = 0; i < BACKENDS_MAX; i++) {
		if (i >= count)
			break;
		best = greater(best, draw(hash, translation->backends[i].key, i));
	}
	return &translation->backends[winner(best) % BACKENDS_MAX];
}

/* Turns a packet to an address that this node serves towards who serves it. Returns the element of
 * `ports`, or -1 with `*reason` set. */
VERIFIED_ONCE int translate(struct packet *p, __u32 vrf, const struct address *address,
			    __u32 *reason)
{
	struct backend *backend;
	struct flow *flow;
	struct flow_key key;
	struct port *port;
	struct tuple to;
	__u32 slot;

	if (!p || !address || !reason)
		return -1;
	flow = known_flow(vrf, p, FORWARD);
	if (flow) {
		slot = flow->port;
		follow(p, flow);
		return slot;
	}
	backend = serve(vrf, address, p, reason);
	if (!backend)
		return -1;
	slot = backend->port;
	port = bpf_map_lookup_elem(&ports, &slot);
	if (!port || !port->ifindex) {
		*reason = DROP_PORT_GONE;
		return -1;
	}
	to = p->now;
	own_address(port, p, &to.destination);
	if (backend->target)
		to.destination_port = backend->target;
	/* Who calls itself by its service's address would see its own address come from outside, and
	 * drop it. So it sees the service call. */
	if (same_address(&to.source, &to.destination) && same_address(&p->was.source, &to.source))
		to.source = p->now.destination;
	flow_key_of(&key, vrf, p, FORWARD);
	if (remember(&key, &to, slot, port)) {
		*reason = DROP_REFUSED;
		return -1;
	}
	p->now = to;
	return slot;
}

/* Gives a connection that the port opens its floating address, with which it leaves through the
 * floating address's VRF. Answers arrive as packets to that address do. */
VERIFIED_ONCE int translate_outwards(struct packet *p, __u32 slot, const struct port *port,
				     const struct address *floating, __u32 floating_vrf)
{
	struct flow_key key;
	struct tuple to;

	if (!p || !port || !floating)
		return -1;
	to.source = p->was.destination;
	to.destination = p->was.source;
	to.source_port = p->was.destination_port;
	to.destination_port = p->was.source_port;
	flow_key_of(&key, floating_vrf, p, FORWARD);
	key.source = to.source;
	key.destination = *floating;
	key.source_port = to.source_port;
	key.destination_port = to.destination_port;
	p->now.source = *floating;
	return remember(&key, &to, slot, port);
}
