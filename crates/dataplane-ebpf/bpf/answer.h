/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* What the node itself says to a workload: ARP replies, ICMP errors, the gateway's echo. */
#pragma once

#include "packet.h"

/* RFC 826; <linux/if_arp.h> needs the C library. */
#define ARPHRD_ETHER 1
#define ARPOP_REQUEST 1
#define ARPOP_REPLY 2

#define ANSWER_TTL 64

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

	__builtin_memcpy(eth.h_dest, port->mac, ETH_ALEN);
	__builtin_memcpy(eth.h_source, GATEWAY_MAC, ETH_ALEN);
	eth.h_proto = protocol;
	if (bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0))
		return drop(DROP_REFUSED);
	return bpf_redirect(skb->ifindex, 0);
}

static __always_inline int answer_arp(struct __sk_buff *skb, const struct port *port)
{
	struct arp arp;
	__u8 asked[4];

	if (bpf_skb_load_bytes(skb, L3, &arp, sizeof(arp)))
		return drop(DROP_MALFORMED);
	if (arp.hardware != bpf_htons(ARPHRD_ETHER) || arp.protocol != bpf_htons(ETH_P_IP) ||
	    arp.hardware_length != ETH_ALEN || arp.protocol_length != 4)
		return drop(DROP_MALFORMED);
	/* Announcements, answers, and probes whether its own address is free: nobody else has it. */
	if (arp.operation != bpf_htons(ARPOP_REQUEST) ||
	    !__builtin_memcmp(arp.target, &port->address, 4))
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

static __always_inline __u16 ip_checksum(struct iphdr *ip)
{
	return fold(bpf_csum_diff(NULL, 0, (__be32 *)ip, sizeof(*ip), 0));
}

/* An error quotes the header and 8 octets (RFC 792); of TCP, whose checksum the kernel may still
 * have to find in its place, the whole header. */
#define QUOTE_MIN 28
#define QUOTE_MAX 40

struct icmp_error {
	struct iphdr ip;
	struct icmphdr icmp;
	__u8 quote[QUOTE_MAX];
};

/* Turns a packet of the workload, as it came, into an ICMP error about it, and sends it back. */
VERIFIED_ONCE int answer_error(struct __sk_buff *skb, const struct port *port,
				   const struct packet *p, __u32 type_and_code, __u32 mtu)
{
	struct icmp_error error = {};
	__u32 quote, room = offsetof(struct icmp_error, quote);
	int failed;

	if (!port || !p)
		return TC_ACT_SHOT;
	quote = p->length >= QUOTE_MAX ? QUOTE_MAX : QUOTE_MIN;
	/* RFC 1122 §3.2.2: never about an error, a later fragment, or what was for many. */
	if (p->flags & (ICMP_ERROR | LATER_FRAGMENT) || p->l4 != L3 + sizeof(struct iphdr) ||
	    (p->was.destination & bpf_htonl(0xe0000000)) == bpf_htonl(0xe0000000))
		return TC_ACT_SHOT;
	if (p->length < QUOTE_MIN)
		return TC_ACT_SHOT;
	failed = quote == QUOTE_MAX ? bpf_skb_load_bytes(skb, L3, error.quote, QUOTE_MAX) :
				      bpf_skb_load_bytes(skb, L3, error.quote, QUOTE_MIN);
	if (failed)
		return TC_ACT_SHOT;

	error.icmp.type = type_and_code >> 8;
	error.icmp.code = type_and_code & 0xff;
	error.icmp.frag.mtu = bpf_htons(mtu);
	error.icmp.checksum = fold(bpf_csum_diff(NULL, 0, (__be32 *)&error.icmp,
						 sizeof(error.icmp) + sizeof(error.quote), 0));
	error.ip.version = 4;
	error.ip.ihl = 5;
	error.ip.tos = 0xc0; /* RFC 1812 §4.3.2.5: internetwork control */
	error.ip.tot_len = bpf_htons(room + quote);
	error.ip.ttl = ANSWER_TTL;
	error.ip.protocol = IPPROTO_ICMP;
	error.ip.saddr = port->gateway;
	error.ip.daddr = p->was.source;
	error.ip.check = ip_checksum(&error.ip);

	if (bpf_skb_change_tail(skb, L3 + quote, 0) ||
	    bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0) ||
	    bpf_skb_store_bytes(skb, L3, &error, offsetof(struct icmp_error, quote),
				BPF_F_RECOMPUTE_CSUM))
		return TC_ACT_SHOT;
	return back(skb, port, bpf_htons(ETH_P_IP));
}

#define ICMP_KIND(type, code) ((type) << 8 | (code))

/* The gateway is nobody's interface, and yet the first thing that people ping. */
static __always_inline int answer_echo(struct __sk_buff *skb, const struct port *port,
				       const struct packet *p)
{
	__be16 was = bpf_htons(ICMP_ECHO << 8), now = bpf_htons(ICMP_ECHOREPLY << 8);
	__u8 type = ICMP_ECHOREPLY;

	/* The sum over the header stays the same when two of its words change places. */
	if (bpf_l4_csum_replace(skb, p->l4 + offsetof(struct icmphdr, checksum), was, now,
				sizeof(now)) ||
	    bpf_skb_store_bytes(skb, p->l4, &type, sizeof(type), 0) ||
	    bpf_skb_store_bytes(skb, L3 + offsetof(struct iphdr, saddr), &p->was.destination, 4,
				0) ||
	    bpf_skb_store_bytes(skb, L3 + offsetof(struct iphdr, daddr), &p->was.source, 4, 0))
		return drop(DROP_REFUSED);
	return back(skb, port, bpf_htons(ETH_P_IP));
}
