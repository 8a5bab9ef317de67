/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* What the node itself says to a workload: ARP replies, neighbour advertisements, ICMP errors, the
 * gateway's echo. */
#pragma once

#include "packet.h"

/* RFC 826; <linux/if_arp.h> needs the C library. */
#define ARPHRD_ETHER 1
#define ARPOP_REQUEST 1
#define ARPOP_REPLY 2

#define ANSWER_TTL 64
#define ND_HOPS 255 /* RFC 4861 §7.1: proof that it comes from the link */

/* RFC 1812 §4.3.2.5: internetwork control */
#define ANSWER_TOS 0xc0

/* IANA's block for virtual routers (RFC 5798 §7.3): every address of a workload's network but its
 * own is behind this one. */
static const __u8 GATEWAY_MAC[ETH_ALEN] = { 0x00, 0x00, 0x5e, 0x00, 0x01, 0x00 };

struct arp {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__u8 sender[4];
	__u8 target_mac[ETH_ALEN];
	__u8 target[4];
};

static __always_inline int back(struct __sk_buff *skb, const struct port *port, __be16 protocol)
{
	struct ethhdr eth;

	TRACE(STEP_ANSWERED, (void)step);
	__builtin_memcpy(eth.h_dest, port->mac, ETH_ALEN);
	__builtin_memcpy(eth.h_source, GATEWAY_MAC, ETH_ALEN);
	eth.h_proto = protocol;
	if (bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0))
		return drop(DROP_REFUSED);
	return bpf_redirect(skb->ifindex, 0);
}

static __always_inline int is_zero(const __u8 *v4)
{
	return !(v4[0] | v4[1] | v4[2] | v4[3]);
}

static __always_inline int answer_arp(struct __sk_buff *skb, const struct port *port)
{
	struct arp arp;
	__u8 asked[4];

	if (bpf_skb_load_bytes(skb, L3, &arp, sizeof(arp)))
		return drop(DROP_MALFORMED);
	if (arp.hardware != bpf_htons(ARPHRD_ETHER) || arp.protocol != bpf_htons(ETH_P_IP) ||
	    arp.hardware_length != ETH_ALEN || arp.protocol_length != 4)
		return drop(DROP_UNSUPPORTED);
	/* Answers; announcements (RFC 5227 §2.3), of the own address or another that it may have; and
	 * probes whether one is free (§2.1.1): who hears an answer would give it up. */
	if (arp.operation != bpf_htons(ARPOP_REQUEST) ||
	    !__builtin_memcmp(arp.target, &port->v4, 4) ||
	    !__builtin_memcmp(arp.target, arp.sender, 4) || is_zero(arp.sender))
		return TC_ACT_SHOT;
	__builtin_memcpy(asked, arp.target, 4);
	arp.operation = bpf_htons(ARPOP_REPLY);
	__builtin_memcpy(arp.target_mac, arp.sender_mac, ETH_ALEN);
	__builtin_memcpy(arp.target, arp.sender, 4);
	__builtin_memcpy(arp.sender_mac, GATEWAY_MAC, ETH_ALEN);
	__builtin_memcpy(arp.sender, asked, 4);
	if (bpf_skb_store_bytes(skb, L3, &arp, sizeof(arp), BPF_F_RECOMPUTE_CSUM))
		return drop(DROP_REFUSED);
	return back(skb, port, bpf_htons(ETH_P_ARP));
}

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline __u16 ip_checksum(const struct iphdr *ip)
{
	__u32 word[sizeof(*ip) / sizeof(__u32)];
	__u64 sum = 0;

	__builtin_memcpy(word, ip, sizeof(*ip));
	for (int i = 0; i < sizeof(*ip) / sizeof(__u32); i++)
		sum += word[i];
	return fold((__u32)(sum & 0xffff) + (__u32)(sum >> 16 & 0xffff) + (__u32)(sum >> 32));
}

/* The part of an ICMPv6 checksum that is not in the message (RFC 8200 §8.1). */
static __always_inline __u32 pseudo_sum(const struct address *source,
					const struct address *destination, __u32 length)
{
	struct {
		struct address source, destination;
		__be32 length, protocol;
	} pseudo = {
		.source = *source,
		.destination = *destination,
		.length = bpf_htonl(length),
		.protocol = bpf_htonl(IPPROTO_ICMPV6),
	};

	return bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
}

static __always_inline void ipv6_header(struct ipv6hdr *ip, __u8 class, __u16 payload, __u8 next,
					__u8 hops, const struct address *source,
					const struct address *destination)
{
	__be32 first = bpf_htonl(6u << 28 | (__u32)class << 20);

	__builtin_memcpy(ip, &first, sizeof(first));
	ip->payload_len = bpf_htons(payload);
	ip->nexthdr = next;
	ip->hop_limit = hops;
	__builtin_memcpy(&ip->saddr, source, sizeof(*source));
	__builtin_memcpy(&ip->daddr, destination, sizeof(*destination));
}

struct advertisement {
	struct ipv6hdr ip;
	__u8 type;
	__u8 code;
	__be16 checksum;
	__u8 flags;
	__u8 reserved[3];
	struct address target;
	__u8 option;
	__u8 option_length; /* in 8 octets */
	__u8 mac[ETH_ALEN];
};

#define ADVERTISEMENT_BODY (sizeof(struct advertisement) - sizeof(struct ipv6hdr))

/* RFC 4861 §7.2.3: every address but its own is behind the gateway's MAC. */
VERIFIED_ONCE int answer_solicitation(struct __sk_buff *skb, const struct port *port,
				      const struct packet *p)
{
	struct advertisement answer = {};
	struct address target;

	if (!port || !p)
		return TC_ACT_SHOT;
	if (p->ttl != ND_HOPS)
		return drop(DROP_MALFORMED);
	if (bpf_skb_load_bytes(skb, p->l4 + sizeof(struct icmp), &target, sizeof(target)))
		return drop(DROP_MALFORMED);
	/* It asks whether its own address is free, or for itself: nobody else has it. */
	if (is_none(&p->was.source) || same_address(&target, &port->v6) || is_for_many(&target))
		return TC_ACT_SHOT;
	ipv6_header(&answer.ip, ANSWER_TOS, ADVERTISEMENT_BODY, IPPROTO_ICMPV6, ND_HOPS, &target,
		    &p->was.source);
	answer.type = ICMPV6_NEIGHBOR_ADVERTISEMENT;
	answer.flags = ND_ROUTER | ND_SOLICITED | ND_OVERRIDE;
	answer.target = target;
	answer.option = ND_TARGET_MAC;
	answer.option_length = 1;
	__builtin_memcpy(answer.mac, GATEWAY_MAC, ETH_ALEN);
	answer.checksum = fold(bpf_csum_diff(NULL, 0, (__be32 *)&answer.type, ADVERTISEMENT_BODY,
					     pseudo_sum(&target, &p->was.source,
							ADVERTISEMENT_BODY)));
	if (bpf_skb_change_tail(skb, L3 + sizeof(answer), 0) ||
	    bpf_skb_store_bytes(skb, L3, &answer, sizeof(answer), BPF_F_RECOMPUTE_CSUM))
		return drop(DROP_REFUSED);
	return back(skb, port, bpf_htons(ETH_P_IPV6));
}

/* An error quotes the header, its options included, and 8 octets (RFC 792); of TCP, whose checksum the
 * kernel may still have to find in its place, its whole header. */
#define QUOTE_MIN 28
#define QUOTE_MAX 80

struct icmp_error {
	struct iphdr ip;
	struct icmp icmp;
	__u8 quote[QUOTE_MAX];
};

static __always_inline int answer_error_v4(struct __sk_buff *skb, const struct port *port,
					   const struct packet *p, __u32 type_and_code, __u32 mtu)
{
	struct icmp_error error = {};
	__u32 quote, room = offsetof(struct icmp_error, quote);

	quote = p->l4 - L3 + sizeof(struct tcphdr);
	if (quote > p->length)
		quote = p->length;
	/* Comparisons of their own, which Linux 6.1 understands; the compiler would make them one. */
	asm volatile("" : "+r"(quote));
	if (quote > QUOTE_MAX)
		return TC_ACT_SHOT;
	asm volatile("" : "+r"(quote));
	if (quote < QUOTE_MIN)
		return TC_ACT_SHOT;
	if (bpf_skb_load_bytes(skb, L3, error.quote, quote))
		return TC_ACT_SHOT;

	error.icmp.type = type_and_code >> 8;
	error.icmp.code = type_and_code & 0xff;
	error.icmp.frag.mtu = bpf_htons(mtu);
	error.icmp.checksum = fold(bpf_csum_diff(NULL, 0, (__be32 *)&error.icmp,
						 sizeof(error.icmp) + sizeof(error.quote), 0));
	error.ip.version = 4;
	error.ip.ihl = 5;
	error.ip.tos = ANSWER_TOS;
	error.ip.tot_len = bpf_htons(room + quote);
	error.ip.ttl = ANSWER_TTL;
	error.ip.protocol = IPPROTO_ICMP;
	error.ip.saddr = port->gateway_v4;
	error.ip.daddr = p->was.source.word[3];
	error.ip.check = ip_checksum(&error.ip);

	if (bpf_skb_change_tail(skb, L3 + quote, 0) ||
	    bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0) ||
	    bpf_skb_store_bytes(skb, L3, &error, offsetof(struct icmp_error, quote),
				BPF_F_RECOMPUTE_CSUM))
		return TC_ACT_SHOT;
	return back(skb, port, bpf_htons(ETH_P_IP));
}

/* The header with 8 octets, and with all of TCP's and its options. */
#define QUOTE_V6_MIN 48
#define QUOTE_V6_MAX 100

struct icmpv6_error {
	struct ipv6hdr ip;
	struct icmp icmp;
	__u8 quote[QUOTE_V6_MAX];
};

static __always_inline int answer_error_v6(struct __sk_buff *skb, const struct port *port,
					   const struct packet *p, __u32 type_and_code, __u32 mtu)
{
	struct icmpv6_error error = {};
	__u32 quote = p->length, room = offsetof(struct icmpv6_error, quote);

	asm volatile("" : "+r"(quote));
	if (quote > QUOTE_V6_MAX)
		quote = QUOTE_V6_MAX;
	asm volatile("" : "+r"(quote));
	if (quote < QUOTE_V6_MIN)
		return TC_ACT_SHOT;
	if (bpf_skb_load_bytes(skb, L3, error.quote, quote))
		return TC_ACT_SHOT;

	ipv6_header(&error.ip, ANSWER_TOS, sizeof(error.icmp) + quote, IPPROTO_ICMPV6, ANSWER_TTL,
		    &port->gateway_v6, &p->was.source);
	error.icmp.type = type_and_code >> 8;
	error.icmp.code = type_and_code & 0xff;
	error.icmp.mtu = bpf_htonl(mtu);
	/* What lies behind a short quote is 0. */
	error.icmp.checksum = fold(bpf_csum_diff(NULL, 0, (__be32 *)&error.icmp,
						 sizeof(error.icmp) + sizeof(error.quote),
						 pseudo_sum(&port->gateway_v6, &p->was.source,
							    sizeof(error.icmp) + quote)));

	if (bpf_skb_change_tail(skb, L3 + quote, 0) ||
	    bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0) ||
	    bpf_skb_store_bytes(skb, L3, &error, offsetof(struct icmpv6_error, quote),
				BPF_F_RECOMPUTE_CSUM))
		return TC_ACT_SHOT;
	return back(skb, port, bpf_htons(ETH_P_IPV6));
}

enum error_kind {
	TIME_EXCEEDED,
	NO_ROUTE,
	TOO_BIG,
};

/* What the errors of a port were lately. */
struct recent_errors {
	__u32 interface;
	__u32 period;
	__u32 count;
};

#define ERROR_PORTS 1024
#define ERROR_SHIFT 5 /* a period is 32 ticks of the kernel's clock: 128 ms at 250 a second */
#define ERRORS_MAX 64

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ERROR_PORTS);
	__type(key, __u32);
	__type(value, struct recent_errors);
} recent_errors SEC(".maps");

/* Whether the port has had as many errors as one CPU answers it in a period (RFC 4443 §2.4 f, RFC 1812
 * §4.3.2.8). */
static __always_inline int has_had_enough(__u32 interface)
{
	__u32 place = interface % ERROR_PORTS, period = bpf_jiffies64() >> ERROR_SHIFT;
	struct recent_errors *recent = bpf_map_lookup_elem(&recent_errors, &place);

	if (!COUNTS || !recent)
		return 0;
	if (recent->interface != interface || recent->period != period) {
		recent->interface = interface;
		recent->period = period;
		recent->count = 0;
	}
	return recent->count++ >= ERRORS_MAX;
}

#define ICMP_KIND(type, code) ((type) << 8 | (code))

/* Turns a packet of the workload, as it came, into an ICMP error about it, and sends it back. */
VERIFIED_ONCE int answer_error(struct __sk_buff *skb, const struct port *port,
			       const struct packet *p, __u32 kind, __u32 mtu)
{
	__u32 code;

	if (!port || !p)
		return TC_ACT_SHOT;
	/* RFC 1122 §3.2.2, RFC 4443 §2.4: never about an error, a later fragment, or what was for
	 * many. */
	if (p->flags & (ICMP_ERROR | LATER_FRAGMENT) || is_for_many(&p->was.destination) ||
	    has_had_enough(skb->ifindex))
		return TC_ACT_SHOT;
	if (p->flags & V6) {
		code = kind == TIME_EXCEEDED ? ICMP_KIND(ICMPV6_TIME_EXCEEDED, ICMPV6_EXC_HOPS) :
		       kind == TOO_BIG	     ? ICMP_KIND(ICMPV6_TOO_BIG, 0) :
					       ICMP_KIND(ICMPV6_UNREACHABLE, ICMPV6_NO_ROUTE);
		return answer_error_v6(skb, port, p, code, mtu);
	}
	code = kind == TIME_EXCEEDED ? ICMP_KIND(ICMP_TIME_EXCEEDED, ICMP_EXC_TTL) :
	       kind == TOO_BIG	     ? ICMP_KIND(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED) :
				       ICMP_KIND(ICMP_DEST_UNREACH, ICMP_NET_UNREACH);
	return answer_error_v4(skb, port, p, code, mtu);
}

/* An echo request, or a later fragment of what may be one: if its first was none, the answer has no beginning. */
static __always_inline int may_be_echo(const struct packet *p)
{
	return p->flags & ECHO_REQUEST || (p->flags & LATER_FRAGMENT && is_icmp(p));
}

/* The gateway is nobody's interface, and yet the first thing that people ping. */
static __always_inline int answer_echo(struct __sk_buff *skb, const struct port *port,
				       const struct packet *p)
{
	int v6 = p->flags & V6;
	__u8 asks = v6 ? ICMPV6_ECHO : ICMP_ECHO;
	__u8 type = v6 ? ICMPV6_ECHOREPLY : ICMP_ECHOREPLY;
	__be16 was = bpf_htons((__u16)asks << 8), now = bpf_htons((__u16)type << 8);
	__u32 source = L3 + (v6 ? offsetof(struct ipv6hdr, saddr) : offsetof(struct iphdr, saddr));
	__u32 size = v6 ? 16 : 4;
	const void *from = v6 ? (const void *)&p->was.source : &p->was.source.word[3];
	const void *to = v6 ? (const void *)&p->was.destination : &p->was.destination.word[3];

	/* The sums stay the same when two addresses change places. */
	if ((!(p->flags & LATER_FRAGMENT) &&
	     (bpf_l4_csum_replace(skb, p->l4 + offsetof(struct icmp, checksum), was, now,
				  sizeof(now)) ||
	      bpf_skb_store_bytes(skb, p->l4, &type, sizeof(type), 0))) ||
	    bpf_skb_store_bytes(skb, source, to, size, 0) ||
	    bpf_skb_store_bytes(skb, source + size, from, size, 0))
		return drop(DROP_REFUSED);
	return back(skb, port, ethernet_type(p));
}
