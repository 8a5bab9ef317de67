/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only)
 *
 * Looks routes up, one after the other, and nothing else: to be timed, never on an interface.
 */
/* It needs but one of them. */
#pragma clang diagnostic ignored "-Wunused-function"
#include "route.h"

#define LOOK_UPS (1 << 20)

/* Set by the loader: host routes of the VRF, beginning with the first. */
const volatile __u32 of_vrf, first_address, among;

/* From one to the next, a prime: each time another part of the table. */
#define STRIDE 7919

static long look_up(__u32 number, __u32 *found)
{
	__u64 place = (__u64)number * STRIDE % (among ?: 1);
	struct address to = mapped(bpf_htonl(first_address + (__u32)place));

	*found += route(of_vrf, &to) != NULL;
	return 0;
}

SEC("classifier")
int arcus_look_ups(struct __sk_buff *skb)
{
	__u32 found = 0;

	bpf_loop(LOOK_UPS, look_up, &found, 0);
	return found == LOOK_UPS;
}

char _license[] SEC("license") = "GPL";
