/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Session affinity: a client that was not quiet for too long keeps its backend, whatever port it calls
 * from, while it is among the backends. */
#pragma once

#include "flow.h"

#define NO_FAVOURITE (1ull << 32)

static __always_inline void affinity_key_of(struct affinity_key *key, __u32 vrf,
					    const struct packet *p)
{
	key->vrf = vrf;
	key->address = p->now.destination;
	key->client = p->now.source;
	key->port = p->now.destination_port;
	key->protocol = p->protocol;
	key->unused = 0;
}

/* The key of the backend that the client had; NO_FAVOURITE: it may have any. */
OWN_FRAME __u64 favourite(__u32 vrf, const struct packet *p, __u32 lasts)
{
	struct affinity_key key;
	struct affinity *had;
	struct port *port;

	affinity_key_of(&key, vrf, p);
	had = bpf_map_lookup_elem(&affinities, &key);
	if (!had || seconds() - had->seen > lasts)
		return NO_FAVOURITE;
	port = bpf_map_lookup_elem(&ports, &had->port);
	if (!port || port->generation != had->generation)
		return NO_FAVOURITE;
	return had->backend;
}

OWN_FRAME int keep(__u32 vrf, const struct packet *p, const struct backend *backend,
		   __u32 generation)
{
	struct affinity_key key;
	struct affinity has = {
		.backend = backend->key,
		.port = backend->port,
		.generation = generation,
		.seen = seconds(),
	};

	affinity_key_of(&key, vrf, p);
	return bpf_map_update_elem(&affinities, &key, &has, BPF_ANY);
}
