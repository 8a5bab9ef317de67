/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only)
 *
 * The programs of the data plane may be used under either licence. The rest of the repository is
 * Apache-2.0; these files offer GPL-2.0 as well, because the kernel lets only such programs call
 * some of its helpers.
 *
 * What the programs share with the agent, octet for octet; src/layout.rs is the other half. A
 * change here is a new version of the pinned maps (src/pins.rs).
 */
#pragma once

#include <linux/types.h>

#define GROUP_MAX 16
#define BACKENDS_MAX 64
#define REASONS_MAX 32

/* The order is that of dataplane::DropReason. */
enum drop_reason {
	DROP_NO_ROUTE,
	DROP_TUNNEL_TO_TUNNEL,
	DROP_TTL_EXPIRED,
	DROP_UNKNOWN_LABEL,
	DROP_NO_BACKEND,
	DROP_TOO_BIG,
	DROP_MALFORMED,
	DROP_UNSUPPORTED,
	DROP_DISCARD,
	DROP_PORT_GONE,
	DROP_FRAGMENT,
	DROP_REFUSED,
	DROP_SPOOFED,
};

enum hop_kind {
	HOP_NONE, /* an element that is not in use */
	HOP_DISCARD,
	HOP_PORT,
	HOP_TRANSLATE,
	HOP_TUNNEL,
};

enum encapsulation {
	MPLS_OVER_GRE,
	MPLS_OVER_UDP,
};

enum translation_kind {
	FLOATING,
	SERVICE,
};

enum direction {
	FORWARD, /* towards the holder or backend */
	REVERSE, /* its answers */
};

/* Addresses, MPLS labels of the wire and L4 ports are in network order, all else in host order. */

struct node {
	__be32 tunnel_address; /* 0: no tunnel is accepted */
	__u32 uplink;	       /* interface that tunnels leave by, unless the next hop has one */
};

struct uplink {
	__u32 mtu;
	__u32 order; /* in the agent's list */
	char name[16];
};

struct port {
	__u32 ifindex;	  /* 0: it has no interface */
	__u32 generation; /* changes when the element is used for another port */
	__u32 vrf;
	__be32 address;
	__be32 gateway;
	__be32 floating; /* source of connections for which `vrf` has no route; 0: none */
	__u32 floating_vrf;
	__u16 mtu;
	__u8 mac[6];
	__u32 prefix_len;
};

struct host_key {
	__u32 vrf;
	__be32 address;
};

struct net_key {
	__u32 prefix_len; /* over `vrf` and `address` together */
	__be32 vrf;
	__be32 address;
};

struct member {
	__u32 next_hop; /* element of `next_hops` */
	__u32 key;	/* what is mixed with a flow's hash; the same on every node */
};

struct group {
	__u32 count;
	__u32 local; /* so many of the first do not leave the node */
	struct member members[GROUP_MAX];
};

struct next_hop {
	__u8 kind;
	__u8 encapsulation;
	__u16 unused;
	__u32 number;	/* HOP_PORT: element of `ports`; HOP_TRANSLATE: VRF; HOP_TUNNEL: label */
	__be32 address; /* HOP_TRANSLATE, HOP_TUNNEL: of the other node */
	__u32 uplink;	/* HOP_TUNNEL: interface; 0: that of `node` */
};

struct translation_key {
	__u32 vrf;
	__be32 address;
	__be16 port; /* 0 with protocol 0: the address as a whole */
	__u8 protocol;
	__u8 unused;
};

struct backend {
	__u32 port; /* element of `ports` */
	__u32 key;  /* as in `member` */
	__be16 target;
	__u16 unused;
};

struct translation {
	__u32 count;
	__u8 kind;
	__u8 exclusive;
	__u16 unused;
	struct backend backends[BACKENDS_MAX];
};

struct flow_key {
	__u32 vrf;
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 direction;
	__u16 unused;
};

struct flow {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 vrf;  /* REVERSE: where the answer is routed */
	__u32 port; /* element of `ports`: FORWARD: who gets it; REVERSE: who may answer */
	__u32 generation;
	__u32 seen; /* in seconds since boot */
};

/* Seen from the node. */
struct traffic {
	__u64 rx_packets;
	__u64 rx_bytes;
	__u64 tx_packets;
	__u64 tx_bytes;
};

/* What the agent calls things; src/names.rs knows what is in it. */
struct port_name {
	__u8 octets[1024];
};

struct vrf_name {
	__u8 octets[256];
};

/* src/layout.rs has the same numbers. */
_Static_assert(sizeof(struct node) == 8, "node");
_Static_assert(sizeof(struct uplink) == 24, "uplink");
_Static_assert(sizeof(struct port) == 40, "port");
_Static_assert(sizeof(struct host_key) == 8, "host_key");
_Static_assert(sizeof(struct net_key) == 12, "net_key");
_Static_assert(sizeof(struct member) == 8, "member");
_Static_assert(sizeof(struct group) == 136, "group");
_Static_assert(sizeof(struct next_hop) == 16, "next_hop");
_Static_assert(sizeof(struct translation_key) == 12, "translation_key");
_Static_assert(sizeof(struct backend) == 12, "backend");
_Static_assert(sizeof(struct translation) == 776, "translation");
_Static_assert(sizeof(struct flow_key) == 20, "flow_key");
_Static_assert(sizeof(struct flow) == 28, "flow");
_Static_assert(sizeof(struct traffic) == 32, "traffic");
_Static_assert(sizeof(struct port_name) == 1024, "port_name");
_Static_assert(sizeof(struct vrf_name) == 256, "vrf_name");
