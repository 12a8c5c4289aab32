/*
 * Executor 4: what executor 3 puts into force, on the links of a network of namespaces, through which connections are opened. A
 * cell's answer is the far end's, or the programs' own word that they dropped it.
 */
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/nl.h"
#include "lib/net/tc.h"
#include "netpolicy-bpf/user/np_ct.h"
#include "netpolicy-bpf/user/np_events.h"
#include "netpolicy-bpf/user/np_loader.h"
#include "tests/policy/lab.h"
#include "tests/policy/net.h"
#include "tests/policy/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SWEEP_EVERY 16          /* loads, so that the flow tables do not fill */
#define LATER_TICKS 4           /* when no place rests any more (np_ct.c) */

struct live {
	struct px bpf;
	struct net *net;
	struct prober *prober;
	struct np_events *events[TABLES_NODES];
	struct np *np[TABLES_NODES];
	struct probe *probe, *some;
	unsigned int *round;            /* of each probe */
	unsigned int loads;
};

static const struct np_events_ops event_ops;

static struct px_bpf *state_of(const struct live *l)
{
	return l->bpf.ctx;
}

/* --- nodes */

static int attach(int ns, unsigned int ifindex, int in_fd, int out_fd, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	int r = vw_nl_open_at(&nl, ns, err);

	if (r < 0)
		return r;
	(void)vw_clsact_add(&b, ifindex, NULL);
	if (in_fd >= 0)
		(void)vw_filter_replace(&b, &(struct vw_filter){ .ifindex = ifindex, .dir = VW_TC_INGRESS, .prog_fd = in_fd, .name = "from_pod" });
	(void)vw_filter_replace(&b, &(struct vw_filter){ .ifindex = ifindex, .dir = VW_TC_EGRESS, .prog_fd = out_fd, .name = "to" });
	return vw_nl_commit(&nl, &b, err);
}

static void on_events(void *arg)
{
	(void)np_events_read(arg);
}

static void on_verdict(void *arg, const struct np_event *e)
{
	prober_denied(((struct live *)arg)->prober, e);
}

static void on_dns(void *arg, const struct np_event_dns *e)
{
	(void)arg;
	(void)e;
}

static const struct np_events_ops event_ops = { .verdict = on_verdict, .dns = on_dns };

/* @ret: its index, the same everywhere. A node has programs even if it has no pods. */
static int node_of(struct live *l, const char *name, unsigned int *ret, struct vw_err *err)
{
	struct net_place *place;
	struct np_conf *conf;
	struct lab_node *n;
	unsigned int i;
	int r = lab_node(state_of(l)->lab, name, &n, err);

	if (r < 0)
		return r;
	i = *ret = lab_node_index(state_of(l)->lab, n);
	if (l->np[i])
		return 0;
	l->np[i] = lab_node_np(n);
	conf = np_map_mem(l->np[i], NP_M_CONF);
	conf->event_rate = 4096;
	conf->event_burst = 65536;
	r = net_node(l->net, i, &place, err);
	if (r == 0)
		r = attach(place->ns, place->up, -EBADF, np_to_wire_fd(l->np[i]), err);
	if (r == 0)
		r = np_events_new(np_map_fd(l->np[i], NP_M_EVENTS), &event_ops, l, &l->events[i], err);
	return r < 0 ? r : prober_watch(l->prober, np_events_fd(l->events[i]), on_events, l->events[i], err);
}

/* --- who an end is */

static int pod_place(struct live *l, const struct fx_end *e, unsigned int node, struct net_place **ret, struct vw_err *err)
{
	unsigned int slot = 0, ifindex;
	bool fresh;
	int r;

	if (!tables_find(state_of(l)->t, e->node, e->name, &slot))
		return vw_err_set(err, ENOENT, 0, "no pod %s on node %s", e->name, e->node);
	ifindex = NP_IFINDEX_BASE + slot;
	r = net_pod(l->net, node, slot, ifindex, ret, &fresh, err);
	if (r == 0 && fresh) {
		struct net_place *at;

		r = net_node(l->net, node, &at, err);
		if (r == 0)
			r = attach(at->ns, ifindex, np_from_pod_fd(l->np[node]), np_to_pod_fd(l->np[node]), err);
	}
	return r;
}

/* Where packets of the end come from, or (@to) go to. @family: its address is there when this returns. */
static int place_of(struct live *l, const struct fx_end *e, int family, bool to, struct net_place **ret, struct vw_err *err)
{
	unsigned int node = 0;
	int r = e->kind == FX_OUTSIDE ? net_outside(l->net, ret, err) : node_of(l, e->node, &node, err);

	if (r == 0 && e->kind == FX_POD)
		r = pod_place(l, e, node, ret, err);
	else if (r == 0 && e->kind == FX_SNAT && !to)
		return net_snat(l->net, node, ret, err);
	else if (r == 0 && e->kind != FX_OUTSIDE)
		r = net_node(l->net, node, ret, err);
	return r < 0 ? r : net_put(l->net, *ret, &e->ip[family], err);
}

/* --- what kube-proxy does, and what turns packets into a node's own */

static void put_services(struct vw_buf *b, const struct fx_end *end, size_t n, int family, const char *nf)
{
	char vip[VW_IP_STRLEN], ip[VW_IP_STRLEN];

	vw_buf_printf(b, "chain services {\n");
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < end[i].n_served && end[i].kind == FX_POD && end[i].vip[family].family; k++) {
			const struct fx_port *on = &end[i].served[k];

			vw_buf_printf(b, "%s daddr %s meta l4proto %u th dport %u dnat to %s%s%s:%u\n", nf, vw_ip_str(&end[i].vip[family], vip),
				      on->proto, fx_service_port(on->port), family ? "[" : "", vw_ip_str(&end[i].ip[family], ip), family ? "]" : "",
				      on->port);
		}
	vw_buf_printf(b, "}\nchain pre { type nat hook prerouting priority dstnat; jump services; }\n");
}

static void put_snat(struct vw_buf *b, const struct fx_end *end, size_t n, int family, const char *nf, const struct vw_ip *own)
{
	char ip[VW_IP_STRLEN], to[VW_IP_STRLEN];

	vw_buf_printf(b, "chain post { type nat hook postrouting priority srcnat;\n%s saddr %s snat to %s\n", nf,
		      family ? "fdfe::/16" : "198.18.0.0/15", vw_ip_str(own, to));
	/* a pod that reaches itself */
	for (size_t i = 0; i < n; i++)
		if (end[i].kind == FX_POD && end[i].vip[family].family)
			vw_buf_printf(b, "%s saddr %s %s daddr %s snat to %s\n", nf, vw_ip_str(&end[i].ip[family], ip), nf, ip, to);
	vw_buf_printf(b, "}\n");
}

static const struct vw_ip *ip_of_node(const struct tables_node *t, int family)
{
	for (size_t i = 0; i < t->n_ip; i++)
		if (t->ip[i].family == (family ? AF_INET6 : AF_INET))
			return &t->ip[i];
	return NULL;
}

static int put_nat(struct live *l, const struct fx_end *end, size_t n, const struct tables_node *t, unsigned int node, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;

	for (int family = 0; family < 2; family++) {
		const char *nf = family ? "ip6" : "ip";

		vw_buf_printf(&b, "table %s nat\ndelete table %s nat\ntable %s nat {\n", nf, nf, nf);
		put_services(&b, end, n, family, nf);
		if (ip_of_node(t, family))
			put_snat(&b, end, n, family, nf, ip_of_node(t, family));
		vw_buf_printf(&b, "}\n");
	}
	return net_nft(l->net, node, vw_buf_str(&b), err);
}

/* --- loading */

/* Flows of before are as if they had never been; slots may say all that they have to say. */
static int forget_flows(struct live *l, bool sweep, struct vw_err *err)
{
	struct np_ct_stats *stats = calloc(1, sizeof(*stats));
	int r = stats ? 0 : vw_err_set(err, ENOMEM, 0, "out of memory");

	for (int i = 0; i < TABLES_NODES && r == 0; i++) {
		struct np_slot *slots = l->np[i] ? np_map_mem(l->np[i], NP_M_SLOTS) : NULL;
		struct np_rt *rt = slots ? np_map_mem(l->np[i], NP_M_RT) : NULL;
		struct np_ct_maps m;

		if (slots)
			r = net_forget(l->net, (unsigned int)i, err);
		for (int s = 0; slots && s < TABLES_PODS; s++) {
			slots[s].gen++;
			rt[s].ct_used = 0;
			rt[s].tokens = UINT32_MAX;
		}
		if (!slots || !sweep)
			continue;
		m = np_ct_maps_of(l->np[i]);
		/* the second one takes away what died in the first: no connection is left whose packets could hold it */
		r = np_ct_sweep(&m, np_tick(), NULL, NULL, stats, err);
		if (r == 0)
			r = np_ct_sweep(&m, np_tick() + LATER_TICKS, NULL, NULL, stats, err);
		for (int s = 0; s < TABLES_PODS; s++)
			rt[s].ct_used = 0;
	}
	free(stats);
	return r;
}

static int load(void *ctx, const struct vw_json *const *objs, size_t n, bool strict, struct vw_err *err)
{
	struct live *l = ctx;

	return l->bpf.load(l->bpf.ctx, objs, n, strict, err);
}

/* --- asking */

/* What DNS has told the pods about the ends. */
static int teach(struct live *l, const struct fx_end *end, size_t n, int family, bool known, struct vw_err *err)
{
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned int slot = 0, blob = 0;
		const struct tables_node *t = end[i].kind == FX_POD ? tables_find(state_of(l)->t, end[i].node, end[i].name, &slot) : NULL;
		const struct np_image_blob *policy = t ? tables_blob(t->img, slot, &blob) : NULL;
		struct lab_node *at;

		for (size_t k = 0; policy && policy->n_fqdn && k < n && r == 0; k++) {
			r = lab_node(state_of(l)->lab, end[i].node, &at, err);
			if (r == 0 && end[k].ip[family].family)
				r = lab_teach(at, slot, &end[k].ip[family], tables_names(policy, end[k].names, end[k].n_names), known, err);
		}
	}
	return r;
}

static int make_probe(struct live *l, const struct px_cell *c, int family, struct probe *q, struct vw_err *err)
{
	struct net_place *src, *dst;
	unsigned int node = 0;
	int r = place_of(l, c->src, family, false, &src, err);

	if (r == 0)
		r = place_of(l, c->dst, family, true, &dst, err);
	if (r < 0)
		return r;
	*q = (struct probe){ .src = src, .dst = dst, .from = c->src->ip[family], .seen = c->src->ip[family], .to = c->dst->ip[family],
			     .real = c->dst->ip[family], .port = c->on->port, .real_port = c->on->port, .proto = c->on->proto };
	if (q->proto == IPPROTO_ICMP && family)
		q->proto = IPPROTO_ICMPV6;
	if (c->src->kind == FX_SNAT) {
		r = node_of(l, c->src->node, &node, err);
		q->from = net_snat_ip(node, family);
	}
	if (c->by_service) {
		q->to = c->dst->vip[family];
		q->port = fx_service_port(c->on->port);
	}
	return r;
}

static int arrange_node(struct live *l, const struct fx_end *end, size_t n, const struct tables_node *t, struct vw_err *err)
{
	struct net_place *place = NULL;
	unsigned int node;
	int r = node_of(l, t->name, &node, err);

	if (r == 0)
		r = net_node(l->net, node, &place, err);
	for (size_t i = 0; i < t->n_ip && r == 0; i++)
		r = net_put(l->net, place, &t->ip[i], err);
	return r < 0 ? r : put_nat(l, end, n, t, node, err);
}

static bool same_flow(const struct probe *a, const struct probe *b)
{
	return a->proto == b->proto && ((vw_ip_eq(&a->seen, &b->seen) && vw_ip_eq(&a->real, &b->real)) ||
					(vw_ip_eq(&a->seen, &b->real) && vw_ip_eq(&a->real, &b->seen)));
}

/* Without ports, what goes to and fro between two addresses is one flow: one opener at a time. Return: how many rounds. */
static unsigned int find_rounds(struct live *l, size_t n)
{
	unsigned int rounds = 1;

	for (size_t i = 0; i < n; i++) {
		const struct probe *q = &l->probe[i];

		l->round[i] = 0;
		for (size_t k = 0; k < i && !q->port; k++)
			l->round[i] += same_flow(q, &l->probe[k]);
		rounds = l->round[i] >= rounds ? l->round[i] + 1 : rounds;
	}
	return rounds;
}

static int run_round(struct live *l, size_t n, unsigned int round, struct vw_err *err)
{
	size_t n_some = 0;
	int r = forget_flows(l, l->loads++ % SWEEP_EVERY == 0, err);

	for (size_t i = 0; i < n; i++)
		if (l->round[i] == round)
			l->some[n_some++] = l->probe[i];
	if (r == 0)
		r = prober_run(l->prober, l->some, n_some, err);
	n_some = 0;
	for (size_t i = 0; i < n; i++)
		if (l->round[i] == round)
			l->probe[i] = l->some[n_some++];
	return r;
}

static void put_answer(const struct probe *q, struct px_cell *c)
{
	c->got = q->got == PROBE_PASSED ? 1 : q->got == PROBE_DENIED ? 0 : -EPROTO;
	if (q->got == PROBE_WRONG)
		c->why = q->why;
	else if (q->got == PROBE_PASSED)
		c->why = "answered";
	else
		c->why = q->dir == NP_EGRESS ? "dropped at its egress" : "dropped at its ingress";
}

static int ask(void *ctx, const struct fx_run *run, int family, struct px_cell *v, size_t n, struct vw_err *err)
{
	struct live *l = ctx;
	const struct tables *t = state_of(l)->t;
	size_t n_end;
	const struct fx_end *end = fx_ends(run, &n_end);
	int r = n > PROBES_MAX ? vw_err_set(err, E2BIG, 0, "%zu cells in one step", n) : 0;
	unsigned int rounds;

	for (size_t i = 0; i < t->n_node && r == 0; i++)
		r = arrange_node(l, end, n_end, &t->node[i], err);
	for (size_t i = 0; i < n && r == 0; i++)
		r = make_probe(l, &v[i], family, &l->probe[i], err);
	if (r == 0)
		r = net_wait(l->net, err);
	if (r == 0)
		r = teach(l, end, n_end, family, true, err);
	rounds = r < 0 ? 0 : find_rounds(l, n);
	for (unsigned int k = 0; k < rounds && r == 0; k++)
		r = run_round(l, n, k, err);
	for (size_t i = 0; i < n && r == 0; i++)
		put_answer(&l->probe[i], &v[i]);
	return r < 0 ? r : teach(l, end, n_end, family, false, err);
}

static int refuse(void *ctx, const struct vw_json *obj, struct vw_err *err)
{
	return tables_refuse(ctx, obj, err);
}

/* --- life */

int px_live(struct px *ret, struct vw_err *err)
{
	struct live *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	*ret = (struct px){ .name = "live", .ctx = l, .load = load, .ask = ask, .refuse = refuse };
	l->probe = calloc(PROBES_MAX, sizeof(*l->probe));
	l->some = calloc(PROBES_MAX, sizeof(*l->some));
	l->round = calloc(PROBES_MAX, sizeof(*l->round));
	r = l->probe && l->some && l->round ? px_bpf_live(&l->bpf, err) : vw_err_set(err, ENOMEM, 0, "out of memory");
	if (r == 0)
		r = net_new(&l->net, err);
	if (r == 0)
		r = prober_new(&l->prober, err);
	if (r < 0)
		px_live_done(ret);
	return r;
}

void px_live_done(struct px *x)
{
	struct live *l = x->ctx;

	if (!l)
		return;
	prober_free(l->prober);
	for (int i = 0; i < TABLES_NODES; i++)
		np_events_free(l->events[i]);
	net_free(l->net);
	px_bpf_done(&l->bpf);
	free(l->probe);
	free(l->some);
	free(l->round);
	free(l);
	x->ctx = NULL;
}
