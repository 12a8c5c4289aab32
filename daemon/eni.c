/*
 * Learning an ENI: number -> store -> kernel side (when its link is there) -> pool. The kernel comes before the pool, so that
 * no pod gets an address whose packets would go astray; an ENI whose link has not appeared is "attaching" there. So is, in a
 * dual stack, an ENI without its /80: both addresses of a pod are on one ENI.
 */
#include "daemon/eni.h"

#include "daemon/daemon.h"
#include "daemon/hostnet.h"
#include "daemon/programs.h"
#include "daemon/placement.h"
#include "ipam/pool.h"
#include "ipam/v6.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINK_PATIENCE_MS 60000

_Static_assert(ENI_MAX == IPAM_MAX_ENIS, "the planner creates as many as the pool has numbers for");

struct eni *eni_by_id(struct daemon *d, const char *id)
{
	for (size_t i = 0; i < d->enis.n; i++)
		if (!strcmp(d->enis.v[i].row.id, id))
			return &d->enis.v[i];
	return NULL;
}

static int free_number(const struct daemon *d)
{
	for (unsigned int n = 1; n <= ENI_MAX_NUMBER; n++) {
		bool taken = false;

		for (size_t i = 0; i < d->enis.n && !taken; i++)
			taken = d->enis.v[i].row.number == n;
		if (!taken)
			return (int)n;
	}
	return -ENOSPC;
}

/*
 * Of a secondary ENI without an address of its own, the /80's number 0, which no pod gets: kube-proxy masquerades what leaves by
 * an ENI, and would else choose the primary's address, which does not pass there.
 */
static struct vw_ip own_addr6(const struct daemon *d, const struct eni *e)
{
	if (e->row.ip6.family || e->row.primary || !d->cfg->enable_ipv6)
		return e->row.ip6;
	return e->row.block6.ip;
}

void eni_hostnet(const struct daemon *d, const struct eni *e, struct hostnet_eni *ret)
{
	struct vw_cidr base = vw_cidr_masked(&e->row.subnet);

	*ret = (struct hostnet_eni){
		.number = e->row.number,
		.table = hostnet_eni_table(e->row.card, e->row.device),
		.ifindex = e->ifindex,
		.addr = vw_cidr_of(&e->row.primary_ip, e->row.subnet.len),
		.gateway = vw_ip_add(&base.ip, 1),      /* the VPC router is the subnet's first address */
		.mtu = d->cfg->eni_mtu,
		.ipv6 = d->cfg->enable_ipv6,
		.addr6 = own_addr6(d, e),
	};
	(void)VW_COPY(ret->id, e->row.id);
	(void)VW_COPY(ret->ifname, e->ifname);
}

static int wire(struct daemon *d, struct eni *e, const struct eni_link *link, struct vw_err *err)
{
	struct hostnet_eni h;
	int r;

	(void)VW_COPY(e->ifname, link->ifname);
	e->ifindex = link->ifindex;
	eni_hostnet(d, e, &h);
	r = hostnet_eni_setup(d->hostnet, &h, err);
	e->wired = r == 0;
	if (r == 0) {
		e->lost_ms = 0;
		programs_attach_eni(d, e);
	}
	return r;
}

static bool has_slot(const struct eni *e, const struct vw_cidr *c)
{
	for (size_t i = 0; i < e->row.n_slots; i++)
		if (vw_cidr_eq(&e->row.slots[i], c))
			return true;
	return false;
}

bool eni_serves(const struct daemon *d, const struct eni *e)
{
	return !e->left_alone && place_serves_pods(placement(d), d->cfg, &e->row);
}

const struct eni *eni_for_v6(const struct daemon *d)
{
	const struct eni *best = NULL;

	for (size_t i = 0; i < d->enis.n; i++) {
		const struct eni *e = &d->enis.v[i];

		if (e->wired && !e->gone && e->row.block6.ip.family && eni_serves(d, e) && (!best || e->row.number < best->row.number))
			best = e;
	}
	return best;
}

/* every family that pods get can be had from it */
static bool complete(const struct daemon *d, const struct eni *e)
{
	return e->wired && (!d->cfg->enable_ipv6 || e->row.block6.ip.family);
}

static int pool_add(struct daemon *d, struct eni *e, struct vw_err *err)
{
	const struct ipam_eni *known = ipam_pool_eni(d->pool, e->row.id);
	uint64_t now = vw_mono_ms(), since = known ? known->created_ms : now, missed = e->lost_ms ? e->lost_ms : since;
	struct ipam_eni p = {
		.number = e->row.number,
		.device = e->row.device,
		.card = e->row.card,
		.max_slots = d->node.ips_per_eni ? d->node.ips_per_eni - 1 : (unsigned int)e->row.n_slots,
		.primary = e->row.primary,
		/* addresses behind a link, or beside a /80, that does not come must not be waited for for ever */
		.usable = eni_serves(d, e) && !e->gone && (complete(d, e) || now - missed < LINK_PATIENCE_MS),
		.state = known && known->state == IPAM_ENI_REMOVING ? IPAM_ENI_REMOVING :
			 !complete(d, e) ? IPAM_ENI_ATTACHING : IPAM_ENI_READY,
		.created_ms = since,
		.blocked_until_ms = known ? known->blocked_until_ms : 0,
	};
	int r;

	(void)VW_COPY(p.id, e->row.id);
	(void)VW_COPY(p.subnet_id, e->row.subnet_id);
	r = ipam_pool_eni_put(d->pool, &p);
	for (size_t i = 0; r >= 0 && i < e->row.n_slots; i++)
		r = ipam_pool_slot_add(d->pool, e->row.id, &e->row.slots[i]);
	return r < 0 ? vw_err_sys(err, r, 0, "adding ENI %s to the pool", e->row.id) : 0;
}

static bool overlaps(const struct vw_cidr *a, const struct vw_cidr *b)
{
	return vw_cidr_has(a, &b->ip) || vw_cidr_has(b, &a->ip);
}

/* some ENI has it, or a part of it, already */
static bool is_taken(const struct daemon *d, const struct vw_cidr *c)
{
	for (size_t i = 0; i < d->enis.n; i++)
		for (size_t k = 0; k < d->enis.v[i].row.n_slots; k++)
			if (overlaps(&d->enis.v[i].row.slots[k], c))
				return true;
	return false;
}

/* Return: how many were left out, -ENOMEM */
static int merge_slots(const struct daemon *d, struct eni *e, const struct store_eni *facts)
{
	struct vw_cidr *grown = reallocarray(e->row.slots, e->row.n_slots + facts->n_slots + 1, sizeof(*grown));
	int left_out = 0;

	if (!grown)
		return -ENOMEM;
	e->row.slots = grown;
	for (size_t i = 0; i < facts->n_slots; i++) {
		if (has_slot(e, &facts->slots[i]))
			continue;
		if (is_taken(d, &facts->slots[i]))
			left_out++;
		else
			e->row.slots[e->row.n_slots++] = facts->slots[i];
	}
	return left_out;
}

static void lose_slot(struct daemon *d, struct eni *e, size_t i)
{
	struct vw_err err;

	(void)ipam_pool_slot_del(d->pool, &e->row.slots[i]);
	e->row.slots[i] = e->row.slots[--e->row.n_slots];
	if (eni_save(d, e, &err) < 0)
		vw_warn("an ENI could not be recorded, ignoring", "eni=%s err=\"%s\"", e->row.id, err.msg);
}

void eni_given(struct daemon *d, const char *id, const struct vw_cidr *cidr)
{
	for (size_t i = 0; i < d->enis.n; i++) {
		struct eni *e = &d->enis.v[i];

		for (size_t k = e->row.n_slots; k-- > 0;)
			if (overlaps(&e->row.slots[k], cidr) && (strcmp(e->row.id, id) || !vw_cidr_eq(&e->row.slots[k], cidr)))
				lose_slot(d, e, k);
	}
}

/* what pods use stays; a block that EC2 does not show is dropped by eni_drop_block6(), not here */
static struct vw_cidr merge_block6(const struct daemon *d, const struct vw_cidr *old, const struct vw_cidr *fresh)
{
	if (!fresh->ip.family || (old->ip.family && !vw_cidr_eq(old, fresh) && ipam_v6_in_use(d->v6, old)))
		return *old;
	return *fresh;
}

static int block6_put(struct daemon *d, const struct eni *e, struct vw_err *err)
{
	char text[VW_CIDR_STRLEN];
	int r = e->row.block6.ip.family ? ipam_v6_block_put(d->v6, e->row.id, &e->row.block6) : 0;

	return r < 0 ? vw_err_sys(err, r, 0, "taking %s of ENI %s into use", vw_cidr_str(&e->row.block6, text), e->row.id) : 0;
}

bool eni_free_routes(struct daemon *d, const struct eni *e)
{
	vw_auto_free struct vw_cidr *free_ones = e ? calloc(e->row.n_slots + 1, sizeof(*free_ones)) : NULL;
	const struct ipam_eni *p = e ? ipam_pool_eni(d->pool, e->row.id) : NULL;
	struct ipam_slot slot;
	struct vw_err err;
	size_t n = 0;

	if (!free_ones) {
		if (e)
			daemon_free_routes_failed(d);
		return !e;
	}
	if (!e->left_alone && !(p && p->state == IPAM_ENI_REMOVING)) {
		for (size_t i = 0; i < e->row.n_slots; i++)
			if (!ipam_pool_slot(d->pool, &e->row.slots[i], &slot) || !slot.retiring)
				free_ones[n++] = e->row.slots[i];
		if (e->row.block6.ip.family)
			free_ones[n++] = e->row.block6;
	}
	if (hostnet_free_set(d->hostnet, e->row.id, free_ones, n, &err) == 0)
		return true;
	vw_warn("routes of free addresses could not be set, retrying", "eni=%s err=\"%s\"", e->row.id, err.msg);
	daemon_free_routes_failed(d);
	return false;
}

int eni_save(struct daemon *d, const struct eni *e, struct vw_err *err)
{
	vw_auto_free struct vw_cidr *kept = calloc(e->row.n_slots + 1, sizeof(*kept));
	struct store_eni row = e->row;
	struct ipam_slot slot;

	if (!kept)
		return vw_err_set(err, ENOMEM, 0, "no memory for the addresses of ENI %s", row.id);
	row.slots = kept;
	row.n_slots = 0;
	for (size_t i = 0; i < e->row.n_slots; i++)
		if (!ipam_pool_slot(d->pool, &e->row.slots[i], &slot) || !slot.retiring)
			kept[row.n_slots++] = e->row.slots[i];
	(void)eni_free_routes(d, e);
	return store_eni_put(d->store, &row, err);
}

static int learn(struct daemon *d, const struct store_eni *facts, int number, const struct eni_link *link,
		 struct vw_err *err)
{
	struct eni *e = eni_by_id(d, facts->id);
	char attachment_id[sizeof(facts->attachment_id)];
	struct vw_cidr *slots, block6;
	struct vw_ip before6, now6;
	size_t n_slots;
	int r, left_out;

	if (!e) {
		if (d->enis.n == ENI_MAX || number < 0)
			return vw_err_set(err, ENOSPC, 0, "more than %d ENIs on one node", ENI_MAX);
		e = &d->enis.v[d->enis.n++];
		*e = (struct eni){ 0 };
		e->row.number = (unsigned int)number;
	}
	e->left_alone = e->gone = e->gone_asked = e->unrouted = false;
	slots = e->row.slots;
	n_slots = e->row.n_slots;
	number = (int)e->row.number;
	block6 = merge_block6(d, &e->row.block6, &facts->block6);
	before6 = own_addr6(d, e);
	(void)VW_COPY(attachment_id, facts->attachment_id[0] ? facts->attachment_id : e->row.attachment_id);
	e->row = *facts;
	(void)VW_COPY(e->row.attachment_id, attachment_id);     /* metadata does not tell it */
	e->row.number = (unsigned int)number;
	e->row.slots = slots;
	e->row.n_slots = n_slots;
	e->row.block6 = block6;
	left_out = merge_slots(d, e, facts);
	if (left_out < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for the addresses of ENI %s", facts->id);
	now6 = own_addr6(d, e);
	r = eni_save(d, e, err);
	if (r == 0 && link && (!e->wired || e->ifindex != link->ifindex || strcmp(e->ifname, link->ifname) || !vw_ip_eq(&before6, &now6)))
		r = wire(d, e, link, err);
	if (r == 0)
		r = block6_put(d, e, err);
	if (r == 0)
		r = pool_add(d, e, err);
	return r < 0 ? r : left_out > 0;
}

int eni_learn(struct daemon *d, const struct store_eni *facts, const struct eni_link *link, struct vw_err *err)
{
	return learn(d, facts, facts->primary ? 0 : free_number(d), link, err);
}

int eni_restore(struct daemon *d, const struct store_eni *row, const struct eni_link *link, struct vw_err *err)
{
	int r = learn(d, row, (int)row->number, link, err);
	struct eni *e = eni_by_id(d, row->id);

	if (e)
		e->recalled_ms = vw_mono_ms();
	return r;
}

void eni_drop_slots(struct daemon *d, const char *id, const struct vw_cidr *keep, size_t n_keep)
{
	struct eni *e = eni_by_id(d, id);
	struct ipam_slot slot;
	size_t kept = 0;
	struct vw_err err;
	char text[VW_CIDR_STRLEN];

	for (size_t i = 0; e && i < e->row.n_slots; i++) {
		const struct vw_cidr c = e->row.slots[i];
		bool wanted = false;

		for (size_t k = 0; k < n_keep && !wanted; k++)
			wanted = vw_cidr_eq(&keep[k], &c);
		if (!wanted && ipam_pool_slot(d->pool, &c, &slot) && slot.assigned) {
			vw_warn("an address in use is no longer on its ENI; its pods keep it, nobody else gets one there", "eni=%s addr=%s", id,
				vw_cidr_str(&c, text));
		}
		if (!wanted)
			(void)ipam_pool_slot_del(d->pool, &c);
		if (wanted)
			e->row.slots[kept++] = c;
	}
	if (!e || kept == e->row.n_slots)
		return;
	e->row.n_slots = kept;
	if (eni_save(d, e, &err) < 0)
		vw_warn("an ENI could not be recorded, ignoring", "eni=%s err=\"%s\"", id, err.msg);
}

void eni_drop_block6(struct daemon *d, const char *id)
{
	struct eni *e = eni_by_id(d, id);
	char text[VW_CIDR_STRLEN];
	struct hostnet_eni h;
	struct vw_err err;

	if (!e || !e->row.block6.ip.family)
		return;
	if (ipam_v6_block_del(d->v6, id) < 0) {
		vw_warn("a /80 in use is no longer on its ENI, keeping it", "eni=%s block=%s", id,
			vw_cidr_str(&e->row.block6, text));
		return;
	}
	e->row.block6 = (struct vw_cidr){ 0 };
	if (eni_save(d, e, &err) < 0 || pool_add(d, e, &err) < 0)
		vw_warn("an ENI could not be recorded, ignoring", "eni=%s err=\"%s\"", id, err.msg);
	eni_hostnet(d, e, &h);
	if (e->wired && hostnet_eni_setup(d->hostnet, &h, &err) < 0)
		vw_warn("an ENI keeps the address of a former /80, ignoring", "eni=%s err=\"%s\"", id, err.msg);
}

static bool unroute(struct daemon *d, const struct eni *e)
{
	struct hostnet_eni h;
	struct vw_err err;

	eni_hostnet(d, e, &h);
	if (e->row.primary || hostnet_eni_remove(d->hostnet, &h, &err) == 0)
		return true;
	vw_warn("rules of an ENI that is gone could not be removed, ignoring", "eni=%s err=\"%s\"", e->row.id, err.msg);
	return false;
}

int eni_forget(struct daemon *d, const char *id, struct vw_err *err)
{
	const struct ipam_eni *p = ipam_pool_eni(d->pool, id);
	struct eni *e = eni_by_id(d, id);
	int r;

	if (!e)
		return 0;
	if (p && p->n.assigned)
		return vw_err_set(err, EBUSY, 0, "pods use addresses of ENI %s", id);
	if (ipam_v6_block_del(d->v6, id) < 0)
		return vw_err_set(err, EBUSY, 0, "pods use IPv6 addresses of ENI %s", id);
	(void)ipam_pool_eni_del(d->pool, id);
	if (hostnet_free_set(d->hostnet, id, NULL, 0, err) < 0) {
		vw_warn("routes of free addresses of an ENI that is gone could not be removed, retrying", "eni=%s err=\"%s\"", id,
			err->msg);
		daemon_free_routes_failed(d);
	}
	if (!e->unrouted)
		(void)unroute(d, e);
	r = store_eni_del(d->store, id, err);
	free(e->row.slots);
	*e = d->enis.v[--d->enis.n];
	return r;
}

void eni_refresh(struct daemon *d)
{
	struct vw_err err;

	for (size_t i = 0; i < d->enis.n; i++)
		if (pool_add(d, &d->enis.v[i], &err) < 0)
			vw_warn("the pool could not be told of a change", "eni=%s err=\"%s\"", d->enis.v[i].row.id, err.msg);
}

int eni_relink(struct daemon *d, struct eni *e, const struct eni_link *link, struct vw_err *err)
{
	int r = 0;

	if (link) {
		r = wire(d, e, link, err);
	} else {
		e->ifindex = 0;
		e->wired = false;
		e->lost_ms = vw_mono_ms();
	}
	return r < 0 ? r : pool_add(d, e, err);
}

void eni_gone(struct daemon *d, const char *id)
{
	struct eni *e = eni_by_id(d, id);
	struct vw_err err;

	if (!e)
		return;
	e->gone = true;
	if (!e->ifindex && !e->unrouted)
		e->unrouted = unroute(d, e);
	if (pool_add(d, e, &err) < 0)
		vw_warn("the pool could not be told of a change", "eni=%s err=\"%s\"", id, err.msg);
}

bool eni_gone_unused(struct daemon *d)
{
	bool due = false;

	for (size_t i = 0; i < d->enis.n; i++) {
		struct eni *e = &d->enis.v[i];
		const struct ipam_eni *p = ipam_pool_eni(d->pool, e->row.id);

		if (!e->gone || e->gone_asked || (p && p->n.assigned) || ipam_v6_in_use(d->v6, &e->row.block6))
			continue;
		e->gone_asked = due = true;
	}
	return due;
}

void eni_keep(struct daemon *d, const char *id)
{
	struct eni *e = eni_by_id(d, id);
	struct vw_err err;

	/* whether it is ready follows from its link */
	if (!e || ipam_pool_eni_state(d->pool, id, IPAM_ENI_ATTACHING) < 0)
		return;
	if (pool_add(d, e, &err) < 0)
		vw_warn("the pool could not be told of a change", "eni=%s err=\"%s\"", id, err.msg);
	(void)eni_free_routes(d, e);
}

void eni_leave_alone(struct daemon *d, const char *id)
{
	struct eni *e = eni_by_id(d, id);
	struct vw_err err;

	if (!e)
		return;
	if (!e->left_alone)
		vw_info("an ENI is left alone from now on; pods that use it stay", "eni=%s", id);
	e->left_alone = true;
	(void)eni_free_routes(d, e);
	if (pool_add(d, e, &err) < 0)
		vw_warn("the pool could not be told of a change", "eni=%s err=\"%s\"", id, err.msg);
	(void)eni_forget(d, id, &err);  /* -EBUSY: looked at again with the next survey */
}

void eni_table_done(struct daemon *d)
{
	for (size_t i = 0; i < d->enis.n; i++)
		free(d->enis.v[i].row.slots);
	d->enis.n = 0;
	foreign_done(&d->enis.foreign);
}
