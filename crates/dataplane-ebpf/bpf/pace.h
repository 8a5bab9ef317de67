/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* The bandwidth of a port, by the earliest time that each packet may leave. Where the uplink has the queue
 * `fq`, that waits until then; without one, what is not held back by it is a burst of so long at most. */
#pragma once

#include "count.h"

#define PACE_HORIZON (50 * 1000 * 1000ull) /* in nanoseconds */
#define BIT_NANOSECONDS (8 * 1000 * 1000 * 1000ull)

/* Since Linux 5.18; absent in headers of before. */
#define TSTAMP_DELIVERY_MONO 1

/* Not 0: the port has sent too much already. */
VERIFIED_ONCE int pace(struct __sk_buff *skb, __u32 slot, __u64 bandwidth, __u32 octets)
{
	__u64 *next = bpf_map_lookup_elem(&paces, &slot);
	__u64 now, at, after;

	if (!next || !bandwidth)
		return 0;
	now = bpf_ktime_get_ns();
	at = *next > now ? *next : now;
	if (at - now > PACE_HORIZON)
		return -1;
	/* Two cores at once may count one packet for two; the next one finds the time right. */
	after = at + octets * BIT_NANOSECONDS / bandwidth;
	if (COUNTS)
		*next = after;
	else
		asm volatile("" : : "r"(after)); /* or the compiler passes no octets */
	if (at > now)
		bpf_skb_set_tstamp(skb, at, TSTAMP_DELIVERY_MONO);
	return 0;
}
