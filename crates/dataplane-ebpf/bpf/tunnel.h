/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* MPLS over GRE (RFC 4023) and over UDP (RFC 7510), with one label. */
#pragma once

#include "answer.h"
#include "hash.h"

#define GRE_MPLS 0x8847
#define UDP_MPLS 6635
#define TUNNEL_TTL 64
#define LABEL_BOTTOM 0x100
#define IP_LENGTH_MAX 65535

struct gre {
	__be16 flags_and_version; /* RFC 2784: 0, no key and no checksum */
	__be16 protocol;
};

struct gre_headers {
	struct iphdr ip;
	struct gre gre;
	__be32 label;
};

struct udp_headers {
	struct iphdr ip;
	struct udphdr udp;
	__be32 label;
};

static __always_inline __u32 overhead(__u8 encapsulation)
{
	return encapsulation == MPLS_OVER_UDP ? sizeof(struct udp_headers) :
						sizeof(struct gre_headers);
}

static __always_inline void outer_ip(struct iphdr *ip, const struct packet *p, __u32 length,
				     __u8 protocol, __be32 source, __be32 destination)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = p->tos;
	ip->tot_len = bpf_htons(length);
	/* Never fragmented, so the identification says nothing (RFC 6864). */
	ip->frag_off = bpf_htons(IP_DF);
	ip->ttl = TUNNEL_TTL;
	ip->protocol = protocol;
	ip->saddr = source;
	ip->daddr = destination;
	ip->check = ip_checksum(ip);
}

/* Puts the packet behind the tunnel's headers. Room is made as for a tunnel device, so that a large
 * packet is cut into segments correctly wherever that happens; the label counts as the inner L2. */
VERIFIED_ONCE int encapsulate(struct __sk_buff *skb, const struct packet *p,
				  const struct next_hop *hop, __be32 source)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 |
		      BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(__be32));
	__be32 label;
	__u32 length;

	if (!p || !hop)
		return -1;
	length = skb->len - L3 + overhead(hop->encapsulation);
	label = bpf_htonl(hop->number << 12 | LABEL_BOTTOM | p->ttl);
	if (hop->encapsulation == MPLS_OVER_UDP) {
		struct udp_headers outer;

		outer_ip(&outer.ip, p, length, IPPROTO_UDP, source, hop->address);
		outer.udp.source =
			bpf_htons(0xc000 | (flow_hash(p, HASH_SOURCE_PORT) & 0x3fff));
		outer.udp.dest = bpf_htons(UDP_MPLS);
		outer.udp.len = bpf_htons(length - sizeof(outer.ip));
		outer.udp.check = 0;
		outer.label = label;
		if (bpf_skb_adjust_room(skb, sizeof(outer), BPF_ADJ_ROOM_MAC,
					flags | BPF_F_ADJ_ROOM_ENCAP_L4_UDP))
			return -1;
		return bpf_skb_store_bytes(skb, L3, &outer, sizeof(outer), BPF_F_RECOMPUTE_CSUM);
	} else {
		struct gre_headers outer;

		outer_ip(&outer.ip, p, length, IPPROTO_GRE, source, hop->address);
		outer.gre.flags_and_version = 0;
		outer.gre.protocol = bpf_htons(GRE_MPLS);
		outer.label = label;
		if (bpf_skb_adjust_room(skb, sizeof(outer), BPF_ADJ_ROOM_MAC,
					flags | BPF_F_ADJ_ROOM_ENCAP_L4_GRE))
			return -1;
		return bpf_skb_store_bytes(skb, L3, &outer, sizeof(outer), BPF_F_RECOMPUTE_CSUM);
	}
}

/* What a packet that came out of a tunnel said on the outside. */
struct arrival {
	__be32 remote;
	__u32 vrf;
	__u32 overhead;
};

enum { NOT_OURS = -1 };

/* Takes the tunnel's headers off. NOT_OURS: the packet is for the kernel, and unchanged; another
 * negative: -2 - reason. */
static __always_inline int decapsulate(struct __sk_buff *skb, __be32 tunnel_address,
				       struct arrival *arrival)
{
	__u32 at, inner, label, *vrf;
	struct iphdr ip;
	__be32 entry;

	if (bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)))
		return NOT_OURS;
	if (ip.daddr != tunnel_address || ip.version != 4 || ip.ihl < 5)
		return NOT_OURS;
	at = L3 + ip.ihl * 4;
	if (ip.protocol == IPPROTO_GRE) {
		struct gre gre;

		/* A later fragment has no GRE header to tell whose it is. */
		if (ip.frag_off & bpf_htons(IP_OFFSET))
			return NOT_OURS;
		if (bpf_skb_load_bytes(skb, at, &gre, sizeof(gre)))
			return NOT_OURS;
		if (gre.flags_and_version || gre.protocol != bpf_htons(GRE_MPLS))
			return NOT_OURS;
		inner = at + sizeof(gre);
	} else if (ip.protocol == IPPROTO_UDP) {
		struct udphdr udp;

		if (ip.frag_off & bpf_htons(IP_OFFSET))
			return NOT_OURS;
		if (bpf_skb_load_bytes(skb, at, &udp, sizeof(udp)))
			return NOT_OURS;
		if (udp.dest != bpf_htons(UDP_MPLS))
			return NOT_OURS;
		inner = at + sizeof(udp);
	} else {
		return NOT_OURS;
	}
	/* No node of ours fragments; put together again it would not come by here. */
	if (ip.frag_off & bpf_htons(IP_MF))
		return -2 - DROP_FRAGMENT;
	if (bpf_skb_load_bytes(skb, inner, &entry, sizeof(entry)))
		return -2 - DROP_MALFORMED;
	label = bpf_ntohl(entry);
	if (!(label & LABEL_BOTTOM))
		return -2 - DROP_UNSUPPORTED;
	label >>= 12;
	vrf = bpf_map_lookup_elem(&labels, &label);
	if (!vrf)
		return -2 - DROP_UNKNOWN_LABEL;
	arrival->remote = ip.saddr;
	arrival->vrf = *vrf;
	arrival->overhead = inner + sizeof(entry) - L3;
	if (bpf_skb_adjust_room(skb, -(__s32)arrival->overhead, BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_FIXED_GSO))
		return -2 - DROP_MALFORMED;
	return 0;
}
