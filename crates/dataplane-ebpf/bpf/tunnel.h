/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Tunnels over IPv4 and IPv6: MPLS over GRE (RFC 4023) and over UDP (RFC 7510), with one label, and
 * VXLAN (RFC 7348) as between routers (RFC 9135 §6.1). */
#pragma once

#include <linux/errno.h>

#include "answer.h"
#include "hash.h"

#define GRE_MPLS 0x8847
#define UDP_MPLS 6635
#define UDP_VXLAN 4789
#define UDP_ECHO 3785
#define VXLAN_FLAGS 0x08000000
#define TUNNEL_TTL 64
#define LABEL_BOTTOM 0x100
#define IP_LENGTH_MAX 65535

/* Since Linux 6.3; absent in headers of before. */
#define DECAP_L3_IPV4 (1ULL << 7)
#define DECAP_L3_IPV6 (1ULL << 8)

/* Set by the loader: whether the kernel can turn one version of IP into the other when a tunnel ends. */
const volatile __u8 kernel_turns_versions;

struct gre {
	__be16 flags_and_version; /* RFC 2784: 0, no key and no checksum */
	__be16 protocol;
};

struct vxlan {
	__be32 flags;
	__be32 vni;
	struct ethhdr eth;
} __attribute__((packed, aligned(2)));

/* What stands between the outer IP header and the packet. */
struct gre_mpls {
	struct gre gre;
	__be32 label;
};

struct udp_mpls {
	struct udphdr udp;
	__be32 label;
};

struct udp_vxlan {
	struct udphdr udp;
	struct vxlan vxlan;
} __attribute__((packed, aligned(2)));

static __always_inline __u32 overhead(const struct next_hop *hop)
{
	__u32 ip = is_v4(&hop->address) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);

	if (hop->encapsulation == VXLAN)
		return ip + sizeof(struct udp_vxlan);
	return ip + (hop->encapsulation == MPLS_OVER_UDP ? sizeof(struct udp_mpls) :
							    sizeof(struct gre_mpls));
}

/* Behind the outer IP header. */
union tunnel_header {
	struct gre_mpls gre;
	struct udp_mpls udp;
	struct udp_vxlan vxlan;
};

/* Of the tunnel: another one for each flow, so that routers spread them. */
static __always_inline __u16 source_port(const struct packet *p)
{
	return 0xc000 | (flow_hash(p, HASH_SOURCE_PORT) & 0x3fff);
}

static __always_inline void udp_header(struct udphdr *udp, const struct packet *p, __u16 port,
				       __u32 length)
{
	udp->source = bpf_htons(source_port(p));
	udp->dest = bpf_htons(port);
	udp->len = bpf_htons(length);
	/* RFC 7510 §3, RFC 7348 §5, RFC 6936: what is inside has checksums of its own. */
	udp->check = 0;
}

/* Makes the outer IP header in the room in front of the tunnel's. */
static __always_inline int outer_ip(struct __sk_buff *skb, const struct packet *p,
				    const struct node *self, const struct address *remote,
				    __u32 length, __u8 protocol)
{
	if (is_v4(remote)) {
		struct iphdr ip = {
			.version = 4,
			.ihl = 5,
			.tos = p->tos,
			.tot_len = bpf_htons(length + sizeof(ip)),
			/* Never fragmented, so the identification says nothing (RFC 6864). */
			.frag_off = bpf_htons(IP_DF),
			.ttl = TUNNEL_TTL,
			.protocol = protocol,
			.saddr = self->tunnel_v4,
			.daddr = remote->word[3],
		};

		ip.check = ip_checksum(&ip);
		return STORE(skb, L3, ip);
	}
	struct ipv6hdr ip;

	ipv6_header(&ip, p->tos, length, protocol, TUNNEL_TTL, &self->tunnel_v6, remote);
	return STORE(skb, L3, ip);
}

/* The kernel does not forget that a packet came out of a tunnel, and has it enter no second one (EALREADY);
 * a workload that routes sends such packets. What it remembers fits the new tunnel, too. */
static __always_inline int make_room(struct __sk_buff *skb, __u32 room, __u64 flags,
				     const struct address *remote)
{
	__be16 outside = is_v4(remote) ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	int failed = bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, flags);

	/* Told of no tunnel, the kernel leaves the version of IP as it is. */
	if (failed == -EALREADY && skb->protocol == outside)
		return bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
	return failed;
}

/* Puts the packet behind the tunnel's headers. Room is made as for a tunnel device, so that a large
 * packet is cut into segments correctly wherever that happens; the label counts as the inner L2. */
VERIFIED_ONCE int encapsulate(struct __sk_buff *skb, const struct packet *p,
			      const struct next_hop *hop, const struct node *self)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO;
	union tunnel_header header = {};
	__u32 length, room, at;

	if (!p || !hop || !self)
		return -1;
	TRACE(STEP_ENCAPSULATED, step->address[0] = hop->address;
	      step->number[0] = hop->encapsulation; step->number[1] = hop->number);
	room = overhead(hop);
	if (is_v4(&hop->address)) {
		flags |= BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
		at = L3 + sizeof(struct iphdr);
		length = skb->len - L3 + room - sizeof(struct iphdr);
	} else {
		flags |= BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;
		at = L3 + sizeof(struct ipv6hdr);
		length = skb->len - L3 + room - sizeof(struct ipv6hdr);
	}
	if (hop->encapsulation == VXLAN) {
		flags |= BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2_ETH |
			 BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct ethhdr));
		udp_header(&header.vxlan.udp, p, UDP_VXLAN, length);
		header.vxlan.vxlan.flags = bpf_htonl(VXLAN_FLAGS);
		header.vxlan.vxlan.vni = bpf_htonl(hop->number << 8);
		__builtin_memcpy(header.vxlan.vxlan.eth.h_dest, hop->mac, ETH_ALEN);
		__builtin_memcpy(header.vxlan.vxlan.eth.h_source, self->router_mac, ETH_ALEN);
		header.vxlan.vxlan.eth.h_proto = ethernet_type(p);
	} else {
		__be32 label = bpf_htonl(hop->number << 12 | LABEL_BOTTOM | p->ttl);

		flags |= BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(label));
		if (hop->encapsulation == MPLS_OVER_UDP) {
			flags |= BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
			udp_header(&header.udp.udp, p, UDP_MPLS, length);
			header.udp.label = label;
		} else {
			flags |= BPF_F_ADJ_ROOM_ENCAP_L4_GRE;
			header.gre.gre.protocol = bpf_htons(GRE_MPLS);
			header.gre.label = label;
		}
	}
	if (make_room(skb, room, flags, &hop->address) ||
	    outer_ip(skb, p, self, &hop->address, length,
		     hop->encapsulation == MPLS_OVER_GRE ? IPPROTO_GRE : IPPROTO_UDP))
		return -1;
	if (hop->encapsulation == VXLAN)
		return STORE(skb, at, header.vxlan);
	if (hop->encapsulation == MPLS_OVER_UDP)
		return STORE(skb, at, header.udp);
	return STORE(skb, at, header.gre);
}

/* What a packet that came out of a tunnel said on the outside. */
struct arrival {
	struct address remote;
	__u32 vrf;
	__u32 port;	/* as in `struct label` */
	__u32 id; /* label or VNI */
	__u16 overhead; /* PROBE: of the IP header alone */
	__be16 protocol; /* Ethernet type of what was inside */
	__u8 encapsulation;
	__u8 turned; /* outside and inside are different versions of IP, and the kernel does not know */
	__u8 tos;    /* or traffic class, outside */
};

/* What is below NOT_OURS is -2 - reason. */
enum { OURS = 0, NOT_OURS = -1, PROBE = 1 };

/* Whose packet it is, and where the tunnel's header begins. */
static __always_inline int outer_header(struct __sk_buff *skb, const struct node *self,
					struct arrival *arrival, __u8 *protocol, __u32 *at)
{
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (!self->tunnel_v4 || LOAD(skb, L3, ip))
			return NOT_OURS;
		if (ip.daddr != self->tunnel_v4 || ip.version != 4 || ip.ihl < 5)
			return NOT_OURS;
		/* A later fragment has no header to tell whose it is. */
		if (ip.frag_off & bpf_htons(IP_OFFSET))
			return NOT_OURS;
		arrival->remote = mapped(ip.saddr);
		arrival->tos = ip.tos;
		*protocol = ip.protocol;
		*at = L3 + ip.ihl * 4;
		/* No node of ours fragments; put together again it would not come by here. */
		return ip.frag_off & bpf_htons(IP_MF) ? -2 - DROP_FRAGMENT : OURS;
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip;

		if (is_none(&self->tunnel_v6) || LOAD(skb, L3, ip))
			return NOT_OURS;
		if (ip.version != 6 ||
		    !same_address((const struct address *)&ip.daddr, &self->tunnel_v6))
			return NOT_OURS;
		__builtin_memcpy(&arrival->remote, &ip.saddr, sizeof(arrival->remote));
		arrival->tos = ip.priority << 4 | ip.flow_lbl[0] >> 4;
		*protocol = ip.nexthdr;
		*at = L3 + sizeof(ip);
		/* Linux puts a limit of encapsulation there (RFC 2473 §4.1.1). */
		if (ip.nexthdr == EXT_DESTINATION) {
			struct {
				__u8 next, length;
			} options;

			if (LOAD(skb, L3 + sizeof(ip), options))
				return NOT_OURS;
			*protocol = options.next;
			*at += (options.length + 1) * 8;
		}
		return OURS;
	}
	return NOT_OURS;
}

static __always_inline int mpls_header(struct __sk_buff *skb, __u32 at, struct arrival *arrival)
{
	struct label *label;
	__be32 entry;
	__u32 value;
	__u8 first;

	if (LOAD(skb, at, entry))
		return -2 - DROP_MALFORMED;
	value = bpf_ntohl(entry);
	if (!(value & LABEL_BOTTOM))
		return -2 - DROP_UNSUPPORTED;
	value >>= 12;
	label = bpf_map_lookup_elem(&labels, &value);
	if (!label)
		return -2 - DROP_UNKNOWN_LABEL;
	/* MPLS does not say what is inside; the version of IP does (RFC 3032 §2.2). */
	if (LOAD(skb, at + sizeof(entry), first))
		return -2 - DROP_MALFORMED;
	if (first >> 4 == 4)
		arrival->protocol = bpf_htons(ETH_P_IP);
	else if (first >> 4 == 6)
		arrival->protocol = bpf_htons(ETH_P_IPV6);
	else
		return -2 - DROP_UNSUPPORTED;
	arrival->id = value;
	arrival->vrf = label->vrf;
	arrival->port = label->port;
	arrival->overhead = at + sizeof(entry) - L3;
	return OURS;
}

static __always_inline int vxlan_header(struct __sk_buff *skb, __u32 at, const struct node *self,
					struct arrival *arrival)
{
	struct vxlan vxlan;
	__u32 vni, *vrf;

	if (LOAD(skb, at, vxlan))
		return NOT_OURS;
	if (!(vxlan.flags & bpf_htonl(VXLAN_FLAGS)))
		return NOT_OURS;
	vni = bpf_ntohl(vxlan.vni) >> 8;
	vrf = bpf_map_lookup_elem(&vnis, &vni);
	/* Somebody else on this machine may have it. */
	if (!vrf)
		return NOT_OURS;
	if (!same_mac(vxlan.eth.h_dest, self->router_mac))
		return -2 - DROP_WRONG_MAC;
	if (vxlan.eth.h_proto != bpf_htons(ETH_P_IP) &&
	    vxlan.eth.h_proto != bpf_htons(ETH_P_IPV6))
		return -2 - DROP_UNSUPPORTED;
	arrival->protocol = vxlan.eth.h_proto;
	arrival->id = vni;
	arrival->vrf = *vrf;
	arrival->overhead = at + sizeof(vxlan) - L3;
	return OURS;
}

/* Takes off headers of the other version of IP than what is inside. The kernel, which knows only the outer
 * one, wants room for a header of that one to be left, so what is shorter is made longer meanwhile. */
static __always_inline int take_off_unturned(struct __sk_buff *skb, struct arrival *arrival)
{
	__u32 length = skb->len - arrival->overhead;
	int is_short = length < L3 + sizeof(struct ipv6hdr);

	arrival->turned = 1;
	if ((is_short && bpf_skb_change_tail(skb, skb->len + sizeof(struct ipv6hdr), 0)) ||
	    bpf_skb_adjust_room(skb, -(__s32)arrival->overhead, BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_FIXED_GSO) ||
	    (is_short && bpf_skb_change_tail(skb, length, 0)))
		return -2 - DROP_MALFORMED;
	return OURS;
}

/* Takes the tunnel's headers off. NOT_OURS: the packet is for the kernel, and unchanged; PROBE: perhaps for
 * `answer_probe`, and unchanged; another negative: -2 - reason. */
VERIFIED_ONCE int decapsulate(struct __sk_buff *skb, const struct node *self,
			      struct arrival *arrival)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO;
	__u8 protocol = 0;
	__u32 at = 0;
	int found;

	if (!self || !arrival)
		return NOT_OURS;
	found = outer_header(skb, self, arrival, &protocol, &at);
	if (found == NOT_OURS)
		return NOT_OURS;
	if (protocol == IPPROTO_GRE) {
		struct gre gre;

		if (LOAD(skb, at, gre))
			return NOT_OURS;
		if (gre.flags_and_version || gre.protocol != bpf_htons(GRE_MPLS))
			return NOT_OURS;
		arrival->encapsulation = MPLS_OVER_GRE;
		at += sizeof(gre);
	} else if (protocol == IPPROTO_UDP) {
		struct udphdr udp;

		if (LOAD(skb, at, udp))
			return NOT_OURS;
		if (udp.dest == bpf_htons(UDP_MPLS))
			arrival->encapsulation = MPLS_OVER_UDP;
		else if (udp.dest == bpf_htons(UDP_VXLAN))
			arrival->encapsulation = VXLAN;
		else if (udp.dest == bpf_htons(UDP_ECHO) && !found) {
			arrival->overhead = at - L3;
			return PROBE;
		} else
			return NOT_OURS;
		at += sizeof(udp);
	} else {
		return NOT_OURS;
	}
	if (found)
		return found;
	found = arrival->encapsulation == VXLAN ? vxlan_header(skb, at, self, arrival) :
						  mpls_header(skb, at, arrival);
	if (found)
		return found;
	TRACE(STEP_DECAPSULATED, step->address[0] = arrival->remote;
	      step->number[0] = arrival->encapsulation; step->number[1] = arrival->id;
	      step->number[2] = arrival->vrf);
	if (arrival->protocol != skb->protocol) {
		if (!kernel_turns_versions)
			return take_off_unturned(skb, arrival);
		flags |= arrival->protocol == bpf_htons(ETH_P_IP) ? DECAP_L3_IPV4 : DECAP_L3_IPV6;
	}
	/* Who merged packets, or the card, may have verified the inner checksum, too: of so many, the outer
	 * UDP header was one. */
	if (protocol == IPPROTO_UDP)
		flags |= BPF_F_ADJ_ROOM_NO_CSUM_RESET;
	if (bpf_skb_adjust_room(skb, -(__s32)arrival->overhead, BPF_ADJ_ROOM_MAC, flags))
		return -2 - DROP_MALFORMED;
	if (protocol == IPPROTO_UDP)
		bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
	return OURS;
}
