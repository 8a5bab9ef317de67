/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Floating addresses and services.
 *
 * The first packet of a connection chooses who serves it, and leaves a flow (flow.h). An address that is
 * one port's alone needs none: it stands for the port's own address and the other way round, wherever
 * the port's own VRF has no way of its own to the other side. Both directions ask that same question, so the
 * answers of a client that the VRF does reach, and would get them untranslated, have a flow.
 */
#pragma once

#include "affinity.h"
#include "hash.h"
#include "route.h"

/* The port's own address of the packet's version. */
static __always_inline void own_address(const struct port *port, const struct packet *p,
					struct address *address)
{
	*address = p->flags & V6 ? port->v6 : mapped(port->v4);
}

/* Who serves an address, or that port of it; NULL with `*reason` set when nobody does. */
OWN_FRAME struct translation *translation_of(__u32 vrf, const struct address *address,
					     const struct packet *p, __u32 *reason)
{
	struct translation_key key = { .vrf = vrf, .address = *address };
	struct translation *translation = bpf_map_lookup_elem(&translations, &key);

	*reason = DROP_NO_BACKEND;
	if (!translation || translation->kind != SERVICE)
		return translation;
	if (!knows_ports(p)) {
		*reason = DROP_FRAGMENT;
		return NULL;
	}
	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return NULL;
	key.port = p->now.destination_port;
	key.protocol = p->protocol;
	return bpf_map_lookup_elem(&translations, &key);
}

/* Who serves a new connection; NULL with `*reason` set when nobody does. */
OWN_FRAME struct backend *serve(struct translation *translation, __u32 vrf, const struct packet *p,
				__u32 *reason)
{
	__u32 hash, count = translation->count;
	__u64 best = 0, first = NO_FAVOURITE;

	if (!count)
		return NULL;
	/* It has no ports to tell which holder its connection went to. */
	if (count > 1 && !knows_ports(p)) {
		*reason = DROP_FRAGMENT;
		return NULL;
	}
	if (translation->affinity)
		first = favourite(vrf, p, translation->affinity);
	hash = flow_hash(p, HASH_BACKEND);
	for (__u32 i = 0; i < BACKENDS_MAX; i++) {
		__u32 key;

		if (i >= count)
			break;
		key = translation->backends[i].key;
		best = greater(best, favour(draw(hash, key, i), key, first));
	}
	return &translation->backends[winner(best) % BACKENDS_MAX];
}

/* Whether a floating address and the port's own stand for each other without a flow, between the port
 * and `other`. */
static __always_inline int is_stateless(const struct translation *translation,
					const struct port *port, __u32 vrf,
					const struct address *address, const struct address *other)
{
	if (translation->kind != FLOATING || !translation->exclusive || translation->count != 1)
		return 0;
	/* Of several such addresses the port's packets leave with one. */
	if (is_v4(address) ? port->floating_v4_vrf != vrf || port->floating_v4 != address->word[3] :
			     port->floating_v6_vrf != vrf ||
				     !same_address(&port->floating_v6, address))
		return 0;
	return leads_out(route(port->vrf, other));
}

/* The client opens a connection anew that ended, or asks again: it stays where it is. */
static __always_inline int is_kept(struct flow_key *key, const struct tuple *to, __u32 slot,
				   const struct port *port)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, key);

	if (!flow)
		return 0;
	if (flow->port == slot && flow->generation == port->generation &&
	    flow->destination_port == to->destination_port &&
	    same_address(&flow->destination, &to->destination) &&
	    same_address(&flow->source, &to->source))
		return 1;
	bpf_map_delete_elem(&flows, key);
	return 0;
}

#define CLASH_TRIES 8
#define FIRST_OTHER_PORT 0x8000

/* Whether the answers to `room->to` are not another connection's: one client may call two addresses of one
 * server from one port. */
static __always_inline int is_unambiguous(struct scratch *room, __u32 vrf)
{
	const struct flow_key *called = &room->key;
	struct flow_key *back = &room->back;
	struct flow *flow;

	back->vrf = vrf;
	back->source = room->to.destination;
	back->destination = room->to.source;
	back->source_port = room->to.destination_port;
	back->destination_port = room->to.source_port;
	back->protocol = called->protocol;
	back->direction = REVERSE;
	back->unused = 0;
	flow = bpf_map_lookup_elem(&flows, back);
	if (!flow)
		flow = bpf_map_lookup_elem(&new_flows, back);
	return !flow || (flow->vrf == called->vrf && flow->source_port == called->destination_port &&
			 flow->destination_port == called->source_port &&
			 same_address(&flow->source, &called->destination));
}

/* Gives the client another port towards the server of `scratch()->to`, in whose VRF another connection of its
 * looks the same. */
VERIFIED_ONCE int keep_apart(__u32 vrf)
{
	struct scratch *room = scratch();
	__u32 hash;

	if (!room || (room->key.protocol != IPPROTO_TCP && room->key.protocol != IPPROTO_UDP))
		return 0;
	hash = (__u32)room->key.source_port << 16 | room->key.destination_port;
	hash = mix_address(hash, &room->key.destination, V6);
	for (int i = 0; i < CLASH_TRIES; i++) {
		if (is_unambiguous(room, vrf))
			return 0;
		hash = mix(hash + i);
		room->to.source_port = bpf_htons(FIRST_OTHER_PORT | (hash & 0x7fff));
	}
	/* The newer one has the answers. */
	room->to.source_port = room->key.source_port;
	return 0;
}

/* Turns the first packet of a connection towards who is to serve it. Returns the element of `ports`, or
 * -1 with `*reason` set. */
VERIFIED_ONCE int translate_first(struct packet *p, __u32 vrf, const struct address *address,
				  __u32 *reason)
{
	struct scratch *room = scratch();
	struct translation *translation;
	struct backend *backend;
	struct port *port;
	struct tuple *to;
	__u32 slot;

	if (!p || !address || !reason || !room)
		return -1;
	to = &room->to;
	translation = translation_of(vrf, address, p, reason);
	if (!translation)
		return -1;
	backend = serve(translation, vrf, p, reason);
	if (!backend)
		return -1;
	slot = backend->port;
	port = bpf_map_lookup_elem(&ports, &slot);
	if (!port || !port->ifindex) {
		*reason = DROP_PORT_GONE;
		return -1;
	}
	if (!(port->flags & (p->flags & V6 ? PORT_V6 : PORT_V4)))
		return -1;
	*to = p->now;
	own_address(port, p, &to->destination);
	if (!knows_ports(p) || is_stateless(translation, port, vrf, address, &p->now.source)) {
		p->now.destination = to->destination;
		return slot;
	}
	if (backend->target)
		to->destination_port = backend->target;
	/* Who calls itself by its service's address would see its own address come from outside, and
	 * drop it. So it sees the service call. */
	if (same_address(&to->source, &to->destination) && same_address(&p->was.source, &to->source))
		to->source = p->now.destination;
	if (translation->affinity)
		keep(vrf, p, backend, port->generation);
	flow_key_of(&room->key, vrf, p, FORWARD);
	keep_apart(port->vrf);
	if (remember(room, slot, port, 0,
		     p->protocol == IPPROTO_TCP && !is_kept(&room->key, to, slot, port))) {
		*reason = DROP_REFUSED;
		return -1;
	}
	p->now = *to;
	return slot;
}

/* Turns a packet to an address that this node serves towards who serves it. Returns the element of
 * `ports`, or -1 with `*reason` set. */
VERIFIED_ONCE int translate(struct packet *p, __u32 vrf, const struct address *address,
			    __u32 *reason)
{
	struct flow *flow;
	__u32 slot;

	if (!p || !address || !reason)
		return -1;
	flow = known_flow(vrf, p, FORWARD);
	if (!flow)
		return translate_first(p, vrf, address, reason);
	slot = flow->port;
	TRACE(STEP_FLOW, step->number[0] = FORWARD);
	follow(p, flow);
	return slot;
}

/* Gives a connection that the port opens its floating address, with which it leaves through the
 * floating address's VRF. Answers arrive as packets to that address do. */
VERIFIED_ONCE int translate_outwards(struct packet *p, __u32 slot, const struct port *port,
				     const struct address *floating, __u32 floating_vrf)
{
	struct scratch *room = scratch();

	if (!p || !port || !floating || !room || !knows_ports(p))
		return -1;
	room->to.source = p->was.destination;
	room->to.destination = p->was.source;
	room->to.source_port = p->was.destination_port;
	room->to.destination_port = p->was.source_port;
	room->key.vrf = floating_vrf;
	room->key.source = p->was.destination;
	room->key.destination = *floating;
	room->key.source_port = p->was.destination_port;
	room->key.destination_port = p->was.source_port;
	room->key.protocol = p->protocol;
	room->key.unused = 0;
	p->now.source = *floating;
	return remember(room, slot, port, FLOW_ANSWERED, p->protocol == IPPROTO_TCP);
}
