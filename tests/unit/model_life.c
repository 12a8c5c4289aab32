/* The property test's daemon: it starts, dies, starts again over what is in its files, and comes to rest. */
#include "tests/unit/model.h"
#include "tests/unit/model_heap.h"

#include "daemon/discover.h"
#include "daemon/grow_job.h"
#include "ipam/pool.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- death and resurrection */

static void copy(const struct model *m, const char *from, const char *to)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT_MAX(64 << 20);
	char path[160];
	struct vw_err err;
	int fd;

	assert_true(vw_fmt(path, sizeof(path), "%s/%s", m->dir, from) > 0);
	if (access(path, F_OK) < 0)
		return;
	assert_int_equal(vw_read_file(path, 64 << 20, &b, &err), 0);
	assert_true(vw_fmt(path, sizeof(path), "%s/%s", m->dir, to) > 0);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_true(b.len == 0 || write(fd, b.data, b.len) == (ssize_t)b.len);
	close(fd);
}

static void drop(const struct model *m, const char *name)
{
	char path[160];

	assert_true(vw_fmt(path, sizeof(path), "%s/%s", m->dir, name) > 0);
	(void)unlink(path);
}

/* what is in the files at this instant is what the next life finds; its memory and descriptors go with it */
void model_died(struct model *m)
{
	m->w->dead = true;
	m->w->crash_in = 0;
	if (m->w->ghosts)
		world_ghosts(m->w, grow_job_work);
	copy(m, "state.db", "kept");
	copy(m, "state.db-wal", "kept-wal");
	store_close(m->w->store);       /* SQLite knows of locks and files that nobody else does */
	heap_drop();
	m->d = NULL;
	drop(m, "state.db");
	drop(m, "state.db-wal");
	drop(m, "state.db-shm");
	copy(m, "kept", "state.db");
	copy(m, "kept-wal", "state.db-wal");
	drop(m, "kept");
	drop(m, "kept-wal");
	world_forget_loop(m->w);
	for (unsigned int s = 0; s < NP_SLOTS; s++)
		m->w->veth[s].begun = false;
	for (size_t i = 0; i < BOXES; i++) {
		struct box *b = &m->box[i];

		/* what it was asked about is uncertain now, the rest must be as it was */
		if (b->state == BOX_ASKING)
			b->addr[0] = b->addr[1] = NO_ADDR;
		if (b->state == BOX_ASKING || (b->state == BOX_HAS && b->unsure))
			b->state = BOX_LIMBO;
		b->unsure = false;
		if (b->state == BOX_HAS && b->conn.open)
			b->conn.open = false;
	}
	m->n_crash++;
}

void model_bury(struct model *m, struct box *b)
{
	struct vw_rpc_req req;
	struct vw_err err;

	if (b->state != BOX_HAS)
		return;
	model_request(m, b, VW_RPC_DEL, &req);
	assert_int_equal(vw_tombstone_write(m->socket, &req, &err), 0);
	model_netns_dies(m, b);
	b->tomb = true;
}

void model_lose_store(struct model *m)
{
	drop(m, "state.db");
	drop(m, "state.db-wal");
}

/* the daemon was asked about it and died: what it had recorded is what happened */
static void resolve(struct model *m, struct box *b)
{
	char key[VW_ID_MAX + IFNAMSIZ + 1];
	unsigned int addr[2];
	bool there;

	if (b->state != BOX_LIMBO && !b->tomb)
		return;
	key_of(b, key, sizeof(key));
	there = is_held(m, key, addr);
	if (b->tomb) {
		if (there)
			fail_msg("the tombstone of %s was not honoured", key);
		model_let_go(m, b, true);
		return;
	}
	if (!there) {
		if (b->addr[0] != NO_ADDR)
			model_let_go(m, b, !b->undo);
		b->state = BOX_NONE;
		b->undo = false;
		return;
	}
	b->unheard |= b->addr[0] == NO_ADDR;
	if (!b->unheard && (b->addr[0] != addr[0] || b->addr[1] != addr[1]))
		fail_msg("after a restart %s has another address", key);
	for (int i = 0; i < 2; i++) {
		b->addr[i] = addr[i];
		if (addr[i] != NO_ADDR && m->holder[addr[i]] && m->holder[addr[i]] != b)
			fail_msg("after a restart address %u has two holders", addr[i]);
		if (addr[i] != NO_ADDR)
			m->holder[addr[i]] = b;
	}
	b->state = BOX_HAS;
}

static int take_slot(const struct store_attachment *row, void *arg)
{
	struct model *m = arg;

	for (size_t i = 0; i < BOXES; i++)
		if (m->box[i].state == BOX_HAS && !strcmp(m->box[i].key.container_id, row->key.container_id)) {
			m->box[i].slot = row->slot;
			if (m->box[i].unheard)
				model_rivals(m, &m->box[i]);
		}
	return 0;
}

void model_start(struct model *m)
{
	struct vwired_config *cfg = NULL;
	struct vw_err err;

	if (vwired_config_load(m->config, &cfg, &err) < 0 || daemon_new(m->config, cfg, &m->d, &err) < 0)
		fail_msg("the daemon does not start: %s", err.msg);
}

void model_live(struct model *m)
{
	struct vw_err err;

	m->w->dead = false;
	model_start(m);
	for (size_t i = 0; i < BOXES; i++)
		resolve(m, &m->box[i]);
	assert_int_equal(store_attach_each(m->d->store, take_slot, m, &err), 0);
	check_books(m);
	assert_int_equal(daemon_run(m->d, &err), 0);
}

/* --- rest */

void model_finish_jobs(struct model *m)
{
	world_events(m->w);
	for (unsigned int n = 0; world_job_step(m->w); n++) {
		if (n > 2000)
			fail_msg("the daemon spins: jobs follow jobs, and no time passes");
		world_events(m->w);
		world_turn(m->w);
	}
}

void model_run_dry(struct model *m, uint64_t ms)
{
	uint64_t until = m->w->now + ms, next;

	model_finish_jobs(m);
	while ((next = world_next_timer(m->w)) <= until) {
		world_advance(m->w, next > m->w->now ? next - m->w->now : 0);
		model_finish_jobs(m);
	}
	m->w->now = until;
}

int model_no_row(const struct store_attachment *row, void *arg)
{
	fail_msg("the store still has %s", row->key.container_id);
	return 1;
}

static int any_intent(const struct store_intent *i, void *arg)
{
	fail_msg("an intent of %llu is still open", (unsigned long long)i->created_unix);
	return 1;
}

static void check_rest(struct model *m)
{
	struct ipam_stats st;
	struct vw_err err;
	unsigned int room = 0;

	assert_int_equal(store_intent_each(m->d->store, any_intent, NULL, &err), 0);
	for (size_t i = 0; i < WORLD_ENIS; i++) {
		const struct world_eni *w = &m->w->enis[i];
		const struct eni *e;

		if (!w->exists)
			continue;
		e = eni_by_id(m->d, w->id);
		if (!w->attached || !e)
			fail_msg("%s is leaked: %s, %s", w->id, w->attached ? "attached" : "not attached", e ? "known" : "not known");
		for (size_t k = 0; k < e->row.n_slots; k++)
			if (!world_eni_has(w, &e->row.slots[k]))
				fail_msg("%s: the node has a slot that EC2 has not", w->id);
		for (size_t k = 0; k < w->n_slots; k++) {
			struct ipam_slot s;

			if (!ipam_pool_slot(m->d->pool, &w->slots[k], &s))
				fail_msg("%s: the node does not know one of its %zu slots", w->id, w->n_slots);
		}
		if (m->ipv6 && w->block6.ip.family && !vw_cidr_eq(&w->block6, &e->row.block6))
			fail_msg("%s: the node does not know its /80", w->id);
		if (m->ipv6 && !w->block6.ip.family && (m->ipv4 || w->primary))
			fail_msg("%s has no /80", w->id);
		room += WORLD_SLOTS - (unsigned int)w->n_slots;
	}
	for (size_t i = 0; i < m->d->enis.n; i++) {
		const struct ipam_eni *p = ipam_pool_eni(m->d->pool, m->d->enis.v[i].row.id);

		if (!world_eni(m->w, p->id) && !p->n.assigned)
			fail_msg("%s is gone, no pod uses it, and the node has not noticed", p->id);
	}
	for (unsigned int s = 0; s < NP_SLOTS; s++)
		if (m->w->veth[s].exists && m->d->attach.slot[s] != SLOT_USED)
			fail_msg("%s is a veth that no pod has", m->w->veth[s].name);
	ipam_pool_stats(m->d->pool, &st);
	if (m->ipv4 && !m->w->full && room && st.available < (m->prefixes ? 16 : 1))
		fail_msg("at rest %u addresses are available", st.available);
	if (st.free_prefixes > m->warm + 1)
		fail_msg("at rest %u whole prefixes are idle", st.free_prefixes);
	for (size_t i = 0; i < BOXES; i++)
		if (m->box[i].state == BOX_ASKING && (st.available || !m->ipv4))
			fail_msg("%s waits, and %u addresses are free", m->box[i].key.container_id, st.available);
}

void model_rest(struct model *m)
{
	m->w->faults = false;
	m->w->full = false;
	m->w->crash_in = 0;
	m->n_calm++;
	if (m->behind) {
		model_run_dry(m, 1000);
		discover_start(m->d);
	}
	model_run_dry(m, 1500000);
	check_books(m);
	check_rest(m);
	m->behind = false;
}

void model_calm(struct model *m)
{
	uint64_t calls;

	model_rest(m);
	/* and there it stays: a quiet hour asks EC2 for nothing, unless the pool follows a demand that is forgotten slowly */
	calls = m->w->calls;
	model_run_dry(m, 3600000);
	if (m->w->calls != calls && !m->adaptive)
		fail_msg("a quiet hour made %llu calls", (unsigned long long)(m->w->calls - calls));
}

/* --- beginning and end */

void model_configure(struct model *m, const char *settings)
{
	FILE *f = fopen(m->config, "we");

	assert_non_null(f);
	assert_true(fprintf(f, "{\"run_dir\":\"%s\",\"ip_cooldown_s\":%d,\"prefix_delegation\":%s,\"disable_metrics\":true,"
			       "\"disable_introspection\":true,%s}", m->dir, COOL_MS / 1000, m->prefixes ? "true" : "false", settings) > 0);
	assert_int_equal(fclose(f), 0);
	m->ipv4 = !strstr(settings, "enable_ipv4\":false");
	m->ipv6 = strstr(settings, "enable_ipv6\":true");
	m->adaptive = !strstr(settings, "warm_");
	m->warm = strstr(settings, "warm_prefix_target\":8") ? 8 : 1;
}

void model_setup(struct model *m, uint64_t seed, bool prefixes, const char *settings)
{
	m->w = world_begin(seed);
	m->w->heard = model_hear;
	m->w->heard_arg = m;
	m->want = 20;
	m->prefixes = prefixes;
	assert_true(vw_fmt(m->dir, sizeof(m->dir), "%s/vpcwire-model-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm") > 0);
	assert_non_null(mkdtemp(m->dir));
	assert_true(vw_fmt(m->config, sizeof(m->config), "%s/config.json", m->dir) > 0);
	assert_true(vw_fmt(m->socket, sizeof(m->socket), "%s/vpcwired.sock", m->dir) > 0);
	model_configure(m, settings);
	heap_begin();
	model_live(m);
}

void model_teardown(struct model *m)
{
	static const char *const files[] = { "state.db", "state.db-wal", "state.db-shm", "config.json", "tombstones" };
	char path[160];

	daemon_free(m->d);
	heap_end();
	for (size_t i = 0; i < VW_ARRAY_SIZE(files); i++) {
		assert_true(vw_fmt(path, sizeof(path), "%s/%s", m->dir, files[i]) > 0);
		(void)remove(path);
	}
	(void)rmdir(m->dir);
	world_end();
}
