/*
 * Property test: the whole daemon (its real attachments, pool, planner, jobs, survey and SQLite store) lives a million random
 * steps: ADD, DEL, GC, runtimes that lose patience, sandboxes that replace others, EC2 that refuses, does and does not
 * say so, or takes things away, kill -9 between any two things that it does. Beside it stands a model that a person can
 * check: who was told which address, and when each was given back. MODEL_STEPS, MODEL_SEED and MODEL_LOG=1 change a run.
 */
#include "daemon/grow.h"
#include "daemon/grow_state.h"
#include "ipam/pool.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "daemon/discover.h"
#include "tests/unit/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- little things */

static void box_name(struct model *m, struct box *b)
{
	b->gen++;
	assert_true(vw_fmt(b->key.container_id, sizeof(b->key.container_id), "c%u-%u", (unsigned int)(b - m->box), b->gen) > 0);
	memcpy(b->key.ifname, "eth0", 5);
}

static void request(struct model *m, struct box *b, enum vw_rpc_op op, struct vw_rpc_req *ret)
{
	*ret = (struct vw_rpc_req){ .op = op, .vmin = 1, .vmax = 1, .key = b->key, .netns = "/run/netns/x", .network = "net",
				    .pod_namespace = "default", .deadline_ms = 60000 };
	assert_true(vw_fmt(ret->pod_name, sizeof(ret->pod_name), "p%u", (unsigned int)(b - m->box) % PODS) > 0);
}

static void ask(struct model *m, struct rpc_conn *conn, const struct vw_rpc_req *req)
{
	*conn = (struct rpc_conn){ .open = true };
	m->w->rpc->handle(conn, req, m->w->rpc_arg);
}

static void let_go(struct model *m, struct box *b, bool cools)
{
	if (m->holder[b->addr] == b)
		m->holder[b->addr] = NULL;
	if (cools)
		m->freed[b->addr] = m->w->now;
	b->state = BOX_NONE;
	b->superseded = b->tomb = b->unheard = b->undo = false;
}

/* --- ADD */

static void plug(struct model *m, struct box *b)
{
	const struct vw_rpc_wiring *a = &b->conn.w;
	struct world_veth *v = &m->w->veth[a->slot];

	for (unsigned int s = 0; s < NP_SLOTS; s++)
		if (m->w->veth[s].exists && !strcmp(m->w->veth[s].name, a->host_ifname))
			fail_msg("%s is to be wired as %s, which is there", b->key.container_id, a->host_ifname);
	if (v->exists)
		fail_msg("slot %u was given out before its veth was reaped", a->slot);
	*v = (struct world_veth){ .exists = true, .alive = true, .route = true, .addr = a->addr[0].ip };
	memcpy(v->name, a->host_ifname, sizeof(v->name));
	key_of(b, v->owner, sizeof(v->owner));
}

static void no_slot_twice(struct model *m, const struct box *b)
{
	for (size_t i = 0; i < BOXES; i++) {
		const struct box *o = &m->box[i];

		if (o != b && o->state == BOX_HAS && !o->superseded && o->slot == b->slot)
			fail_msg("slot %u belongs to %s and %s", b->slot, o->key.container_id, b->key.container_id);
	}
}

static bool rival_asks(const struct model *m, const struct box *b)
{
	for (size_t i = 0; i < BOXES; i++)
		if (&m->box[i] != b && m->box[i].state == BOX_ASKING && i % PODS == (size_t)(b - m->box) % PODS)
			return true;
	return false;
}

static bool rival_has(const struct model *m, const struct box *b)
{
	for (size_t i = 0; i < BOXES; i++)
		if (&m->box[i] != b && m->box[i].state == BOX_HAS && i % PODS == (size_t)(b - m->box) % PODS)
			return true;
	return false;
}

static bool at_ec2(const struct model *m, const struct vw_ip *ip)
{
	for (size_t i = 0; i < WORLD_ENIS; i++)
		for (size_t k = 0; k < m->w->enis[i].n_slots; k++)
			if (m->w->enis[i].attached && vw_cidr_has(&m->w->enis[i].slots[k], ip))
				return true;
	return false;
}

static void told(struct model *m, struct box *b, bool repeated)
{
	const struct vw_rpc_wiring *a = &b->conn.w;
	unsigned int addr = vw_ip4_u32(&a->addr[0].ip) - BASE;

	assert_true(addr < WORLD_ADDRS);
	if (repeated && (b->addr != addr || !a->existing))
		fail_msg("%s was told another address than before", b->key.container_id);
	if (m->holder[addr] && m->holder[addr] != b)
		fail_msg("address %u belongs to %s and %s", addr, m->holder[addr]->key.container_id, b->key.container_id);
	if (!a->existing && m->freed[addr] && m->w->now < m->freed[addr] + COOL_MS)
		fail_msg("address %u was given out %llu ms after it was given back", addr,
			 (unsigned long long)(m->w->now - m->freed[addr]));
	/* what the kernel told a moment ago the daemon may not have heard yet */
	if (!a->existing && !m->behind && !m->w->n_events && !at_ec2(m, &a->addr[0].ip))
		fail_msg("address %u is on no ENI of this node", addr);
	m->holder[addr] = b;
	b->addr = addr;
	b->slot = a->slot;
	b->state = BOX_HAS;
	b->superseded = rival_asks(m, b);
	no_slot_twice(m, b);
	if (!m->w->np_used[a->slot] || !vw_ip_eq(&m->w->np[a->slot].ip4, &a->addr[0].ip))
		fail_msg("slot %u is not published for %s", a->slot, b->key.container_id);
	if ((!repeated || (b->unheard && !b->superseded && !m->w->veth[a->slot].exists && !rival_has(m, b))) && world_rnd(m->w, 64))
		plug(m, b);     /* else: its plugin was killed */
	b->unheard = false;
	m->n_add++;
}

/* at once, in the order of the answers */
static void hear(void *arg, struct rpc_conn *conn)
{
	struct model *m = arg;
	struct box *b = NULL;

	for (size_t i = 0; i < BOXES && !b; i++)
		if (&m->box[i].conn == conn)
			b = &m->box[i];
	if (!b || b->state != BOX_ASKING)
		return;
	if (b->conn.have_wiring) {
		told(m, b, false);
		return;
	}
	if (b->conn.cni != VW_CNI_TRY_AGAIN)
		fail_msg("ADD of %s failed with code %d: %s", b->key.container_id, b->conn.cni, b->conn.msg);
	if (strstr(b->conn.msg, "(null)") || strlen(b->conn.msg) < 10)
		fail_msg("ADD failed without a cause: '%s'", b->conn.msg);
	b->state = BOX_NONE;
	m->n_fail++;
}

/* from the moment it asks on, it may have taken the place of an older sandbox of its pod */
static void rivals(struct model *m, const struct box *b)
{
	for (size_t i = 0; i < BOXES; i++)
		if (&m->box[i] != b && m->box[i].state == BOX_HAS && (&m->box[i] - m->box) % PODS == (b - m->box) % PODS)
			m->box[i].superseded = true;
}

static void do_add(struct model *m, struct box *b)
{
	struct vw_rpc_req req;

	if (b->state == BOX_NONE) {
		box_name(m, b);
		request(m, b, VW_RPC_ADD, &req);
		b->state = BOX_ASKING;
		rivals(m, b);
		ask(m, &b->conn, &req);
		m->n_wait += !b->conn.answered;
	} else if (b->state == BOX_HAS) {
		request(m, b, VW_RPC_ADD, &req);
		ask(m, &b->conn, &req);
		assert_true(b->conn.answered);
		if (b->conn.have_wiring)
			told(m, b, true);
		else if (!b->superseded || b->conn.cni != VW_CNI_INTERFACE_EXISTS)
			fail_msg("a repeated ADD of %s failed: %s", b->key.container_id, b->conn.msg);
	}
}

/* --- DEL, GC */

static void hang_up(struct model *m, struct box *b)
{
	if (b->state == BOX_ASKING && b->conn.open) {
		b->conn.open = false;
		b->state = BOX_NONE;
		m->w->rpc->gone(&b->conn, m->w->rpc_arg);
	}
}

static void netns_dies(struct model *m, const struct box *b)
{
	struct world_veth *v = &m->w->veth[b->slot];
	char key[VW_ID_MAX + IFNAMSIZ + 1];

	key_of(b, key, sizeof(key));
	if (v->exists && !v->dying && !strcmp(v->owner, key))
		*v = (struct world_veth){ .begun = v->begun };
}

static void do_del(struct model *m, struct box *b)
{
	struct vw_rpc_req req;
	struct rpc_conn conn;

	hang_up(m, b);
	request(m, b, VW_RPC_DEL, &req);
	if (b->state == BOX_HAS && world_rnd(m->w, 2))
		netns_dies(m, b);
	/* an ADD that undoes itself: only one that has just been answered, its address was never used */
	req.failed = b->undo = b->state == BOX_HAS && !m->freed[b->addr] && !world_rnd(m->w, 32);
	ask(m, &conn, &req);
	if (!conn.answered || conn.cni)
		fail_msg("DEL of %s failed: %s", b->key.container_id, conn.msg);
	if (b->state == BOX_HAS)
		let_go(m, b, !req.failed);
	m->n_del++;
}

static void do_gc(struct model *m)
{
	struct vw_attach_key valid[BOXES];
	bool listed[BOXES];
	struct vw_rpc_req req;
	struct rpc_conn conn;
	char key[VW_ID_MAX + IFNAMSIZ + 1];

	request(m, &m->box[0], VW_RPC_GC, &req);
	req.valid = valid;
	for (size_t i = 0; i < BOXES; i++) {
		listed[i] = m->box[i].state == BOX_HAS && world_rnd(m->w, 16);
		if (listed[i])
			valid[req.n_valid++] = m->box[i].key;
		else if (m->box[i].state == BOX_HAS && world_rnd(m->w, 2))
			netns_dies(m, &m->box[i]);
	}
	ask(m, &conn, &req);
	assert_true(conn.answered && !conn.cni);
	for (size_t i = 0; i < BOXES; i++) {
		struct box *b = &m->box[i];
		struct world_veth *v = &m->w->veth[b->slot];
		struct ipam_addr a;

		if (b->state != BOX_HAS)
			continue;
		key_of(b, key, sizeof(key));
		if (ipam_pool_by_key(m->d->pool, key, &a))
			continue;
		if (listed[i] || (v->exists && v->alive && !v->dying && !strcmp(v->owner, key)))
			fail_msg("GC took the address of %s, which is in use", b->key.container_id);
		let_go(m, b, true);
	}
}

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

/* what is in the files at this instant is what the next life finds; the rest of this one is memory to be freed */
static void died(struct model *m)
{
	m->w->dead = true;
	m->w->crash_in = 0;
	copy(m, "state.db", "kept");
	copy(m, "state.db-wal", "kept-wal");
	if (m->d)
		daemon_free(m->d);
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

		if (b->state == BOX_ASKING)
			b->addr = WORLD_ADDRS;
		if (b->state == BOX_ASKING)
			b->state = BOX_LIMBO;
		if (b->state == BOX_HAS && b->conn.open)
			b->conn.open = false;
	}
	m->n_crash++;
}

static void bury(struct model *m)
{
	struct vw_rpc_req req;
	struct vw_err err;

	for (unsigned int n = world_rnd(m->w, 4); n > 0; n--) {
		struct box *b = &m->box[world_rnd(m->w, BOXES)];

		if (b->state != BOX_HAS)
			continue;
		request(m, b, VW_RPC_DEL, &req);
		assert_int_equal(vw_tombstone_write(m->socket, &req, &err), 0);
		netns_dies(m, b);
		b->tomb = true;
	}
}

/* the daemon was asked about it and died: what it had recorded is what happened */
static void resolve(struct model *m, struct box *b)
{
	char key[VW_ID_MAX + IFNAMSIZ + 1];
	struct ipam_addr a;
	bool there;

	if (b->state != BOX_LIMBO && !b->tomb)
		return;
	key_of(b, key, sizeof(key));
	there = ipam_pool_by_key(m->d->pool, key, &a);
	if (b->tomb) {
		if (there)
			fail_msg("the tombstone of %s was not honoured", key);
		let_go(m, b, true);
		return;
	}
	if (!there) {
		if (b->addr < WORLD_ADDRS)
			let_go(m, b, !b->undo);
		b->state = BOX_NONE;
		b->undo = false;
		return;
	}
	b->unheard |= b->addr == WORLD_ADDRS;
	b->addr = vw_ip4_u32(&a.ip) - BASE;
	if (m->holder[b->addr] && m->holder[b->addr] != b)
		fail_msg("after a restart address %u has two holders", b->addr);
	m->holder[b->addr] = b;
	b->state = BOX_HAS;
}

static int take_slot(const struct store_attachment *row, void *arg)
{
	struct model *m = arg;

	for (size_t i = 0; i < BOXES; i++)
		if (m->box[i].state == BOX_HAS && !strcmp(m->box[i].key.container_id, row->key.container_id)) {
			m->box[i].slot = row->slot;
			if (m->box[i].unheard)
				rivals(m, &m->box[i]);
		}
	return 0;
}

static void live(struct model *m)
{
	struct vw_err err;

	m->w->dead = false;
	if (daemon_new(m->config, &m->d, &err) < 0)
		fail_msg("the daemon does not start: %s", err.msg);
	m->w->crash_in = 0;
	for (size_t i = 0; i < BOXES; i++)
		resolve(m, &m->box[i]);
	assert_int_equal(store_attach_each(m->d->store, take_slot, m, &err), 0);
	check_books(m);
	assert_int_equal(daemon_run(m->d, &err), 0);
}

static void again(struct model *m)
{
	bury(m);
	/* it may die while it starts, too: what it has allocated by then is lost */
	m->w->dead = false;
	m->d = NULL;
	if (!world_rnd(m->w, 4) && setjmp(m->w->die) == 0) {
		struct vw_err err;

		m->w->crash_in = 1 + world_rnd(m->w, 12);
		if (daemon_new(m->config, &m->d, &err) < 0)
			fail_msg("the daemon does not start: %s", err.msg);
	}
	if (m->d || m->w->dead)
		died(m);
	live(m);
}

/* --- rest */

static void finish_jobs(struct model *m)
{
	world_events(m->w);
	for (unsigned int n = 0; world_job_step(m->w); n++) {
		if (n > 2000)
			fail_msg("the daemon spins: jobs follow jobs, and no time passes");
		world_events(m->w);
		world_turn(m->w);
	}
}

static void run_dry(struct model *m, uint64_t ms)
{
	uint64_t until = m->w->now + ms, next;

	finish_jobs(m);
	while ((next = world_next_timer(m->w)) <= until) {
		world_advance(m->w, next > m->w->now ? next - m->w->now : 0);
		finish_jobs(m);
	}
	m->w->now = until;
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
	uint64_t calls;

	assert_int_equal(store_intent_each(m->d->store, any_intent, NULL, &err), 0);
	for (size_t i = 0; i < WORLD_ENIS; i++) {
		const struct world_eni *w = &m->w->enis[i];
		const struct eni *e;

		if (!w->exists)
			continue;
		e = eni_by_id(m->d, w->id);
		if (!w->attached || !e)
			fail_msg("%s is leaked: %s, %s", w->id, w->attached ? "attached" : "not attached", e ? "known" : "not known");
		for (size_t k = 0; k < w->n_slots; k++) {
			struct ipam_slot s;

			if (!ipam_pool_slot(m->d->pool, &w->slots[k], &s))
				fail_msg("%s: the node does not know one of its %zu slots", w->id, w->n_slots);
		}
		room += WORLD_SLOTS - (unsigned int)w->n_slots;
	}
	for (size_t i = 0; i < m->d->enis.n; i++) {
		const struct ipam_eni *p = ipam_pool_eni(m->d->pool, m->d->enis.v[i].row.id);

		if (!world_eni(m->w, p->id) && !p->n.assigned)
			fail_msg("%s is gone, no pod uses it, and the node has not noticed", p->id);
	}
	ipam_pool_stats(m->d->pool, &st);
	if (!m->w->full && room && st.available < (m->prefixes ? 16 : 1))
		fail_msg("at rest %u addresses are available", st.available);
	if (st.free_prefixes > 2)
		fail_msg("at rest %u whole prefixes are idle", st.free_prefixes);
	for (size_t i = 0; i < BOXES; i++)
		if (m->box[i].state == BOX_ASKING && st.available)
			fail_msg("%s waits, and %u addresses are free", m->box[i].key.container_id, st.available);
	/* and there it stays: a quiet hour asks EC2 for nothing */
	calls = m->w->calls;
	run_dry(m, 3600000);
	if (m->w->calls != calls)
		fail_msg("a quiet hour made %llu calls", (unsigned long long)(m->w->calls - calls));
}

static void calm(struct model *m)
{
	m->w->faults = false;
	m->w->full = false;
	m->w->crash_in = 0;
	m->n_calm++;
	if (m->behind) {
		run_dry(m, 1000);
		discover_start(m->d);
	}
	run_dry(m, 1500000);
	check_books(m);
	check_rest(m);
	m->behind = false;
	m->w->faults = true;
}

/* --- the walk */

static void meddle(struct model *m)
{
	struct world_eni *e = &m->w->enis[world_rnd(m->w, WORLD_ENIS)];

	if (world_rnd(m->w, 3) == 0) {
		m->w->full = !m->w->full;
		return;
	}
	if (!e->exists || !e->attached)
		return;
	/* of an address nobody tells; of a link the kernel does */
	if (e->n_slots && (e->primary || world_rnd(m->w, 2))) {
		m->behind = true;
		world_take_slot(m->w, e, world_rnd(m->w, (unsigned int)e->n_slots));
	} else if (!e->primary) {
		world_detach(m->w, e);
	}
	if (world_rnd(m->w, 2))
		discover_start(m->d);
}

static void act(struct model *m)
{
	unsigned int what = world_rnd(m->w, 100), has = 0;
	struct box *b = &m->box[world_rnd(m->w, BOXES)];

	for (size_t i = 0; i < BOXES; i++)
		has += m->box[i].state != BOX_NONE;
	if (what < 50) {
		if (has < m->want || b->state == BOX_HAS) {
			if (b->state != BOX_HAS || what < 5 || b->unheard)
				do_add(m, b);
			else if (has >= m->want)
				do_del(m, b);
		}
	} else if (what < 60) {
		if (b->state != BOX_NONE || what < 51)
			do_del(m, b);
	} else if (what == 60) {
		hang_up(m, b);
	} else if (what == 61 && !world_rnd(m->w, 8)) {
		do_gc(m);
	} else if (what < 70) {
		world_advance(m->w, world_rnd(m->w, world_rnd(m->w, 20) ? 300 : 20000));
	} else {
		(void)world_job_step(m->w);
	}
	if (world_rnd(m->w, 4))
		world_events(m->w);
	if (world_rnd(m->w, 4))
		world_turn(m->w);
}

/* what a request that was under way concerned is uncertain now */
static void limbo(struct model *m)
{
	for (size_t i = 0; i < BOXES; i++)
		if (m->box[i].state == BOX_HAS)
			m->box[i].state = BOX_LIMBO;
}

static void step(struct model *m, uint64_t i)
{
	if (setjmp(m->w->die)) {
		limbo(m);
		died(m);
		again(m);
		return;
	}
	if (!world_rnd(m->w, 800))
		m->w->crash_in = 1 + world_rnd(m->w, 30);
	act(m);
	if (!world_rnd(m->w, 2000))
		m->want = 2 + world_rnd(m->w, BOXES);
	if (!world_rnd(m->w, 3000))
		meddle(m);
	if (i % 256 == 0)
		check_books(m);
	if (i % 20000 == 19999)
		calm(m);
}

#ifdef __SANITIZE_ADDRESS__
#define STEPS 220000            /* ten times as slow */
#else
#define STEPS 1100000
#endif

static uint64_t number(const char *name, uint64_t def)
{
	const char *text = getenv(name);
	uint64_t v;

	return text && vw_parse_u64(text, 1, UINT64_MAX, &v) == 0 ? v : def;
}

static void setup(struct model *m, uint64_t seed, bool prefixes)
{
	FILE *f;

	m->w = world_begin(seed);
	m->w->faults = true;
	m->w->heard = hear;
	m->w->heard_arg = m;
	m->want = 20;
	m->prefixes = prefixes;
	assert_true(vw_fmt(m->dir, sizeof(m->dir), "%s/vpcwire-model-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm") > 0);
	assert_non_null(mkdtemp(m->dir));
	assert_true(vw_fmt(m->config, sizeof(m->config), "%s/config.json", m->dir) > 0);
	assert_true(vw_fmt(m->socket, sizeof(m->socket), "%s/vpcwired.sock", m->dir) > 0);
	f = fopen(m->config, "we");
	assert_non_null(f);
	assert_true(fprintf(f, "{\"run_dir\":\"%s\",\"ip_cooldown_s\":%d,\"prefix_delegation\":%s,"
			    "\"warm_prefix_target\":1,\"warm_eni_target\":1}", m->dir, COOL_MS / 1000,
			    prefixes ? "true" : "false") > 0);
	assert_int_equal(fclose(f), 0);
	live(m);
}

static void teardown(struct model *m)
{
	static const char *const files[] = { "state.db", "state.db-wal", "state.db-shm", "config.json", "tombstones" };
	char path[160];

	daemon_free(m->d);
	for (size_t i = 0; i < VW_ARRAY_SIZE(files); i++) {
		assert_true(vw_fmt(path, sizeof(path), "%s/%s", m->dir, files[i]) > 0);
		(void)remove(path);
	}
	(void)rmdir(m->dir);
	world_end();
}

static void walk(uint64_t seed, bool prefixes, uint64_t steps)
{
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	setup(m, seed, prefixes);
	print_message("# seed %llu, %s\n", (unsigned long long)seed, prefixes ? "prefixes" : "addresses");
	for (uint64_t i = 0; i < steps; i++)
		step(m, i);
	print_message("# %llu steps: %llu ADDs, %llu waited, %llu failed, %llu DELs, %llu deaths, %llu EC2 calls (%llu unheard)\n",
		      (unsigned long long)steps, (unsigned long long)m->n_add, (unsigned long long)m->n_wait,
		      (unsigned long long)m->n_fail, (unsigned long long)m->n_del, (unsigned long long)m->n_crash,
		      (unsigned long long)m->w->calls, (unsigned long long)m->w->commits_unheard);
	/* a walk that does not get around proves nothing */
	assert_true(m->n_add > steps / 50 && m->n_del > steps / 50 && m->n_crash > steps / 4000 && m->n_calm >= steps / 20000 - 1);
	teardown(m);
	free(m);
}

static void test_prefixes(void **state)
{
	walk(number("MODEL_SEED", 20261123), true, number("MODEL_STEPS", STEPS) / 2);
}

static void test_addresses(void **state)
{
	walk(number("MODEL_SEED", 20261124), false, number("MODEL_STEPS", STEPS) / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
