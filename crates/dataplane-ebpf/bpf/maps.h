/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* The maps. All are pinned; the sizes here are defaults, the loader sets others. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"

#define MAP(name, kind, size, flags, key_type, value_type)   \
	struct {                                             \
		__uint(type, BPF_MAP_TYPE_##kind);           \
		__uint(max_entries, size);                   \
		__uint(map_flags, flags);                    \
		__type(key, key_type);                       \
		__type(value, value_type);                   \
		__uint(pinning, LIBBPF_PIN_BY_NAME);         \
	} name SEC(".maps")

/* Memory is taken as entries come. */
#define GROWS BPF_F_NO_PREALLOC

MAP(node, ARRAY, 1, 0, __u32, struct node);
MAP(uplinks, HASH, 64, GROWS, __u32, struct uplink);  /* by interface */
MAP(ports, ARRAY, 4096, 0, __u32, struct port);
MAP(port_of, HASH, 4096, GROWS, __u32, __u32);  /* by interface, to element of `ports` */
MAP(paces, ARRAY, 4096, 0, __u32, __u64);  /* by element of `ports`, to when its next packet may leave */
MAP(allowed_sources, LPM_TRIE, 65536, GROWS, struct allowed_key, struct allowed);
MAP(probers, HASH, 1024, GROWS, struct address, __u32);  /* who may ask whether the node is alive */
MAP(labels, HASH, 8192, GROWS, __u32, struct label);
MAP(vnis, HASH, 4096, GROWS, __u32, __u32);  /* to VRF */

/* Most VPN routes are host routes, and a hash is faster than a trie. */
MAP(hosts_v4, HASH, 65536, GROWS, struct host_v4, struct route);
MAP(hosts_v6, HASH, 65536, GROWS, struct host_v6, struct route);
MAP(nets_v4, LPM_TRIE, 65536, GROWS, struct net_v4, struct route);
MAP(nets_v6, LPM_TRIE, 65536, GROWS, struct net_v6, struct route);
MAP(identity_sets, HASH, 16384, GROWS, __u32, struct identities);
MAP(groups, ARRAY, 16384, 0, __u32, struct group);
MAP(group_shares, HASH, 32768, GROWS, __u32, struct shares);  /* by twice the group, and one for those that stay here */
MAP(next_hops, ARRAY, 65536, 0, __u32, struct next_hop);
MAP(translations, HASH, 16384, GROWS, struct translation_key, struct translation);
MAP(flows, LRU_HASH, 131072, 0, struct flow_key, struct flow);
MAP(new_flows, LRU_HASH, 16384, 0, struct flow_key, struct flow);  /* of TCP, not yet answered */
MAP(affinities, LRU_HASH, 16384, 0, struct affinity_key, struct affinity);
MAP(fragments, LRU_HASH, 4096, 0, struct fragment_key, struct fragment);
MAP(drops, PERCPU_ARRAY, REASONS_MAX, 0, __u32, __u64);
MAP(port_traffic, PERCPU_ARRAY, 4096, 0, __u32, struct traffic);  /* by element of `ports` */
MAP(vrf_traffic, PERCPU_ARRAY, 4096, 0, __u32, struct traffic);  /* by VRF */
MAP(tunnel_traffic, LRU_PERCPU_HASH, 2048, 0, struct address, struct traffic);  /* by the other node */

MAP(filters, HASH, 4096, GROWS, __u32, struct filter);  /* by number, from 1 */
MAP(filter_revisions, ARRAY, 4096, 0, __u32, __u32);  /* what is in `filters`, where it is quickly seen */
MAP(rule_counts, PERCPU_ARRAY, 65536, 0, __u32, __u64);
MAP(connections, LRU_HASH, 131072, 0, struct connection_key, struct connection);
MAP(new_connections, LRU_HASH, 16384, 0, struct connection_key, struct connection);
MAP(lost_events, PERCPU_ARRAY, 1, 0, __u32, __u64);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20); /* in octets */
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} events SEC(".maps");

/* Names, for the agent that comes after this one. No program reads them. */
MAP(port_names, HASH, 4096, GROWS, __u32, struct port_name);  /* by element of `ports` */
MAP(vrf_names, HASH, 4096, GROWS, __u32, struct vrf_name);  /* by VRF */
MAP(filter_names, HASH, 8192, GROWS, struct filter_name_key, struct filter_name);
