// SPDX-License-Identifier: Apache-2.0
/*
 *   event -> kinds that may miss something ("dirty") -> one comparison, DRIFT_DELAY_MS later -> what is missing: restored, counted
 *
 * What is known by name of a loss is in a table, from its first restoration until DRIFT_QUIET_MS after the last:
 *
 *   restored at once ..., DRIFT_PATIENCE times --> contested: after 1 s, 2 s, 4 s ..., DRIFT_RARELY_MS --> quiet for twice that: forgotten
 */
#include "daemon/drift.h"

#include "daemon/daemon.h"
#include "daemon/hostnet.h"
#include "daemon/loop.h"
#include "daemon/programs.h"
#include "daemon/sgp.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "lib/net/link.h"
#include "lib/net/view/nft.h"
#include "lib/net/view/view.h"
#include "lib/rpc/rpc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_MS 200            /* after a start, which has enough to do */
#define YOUNG_MS 2000           /* its plugin may be at work on the pod */
#define LOG_EVERY_MS 10000
#define RETRY_MAX_MS 60000
#define LO_IFINDEX 1

/* what an ENI has: one that was down has lost its routes, one without address too, and the kernel tells of neither */
#define OF_ENI (HOSTNET_BIT(HOSTNET_LINK) | HOSTNET_BIT(HOSTNET_ADDRESS) | HOSTNET_BIT(HOSTNET_ROUTE))
/* its addresses went: where IPv6 was switched off, that has to be undone first */
#define ADDR_OF_ENI (OF_ENI | HOSTNET_BIT(HOSTNET_SYSCTL))
/* what a branch has: its interface may have gone, with all of it */
#define OF_BRANCH (HOSTNET_ALL & ~HOSTNET_BIT(HOSTNET_NFT))

/**
 * struct loss - something that was missing. @what: its key, as hostnet_truth.found has it. @times: in a row, with less than DRIFT_QUIET_MS between.
 * @until_ms: it is not restored before, 0 = at once.
 */
struct loss {
	UT_hash_handle hh;
	enum hostnet_kind kind;
	unsigned int times;
	uint64_t last_ms, until_ms;
	char what[];
};

/**
 * struct drift
 * @dirty, @slots: kinds, and pods, to be compared. @later: kinds to be compared at the next due time again.
 * @due_ms: when the timer fires, 0 = it is not set.
 * @total: restored so far, by kind. @logged: that much of it the log has been told.
 * @suppressed: rounds that restored something since the last line in the log. @first: what that was.
 * @retry_ms: since something could not be restored, 0 = it could.
 * @look: the timer of what nobody is told of; @looking: it is set.
 */
struct drift {
	struct daemon *d;
	struct loop_timer *timer, *look;
	bool looking;
	unsigned int dirty, later;
	bool slots[NP_SLOTS];
	uint64_t due_ms;
	struct loss *losses;
	uint64_t total[HOSTNET_KINDS], logged[HOSTNET_KINDS], rounds;
	unsigned int suppressed;
	uint64_t logged_ms, retry_ms;
	char first[160], by[VW_NFT_BY_LEN];
};

static void due(struct drift *dr, uint64_t at_ms)
{
	uint64_t now = vw_mono_ms();

	if (dr->due_ms && dr->due_ms <= at_ms)
		return;
	dr->due_ms = at_ms;
	loop_timer_set(dr->timer, at_ms > now ? at_ms - now : 0);
}

static void dirty(struct drift *dr, unsigned int kinds)
{
	dr->dirty |= kinds;
	due(dr, vw_mono_ms() + DRIFT_DELAY_MS);
}

/* --- losses */

static struct loss *loss_of(struct drift *dr, enum hostnet_kind kind, const char *what)
{
	size_t len = strlen(what);
	struct loss *l;

	HASH_FIND(hh, dr->losses, what, len, l);
	if (l)
		return l;
	l = calloc(1, sizeof(*l) + len + 1);
	if (!l)
		return NULL;
	l->kind = kind;
	memcpy(l->what, what, len);
	HASH_ADD_KEYPTR(hh, dr->losses, l->what, len, l);
	if (!l->hh.tbl) {
		free(l);
		return NULL;
	}
	return l;
}

static uint64_t quiet_at(const struct loss *l)
{
	uint64_t rest = l->until_ms > l->last_ms ? 2 * (l->until_ms - l->last_ms) : 0;

	return l->last_ms + (rest > DRIFT_QUIET_MS ? rest : DRIFT_QUIET_MS);
}

static bool contested(const struct loss *l)
{
	return l->times > DRIFT_PATIENCE;
}

static void forget_quiet(struct drift *dr, uint64_t now)
{
	struct loss *l, *tmp;

	HASH_ITER(hh, dr->losses, l, tmp) {
		if (quiet_at(l) > now) {
			due(dr, quiet_at(l));
			continue;
		}
		if (contested(l))
			vw_info("what was removed again and again is left alone now", "kind=%s what=\"%s\"", hostnet_kind_name(l->kind), l->what);
		HASH_DEL(dr->losses, l);
		free(l);
	}
}

/* hostnet_truth.found: whether to restore it now */
static bool found(enum hostnet_kind kind, const char *what, void *arg)
{
	struct drift *dr = arg;
	struct loss *l = loss_of(dr, kind, what);
	uint64_t now = vw_mono_ms(), wait = 1000;

	if (l && now < l->until_ms) {
		dr->later |= HOSTNET_BIT(kind);
		due(dr, l->until_ms);
		return false;
	}
	dr->total[kind]++;
	if (!dr->first[0])
		(void)!vw_fmt(dr->first, sizeof(dr->first), "%.*s", (int)sizeof(dr->first) - 1, what);
	if (!l)
		return true;
	l->last_ms = now;
	l->times++;
	if (!contested(l))
		return true;
	for (unsigned int i = DRIFT_PATIENCE + 1; i < l->times && wait < DRIFT_RARELY_MS; i++)
		wait *= 2;
	l->until_ms = now + (wait < DRIFT_RARELY_MS ? wait : DRIFT_RARELY_MS);
	if (l->times == DRIFT_PATIENCE + 1)
		vw_warn("another program keeps removing what is ours: it is restored ever more rarely, down to once in 5 minutes",
			"kind=%s what=\"%s\" times=%u by=\"%s\"", hostnet_kind_name(kind), what, l->times, kind == HOSTNET_NFT ? dr->by : "");
	return true;
}

/* --- the log: a line for a burst, then at most one in LOG_EVERY_MS; counts since the last */

static void tell(struct drift *dr, uint64_t now)
{
	char counts[160] = "";
	size_t len = 0;

	if (!dr->suppressed)
		return;
	if (dr->logged_ms && now < dr->logged_ms + LOG_EVERY_MS) {
		due(dr, dr->logged_ms + LOG_EVERY_MS);
		return;
	}
	if (dr->total[HOSTNET_NFT] == dr->logged[HOSTNET_NFT])
		dr->by[0] = 0;
	for (size_t k = 0; k < HOSTNET_KINDS; k++) {
		uint64_t n = dr->total[k] - dr->logged[k];
		int added = n ? snprintf(counts + len, sizeof(counts) - len, "%s=%llu ", hostnet_kind_name((enum hostnet_kind)k), (unsigned long long)n) : 0;

		len += added > 0 && (size_t)added < sizeof(counts) - len ? (size_t)added : 0;
		dr->logged[k] = dr->total[k];
	}
	vw_warn("others removed or changed what is ours: restored", "%sfirst=\"%s\" rounds=%u%s%s%s", counts, dr->first, dr->suppressed,
		dr->by[0] ? " nft_by=\"" : "", dr->by, dr->by[0] ? "\"" : "");
	dr->logged_ms = now;
	dr->suppressed = 0;
	dr->first[0] = dr->by[0] = 0;
}

/* --- a round */

/* Return: pods whose routes must be there; @later: some may not have theirs yet */
static size_t settled_pods(struct drift *dr, struct hostnet_pod *pods, uint64_t now)
{
	struct attachment *a, *tmp;
	size_t n = 0;

	HASH_ITER(hh, dr->d->attach.by_key, a, tmp) {
		if (a->superseded)
			continue;
		if (now < a->created_ms + YOUNG_MS) {
			dr->later |= HOSTNET_BIT(HOSTNET_ROUTE);
			due(dr, a->created_ms + YOUNG_MS);
			continue;
		}
		attach_host_side(a, &pods[n++]);
	}
	return n;
}

static size_t wired_enis(struct drift *dr, struct hostnet_eni enis[ENI_MAX])
{
	struct daemon *d = dr->d;
	size_t n = 0;

	for (size_t i = 0; i < d->enis.n; i++)
		if (d->enis.v[i].wired)
			eni_hostnet(d, &d->enis.v[i], &enis[n++]);
	return n;
}

/* branches whose plugin has done its work, into @branches of @t; first what is not hostnet's. Return: 0, -errno of the first that failed */
static int branches_round(struct drift *dr, unsigned int kinds, struct hostnet_branch *branches, struct hostnet_truth *t, struct vw_err *err)
{
	struct attachment *a, *tmp;
	uint64_t now = vw_mono_ms();
	struct vw_err one;
	int r = 0;

	HASH_ITER(hh, dr->d->attach.by_key, a, tmp) {
		if (!a->branch.vlan || a->superseded)
			continue;
		if (now < a->created_ms + YOUNG_MS) {
			dr->later |= kinds & OF_BRANCH;
			due(dr, a->created_ms + YOUNG_MS);
			continue;
		}
		if (sgp_repair(dr->d, a, t, &branches[t->n_branches], &one) == 0) {
			t->n_branches++;
		} else if (r == 0) {
			r = -one.eno;
			*err = one;
		}
	}
	return r;
}

static int node_round(struct drift *dr, unsigned int kinds, struct vw_err *err)
{
	struct daemon *d = dr->d;
	vw_auto_free struct hostnet_pod *pods = calloc(d->attach.n + 1, sizeof(*pods));
	vw_auto_free struct hostnet_branch *branches = calloc(d->attach.n + 1, sizeof(*branches));
	struct hostnet_eni enis[ENI_MAX];
	struct hostnet_truth t = { .enis = enis, .pods = pods, .branches = branches, .found = found, .arg = dr };
	struct vw_err one;
	int r = 0, repaired;

	if (!pods || !branches)
		return vw_err_set(err, ENOMEM, 0, "no memory for a list of pods");
	t.n_enis = wired_enis(dr, enis);
	if (kinds & HOSTNET_BIT(HOSTNET_ROUTE))
		t.n_pods = settled_pods(dr, pods, vw_mono_ms());
	if (kinds & OF_BRANCH)
		r = branches_round(dr, kinds, branches, &t, err);
	repaired = hostnet_repair(d->hostnet, kinds, &t, &one);
	if (repaired < 0 && r == 0)
		*err = one;
	return r < 0 ? r : repaired;
}

static int pod_round(struct drift *dr, struct attachment *a, const struct hostnet_truth *t, struct vw_err *err)
{
	struct hostnet_pod p;
	char owner[ATTACH_OWNER_MAX];
	int r;

	attach_host_side(a, &p);
	attach_owner(a, owner);
	r = hostnet_pod_repair(dr->d->hostnet, &p, owner, t, err);
	if (r > 0)
		a->mtu = p.mtu;
	return r > 0 ? programs_repair_pod(dr->d, a, &a->hung, t, err) : r;
}

static int pods_round(struct drift *dr, const struct hostnet_truth *t, struct vw_err *err)
{
	struct attachment *a, *tmp;
	uint64_t now = vw_mono_ms();
	struct vw_err one;
	int r = 0;

	HASH_ITER(hh, dr->d->attach.by_key, a, tmp) {
		unsigned int later = dr->later;

		if (!dr->slots[a->slot] || a->superseded)
			continue;
		if (now < a->created_ms + YOUNG_MS) {
			due(dr, a->created_ms + YOUNG_MS);
			continue;
		}
		dr->later = 0;
		if (pod_round(dr, a, t, &one) < 0 && r == 0) {
			r = -one.eno;
			*err = one;
		}
		/* held back, or failed: it stays to be compared */
		dr->slots[a->slot] = dr->later || r < 0;
		dr->later |= later;
	}
	return r;
}

static void forget_slots(struct drift *dr)
{
	for (size_t i = 0; i < NP_SLOTS; i++)
		if (dr->d->attach.slot[i] != SLOT_USED)
			dr->slots[i] = false;
}

static int round_of(struct drift *dr, unsigned int kinds, struct vw_err *err)
{
	const struct hostnet_truth t = { .found = found, .arg = dr };
	const unsigned int sysctl = kinds & HOSTNET_BIT(HOSTNET_SYSCTL);
	struct vw_err one;
	/* first: what is switched for all interfaces is so for each pod's */
	int of_all = sysctl ? node_round(dr, sysctl, &one) : 0;
	int r = pods_round(dr, &t, err);        /* before the rest: a pod's link must be up for its routes */

	kinds &= ~sysctl;
	if (of_all < 0 && r == 0) {
		r = of_all;
		*err = one;
	}
	if (kinds & HOSTNET_BIT(HOSTNET_FILTER) && programs_repair_enis(dr->d, &t, &one) < 0 && r == 0) {
		r = -one.eno;
		*err = one;
	}
	if (kinds && node_round(dr, kinds, &one) < 0 && r == 0) {
		r = -one.eno;
		*err = one;
	}
	return r;
}

static void again(struct drift *dr, unsigned int kinds, uint64_t now, const struct vw_err *err)
{
	dr->retry_ms = dr->retry_ms ? dr->retry_ms * 2 : 1000;
	if (dr->retry_ms > RETRY_MAX_MS)
		dr->retry_ms = RETRY_MAX_MS;
	vw_error("what others removed could not be restored", "err=\"%s\" retry_ms=%llu", err->msg, (unsigned long long)dr->retry_ms);
	dr->later |= kinds;
	due(dr, now + dr->retry_ms);
}

static uint64_t restored(const struct drift *dr)
{
	uint64_t n = 0;

	for (size_t k = 0; k < HOSTNET_KINDS; k++)
		n += dr->total[k];
	return n;
}

/* --- what the kernel tells nobody */

static void look_later(struct drift *dr)
{
	if (dr->looking)
		return;
	dr->looking = true;
	loop_timer_set(dr->look, DRIFT_LOOK_MS);
}

static void tcx_missing(struct daemon *d, const struct attachment *a)
{
	if (vw_mono_ms() < a->created_ms + YOUNG_MS)
		return;
	d->drift->slots[a->slot] = true;
	dirty(d->drift, 0);
}

static void look(void *arg)
{
	struct drift *dr = arg;
	struct hostnet_eni enis[ENI_MAX];
	size_t n = wired_enis(dr, enis);
	bool more = false;

	dr->looking = false;
	if (dr->d->stopping || !dr->d->cfg->drift_repair)
		return;         /* switched on again, a comparison comes */
	for (size_t i = 0; i < n; i++)
		more |= enis[i].ipv6;
	if (more && hostnet_sysctls_changed(dr->d->hostnet, enis, n))
		dirty(dr, HOSTNET_BIT(HOSTNET_SYSCTL));
	more |= programs_look_tcx(dr->d, tcx_missing) > 0;
	if (more)
		look_later(dr);
}

void drift_look_too(struct daemon *d)
{
	if (d->drift && d->cfg->drift_repair)
		look_later(d->drift);
}

/* --- */

static void on_timer(void *arg)
{
	struct drift *dr = arg;
	unsigned int kinds = dr->dirty | dr->later;
	uint64_t now = vw_mono_ms(), before = restored(dr);
	struct vw_err err;

	dr->due_ms = 0;
	dr->dirty = dr->later = 0;
	if (dr->d->stopping || !dr->d->cfg->drift_repair)
		return;
	dr->rounds += kinds != 0;
	forget_slots(dr);
	if (round_of(dr, kinds, &err) < 0)
		again(dr, kinds, now, &err);
	else
		dr->retry_ms = 0;
	dr->suppressed += restored(dr) > before;
	tell(dr, now);
	forget_quiet(dr, now);
	look_later(dr);         /* a comparison may have found pods on tcx, or a new ENI */
}

static void all(struct drift *dr)
{
	memset(dr->slots, 1, sizeof(dr->slots));
	dirty(dr, HOSTNET_ALL);
}

/* --- what is heard */

static bool is_pod(int ifindex)
{
	return ifindex >= (int)VW_IFINDEX_BASE && ifindex < (int)VW_IFINDEX_BASE + NP_SLOTS;
}

static void pod_dirty(struct drift *dr, int ifindex, unsigned int kinds)
{
	if (dr->d->attach.slot[ifindex - (int)VW_IFINDEX_BASE] != SLOT_USED)
		return;
	dr->slots[ifindex - (int)VW_IFINDEX_BASE] = true;
	dirty(dr, kinds);
}

static bool is_eni(const struct daemon *d, int ifindex)
{
	for (size_t i = 0; i < d->enis.n; i++)
		if (d->enis.v[i].wired && d->enis.v[i].ifindex == (unsigned int)ifindex)
			return true;
	return false;
}

static bool is_our_table(const struct daemon *d, uint32_t table)
{
	struct hostnet_eni e;

	for (size_t i = 0; i < d->enis.n; i++) {
		eni_hostnet(d, &d->enis.v[i], &e);
		if (e.number && e.table == table)
			return true;
	}
	return table == HOSTNET_TABLE_PODS || sgp_has_table(d, table);
}

/* @of_eni: what may be missing when it is about an ENI. A pod is compared whole, its routes when @link */
static void interface(struct drift *dr, int ifindex, unsigned int of_eni, bool link)
{
	const struct attachment *adopted;

	if (is_pod(ifindex))
		pod_dirty(dr, ifindex, link ? HOSTNET_BIT(HOSTNET_ROUTE) : 0);
	else if (is_eni(dr->d, ifindex))
		dirty(dr, of_eni);
	else if (sgp_has_link(dr->d, (unsigned int)ifindex))
		dirty(dr, OF_BRANCH);
	else if ((adopted = attach_by_ifindex(dr->d, (unsigned int)ifindex))) {
		dr->slots[adopted->slot] = true;
		dirty(dr, link ? HOSTNET_BIT(HOSTNET_ROUTE) : 0);
	}
}

void drift_heard(struct daemon *d, const struct vw_event *ev)
{
	struct drift *dr = d->drift;

	if (!d->cfg->drift_repair)
		return;
	switch (ev->kind) {
	case VW_EVENT_LINK:
		if (!ev->gone || sgp_has_link(d, ev->link.ifindex))
			interface(dr, (int)ev->link.ifindex, OF_ENI, true);
		break;
	case VW_EVENT_ADDR:
		if (ev->gone && ev->addr.ifindex == LO_IFINDEX)
			dirty(dr, HOSTNET_BIT(HOSTNET_ADDRESS));
		else if (ev->gone)
			interface(dr, (int)ev->addr.ifindex, ADDR_OF_ENI, true);
		break;
	case VW_EVENT_ROUTE:
		if (is_our_table(d, ev->route.table))
			dirty(dr, HOSTNET_BIT(HOSTNET_ROUTE));
		break;
	case VW_EVENT_RULE:
		if (ev->gone)
			dirty(dr, HOSTNET_BIT(HOSTNET_RULE));
		break;
	case VW_EVENT_TC:
		interface(dr, ev->ifindex, HOSTNET_BIT(HOSTNET_FILTER), false);
		break;
	case VW_EVENT_SYSCTL:
		if (ev->ifindex < 0)
			dirty(dr, HOSTNET_BIT(HOSTNET_SYSCTL));
		else
			interface(dr, ev->ifindex, HOSTNET_BIT(HOSTNET_SYSCTL), false);
		break;
	case VW_EVENT_LOST:
		all(dr);
		break;
	}
}

void drift_heard_nft(struct daemon *d, const char *by)
{
	if (!d->cfg->drift_repair)
		return;
	/* our own: looked at as well, which says that they came out right */
	if (strcmp(by, program_invocation_short_name))
		(void)!vw_fmt(d->drift->by, sizeof(d->drift->by), "%s", by);
	dirty(d->drift, HOSTNET_BIT(HOSTNET_NFT));
}

void drift_config_changed(struct daemon *d)
{
	if (d->cfg->drift_repair)
		all(d->drift);
}

/* --- what is told */

bool drift_contested(struct daemon *d, struct vw_err *err)
{
	for (const struct loss *l = d->drift->losses; l; l = l->hh.next)
		if (contested(l)) {
			vw_err_set(err, EBUSY, VW_CNI_LIMITED, "%s: another program keeps removing it (%u times)", l->what, l->times);
			return true;
		}
	return false;
}

uint64_t drift_restored(const struct daemon *d, enum hostnet_kind kind)
{
	return d->drift->total[kind];
}

static struct vw_json *contest_json(const struct loss *l, uint64_t now)
{
	struct vw_json *o = vw_json_new_object();

	if (vw_json_set_str(o, "kind", hostnet_kind_name(l->kind)) < 0 || vw_json_set_str(o, "what", l->what) < 0 ||
	    vw_json_set_int(o, "times", l->times) < 0 ||
	    vw_json_set_int(o, "next_ms", l->until_ms > now ? (int64_t)(l->until_ms - now) : 0) < 0) {
		vw_json_free(o);
		return NULL;
	}
	return o;
}

int drift_query(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err)
{
	const struct drift *dr = d->drift;
	vw_auto_json struct vw_json *root = vw_json_new_object();
	struct vw_json *counts = vw_json_new_object(), *contests = vw_json_new_array();
	uint64_t now = vw_mono_ms();
	int r = 0;

	for (size_t k = 0; r == 0 && k < HOSTNET_KINDS; k++)
		r = vw_json_set_int(counts, hostnet_kind_name((enum hostnet_kind)k), (int64_t)dr->total[k]);
	for (const struct loss *l = dr->losses; r == 0 && l; l = l->hh.next)
		if (contested(l))
			r = vw_json_append(contests, contest_json(l, now));
	if (vw_json_set(root, "restored", counts) < 0 || vw_json_set(root, "contested", contests) < 0 || r < 0 ||
	    vw_json_set_bool(root, "enabled", d->cfg->drift_repair) < 0 || vw_json_set_int(root, "rounds", (int64_t)dr->rounds) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for an answer");
	*ret = VW_TAKE_PTR(root);
	return 0;
}

/* --- life */

int drift_new(struct daemon *d, struct drift **ret_drift, struct vw_err *err)
{
	struct drift *dr = calloc(1, sizeof(*dr));

	if (!dr)
		return vw_err_set(err, ENOMEM, 0, "no memory for what others may remove");
	dr->d = d;
	if (loop_timer_new(d->loop, on_timer, dr, &dr->timer) < 0 || loop_timer_new(d->loop, look, dr, &dr->look) < 0) {
		drift_free(dr);
		return vw_err_set(err, ENOMEM, 0, "no memory for a timer");
	}
	memset(dr->slots, 1, sizeof(dr->slots));
	dr->dirty = HOSTNET_ALL;
	due(dr, vw_mono_ms() + FIRST_MS);
	*ret_drift = dr;
	return 0;
}

void drift_free(struct drift *dr)
{
	struct loss *l, *tmp;

	if (!dr)
		return;
	HASH_ITER(hh, dr->losses, l, tmp) {
		HASH_DEL(dr->losses, l);
		free(l);
	}
	loop_timer_free(dr->timer);
	loop_timer_free(dr->look);
	free(dr);
}
