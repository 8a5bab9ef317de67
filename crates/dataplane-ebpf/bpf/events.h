/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Telling the agent of single packets. */
#pragma once

#include "count.h"

/* Nobody took the earlier events in time. */
static __always_inline void lost_event(void)
{
	__u32 none = 0;
	__u64 *lost = bpf_map_lookup_elem(&lost_events, &none);

	if (lost)
		*lost += 1;
}
