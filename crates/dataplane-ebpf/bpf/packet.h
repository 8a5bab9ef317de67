/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* What is read from an IP packet, and what is to be changed in it. */
#pragma once

#include <stddef.h>

#include <linux/if_ether.h>

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "address.h"
#include "count.h"
#include "icmp.h"

#define L3 ((__u32)sizeof(struct ethhdr))

#define IP_DF 0x4000
#define IP_MF 0x2000
#define IP_OFFSET 0x1fff

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* Extension headers of IPv6 (RFC 8200 §4). */
#define EXT_HOP_BY_HOP 0
#define EXT_ROUTING 43
#define EXT_FRAGMENT 44
#define EXT_DESTINATION 60
#define EXT_MAX 6

/* Headers are read and written where they are, if they lie so near to the beginning of the packet and in its
 * first piece, as nearly all do; else by the kernel's helpers. A value must be aligned as its type says. */
#define NEAR 255

/* Reads a variable from the packet at an offset. Not 0: the packet ends before. */
#define LOAD(skb, at, to)                                                                  \
	({                                                                                 \
		__u32 offset_ = (at);                                                      \
		void *from_ = (void *)(long)(skb)->data + offset_;                         \
		long failed_ = 0;                                                          \
		if (offset_ <= NEAR && from_ + sizeof(to) <= (void *)(long)(skb)->data_end) \
			to = *(typeof(to) *)from_;                                         \
		else                                                                       \
			failed_ = bpf_skb_load_bytes(skb, offset_, &(to), sizeof(to));     \
		failed_;                                                                   \
	})

/* Writes a variable to the packet at an offset, if what it changes in the packet's sum is made up for by
 * somebody, or if nobody will ask for that sum: the packet leaves. */
#define STORE(skb, at, value)                                                              \
	({                                                                                 \
		__u32 offset_ = (at);                                                      \
		void *to_ = (void *)(long)(skb)->data + offset_;                           \
		long failed_ = 0;                                                          \
		if (offset_ <= NEAR && to_ + sizeof(value) <= (void *)(long)(skb)->data_end) \
			*(typeof(value) *)to_ = value;                                     \
		else                                                                       \
			failed_ = bpf_skb_store_bytes(skb, offset_, &(value), sizeof(value), 0); \
		failed_;                                                                   \
	})

static __always_inline int same_mac(const __u8 *a, const __u8 *b)
{
	__u8 differ = 0;

	for (int i = 0; i < ETH_ALEN; i++)
		differ |= a[i] ^ b[i];
	return !differ;
}

static __always_inline int is_no_mac(const __u8 *mac)
{
	return !(mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]);
}

struct tuple {
	struct address source;
	struct address destination;
	__be16 source_port;	 /* ICMP echo: the identifier stands for the port of the asker, */
	__be16 destination_port; /* and 0 for the other one's. Fragments have none. */
};

enum {
	FRAGMENT = 1 << 0,
	LATER_FRAGMENT = 1 << 1, /* it starts without an L4 header */
	DONT_FRAGMENT = 1 << 2,	 /* always so in IPv6 */
	OPENS = 1 << 3,		 /* a TCP SYN without ACK */
	SYN = 1 << 4,		 /* with or without */
	ICMP_ERROR = 1 << 5,	 /* never answered with another */
	ECHO_REQUEST = 1 << 6,
	V6 = 1 << 7,
};

struct packet {
	struct tuple was; /* on the wire */
	struct tuple now; /* as it is to leave */
	__u32 l4;	  /* offset */
	__u32 l4_header;  /* length; 0: not known */
	__u32 length;	  /* of the IP packet; of all segments of a large one */
	__be32 fragment;  /* identification, of fragments */
	__u8 protocol;	  /* of L4 */
	__u8 ttl;	  /* or hop limit */
	__u8 tos;	  /* or traffic class */
	__u8 flags;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u16 segments;
	__u16 mtu; /* of the way that it turned out to be too big for */
};

static __always_inline void parse_icmp(struct packet *p, const struct icmp *icmp)
{
	__u8 type = icmp->type;

	p->icmp_type = type;
	if (p->flags & V6) {
		if (type == ICMPV6_ECHO) {
			p->was.source_port = icmp->id;
			p->flags |= ECHO_REQUEST;
		} else if (type == ICMPV6_ECHOREPLY) {
			p->was.destination_port = icmp->id;
		} else if (type < ICMPV6_INFORMATION) {
			p->flags |= ICMP_ERROR;
		}
		return;
	}
	if (type == ICMP_ECHO) {
		p->was.source_port = icmp->id;
		p->flags |= ECHO_REQUEST;
	} else if (type == ICMP_ECHOREPLY) {
		p->was.destination_port = icmp->id;
	} else if (type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
		   type == ICMP_PARAMETERPROB || type == ICMP_SOURCE_QUENCH ||
		   type == ICMP_REDIRECT) {
		p->flags |= ICMP_ERROR;
	}
}

static __always_inline int is_icmp(const struct packet *p)
{
	return p->protocol == (p->flags & V6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

/* Multicast listeners and neighbour discovery. */
static __always_inline int is_for_link(const struct packet *p)
{
	return (p->icmp_type >= ICMPV6_LISTENER_QUERY && p->icmp_type <= ICMPV6_REDIRECT) ||
	       p->icmp_type == ICMPV6_LISTENER_REPORT;
}

static __always_inline int has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/* Not so: a later fragment whose first did not come by. */
static __always_inline int knows_ports(const struct packet *p)
{
	if (!(p->flags & LATER_FRAGMENT) || p->was.source_port | p->was.destination_port)
		return 1;
	return !has_ports(p->protocol) && !is_icmp(p);
}

#define VLAN_NUMBER 0x0fff

/* Whether the frame is of a VLAN (IEEE 802.1Q), whose tag the kernel keeps beside the packet: it would leave
 * with it. One without a number says a priority only, and is taken off. */
static __always_inline int is_of_vlan(struct __sk_buff *skb)
{
	if (!skb->vlan_present)
		return 0;
	return skb->vlan_tci & VLAN_NUMBER || bpf_skb_vlan_pop(skb);
}

/* What UDP and SCTP begin with, and TCP too. */
struct ports {
	__be16 source;
	__be16 destination;
};

struct tcp_beginning {
	__be16 source;
	__be16 destination;
	__be32 sequence;
	__be32 acknowledged;
	__u8 offset;
	__u8 flags;
	__be16 window;
};

static __always_inline int parse_l4(struct __sk_buff *skb, struct packet *p)
{
	if (p->flags & LATER_FRAGMENT)
		return 0;

	if (p->protocol == IPPROTO_TCP) {
		struct tcp_beginning tcp;

		if (LOAD(skb, p->l4, tcp))
			return -1;
		p->was.source_port = tcp.source;
		p->was.destination_port = tcp.destination;
		p->l4_header = (tcp.offset >> 4) * 4;
		if (p->l4_header < sizeof(struct tcphdr))
			return -1;
		p->tcp_flags = tcp.flags;
		if (tcp.flags & TCP_SYN)
			p->flags |= tcp.flags & TCP_ACK ? SYN : SYN | OPENS;
	} else if (p->protocol == IPPROTO_UDP || p->protocol == IPPROTO_SCTP) {
		struct ports ports;

		if (LOAD(skb, p->l4, ports))
			return -1;
		p->was.source_port = ports.source;
		p->was.destination_port = ports.destination;
		if (p->protocol == IPPROTO_UDP)
			p->l4_header = sizeof(struct udphdr);
	} else if (is_icmp(p)) {
		struct icmp icmp;

		if (LOAD(skb, p->l4, icmp))
			return -1;
		parse_icmp(p, &icmp);
	}
	return 0;
}

static __always_inline int parse_v4(struct __sk_buff *skb, struct packet *p)
{
	struct iphdr ip;
	__u16 fragment;

	if (LOAD(skb, L3, ip))
		return -1;
	if (ip.version != 4 || ip.ihl < 5)
		return -1;
	p->l4 = L3 + ip.ihl * 4;
	p->length = skb->len - L3;
	/* Ethernet pads short packets; a large one of many segments may have 0 here. */
	if (!skb->gso_size) {
		__u32 length = bpf_ntohs(ip.tot_len);

		if (length > p->length || length < ip.ihl * 4)
			return -1;
		p->length = length;
	}
	p->was.source = mapped(ip.saddr);
	p->was.destination = mapped(ip.daddr);
	p->protocol = ip.protocol;
	p->ttl = ip.ttl;
	p->tos = ip.tos;
	fragment = bpf_ntohs(ip.frag_off);
	if (fragment & (IP_MF | IP_OFFSET)) {
		p->flags |= FRAGMENT;
		p->fragment = ip.id;
	}
	if (fragment & IP_OFFSET)
		p->flags |= LATER_FRAGMENT;
	if (fragment & IP_DF)
		p->flags |= DONT_FRAGMENT;
	return 0;
}

/* Finds the header behind the extension headers. */
static __always_inline int skip_extensions(struct __sk_buff *skb, struct packet *p)
{
	for (int i = 0; i < EXT_MAX; i++) {
		__u8 ext[8];

		if (p->protocol != EXT_HOP_BY_HOP && p->protocol != EXT_ROUTING &&
		    p->protocol != EXT_FRAGMENT && p->protocol != EXT_DESTINATION)
			return 0;
		if (bpf_skb_load_bytes(skb, p->l4, ext, sizeof(ext)))
			return -1;
		if (p->protocol == EXT_FRAGMENT) {
			__u16 offset = (__u16)ext[2] << 8 | ext[3];

			/* One that is all of its packet is none (RFC 6946). */
			if (offset & ~(__u16)6) {
				p->flags |= FRAGMENT;
				p->fragment = *(__be32 *)&ext[4];
			}
			p->protocol = ext[0];
			p->l4 += sizeof(ext);
			if (offset & ~(__u16)7) {
				p->flags |= LATER_FRAGMENT;
				return 0;
			}
			continue;
		}
		p->protocol = ext[0];
		p->l4 += (ext[1] + 1) * 8;
	}
	return -1;
}

static __always_inline int parse_v6(struct __sk_buff *skb, struct packet *p)
{
	struct ipv6hdr ip;
	__be32 first;

	if (LOAD(skb, L3, ip))
		return -1;
	if (ip.version != 6)
		return -1;
	p->flags |= V6 | DONT_FRAGMENT;
	p->l4 = L3 + sizeof(ip);
	p->length = skb->len - L3;
	if (!skb->gso_size) {
		__u32 length = sizeof(ip) + bpf_ntohs(ip.payload_len);

		if (length > p->length)
			return -1;
		p->length = length;
	}
	__builtin_memcpy(&p->was.source, &ip.saddr, sizeof(p->was.source));
	__builtin_memcpy(&p->was.destination, &ip.daddr, sizeof(p->was.destination));
	/* Nobody may come in as the other version in this one's clothes (RFC 4942 §2.2). */
	if (is_v4(&p->was.source) || is_v4(&p->was.destination))
		return -1;
	__builtin_memcpy(&first, &ip, sizeof(first));
	p->tos = bpf_ntohl(first) >> 20 & 0xff;
	p->protocol = ip.nexthdr;
	p->ttl = ip.hop_limit;
	return skip_extensions(skb, p);
}

/* Whether the packet, and not what pads its frame, has the header that its protocol begins with. */
static __always_inline int has_header(const struct packet *p)
{
	__u32 end = p->l4 - L3;

	if (p->flags & LATER_FRAGMENT)
		return end <= p->length;
	if (p->protocol == IPPROTO_TCP)
		end += sizeof(struct tcphdr);
	else if (p->protocol == IPPROTO_UDP || is_icmp(p))
		end += sizeof(struct udphdr);
	return end <= p->length;
}

/* Reads the packet behind the Ethernet header; `protocol` is that header's. Not 0: it is malformed. */
VERIFIED_ONCE int parse(struct __sk_buff *skb, struct packet *p, __u32 protocol)
{
	if (!p)
		return -1;
	__builtin_memset(p, 0, sizeof(*p));
	p->segments = skb->gso_segs ? skb->gso_segs : 1;
	if (protocol == bpf_htons(ETH_P_IPV6) ? parse_v6(skb, p) : parse_v4(skb, p))
		return -1;
	if (parse_l4(skb, p) || !has_header(p))
		return -1;
	p->now = p->was;
	return 0;
}

/* What pads a frame is no part of its packet, and enters no tunnel. */
static __always_inline int cut_padding(struct __sk_buff *skb, const struct packet *p)
{
	if (skb->gso_size || skb->len <= L3 + p->length)
		return 0;
	return bpf_skb_change_tail(skb, L3 + p->length, 0);
}

/* The Ethernet type of the packet. */
static __always_inline __be16 ethernet_type(const struct packet *p)
{
	return p->flags & V6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
}

/* Length of the longest IP packet that this one is cut into before it is sent. */
static __always_inline __u32 longest_segment(const struct __sk_buff *skb, const struct packet *p)
{
	if (skb->gso_size && p->l4_header)
		return p->l4 - L3 + p->l4_header + skb->gso_size;
	return p->length;
}
