/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* What ports may send and receive.
 *
 * The rules are asked for the first packet of a connection and again when they have changed; the rest
 * passes by what is remembered. Nothing is looked up for ports without a filter. */
#pragma once

#include "connection.h"
#include "events.h"
#include "related.h"
#include "route.h"

/* What the rules are asked. */
struct question {
	struct connection_key key;
	__u32 filter;
	__u32 vrf;
	__u32 generation;
	__u16 asked;	/* the port that is called, or the type of ICMP */
	__u8 side;	/* who opens the connection */
	__u8 forgotten; /* nothing is to be remembered of it */
};

struct decision {
	__u32 rule;
	__u32 counter;
	__u32 revision;
	__u8 verdict;
	__u8 log;
	__u16 unused;
};

static __always_inline void count_rule(__u32 counter)
{
	__u64 *count = bpf_map_lookup_elem(&rule_counts, &counter);

	if (COUNTS && count)
		*count += 1;
}

static __always_inline int is_in_net(const struct address *address, const struct address *net,
				     __u32 length)
{
	__u32 differ = 0;

	for (int i = 0; i < 4; i++) {
		__u32 before = i * 32;
		__u32 bits = length <= before ? 0 : length - before;
		__u32 mask = bits >= 32 ? ~0u : (__u32)(0xffffffff00000000ull >> bits);

		differ |= bpf_ntohl(address->word[i] ^ net->word[i]) & mask;
	}
	return !differ;
}

static __always_inline int has_identity(const struct identities *identities, __u32 identity)
{
	int has = 0;

	if (!identities)
		return 0;
	for (int i = 0; i < IDENTITIES_MAX; i++)
		has |= identities->number[i] == identity;
	return has;
}

static __always_inline int is_peer(const struct rule *rule, const struct address *peer,
				   const struct identities *identities)
{
	switch (rule->peer) {
	case PEER_ANY:
		return 1;
	case PEER_NET_V4:
		return is_v4(peer) && is_in_net(peer, &rule->net, rule->prefix_len);
	case PEER_NET_V6:
		return !is_v4(peer) && is_in_net(peer, &rule->net, rule->prefix_len);
	default:
		return has_identity(identities, rule->identity);
	}
}

/* Whether rule `number` decides; then `d` says how. A function for the verifier, which would follow each
 * way through the list. */
VERIFIED_ONCE int decides(const struct rule *rule, const struct question *q,
			  const struct identities *identities, struct decision *d, __u32 number)
{
	if (!rule || !q || !d)
		return 0;
	if (rule->side != q->side)
		return 0;
	if (rule->protocol != ANY_PROTOCOL && rule->protocol != q->key.protocol)
		return 0;
	if (!rule->any_port && (q->asked < rule->first_port || q->asked > rule->last_port))
		return 0;
	if (!is_peer(rule, &q->key.peer, identities))
		return 0;
	d->rule = number;
	d->verdict = rule->verdict;
	d->log = rule->log;
	return 1;
}

/* Not 0: there are no rules to ask. */
VERIFIED_ONCE int decide(const struct question *q, struct decision *d)
{
	struct identities *identities = NULL;
	struct filter *filter;
	__u32 number, count;

	if (!q || !d)
		return -1;
	number = q->filter;
	filter = bpf_map_lookup_elem(&filters, &number);
	if (!filter)
		return -1;
	if (filter->identities) {
		struct route *found = route(q->vrf, &q->key.peer);

		if (found && found->identities)
			identities = bpf_map_lookup_elem(&identity_sets, &found->identities);
	}
	count = filter->count;
	d->rule = count + q->side;
	d->verdict = filter->default_verdict[q->side & 1];
	for (__u32 i = 0; i < RULES_MAX; i++) {
		if (i >= count || decides(&filter->rules[i], q, identities, d, i))
			break;
	}
	d->counter = filter->counters + d->rule;
	d->revision = filter->revision;
	TRACE(STEP_FILTERED, step->number[0] = q->key.port; step->number[1] = q->filter;
	      step->number[2] = q->side; step->number[3] = d->rule; step->number[4] = d->verdict);
	return 0;
}

static __always_inline void report(const struct question *q, const struct decision *d)
{
	struct decided *event;

	if (!COUNTS)
		return;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		lost_event();
		return;
	}
	event->event.kind = EVENT_DECIDED;
	event->event.length = sizeof(*event);
	event->port = q->key.port;
	event->generation = q->generation;
	event->filter = q->filter;
	event->rule = d->rule;
	event->own = q->key.own;
	event->peer = q->key.peer;
	event->own_port = q->key.own_port;
	event->peer_port = q->key.peer_port;
	event->protocol = q->key.protocol;
	event->side = q->side;
	event->verdict = d->verdict;
	event->unused = 0;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline int is_echo(const struct packet *p)
{
	/* Later fragments do not say which of the two they are. */
	return p->flags & (ECHO_REQUEST | LATER_FRAGMENT) ||
	       p->icmp_type == (p->flags & V6 ? ICMPV6_ECHOREPLY : ICMP_ECHOREPLY);
}

static __always_inline __u16 asked_port(const struct packet *p, const struct question *q)
{
	if (has_ports(p->protocol))
		return bpf_ntohs(q->side == SIDE_IN ? q->key.own_port : q->key.peer_port);
	return is_icmp(p) ? p->icmp_type : 0;
}

/* Asks the rules about a new connection, or about one that other rules have let through. Not 0: they
 * say no. */
OWN_FRAME int ask(const struct packet *p, struct question *q, struct connection *connection)
{
	struct decision d = {};
	struct connection new = {};

	if (!p || !q)
		return -1;
	if (connection) {
		q->side = connection->opener;
		q->asked = connection->asked;
	} else {
		q->asked = asked_port(p, q);
	}
	if (decide(q, &d))
		return -1;
	if (connection && d.verdict == ALLOW) {
		if (!COUNTS)
			return 0;
		connection->counter = d.counter;
		connection->revision = d.revision;
		return 0;
	}
	count_rule(d.counter);
	if (d.log)
		report(q, &d);
	if (connection)
		forget_connection(&q->key);
	if (!q->forgotten && (d.verdict == ALLOW || d.log)) {
		new.generation = q->generation;
		new.revision = d.revision;
		new.counter = d.counter;
		new.seen = seconds();
		new.asked = q->asked;
		new.opener = q->side;
		new.state = d.verdict == ALLOW ? next_state(0, p, 1) : REFUSED;
		bpf_map_update_elem(&new_connections, &q->key, &new,
				    d.verdict == ALLOW ? BPF_ANY : BPF_NOEXIST);
	}
	return d.verdict == ALLOW ? 0 : -1;
}

/* The connection that an ICMP error is about; `q->key` is then its. */
OWN_FRAME struct connection *related(struct __sk_buff *skb, const struct packet *p,
				     struct question *q)
{
	struct scratch *room = scratch();
	struct connection *connection;
	struct packet *quoted;
	struct quote at;

	if (!p || !q || !room)
		return NULL;
	quoted = &room->quoted;
	if (quoted_header(skb, p, quoted, &at) || quoted_ports(skb, at.l4, quoted))
		return NULL;
	/* The error goes against the packet that it is about. */
	connection_key_of(&q->key, &quoted->was, q->side == SIDE_IN ? SIDE_OUT : SIDE_IN);
	q->key.protocol = quoted->protocol;
	connection = find_connection(&q->key);
	if (!connection || connection->generation != q->generation || connection->state & REFUSED)
		return NULL;
	return connection;
}

/* Whether the port's filter lets the packet out of the workload, or into it. Not 0: it does not. */
VERIFIED_ONCE int refuses(struct __sk_buff *skb, const struct packet *p, __u32 slot,
			  const struct port *port, __u32 side)
{
	struct connection *connection = NULL;
	struct question q = {};
	__u32 *revision, now;

	if (!p || !port)
		return -1;
	now = seconds();
	q.filter = port->filter;
	q.vrf = port->vrf;
	q.generation = port->generation;
	q.side = side;
	q.key.port = slot;
	q.key.protocol = p->protocol;
	revision = bpf_map_lookup_elem(&filter_revisions, &q.filter);
	if (!revision)
		return -1;
	if (p->flags & ICMP_ERROR)
		connection = related(skb, p, &q);
	if (connection) {
		if (connection->revision != *revision && ask(p, &q, connection))
			return -1;
		count_rule(connection->counter);
		return 0;
	}
	q.key.protocol = p->protocol;
	connection_key_of(&q.key, &p->now, side);
	/* Only echoes have something that tells one conversation from another. */
	q.forgotten = is_icmp(p) && !is_echo(p);
	if (!q.forgotten)
		connection = known_connection(&q.key, q.generation, p, side, now);
	if (connection && connection->state & REFUSED && connection->revision != *revision) {
		forget_connection(&q.key);
		connection = NULL;
	}
	/* What its first was not allowed to open it does not, either. */
	if (!connection && p->flags & LATER_FRAGMENT)
		return -1;
	if ((!connection || connection->revision != *revision) && ask(p, &q, connection))
		return -1;
	if (!connection)
		return 0;
	count_rule(connection->counter);
	if (connection->state & REFUSED)
		return -1;
	follow_connection(&q.key, connection, p, side, now);
	return 0;
}
