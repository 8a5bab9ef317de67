/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* RFC 792, 4443 and 4861. The kernel's own headers need the C library. */
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

/* Those below 128 are errors. */
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_TOO_BIG 2
#define ICMPV6_TIME_EXCEEDED 3
#define ICMPV6_INFORMATION 128
#define ICMPV6_ECHO 128
#define ICMPV6_ECHOREPLY 129
#define ICMPV6_LISTENER_QUERY 130 /* RFC 2710, 3810, 4861: with the next ones said to a link only */
#define ICMPV6_NEIGHBOR_SOLICITATION 135
#define ICMPV6_NEIGHBOR_ADVERTISEMENT 136
#define ICMPV6_REDIRECT 137
#define ICMPV6_LISTENER_REPORT 143

#define ICMPV6_NO_ROUTE 0
#define ICMPV6_EXC_HOPS 0

#define ND_TARGET_MAC 2
#define ND_ROUTER 0x80
#define ND_SOLICITED 0x40
#define ND_OVERRIDE 0x20

/* Both versions begin alike. */
struct icmp {
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
		__be32 mtu; /* RFC 4443 §3.2 */
	};
};
