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

#define GROUP_MAX 64
#define SHARES 4096
#define BACKENDS_MAX 64
#define IDENTITIES_MAX 16
#define REASONS_MAX 64
#define RULES_MAX 256

/* Those of dataplane::DropReason, in the same order; src/layout.rs compares. */
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
	DROP_DENIED,
	DROP_RATE_LIMIT,
	DROP_NO_SOURCE_PORT,
	DROP_WRONG_MAC,
	DROP_CONGESTED,
};

enum hop_kind {
	HOP_NONE, /* an element that is not in use */
	HOP_DISCARD,
	HOP_PORT,
	HOP_TRANSLATE,
	HOP_TUNNEL,
	HOP_MASQUERADE,
};

enum encapsulation {
	MPLS_OVER_GRE,
	MPLS_OVER_UDP,
	VXLAN,
};

enum translation_kind {
	FLOATING,
	SERVICE,
};

enum direction {
	FORWARD, /* towards the holder or backend */
	REVERSE, /* its answers */
	OUTWARD, /* from a port, to leave with the node's own address */
	INWARD,	 /* the answers, in UNDERLAY */
};

/* Stands for a VRF; those are numbered from 1. */
#define UNDERLAY 0

/* Addresses, MPLS labels of the wire and L4 ports are in network order, all else in host order. */

/* IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2). */
struct address {
	__be32 word[4];
};

struct node {
	__be32 tunnel_v4; /* 0: no tunnel over IPv4 is accepted */
	__u32 uplink;	  /* the only interface of the underlay; 0: the kernel's routes choose */
	struct address tunnel_v6; /* ::: no tunnel over IPv6 is accepted */
	__u8 router_mac[6];
	__u16 masquerade_first;
	__u16 masquerade_count; /* 0: nobody leaves with the node's address */
	__u16 uplink_mtu;	/* of `uplink`; 0: `uplinks` says it */
	__u32 sample_one_in; /* 0: none */
};

struct uplink {
	__u32 mtu;
	__u32 order; /* in the agent's list */
	char name[16];
};

enum port_flags {
	PORT_V4 = 1 << 0,
	PORT_V6 = 1 << 1,
	PORT_ALLOWED = 1 << 2, /* `allowed` has more sources of it */
	PORT_HOST_ACCESS = 1 << 3,
	PORT_MIRROR = 1 << 4,
	PORT_SAMPLE = 1 << 6,
	PORT_SERVES = 1 << 5, /* it has or had a floating or service address: it may have flows */
};

struct port {
	__u32 ifindex;	  /* 0: it has no interface */
	__u32 generation; /* changes when the element is used for another port */
	__u32 vrf;
	__u32 flags;
	__be32 v4;
	__be32 gateway_v4;
	struct address v6;
	struct address gateway_v6;
	/* Sources of connections for which `vrf` has no route; 0: none. */
	struct address floating_v6;
	__u32 floating_v6_vrf;
	__be32 floating_v4;
	__u32 floating_v4_vrf;
	__u32 filter; /* 0: everything is allowed */
	__u32 label;  /* of its own; 0: none */
	__u16 mtu;
	__u8 mac[6];
	__u8 prefix_len_v4;
	__u8 prefix_len_v6;
	__u16 unused;
	__u64 bandwidth; /* in bits a second; 0: no limit */
};

/* What else a port may send from. */
struct allowed_key {
	__u32 prefix_len; /* over `port` and `address` together */
	__be32 port;
	struct address address;
};

struct allowed {
	__u8 mac[6]; /* 0: the port's own */
	__u8 unused[2];
};

struct host_v4 {
	__u32 vrf;
	__be32 address;
};

struct host_v6 {
	__u32 vrf;
	struct address address;
};

struct net_v4 {
	__u32 prefix_len; /* over `vrf` and `address` together */
	__be32 vrf;
	__be32 address;
};

struct net_v6 {
	__u32 prefix_len; /* over `vrf` and `address` together */
	__be32 vrf;
	struct address address;
};

/* Marks the number of a next hop where that of a group could stand. */
#define ONE_HOP (1u << 31)

struct route {
	__u32 target;	  /* element of `groups`, or of `next_hops` with ONE_HOP */
	__u32 identities; /* key of `identity_sets`; 0: none */
};

/* Security groups and labels that a route's senders have. */
struct identities {
	__u32 count;
	__u32 number[IDENTITIES_MAX];
};

struct group {
	__u32 count;
	__u32 local;	 /* so many of the first do not leave the node */
	__u32 by_source; /* flows are told apart by their source address alone */
	__u32 hops[GROUP_MAX]; /* elements of `next_hops` */
};

/* Which member has a flow, by the flow's hash: for groups of more than one. The key is twice the
 * group's number, and one more for the shares among the members that do not leave the node. */
struct shares {
	__u8 member[SHARES];
	__u16 weight[GROUP_MAX]; /* for the agent that comes after this one */
};

struct next_hop {
	__u8 kind;
	__u8 encapsulation;
	__u8 mac[6];   /* VXLAN: of the other node's router */
	__u32 number;  /* HOP_PORT: element of `ports`; HOP_TRANSLATE: VRF; HOP_TUNNEL: label or VNI */
	struct address address; /* HOP_TRANSLATE, HOP_TUNNEL: of the other node */
};

struct label {
	__u32 vrf;
	__u32 port; /* element of `ports`, and one; 0: the packet is looked up in `vrf` */
};

struct translation_key {
	__u32 vrf;
	struct address address;
	__be16 port; /* 0 with protocol 0: the address as a whole */
	__u8 protocol;
	__u8 unused;
};

struct backend {
	__u32 port; /* element of `ports` */
	__u32 key;  /* what is mixed with a flow's hash; the same on every node */
	__be16 target;
	__u16 unused;
};

struct translation {
	__u32 count;
	__u8 kind;
	__u8 exclusive;
	__u16 unused;
	__u32 affinity; /* in seconds; 0: none */
	struct backend backends[BACKENDS_MAX];
};

struct flow_key {
	__u32 vrf;
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 direction;
	__u16 unused;
};

struct flow {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 vrf;  /* REVERSE: where the answer is routed */
	__u32 port; /* element of `ports`: FORWARD, INWARD: who gets it; REVERSE, OUTWARD: who may send it */
	__u32 generation;
	__u32 seen; /* in seconds since boot */
	__u32 state;
};

enum flow_state {
	FLOW_ANSWERED = 1 << 0,
	FLOW_CLOSED = 1 << 1, /* one side has, or both have */
};

/* Whose backend a client keeps. */
struct affinity_key {
	__u32 vrf;
	struct address address; /* of the service */
	struct address client;
	__be16 port;
	__u8 protocol;
	__u8 unused;
};

struct affinity {
	__u32 backend; /* `key` of `struct backend` */
	__u32 port;
	__u32 generation;
	__u32 seen; /* in seconds since boot */
};

struct fragment_key {
	__u32 scope; /* VRF, or UNDERLAY */
	struct address source;
	struct address destination;
	__be32 id;
	__u8 protocol; /* 0: IPv6 */
	__u8 unused[3];
};

/* The first fragment of a packet. */
struct fragment {
	__be16 source_port;
	__be16 destination_port;
	__u32 seen; /* in seconds since boot */
	__u8 protocol;
	__u8 unused[3];
};

/* Who opens a connection, seen from the workload: others, or it. */
enum side {
	SIDE_IN,
	SIDE_OUT,
};

enum verdict {
	ALLOW,
	DENY,
};

enum peer_kind {
	PEER_ANY,
	PEER_NET_V4,
	PEER_NET_V6,
	PEER_IDENTITY,
};

#define ANY_PROTOCOL 0xffff

struct rule {
	__u8 side;
	__u8 verdict;
	__u8 log;
	__u8 peer;
	__u16 protocol;
	__u8 prefix_len; /* over 128 bits */
	__u8 any_port;
	__u16 first_port;
	__u16 last_port;
	__u32 identity;
	struct address net;
};

/* The counters of a filter are as many elements of `rule_counts` as it has rules, and two more: for
 * what no rule matches, by side. */
struct filter {
	__u32 revision; /* another one whenever the rules change; no two filters ever have the same */
	__u32 counters; /* the first of them */
	__u32 count;
	__u8 default_verdict[2]; /* by side */
	__u8 identities;	 /* whether a rule asks for them */
	__u8 unused;
	struct rule rules[RULES_MAX];
};

/* A connection of a port, as the workload sees it. */
struct connection_key {
	__u32 port; /* element of `ports` */
	struct address own;
	struct address peer;
	__be16 own_port;
	__be16 peer_port;
	__u8 protocol;
	__u8 unused[3];
};

enum connection_state {
	CONFIRMED = 1 << 0, /* it is in `connections` */
	ANSWERED = 1 << 1,
	OPENER_FIN = 1 << 2,
	OTHER_FIN = 1 << 3,
	RESET = 1 << 4,
	REFUSED = 1 << 5, /* remembered only so that it is not reported again */
};

struct connection {
	__u32 generation;
	__u32 revision; /* of the filter that has decided */
	__u32 counter;	/* of the rule that has: element of `rule_counts` */
	__u32 seen;	/* in seconds since boot */
	__u16 asked;	/* what the rules take for its port */
	__u8 opener;	/* side */
	__u8 state;
};

/* What the agent is told of single packets: each event begins so. */
enum event_kind {
	EVENT_DECIDED = 1,
	EVENT_SAMPLE,
	EVENT_MIRRORED,
};

struct event {
	__u32 kind;
	__u32 length; /* of all of it */
};

/* A packet that stands for others. */
struct sample {
	struct event event;
	__u32 port; /* element of `ports` */
	__u32 generation;
	__u32 vrf;
	__u32 length;
	__u32 packets; /* segments of a large one */
	struct address source;
	struct address destination;
	struct address remote; /* the other node; ::: none */
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 side;
	__u8 tcp_flags;
	__u8 tos;
};

#define MIRROR_MAX 1518

/* A copy of a packet, from its IP header on. */
struct mirrored {
	struct event event;
	__u32 port; /* element of `ports` */
	__u32 generation;
	__u32 length; /* of all of the packet */
	__u32 captured;
	__u8 side;
	__u8 unused[3];
	__u8 octets[MIRROR_MAX + 2];
};

/* A rule that logs has decided. */
struct decided {
	struct event event;
	__u32 port; /* element of `ports` */
	__u32 generation;
	__u32 filter;
	__u32 rule;
	struct address own;
	struct address peer;
	__be16 own_port;
	__be16 peer_port;
	__u8 protocol;
	__u8 side;
	__u8 verdict;
	__u8 unused;
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

/* The names of a filter and of its rules, one after the other, in as many parts as they need. */
struct filter_name_key {
	__u32 filter;
	__u32 part;
};

struct filter_name {
	__u8 octets[512];
};

/* src/layout.rs has the same numbers. */
_Static_assert(sizeof(struct address) == 16, "address");
_Static_assert(sizeof(struct node) == 40, "node");
_Static_assert(sizeof(struct uplink) == 24, "uplink");
_Static_assert(sizeof(struct port) == 112, "port");
_Static_assert(sizeof(struct allowed_key) == 24, "allowed_key");
_Static_assert(sizeof(struct allowed) == 8, "allowed");
_Static_assert(sizeof(struct host_v4) == 8, "host_v4");
_Static_assert(sizeof(struct host_v6) == 20, "host_v6");
_Static_assert(sizeof(struct net_v4) == 12, "net_v4");
_Static_assert(sizeof(struct net_v6) == 24, "net_v6");
_Static_assert(sizeof(struct route) == 8, "route");
_Static_assert(sizeof(struct identities) == 68, "identities");
_Static_assert(sizeof(struct group) == 268, "group");
_Static_assert(sizeof(struct shares) == 4224, "shares");
_Static_assert(sizeof(struct next_hop) == 28, "next_hop");
_Static_assert(sizeof(struct label) == 8, "label");
_Static_assert(sizeof(struct translation_key) == 24, "translation_key");
_Static_assert(sizeof(struct backend) == 12, "backend");
_Static_assert(sizeof(struct translation) == 780, "translation");
_Static_assert(sizeof(struct flow_key) == 44, "flow_key");
_Static_assert(sizeof(struct flow) == 56, "flow");
_Static_assert(sizeof(struct affinity_key) == 40, "affinity_key");
_Static_assert(sizeof(struct affinity) == 16, "affinity");
_Static_assert(sizeof(struct fragment_key) == 44, "fragment_key");
_Static_assert(sizeof(struct fragment) == 12, "fragment");
_Static_assert(sizeof(struct rule) == 32, "rule");
_Static_assert(sizeof(struct filter) == 8208, "filter");
_Static_assert(sizeof(struct connection_key) == 44, "connection_key");
_Static_assert(sizeof(struct connection) == 20, "connection");
_Static_assert(sizeof(struct decided) == 64, "decided");
_Static_assert(sizeof(struct sample) == 84, "sample");
_Static_assert(sizeof(struct mirrored) == 1548, "mirrored");
_Static_assert(sizeof(struct traffic) == 32, "traffic");
_Static_assert(sizeof(struct port_name) == 1024, "port_name");
_Static_assert(sizeof(struct vrf_name) == 256, "vrf_name");
_Static_assert(sizeof(struct filter_name_key) == 8, "filter_name_key");
_Static_assert(sizeof(struct filter_name) == 512, "filter_name");
