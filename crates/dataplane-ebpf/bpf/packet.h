/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* What is read from an IPv4 packet, and what is to be changed in it. */
#pragma once

#include <stddef.h>

#include <linux/if_ether.h>

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>

#include "count.h"
#include "icmp.h"

#define L3 ((__u32)sizeof(struct ethhdr))

#define IP_DF 0x4000
#define IP_MF 0x2000
#define IP_OFFSET 0x1fff

#define TCP_SYN 0x02
#define TCP_ACK 0x10

struct tuple {
	__be32 source;
	__be32 destination;
	__be16 source_port;	 /* ICMP echo: the identifier stands for the port of the asker, */
	__be16 destination_port; /* and 0 for the other one's. Fragments have none. */
};

enum {
	FRAGMENT = 1 << 0,
	LATER_FRAGMENT = 1 << 1, /* it starts without an L4 header */
	DONT_FRAGMENT = 1 << 2,
	OPENS = 1 << 3,	     /* a TCP SYN without ACK */
	SYN = 1 << 4,	     /* with or without */
	ICMP_ERROR = 1 << 5, /* never answered with another */
	ECHO_REQUEST = 1 << 6,
};

struct packet {
	struct tuple was; /* on the wire */
	struct tuple now; /* as it is to leave */
	__u32 l4;	  /* offset */
	__u32 l4_header;  /* length; 0: not known */
	__u32 length;	  /* of the IP packet; of all segments of a large one */
	__u8 protocol;
	__u8 ttl;
	__u8 tos;
	__u8 flags;
};

static __always_inline int parse_l4(struct __sk_buff *skb, struct packet *p)
{
	if (p->flags & FRAGMENT)
		return 0;

	if (p->protocol == IPPROTO_TCP) {
		__u8 tcp[14];

		if (bpf_skb_load_bytes(skb, p->l4, tcp, sizeof(tcp)))
			return -1;
		p->was.source_port = *(__be16 *)&tcp[0];
		p->was.destination_port = *(__be16 *)&tcp[2];
		p->l4_header = (tcp[12] >> 4) * 4;
		if (p->l4_header < sizeof(struct tcphdr))
			return -1;
		if (tcp[13] & TCP_SYN)
			p->flags |= tcp[13] & TCP_ACK ? SYN : SYN | OPENS;
	} else if (p->protocol == IPPROTO_UDP) {
		__be16 ports[2];

		if (bpf_skb_load_bytes(skb, p->l4, ports, sizeof(ports)))
			return -1;
		p->was.source_port = ports[0];
		p->was.destination_port = ports[1];
		p->l4_header = sizeof(struct udphdr);
	} else if (p->protocol == IPPROTO_ICMP) {
		struct icmphdr icmp;

		if (bpf_skb_load_bytes(skb, p->l4, &icmp, sizeof(icmp)))
			return -1;
		if (icmp.type == ICMP_ECHO) {
			p->was.source_port = icmp.id;
			p->flags |= ECHO_REQUEST;
		} else if (icmp.type == ICMP_ECHOREPLY) {
			p->was.destination_port = icmp.id;
		} else if (icmp.type == ICMP_DEST_UNREACH || icmp.type == ICMP_TIME_EXCEEDED ||
			   icmp.type == ICMP_PARAMETERPROB || icmp.type == ICMP_SOURCE_QUENCH ||
			   icmp.type == ICMP_REDIRECT) {
			p->flags |= ICMP_ERROR;
		}
	}
	return 0;
}

/* Reads the IPv4 packet behind the Ethernet header. Not 0: it is malformed. */
static __always_inline int parse(struct __sk_buff *skb, struct packet *p)
{
	struct iphdr ip;
	__u16 fragment;

	__builtin_memset(p, 0, sizeof(*p));
	if (bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)))
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
	p->was.source = ip.saddr;
	p->was.destination = ip.daddr;
	p->protocol = ip.protocol;
	p->ttl = ip.ttl;
	p->tos = ip.tos;
	fragment = bpf_ntohs(ip.frag_off);
	if (fragment & (IP_MF | IP_OFFSET))
		p->flags |= FRAGMENT;
	if (fragment & IP_OFFSET)
		p->flags |= LATER_FRAGMENT;
	if (fragment & IP_DF)
		p->flags |= DONT_FRAGMENT;
	if (parse_l4(skb, p))
		return -1;
	p->now = p->was;
	return 0;
}

/* Length of the longest IP packet that this one is cut into before it is sent. */
static __always_inline __u32 longest_segment(const struct __sk_buff *skb, const struct packet *p)
{
	if (skb->gso_size && p->l4_header)
		return p->l4 - L3 + p->l4_header + skb->gso_size;
	return p->length;
}
