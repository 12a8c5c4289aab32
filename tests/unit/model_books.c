/* The property test's audit: every row of the store, every address of the pool and every ENI against the model. */
#include "tests/unit/model.h"

#include "daemon/grow.h"
#include "daemon/grow_state.h"
#include "ipam/pool.h"
#include "ipam/v6.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "daemon/discover.h"

#include <stdlib.h>
#include <string.h>

void key_of(const struct box *b, char *ret, size_t size)
{
	assert_true(vw_fmt(ret, size, "%s/%s", b->key.container_id, b->key.ifname) > 0);
}

struct books {
	struct model *m;
	unsigned int rows, rows4, cooling, slots;
	const char *eni;
};

bool is_held(const struct model *m, const char *key, unsigned int ret_addr[2])
{
	const struct attachment *a;
	struct vw_cidr host;
	struct ipam_addr p;

	HASH_FIND(hh, m->d->attach.by_key, key, strlen(key), a);
	if (m->ipv4 && ipam_pool_by_key(m->d->pool, key, &p) != (a != NULL))
		fail_msg("%s: attachments and pool differ", key);
	if (!a)
		return false;
	/* with IPv6 alone the other one is for the way out */
	if ((m->ipv4 && !a->addr.family) || (a->addr6.family != 0) != m->ipv6)
		fail_msg("%s has no address of some family, or one too many", key);
	if (m->ipv4 && !vw_ip_eq(&p.ip, &a->addr))
		fail_msg("%s has another address in the pool", key);
	host = m->ipv6 ? vw_cidr_host(&a->addr6) : (struct vw_cidr){ 0 };
	if (m->ipv6 && ipam_v6_in_use(m->d->v6, &host) != 1)
		fail_msg("%s has an IPv6 address that is not in use", key);
	ret_addr[0] = world_index(m->ipv4 ? &a->addr : &a->addr6);
	ret_addr[1] = m->ipv4 && m->ipv6 ? world_index(&a->addr6) : NO_ADDR;
	return true;
}

static int check_row(const struct store_attachment *row, void *arg)
{
	struct books *k = arg;
	char key[VW_ID_MAX + IFNAMSIZ + 1];
	unsigned int addr[2];

	k->rows++;
	k->rows4 += k->m->ipv4;
	assert_true(vw_fmt(key, sizeof(key), "%s/%s", row->key.container_id, row->key.ifname) > 0);
	if (!is_held(k->m, key, addr) || addr[0] != world_index(k->m->ipv4 ? &row->addr : &row->addr6) ||
	    (addr[1] != NO_ADDR && addr[1] != world_index(&row->addr6)))
		fail_msg("the store knows %s, the pool does not", key);
	return 0;
}

static int check_cooling(const struct vw_ip *ip, uint64_t until_ms, void *arg)
{
	struct books *k = arg;
	struct ipam_addr a;

	/* gone from the pool: its slot went as well, and it comes back cooling if that does */
	if (ipam_pool_by_ip(k->m->d->pool, ip, &a) && (a.state != IPAM_COOLING || a.until_ms != until_ms))
		fail_msg("an address cools in the store until %llu and is in another state in the pool", (unsigned long long)until_ms);
	k->cooling++;
	return 0;
}

static int check_addr(const struct ipam_addr *a, void *arg)
{
	struct books *k = arg;

	k->rows4 -= a->state == IPAM_ASSIGNED;
	k->cooling -= a->state == IPAM_COOLING;
	return 0;
}

static int check_slot(const struct ipam_slot *s, void *arg)
{
	struct books *k = arg;
	const struct eni *e = eni_by_id(k->m->d, s->eni->id);

	for (size_t i = 0; e && i < e->row.n_slots; i++)
		if (vw_cidr_eq(&e->row.slots[i], &s->cidr)) {
			k->slots++;
			return 0;
		}
	fail_msg("the pool has a slot that its ENI's row does not have");
	return 1;
}

static int count_kept(const struct ipam_slot *s, void *arg)
{
	*(size_t *)arg += !s->retiring;
	return 0;
}

static int check_eni(const struct store_eni *row, void *arg)
{
	struct books *k = arg;
	const struct eni *e = eni_by_id(k->m->d, row->id);

	size_t kept = 0;

	k->slots++;
	(void)ipam_pool_slot_each(k->m->d->pool, row->id, count_kept, &kept);
	if (!e || !vw_cidr_eq(&e->row.block6, &row->block6))
		fail_msg("the store and memory differ about the /80 of %s", row->id);
	if (kept != row->n_slots || e->row.number != row->number)
		fail_msg("the store and memory differ about %s", row->id);
	return 0;
}

static void check_enis(struct model *m)
{
	struct books k = { .m = m };
	struct vw_err err;

	assert_int_equal(store_eni_each(m->d->store, check_eni, &k, &err), 0);
	assert_int_equal(k.slots, m->d->enis.n);
	for (size_t i = 0; i < m->d->enis.n; i++) {
		const struct eni *e = &m->d->enis.v[i];

		k.slots = 0;
		(void)ipam_pool_slot_each(m->d->pool, e->row.id, check_slot, &k);
		if (k.slots != e->row.n_slots)
			fail_msg("%s: %zu slots in its row, %u in the pool", e->row.id, e->row.n_slots, k.slots);
	}
}

void check_books(struct model *m)
{
	struct books k = { .m = m };
	unsigned int has = 0;
	struct vw_err err;

	ipam_pool_advance(m->d->pool, m->w->now);
	if (ipam_pool_check(m->d->pool, &err) < 0)
		fail_msg("pool: %s", err.msg);
	assert_int_equal(store_attach_each(m->d->store, check_row, &k, &err), 0);
	assert_int_equal(store_cooling_each(m->d->store, m->w->now, check_cooling, &k, &err), 0);
	for (size_t i = 0; i < BOXES; i++) {
		const struct box *b = &m->box[i];
		char key[VW_ID_MAX + IFNAMSIZ + 1];
		unsigned int addr[2];

		if (b->state != BOX_HAS)
			continue;
		has++;
		key_of(b, key, sizeof(key));
		if (!is_held(m, key, addr) || addr[0] != b->addr[0] || addr[1] != b->addr[1])
			fail_msg("%s has lost its address", key);
		if (!b->superseded && (!m->w->np_used[b->slot] || m->d->attach.slot[b->slot] != SLOT_USED))
			fail_msg("slot %u of %s is empty", b->slot, key);
	}
	assert_int_equal(k.rows, has);          /* none that belongs to nobody */
	for (unsigned int s = 0; s < NP_SLOTS; s++)
		if (m->w->np_used[s] && m->d->attach.slot[s] != SLOT_USED)
			fail_msg("slot %u lets packets through and no pod has it", s);
	(void)ipam_pool_each(m->d->pool, check_addr, &k);
	assert_int_equal(k.rows4, 0);
	check_enis(m);
}
