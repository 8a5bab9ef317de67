/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Fragments: only the first has ports, and the others are to be treated as it was. */
#pragma once

#include "flow.h"

/* Fragments of one packet follow each other closely; identifications are used again. */
#define FRAGMENT_SECONDS 2

/* Remembers the ports of a first fragment, or gives those to a later one. `scope` is the VRF that the
 * packet is in. A later one whose first did not come by has none (`knows_ports`). */
VERIFIED_ONCE int join_fragments(struct packet *p, __u32 scope)
{
	struct fragment_key key = { .scope = scope };
	struct fragment *known;

	if (!p)
		return -1;
	key.source = p->was.source;
	key.destination = p->was.destination;
	key.id = p->fragment;
	/* In IPv6 the first may have more headers before the protocol's (RFC 8200 §4.5). */
	key.protocol = p->flags & V6 ? 0 : p->protocol;
	if (!(p->flags & LATER_FRAGMENT)) {
		struct fragment first = {
			.source_port = p->was.source_port,
			.destination_port = p->was.destination_port,
			.seen = seconds(),
			.protocol = p->protocol,
		};

		return bpf_map_update_elem(&fragments, &key, &first, BPF_ANY);
	}
	known = bpf_map_lookup_elem(&fragments, &key);
	if (!known || seconds() - known->seen > FRAGMENT_SECONDS)
		return 0;
	p->protocol = known->protocol;
	p->was.source_port = known->source_port;
	p->was.destination_port = known->destination_port;
	p->now.source_port = known->source_port;
	p->now.destination_port = known->destination_port;
	return 0;
}
