/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Writing to a packet what was decided about it. Checksums are updated, never computed anew: they
 * may be partial (a workload leaves the rest to the device), and a wrong one must stay wrong. */
#pragma once

#include "packet.h"

#define IP_FIELD(field) (L3 + offsetof(struct iphdr, field))

static __always_inline int replace_address(struct __sk_buff *skb, __u32 at, __be32 was, __be32 now,
					   __u32 l4_check, __u64 l4_flags)
{
	if (was == now)
		return 0;
	if (bpf_l3_csum_replace(skb, IP_FIELD(check), was, now, sizeof(now)))
		return -1;
	if (l4_check &&
	    bpf_l4_csum_replace(skb, l4_check, was, now,
				l4_flags | BPF_F_PSEUDO_HDR | sizeof(now)))
		return -1;
	return bpf_skb_store_bytes(skb, at, &now, sizeof(now), 0);
}

static __always_inline int replace_port(struct __sk_buff *skb, __u32 at, __be16 was, __be16 now,
					__u32 l4_check, __u64 l4_flags)
{
	if (was == now)
		return 0;
	if (bpf_l4_csum_replace(skb, l4_check, was, now, l4_flags | sizeof(now)))
		return -1;
	return bpf_skb_store_bytes(skb, at, &now, sizeof(now), 0);
}

/* Makes the packet's addresses and ports what they are to be. */
VERIFIED_ONCE int rewrite(struct __sk_buff *skb, const struct packet *p)
{
	__u32 check = 0;
	__u64 flags = 0;

	if (!p)
		return -1;
	if (!(p->flags & LATER_FRAGMENT)) {
		if (p->protocol == IPPROTO_TCP) {
			check = p->l4 + offsetof(struct tcphdr, check);
		} else if (p->protocol == IPPROTO_UDP) {
			check = p->l4 + offsetof(struct udphdr, check);
			/* 0 says that there is none. */
			flags = BPF_F_MARK_MANGLED_0;
		}
	}
	if (replace_address(skb, IP_FIELD(saddr), p->was.source, p->now.source, check, flags) ||
	    replace_address(skb, IP_FIELD(daddr), p->was.destination, p->now.destination, check,
			    flags))
		return -1;
	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return 0;
	if (!check)
		return 0;
	/* Both protocols begin with the two ports. */
	if (replace_port(skb, p->l4, p->was.source_port, p->now.source_port, check, flags))
		return -1;
	return replace_port(skb, p->l4 + sizeof(__be16), p->was.destination_port,
			    p->now.destination_port, check, flags);
}

static __always_inline int decrement_ttl(struct __sk_buff *skb, struct packet *p)
{
	__u8 ttl = p->ttl - 1;
	__be16 was = bpf_htons((__u16)p->ttl << 8 | p->protocol);
	__be16 now = bpf_htons((__u16)ttl << 8 | p->protocol);

	if (bpf_l3_csum_replace(skb, IP_FIELD(check), was, now, sizeof(now)))
		return -1;
	p->ttl = ttl;
	return bpf_skb_store_bytes(skb, IP_FIELD(ttl), &ttl, sizeof(ttl), 0);
}

#define TCP_OPTIONS_MAX 40
#define TCPOPT_END 0
#define TCPOPT_NOP 1
#define TCPOPT_MSS 2

/* Lowers the maximum segment size that a SYN offers to what fits into a packet of `mtu`. */
VERIFIED_ONCE int clamp_mss(struct __sk_buff *skb, const struct packet *p, __u32 mtu)
{
	__u16 limit = mtu - sizeof(struct iphdr) - sizeof(struct tcphdr);
	__u8 options[TCP_OPTIONS_MAX + 4] = {};
	__u32 l4, end, at = 0;

	if (!p)
		return -1;
	l4 = p->l4;
	end = p->l4_header - sizeof(struct tcphdr);
	if (end == 0 || end > TCP_OPTIONS_MAX)
		return 0;
	if (bpf_skb_load_bytes(skb, l4 + sizeof(struct tcphdr), options, end))
		return -1;
	for (int i = 0; i < TCP_OPTIONS_MAX; i++) {
		__u8 kind, length;

		if (at >= end || at >= TCP_OPTIONS_MAX)
			break;
		kind = options[at];
		if (kind == TCPOPT_END)
			break;
		if (kind == TCPOPT_NOP) {
			at++;
			continue;
		}
		length = options[at + 1];
		if (length < 2)
			break;
		if (kind == TCPOPT_MSS && length == 4) {
			__u16 offered = (__u16)options[at + 2] << 8 | options[at + 3];
			__u16 was = offered, now = limit;
			__be16 octets = bpf_htons(limit);

			if (offered <= limit)
				break;
			/* The checksum is over pairs of octets: at an odd place they are swapped. */
			if (at & 1) {
				was = __builtin_bswap16(was);
				now = __builtin_bswap16(now);
			}
			if (bpf_l4_csum_replace(skb, l4 + offsetof(struct tcphdr, check),
						bpf_htons(was), bpf_htons(now), sizeof(now)))
				return -1;
			return bpf_skb_store_bytes(skb, l4 + sizeof(struct tcphdr) + at + 2, &octets,
						   sizeof(octets), 0);
		}
		at += length;
	}
	return 0;
}
