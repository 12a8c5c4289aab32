/* The property test's pods: what runtimes ask of the daemon, and what they believe afterwards. */
#include "tests/unit/model.h"

#include "ipam/pool.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <stdlib.h>
#include <string.h>

/* --- little things */

static void box_name(struct model *m, struct box *b)
{
	b->gen++;
	assert_true(vw_fmt(b->key.container_id, sizeof(b->key.container_id), "c%u-%u", (unsigned int)(b - m->box), b->gen) > 0);
	memcpy(b->key.ifname, "eth0", 5);
}

void model_request(struct model *m, struct box *b, enum vw_rpc_op op, struct vw_rpc_req *ret)
{
	*ret = (struct vw_rpc_req){ .op = op, .vmin = 1, .vmax = 1, .key = b->key, .netns = "/run/netns/x", .network = "net",
				    .pod_namespace = "default", .deadline_ms = 60000 };
	assert_true(vw_fmt(ret->pod_name, sizeof(ret->pod_name), "p%u", (unsigned int)(b - m->box) % PODS) > 0);
}

void model_ask(struct model *m, struct rpc_conn *conn, const struct vw_rpc_req *req)
{
	*conn = (struct rpc_conn){ .open = true };
	m->w->rpc->handle(conn, req, m->w->rpc_arg);
}

void model_let_go(struct model *m, struct box *b, bool cools)
{
	for (int i = 0; i < 2; i++) {
		if (b->addr[i] == NO_ADDR)
			continue;
		if (m->holder[b->addr[i]] == b)
			m->holder[b->addr[i]] = NULL;
		if (cools)
			m->freed[b->addr[i]] = m->w->now;
	}
	b->state = BOX_NONE;
	b->superseded = b->tomb = b->unheard = b->undo = b->unsure = false;
}

/* --- ADD */

static void plug(struct model *m, struct box *b)
{
	const struct vw_rpc_wiring *a = &b->conn.w;
	struct world_veth *v = &m->w->veth[a->slot];

	for (unsigned int s = 0; s < NP_SLOTS; s++)
		if (m->w->veth[s].exists && !strcmp(m->w->veth[s].name, a->host_ifname))
			fail_msg("%s is to be wired as %s in slot %u, which is there as %s's in slot %u%s", b->key.container_id,
				 a->host_ifname, a->slot, m->w->veth[s].owner, s, m->w->veth[s].dying ? ", dying" : "");
	if (v->exists)
		fail_msg("slot %u was given out before its veth was reaped", a->slot);
	*v = (struct world_veth){ .exists = true, .alive = true, .route = true, .n_addr = a->n_addr };
	for (unsigned int i = 0; i < a->n_addr; i++)
		v->addr[i] = a->addr[i].ip;
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
	for (size_t i = 0; ip->family == AF_INET6 && i < WORLD_ENIS; i++)
		if (m->w->enis[i].attached && vw_cidr_has(&m->w->enis[i].block6, ip))
			return true;
	return false;
}

/* Return: its index */
static unsigned int told_addr(struct model *m, struct box *b, const struct vw_rpc_wiring *a, const struct vw_ip *ip)
{
	unsigned int addr = world_index(ip);

	if (m->holder[addr] && m->holder[addr] != b)
		fail_msg("address %u belongs to %s and %s", addr, m->holder[addr]->key.container_id, b->key.container_id);
	if (!a->existing && m->freed[addr] && m->w->now < m->freed[addr] + COOL_MS)
		fail_msg("address %u was given out %llu ms after it was given back", addr,
			 (unsigned long long)(m->w->now - m->freed[addr]));
	/* what the kernel told a moment ago the daemon may not have heard yet */
	if (!a->existing && !m->behind && !m->w->n_events && !at_ec2(m, ip))
		fail_msg("%s got address %u of %s, which is on no ENI of this node", b->key.container_id, addr, a->eni_id);
	m->holder[addr] = b;
	return addr;
}

static void told(struct model *m, struct box *b, bool repeated)
{
	const struct vw_rpc_wiring *a = &b->conn.w;
	const unsigned int before[2] = { b->addr[0], b->addr[1] };

	const struct vw_ip *last = &a->addr[a->n_addr - 1].ip;
	unsigned int n = 0;

	b->addr[0] = b->addr[1] = NO_ADDR;
	for (unsigned int i = 0; i < a->n_addr; i++)
		if (!a->egress[i])
			b->addr[n++] = told_addr(m, b, a, &a->addr[i].ip);
	assert_int_equal(n, m->ipv4 + m->ipv6);
	assert_int_equal(b->addr[0] < WORLD_ADDRS4, m->ipv4);
	if (repeated && (b->addr[0] != before[0] || b->addr[1] != before[1] || !a->existing))
		fail_msg("%s was told another address than before", b->key.container_id);
	world_say(m->w, "%s has address %u, slot %u%s", b->key.container_id, b->addr[0], a->slot, a->existing ? ", again" : "");
	b->slot = a->slot;
	b->state = BOX_HAS;
	b->superseded = rival_asks(m, b);
	no_slot_twice(m, b);
	if (!m->w->np_used[a->slot] || (m->ipv4 && !vw_ip_eq(&m->w->np[a->slot].ip4, &a->addr[0].ip)) ||
	    (m->ipv6 && !vw_ip_eq(&m->w->np[a->slot].ip6, last)))
		fail_msg("slot %u is not published for %s", a->slot, b->key.container_id);
	if ((!repeated || (b->unheard && !b->superseded && !m->w->veth[a->slot].exists && !rival_has(m, b))) && (!m->w->faults || world_rnd(m->w, 64)))
		plug(m, b);     /* else: its plugin was killed */
	b->unheard = false;
	m->n_add++;
}

/* at once, in the order of the answers */
void model_hear(void *arg, struct rpc_conn *conn)
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
void model_rivals(struct model *m, const struct box *b)
{
	for (size_t i = 0; i < BOXES; i++)
		if (&m->box[i] != b && m->box[i].state == BOX_HAS && (&m->box[i] - m->box) % PODS == (b - m->box) % PODS)
			m->box[i].superseded = true;
}

void model_add(struct model *m, struct box *b)
{
	struct vw_rpc_req req;

	if (b->state == BOX_NONE) {
		box_name(m, b);
		model_request(m, b, VW_RPC_ADD, &req);
		b->state = BOX_ASKING;
		model_rivals(m, b);
		model_ask(m, &b->conn, &req);
		m->n_wait += !b->conn.answered;
	} else if (b->state == BOX_HAS) {
		model_request(m, b, VW_RPC_ADD, &req);
		model_ask(m, &b->conn, &req);
		for (unsigned int i = 0; i < 100 && !b->conn.answered; i++) {   /* a veth of its name is being deleted */
			world_advance(m->w, 10);
			(void)world_job_step(m->w);
		}
		assert_true(b->conn.answered);
		if (b->conn.have_wiring)
			told(m, b, true);
		else if (!b->superseded || b->conn.cni != VW_CNI_INTERFACE_EXISTS)
			fail_msg("a repeated ADD of %s failed: %s", b->key.container_id, b->conn.msg);
	}
}

/* --- DEL, GC */

void model_hang_up(struct model *m, struct box *b)
{
	if (b->state == BOX_ASKING && b->conn.open) {
		b->conn.open = false;
		b->state = BOX_NONE;
		m->w->rpc->gone(&b->conn, m->w->rpc_arg);
	}
}

void model_netns_dies(struct model *m, const struct box *b)
{
	struct world_veth *v = &m->w->veth[b->slot];
	char key[VW_ID_MAX + IFNAMSIZ + 1];

	key_of(b, key, sizeof(key));
	if (v->exists && !v->dying && !strcmp(v->owner, key))
		*v = (struct world_veth){ .begun = v->begun };
}

void model_del(struct model *m, struct box *b, unsigned int how)
{
	struct vw_rpc_req req;
	struct rpc_conn conn;

	model_hang_up(m, b);
	model_request(m, b, VW_RPC_DEL, &req);
	if (how & DEL_NETNS_GONE)
		model_netns_dies(m, b);
	req.failed = b->undo = how & DEL_UNDO;
	b->unsure = true;
	model_ask(m, &conn, &req);
	b->unsure = false;
	if (!conn.answered || conn.cni)
		fail_msg("DEL of %s failed: %s", b->key.container_id, conn.msg);
	if (b->state == BOX_HAS)
		model_let_go(m, b, !req.failed);
	m->n_del++;
	world_say(m->w, "DEL of %s", b->key.container_id);
}

void model_gc(struct model *m, const bool listed[BOXES])
{
	struct vw_attach_key valid[BOXES];
	struct vw_rpc_req req;
	struct rpc_conn conn;
	char key[VW_ID_MAX + IFNAMSIZ + 1];

	model_request(m, &m->box[0], VW_RPC_GC, &req);
	req.valid = valid;
	for (size_t i = 0; i < BOXES; i++) {
		if (listed[i])
			valid[req.n_valid++] = m->box[i].key;
		m->box[i].unsure = m->box[i].state == BOX_HAS && !listed[i];
	}
	model_ask(m, &conn, &req);
	assert_true(conn.answered && !conn.cni);
	for (size_t i = 0; i < BOXES; i++) {
		struct box *b = &m->box[i];
		struct world_veth *v = &m->w->veth[b->slot];
		unsigned int addr[2];

		b->unsure = false;
		if (b->state != BOX_HAS)
			continue;
		key_of(b, key, sizeof(key));
		if (is_held(m, key, addr))
			continue;
		if (listed[i] || (v->exists && v->alive && !v->dying && !strcmp(v->owner, key)))
			fail_msg("GC took the address of %s, which is in use", b->key.container_id);
		model_let_go(m, b, true);
	}
}
