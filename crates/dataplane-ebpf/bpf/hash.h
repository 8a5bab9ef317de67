/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Choosing one of several, so that every packet of a flow has the same one. */
#pragma once

#include "packet.h"

/* Nodes choose a node, and that node a backend: with one and the same hash for both, a node would
 * see only flows that hash to one of its backends. */
enum hash_use {
	HASH_MEMBER = 0x5bd1e995,
	HASH_BACKEND = 0x1b873593,
	HASH_SOURCE_PORT = 0x52dce729,
	HASH_MASQUERADE = 0x38b34ae5,
};

/* The finaliser of MurmurHash3, which is in the public domain: each bit of `h` moves half of the
 * result's. */
static __always_inline __u32 mix(__u32 h)
{
	h ^= h >> 16;
	h *= 0x85ebca6b;
	h ^= h >> 13;
	h *= 0xc2b2ae35;
	h ^= h >> 16;
	return h;
}

static __always_inline __u32 mix_address(__u32 h, const struct address *address, __u8 flags)
{
	if (flags & V6) {
		h = mix(h ^ address->word[0]);
		h = mix(h ^ address->word[1]);
		h = mix(h ^ address->word[2]);
	}
	return mix(h ^ address->word[3]);
}

static __always_inline __u32 source_hash(const struct packet *p, enum hash_use use)
{
	return mix_address(mix(use), &p->now.source, p->flags);
}

static __always_inline __u32 flow_hash(const struct packet *p, enum hash_use use)
{
	__u32 h = mix(use ^ p->protocol);

	/* Only the first fragment has ports, and all of them go the same way. */
	if (!(p->flags & FRAGMENT))
		h = mix(h ^ ((__u32)p->now.source_port << 16 | p->now.destination_port));
	h = mix_address(h, &p->now.destination, p->flags);
	return mix_address(h, &p->now.source, p->flags);
}

/* Highest random weight: each backend draws with a number of its own, so that one that goes away
 * moves only its own flows, and the order of backends means nothing.
 *
 * The weight stands above the number of the member, so that the greater of two draws is known
 * without a branch: with one, the verifier would follow 2 ^ members paths. */
static __always_inline __u64 draw(__u32 hash, __u32 key, __u32 number)
{
	return (__u64)(mix(hash ^ key) >> 2) << 32 | number;
}

/* Puts a draw above all others, without a branch, if the key is the one that wins anyway. */
static __always_inline __u64 favour(__u64 draw, __u32 key, __u64 favourite)
{
	__u64 same = ((key ^ favourite) - 1) >> 63;

	return draw | same << 62;
}

static __always_inline __u64 greater(__u64 one, __u64 other)
{
	__s64 less = (__s64)(one - other) >> 63;

	/* Or the compiler makes it a branch again. */
	asm volatile("" : "+r"(less));
	return one ^ ((one ^ other) & less);
}

static __always_inline __u32 winner(__u64 draw)
{
	return (__u32)draw;
}
