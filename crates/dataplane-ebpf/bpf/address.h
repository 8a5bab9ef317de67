/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Addresses of both versions of IP in one form. */
#pragma once

#include <bpf/bpf_endian.h>

#include "layout.h"

static __always_inline struct address mapped(__be32 v4)
{
	struct address address = { .word = { 0, 0, bpf_htonl(0xffff), v4 } };

	return address;
}

static __always_inline int same_address(const struct address *a, const struct address *b)
{
	/* Most differ in the last word. */
	return a->word[3] == b->word[3] && a->word[2] == b->word[2] && a->word[1] == b->word[1] &&
	       a->word[0] == b->word[0];
}

static __always_inline int is_none(const struct address *a)
{
	return !(a->word[0] | a->word[1] | a->word[2] | a->word[3]);
}

static __always_inline int is_v4(const struct address *a)
{
	return a->word[2] == bpf_htonl(0xffff) && !(a->word[0] | a->word[1]);
}

/* 0.0.0.0/8, 127.0.0.0/8, :: and ::1: of nobody, or of a host itself (RFC 1122 §3.2.1.3, RFC 4291 §2.5). */
static __always_inline int is_of_no_link(const struct address *a)
{
	if (is_v4(a)) {
		__u32 first = bpf_ntohl(a->word[3]) >> 24;

		return !first || first == 127;
	}
	return !(a->word[0] | a->word[1] | a->word[2] | (a->word[3] & ~bpf_htonl(1)));
}

/* fe80::/10 */
static __always_inline int is_link_local(const struct address *a)
{
	return (a->word[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* 224.0.0.0/3 with what is above it, ff00::/8: never the destination of a forwarded packet. */
static __always_inline int is_for_many(const struct address *a)
{
	if (is_v4(a))
		return (a->word[3] & bpf_htonl(0xe0000000)) == bpf_htonl(0xe0000000);
	return (a->word[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
}
