/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* What is remembered of the connections of ports that have a filter.
 *
 * A connection is in `new_connections` until who opened it speaks again after an answer, and only then in
 * `connections`. So what is never answered, or never heard of again, takes the place of its like only. */
#pragma once

#include "flow.h"

/* After so many quiet seconds it is another connection. TCP that is open says when it ends, or is the
 * longest unused at last. */
#define IDLE_CLOSED 10
#define IDLE_OPENING 120

/* As the workload sees the packet: before anything is translated of what it sends, after that of
 * what it receives. */
static __always_inline void connection_key_of(struct connection_key *key, const struct tuple *sees,
					      enum side side)
{
	if (side == SIDE_OUT) {
		key->own = sees->source;
		key->own_port = sees->source_port;
		key->peer = sees->destination;
		key->peer_port = sees->destination_port;
	} else {
		key->own = sees->destination;
		key->own_port = sees->destination_port;
		key->peer = sees->source;
		key->peer_port = sees->source_port;
	}
}

static __always_inline int is_closed(__u8 state)
{
	return state & RESET || (state & (OPENER_FIN | OTHER_FIN)) == (OPENER_FIN | OTHER_FIN);
}

static __always_inline __u32 longest_silence(const struct connection *connection, __u8 protocol)
{
	if (is_closed(connection->state))
		return IDLE_CLOSED;
	if (protocol == IPPROTO_TCP)
		return connection->state & CONFIRMED ? ~0u : IDLE_OPENING;
	return protocol == IPPROTO_UDP ? IDLE_UDP : IDLE_OTHER;
}

static __always_inline struct connection *find_connection(const struct connection_key *key)
{
	struct connection *connection = bpf_map_lookup_elem(&connections, key);

	if (connection)
		return connection;
	return bpf_map_lookup_elem(&new_connections, key);
}

static __always_inline void forget_connection(const struct connection_key *key)
{
	bpf_map_delete_elem(&connections, key);
	bpf_map_delete_elem(&new_connections, key);
}

/* The connection that the packet belongs to; one that is over is forgotten. */
static __always_inline struct connection *known_connection(const struct connection_key *key,
							   __u32 generation,
							   const struct packet *p, enum side side,
							   __u32 now)
{
	struct connection *connection = find_connection(key);
	int opens = p->flags & OPENS;

	if (!connection)
		return NULL;
	if (connection->generation != generation ||
	    now - connection->seen > longest_silence(connection, p->protocol) ||
	    (opens && side == connection->opener && is_closed(connection->state))) {
		forget_connection(key);
		return NULL;
	}
	/* Who is called may not open a connection in the one that it answers. */
	if (side != connection->opener && (opens || connection->state & REFUSED))
		return NULL;
	return connection;
}

/* The state behind a packet. */
static __always_inline __u8 next_state(__u8 state, const struct packet *p, int by_opener)
{
	if (!by_opener)
		state |= ANSWERED;
	if (p->protocol == IPPROTO_TCP) {
		if (p->tcp_flags & TCP_RST)
			state |= RESET;
		if (p->tcp_flags & TCP_FIN)
			state |= by_opener ? OPENER_FIN : OTHER_FIN;
	}
	return state;
}

/* From `new_connections` to `connections`. */
OWN_FRAME void confirm(const struct connection_key *key, const struct connection *opening)
{
	struct connection connection = *opening;

	connection.state |= CONFIRMED;
	if (!bpf_map_update_elem(&connections, key, &connection, BPF_ANY))
		bpf_map_delete_elem(&new_connections, key);
}

/* A packet of a connection passes. What does not change is not written, so that cores do not fight
 * for it. */
static __always_inline void follow_connection(const struct connection_key *key,
					      struct connection *connection,
					      const struct packet *p, enum side side, __u32 now)
{
	int by_opener = side == connection->opener;
	__u8 state = next_state(connection->state, p, by_opener);

	if (!COUNTS)
		return;
	if (connection->seen != now)
		connection->seen = now;
	if (connection->state != state)
		connection->state = state;
	/* A reset proves nothing: it is what a kernel says to answers that it did not ask for. */
	if (by_opener && (state & (ANSWERED | CONFIRMED | RESET)) == ANSWERED)
		confirm(key, connection);
}
