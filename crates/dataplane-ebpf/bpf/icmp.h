/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* RFC 792. The kernel's own header needs the C library. */
#pragma once

#include <linux/types.h>

#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_SOURCE_QUENCH 4
#define ICMP_REDIRECT 5
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12

#define ICMP_NET_UNREACH 0
#define ICMP_FRAG_NEEDED 4
#define ICMP_EXC_TTL 0

struct icmphdr {
	__u8 type;
	__u8 code;
	__be16 checksum;
	union {
		__be16 word[2];
		__be16 id; /* echo */
		struct {
			__be16 unused;
			__be16 mtu; /* RFC 1191 */
		} frag;
	};
};
