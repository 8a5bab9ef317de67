/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Samples of what passes, and copies of what a port sends and gets. */
#pragma once

#include "events.h"
#include "packet.h"

/* Tells of one packet in so many. `remote` may be null: it does not cross the underlay. */
VERIFIED_ONCE int sample(const struct packet *p, __u32 slot, const struct port *port, __u32 side,
			 const struct address *remote)
{
	__u32 none = 0;
	struct node *self = bpf_map_lookup_elem(&node, &none);
	struct sample *event;

	if (!self || !p || !port || !self->sample_one_in)
		return 0;
	if (bpf_get_prandom_u32() % self->sample_one_in)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		lost_event();
		return 0;
	}
	event->event.kind = EVENT_SAMPLE;
	event->event.length = sizeof(*event);
	event->port = slot;
	event->generation = port->generation;
	event->vrf = port->vrf;
	event->length = p->length;
	event->packets = p->segments;
	event->source = p->now.source;
	event->destination = p->now.destination;
	__builtin_memset(&event->remote, 0, sizeof(event->remote));
	if (remote)
		event->remote = *remote;
	event->source_port = p->now.source_port;
	event->destination_port = p->now.destination_port;
	event->protocol = p->protocol;
	event->side = side;
	event->tcp_flags = p->tcp_flags;
	event->tos = p->tos;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* Of those that came out of a tunnel for a port. */
static __always_inline void sample_arrival(const struct packet *p, __u32 slot,
					   const struct address *remote)
{
	__u32 none = 0;
	struct node *self = bpf_map_lookup_elem(&node, &none);
	struct port *port;

	if (!COUNTS || !self || !self->sample_one_in)
		return;
	port = bpf_map_lookup_elem(&ports, &slot);
	if (port)
		sample(p, slot, port, SIDE_IN, remote);
}

/* Tells of the packet as it is now. */
VERIFIED_ONCE int mirror(struct __sk_buff *skb, __u32 slot, const struct port *port, __u32 side,
			 __u32 length)
{
	__u32 captured = length;
	struct mirrored *event;

	if (!port)
		return 0;
	/* Linux 6.1 does not know that two registers hold the same, and wants to see both bounds of this
	 * one in comparisons of their own. */
	asm volatile("" : "+r"(captured));
	if (captured > MIRROR_MAX)
		captured = MIRROR_MAX;
	asm volatile("" : "+r"(captured));
	if (captured < sizeof(struct iphdr))
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		lost_event();
		return 0;
	}
	event->event.kind = EVENT_MIRRORED;
	event->event.length = sizeof(*event);
	event->port = slot;
	event->generation = port->generation;
	event->length = length;
	event->captured = captured;
	event->side = side;
	if (bpf_skb_load_bytes(skb, L3, event->octets, captured))
		bpf_ringbuf_discard(event, 0);
	else
		bpf_ringbuf_submit(event, 0);
	return 0;
}
