/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* What each table did with one synthetic packet.
 *
 * The programs are compiled twice. With TRACING they note their steps, and count, remember and report nothing;
 * the kernel runs that one on a packet of the agent's making, on the real maps. Without, nothing of this is
 * left. */
#pragma once

#include "maps.h"

#define STEPS_MAX 64

enum step_kind {
	STEP_DECAPSULATED = 1, /* address: remote; number: encapsulation, label or VNI, VRF */
	STEP_FLOW,	       /* number: direction */
	STEP_FILTERED,	       /* number: port, filter, side, rule, verdict */
	STEP_ROUTED,	       /* address; number: VRF, members; none: no route */
	STEP_CHOSEN,	       /* number: element of `next_hops` */
	STEP_TRANSLATED,       /* address: source, destination; ports, protocol */
	STEP_ENCAPSULATED,     /* address: remote; number: encapsulation, label or VNI */
	STEP_DROPPED,	       /* number: reason */
	STEP_DELIVERED,	       /* number: port */
	STEP_SENT,	       /* number: interface */
	STEP_ANSWERED,
	STEP_LEFT, /* address: the source from now on; number: VRF, or UNDERLAY */
};

#ifdef TRACING

struct step {
	__u32 kind;
	__u32 number[5];
	struct address address[2];
	__be16 port[2];
	__u8 protocol;
	__u8 unused[3];
};

/* The kind of the first element that is not in use is 0; the agent empties them all. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, STEPS_MAX);
	__type(key, __u32);
	__type(value, struct step);
} trace_steps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} trace_count SEC(".maps");

static __always_inline struct step *next_step(enum step_kind kind)
{
	__u32 none = 0, at;
	__u32 *count = bpf_map_lookup_elem(&trace_count, &none);
	struct step *step;

	if (!count)
		return NULL;
	at = *count;
	step = bpf_map_lookup_elem(&trace_steps, &at);
	if (!step)
		return NULL;
	*count += 1;
	step->kind = kind;
	return step;
}

#define TRACE(step_kind, ...)                              \
	do {                                               \
		struct step *step = next_step(step_kind);  \
		if (step) {                                \
			__VA_ARGS__;                       \
		}                                          \
	} while (0)

/* Nothing is remembered. */
#define bpf_map_update_elem(map, key, value, flags) ((void)(key), (void)(value), 0L)
#define bpf_map_delete_elem(map, key) ((void)(key), 0L)
#define COUNTS 0

#else

#define TRACE(step_kind, ...) \
	do {                  \
	} while (0)
#define COUNTS 1

#endif
