/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Writing to a packet what was decided about it. Checksums are updated, never computed anew: they
 * may be partial (a workload leaves the rest to the device), and a wrong one must stay wrong. */
#pragma once

#include "packet.h"

#define IP_FIELD(field) (L3 + offsetof(struct iphdr, field))
#define IPV6_FIELD(field) (L3 + offsetof(struct ipv6hdr, field))

static __always_inline int replace_address_v4(struct __sk_buff *skb, __u32 at, __be32 was,
					      __be32 now, __u32 l4_check, __u64 l4_flags)
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

static __always_inline int replace_address_v6(struct __sk_buff *skb, __u32 at,
					      const struct address *was, const struct address *now,
					      __u32 l4_check, __u64 l4_flags)
{
	if (same_address(was, now))
		return 0;
	if (l4_check) {
		__s64 change = bpf_csum_diff((__be32 *)was, sizeof(*was), (__be32 *)now,
					     sizeof(*now), 0);

		if (bpf_l4_csum_replace(skb, l4_check, 0, change, l4_flags | BPF_F_PSEUDO_HDR))
			return -1;
	}
	/* The helper above takes a checksum in the header for granted that makes up for the address;
	 * IPv6 has none. */
	return bpf_skb_store_bytes(skb, at, now, sizeof(*now), BPF_F_RECOMPUTE_CSUM);
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

/* Of an echo or its answer: one of both ports is it, the other is 0. Other messages have none, and
 * nothing changes. */
static __always_inline int replace_identifier(struct __sk_buff *skb, const struct packet *p)
{
	return replace_port(skb, p->l4 + offsetof(struct icmp, id),
			    p->was.source_port | p->was.destination_port,
			    p->now.source_port | p->now.destination_port,
			    p->l4 + offsetof(struct icmp, checksum), 0);
}

static __always_inline int same_tuple(const struct tuple *a, const struct tuple *b)
{
	return a->source_port == b->source_port && a->destination_port == b->destination_port &&
	       same_address(&a->source, &b->source) &&
	       same_address(&a->destination, &b->destination);
}

static __always_inline int is_translated(const struct packet *p)
{
	return !same_tuple(&p->was, &p->now);
}

/* Makes the packet's addresses and ports what they are to be. */
VERIFIED_ONCE int rewrite(struct __sk_buff *skb, const struct packet *p)
{
	__u32 check = 0;
	__u64 flags = 0;
	int failed;

	if (!p)
		return -1;
	TRACE(STEP_TRANSLATED, step->address[0] = p->now.source;
	      step->address[1] = p->now.destination; step->port[0] = p->now.source_port;
	      step->port[1] = p->now.destination_port; step->protocol = p->protocol);
	if (!(p->flags & LATER_FRAGMENT)) {
		if (p->protocol == IPPROTO_TCP) {
			check = p->l4 + offsetof(struct tcphdr, check);
		} else if (p->protocol == IPPROTO_UDP) {
			check = p->l4 + offsetof(struct udphdr, check);
			/* 0 says that there is none. */
			flags = BPF_F_MARK_MANGLED_0;
		} else if (p->flags & V6 && p->protocol == IPPROTO_ICMPV6) {
			check = p->l4 + offsetof(struct icmp, checksum);
		}
	}
	if (p->flags & V6)
		failed = replace_address_v6(skb, IPV6_FIELD(saddr), &p->was.source, &p->now.source,
					    check, flags) ||
			 replace_address_v6(skb, IPV6_FIELD(daddr), &p->was.destination,
					    &p->now.destination, check, flags);
	else
		failed = replace_address_v4(skb, IP_FIELD(saddr), p->was.source.word[3],
					    p->now.source.word[3], check, flags) ||
			 replace_address_v4(skb, IP_FIELD(daddr), p->was.destination.word[3],
					    p->now.destination.word[3], check, flags);
	if (failed)
		return -1;
	if (p->flags & LATER_FRAGMENT)
		return 0;
	if (is_icmp(p))
		return replace_identifier(skb, p);
	if (!check || (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP))
		return 0;
	/* Both protocols begin with the two ports. */
	if (replace_port(skb, p->l4, p->was.source_port, p->now.source_port, check, flags))
		return -1;
	return replace_port(skb, p->l4 + sizeof(__be16), p->was.destination_port,
			    p->now.destination_port, check, flags);
}

static __always_inline int decrement_ttl(struct __sk_buff *skb, struct packet *p)
{
	struct iphdr *ip = (void *)(long)skb->data + L3;
	__u8 ttl = p->ttl - 1;

	if (p->flags & V6) {
		p->ttl = ttl;
		return bpf_skb_store_bytes(skb, IPV6_FIELD(hop_limit), &ttl, sizeof(ttl),
					   BPF_F_RECOMPUTE_CSUM);
	}
	/* RFC 1624: what the TTL loses, the checksum gains. */
	if ((void *)(ip + 1) <= (void *)(long)skb->data_end) {
		__u32 check = ip->check + bpf_htons(0x0100);

		ip->check = check + (check >= 0xffff);
		ip->ttl = p->ttl = ttl;
		return 0;
	}
	__be16 was = bpf_htons((__u16)p->ttl << 8 | p->protocol);
	__be16 now = bpf_htons((__u16)ttl << 8 | p->protocol);

	if (bpf_l3_csum_replace(skb, IP_FIELD(check), was, now, sizeof(now)))
		return -1;
	p->ttl = ttl;
	return bpf_skb_store_bytes(skb, IP_FIELD(ttl), &ttl, sizeof(ttl), 0);
}

#define ECN 0x03
#define ECN_CONGESTED 0x03

/* What a queue of the underlay said is said to who can hear it (RFC 6040 §4.2). Not 0: nobody can. */
VERIFIED_ONCE int mark_congested(struct __sk_buff *skb, const struct packet *p)
{
	__u8 was, now;

	if (!p || !(p->tos & ECN))
		return -1;
	if (p->flags & V6) {
		/* The class lies across octets, and its last two bits in the middle of the second. */
		if (bpf_skb_load_bytes(skb, L3 + 1, &now, sizeof(now)))
			return -1;
		now |= ECN_CONGESTED << 4;
		return bpf_skb_store_bytes(skb, L3 + 1, &now, sizeof(now), BPF_F_RECOMPUTE_CSUM);
	}
	was = p->tos;
	now = was | ECN_CONGESTED;
	if (was == now)
		return 0;
	if (bpf_l3_csum_replace(skb, IP_FIELD(check), bpf_htons(was), bpf_htons(now), sizeof(__be16)))
		return -1;
	return bpf_skb_store_bytes(skb, IP_FIELD(tos), &now, sizeof(now), 0);
}

#define TCP_OPTIONS_MAX 40
#define TCPOPT_END 0
#define TCPOPT_NOP 1
#define TCPOPT_MSS 2

struct tcp_options {
	__u32 length;
	__u8 octets[TCP_OPTIONS_MAX + 4];
};

enum { NO_MSS = -1, MSS_FOUND = 0x100 };

/* Where the option behind the one at `at` begins; MSS_FOUND with `at`: it is that one; NO_MSS: there is
 * none any more. A function for the verifier, which would follow each way through the options. */
VERIFIED_ONCE int next_option(const struct tcp_options *options, __u32 at)
{
	__u8 kind, length;

	if (!options || at >= options->length || at >= TCP_OPTIONS_MAX)
		return NO_MSS;
	kind = options->octets[at];
	if (kind == TCPOPT_END)
		return NO_MSS;
	if (kind == TCPOPT_NOP)
		return at + 1;
	length = options->octets[at + 1];
	if (length < 2)
		return NO_MSS;
	if (kind == TCPOPT_MSS && length == 4 && at + length <= options->length)
		return MSS_FOUND | at;
	return at + length;
}

/* Lowers the maximum segment size that a SYN offers to what fits into a packet of `mtu`. */
VERIFIED_ONCE int clamp_mss(struct __sk_buff *skb, const struct packet *p, __u32 mtu)
{
	struct tcp_options options = {};
	__u32 at = 0, length, first;
	__u16 limit, offered, was, now;
	__be16 octets;
	int next = 0;

	if (!p)
		return -1;
	first = p->l4 + sizeof(struct tcphdr);
	length = p->l4_header - sizeof(struct tcphdr);
	if (length > TCP_OPTIONS_MAX)
		return 0;
	/* Two comparisons, which Linux 6.1 understands; the compiler would make them one. */
	asm volatile("" : "+r"(length));
	if (length < sizeof(__u32))
		return 0;
	options.length = length;
	if (bpf_skb_load_bytes(skb, first, options.octets, length))
		return -1;
	for (int i = 0; i < TCP_OPTIONS_MAX; i++) {
		next = next_option(&options, at);
		if (next < 0 || next & MSS_FOUND)
			break;
		at = next;
	}
	if (next < 0 || !(next & MSS_FOUND) || at >= TCP_OPTIONS_MAX)
		return 0;
	limit = mtu - sizeof(struct tcphdr) -
		(p->flags & V6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	offered = (__u16)options.octets[at + 2] << 8 | options.octets[at + 3];
	if (offered <= limit)
		return 0;
	was = offered;
	now = limit;
	/* The checksum is over pairs of octets: at an odd place they are swapped. */
	if (at & 1) {
		was = __builtin_bswap16(was);
		now = __builtin_bswap16(now);
	}
	octets = bpf_htons(limit);
	if (bpf_l4_csum_replace(skb, p->l4 + offsetof(struct tcphdr, check), bpf_htons(was),
				bpf_htons(now), sizeof(now)))
		return -1;
	return bpf_skb_store_bytes(skb, first + at + 2, &octets, sizeof(octets), 0);
}
