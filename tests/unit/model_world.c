/* Doubles of loop, socket, kernel and eBPF maps for the whole daemon; those of EC2 and IMDS are in model_ec2.c. */
#include "tests/unit/model_world.h"

#include "daemon/creds.h"
#include "daemon/hostnet.h"
#include "daemon/http.h"
#include "daemon/loop.h"
#include "daemon/policy.h"
#include "daemon/programs.h"
#include "daemon/query.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "lib/net/link.h"
#include "lib/net/view/nft.h"
#include "lib/net/view/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct world *the_world; /* doubles are called with nothing that leads to it */

struct world *world_now(void)
{
	return the_world;
}

void world_end(void)
{
	free(the_world);
	the_world = NULL;
}

struct world *world_begin(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	the_world = w;
	w->seed = seed;
	w->now = 1000000;
	w->enis[0] = (struct world_eni){ .exists = true, .attached = true, .primary = true, .id = "eni-0", .attachment = "att-0" };
	w->n_made = 1;
	for (unsigned int i = 0; i < 5; i++)
		w->taken[i] = true;
	world_imds_refresh(w);
	return w;
}

unsigned int world_rnd(struct world *w, unsigned int n)
{
	w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned int)(w->seed >> 33) % n;
}

void world_point(struct world *w)
{
	w->points += !w->dead;
	if (!w->dead && w->crash_in && --w->crash_in == 0) {
		w->dead = true;
		world_say(w, "death");
		longjmp(w->die, 1);
	}
}

/* --- time */

uint64_t __wrap_vw_mono_ms(void);
uint64_t __wrap_vw_mono_us(void);
int64_t __wrap_vw_unix_s(void);

uint64_t __wrap_vw_mono_ms(void)
{
	return the_world->now;
}

uint64_t __wrap_vw_mono_us(void)
{
	return the_world->now * 1000 + world_rnd(the_world, 1000);
}

int64_t __wrap_vw_unix_s(void)
{
	return 1800000000 + (int64_t)(the_world->now / 1000);
}

/* --- chance: one seed, one life */

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned int flags);

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned int flags)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)world_rnd(the_world, 256);
	return (ssize_t)len;
}

/* --- log: what is survived here would be a flood */

void world_say(const struct world *w, const char *format, ...)
{
	char text[2048];
	va_list ap;

	if (!getenv("MODEL_LOG"))
		return;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	print_message("# %llu %s\n", (unsigned long long)w->now, text);
}

void __wrap_vw_log_at(void *site, int level, const char *msg, const char *kvfmt, ...) __attribute__((format(printf, 4, 5)));

void __wrap_vw_log_at(void *site, int level, const char *msg, const char *kvfmt, ...)
{
	char text[2048];
	va_list ap;

	if (the_world->dead || !getenv("MODEL_LOG"))
		return;
	va_start(ap, kvfmt);
	(void)vsnprintf(text, sizeof(text), kvfmt, ap);
	va_end(ap);
	world_say(the_world, "%s%s", msg, text);
}

/* --- loop */

int loop_new(struct loop **ret_loop, struct vw_err *err)
{
	*ret_loop = (struct loop *)the_world;
	return 0;
}

void world_forget_loop(struct world *w)
{
	w->n_jobs = 0;
	w->n_events = 0;
	w->link_event = NULL;
	w->ranged = false;
	memset(w->timers, 0, sizeof(w->timers));
}

/* as the real one: results of jobs are still handed over, to a daemon that is stopping */
void loop_free(struct loop *l)
{
	struct world *w = the_world;

	for (size_t i = 0; i < w->n_jobs; i++)
		w->jobs[i].done(w->jobs[i].arg);
	world_forget_loop(w);
}

int loop_run(struct loop *l, struct vw_err *err)
{
	return 0;
}

void loop_stop(struct loop *l)
{
}

int loop_timer_new(struct loop *l, void (*fn)(void *arg), void *arg, struct loop_timer **ret_timer)
{
	for (size_t i = 0; i < WORLD_TIMERS; i++) {
		struct loop_timer *t = &the_world->timers[i];

		if (t->used)
			continue;
		*t = (struct loop_timer){ .fn = fn, .arg = arg, .used = true };
		*ret_timer = t;
		return 0;
	}
	return -ENOMEM;
}

void loop_timer_set(struct loop_timer *t, uint64_t ms)
{
	t->due = the_world->now + ms;
	t->set = true;
}

void loop_timer_stop(struct loop_timer *t)
{
	t->set = false;
}

int loop_timer_active(const struct loop_timer *t)
{
	return t->set;
}

void loop_timer_free(struct loop_timer *t)
{
	if (t)
		*t = (struct loop_timer){ 0 };
}

int loop_signal(struct loop *l, int signo, void (*fn)(int signo, void *arg), void *arg)
{
	return 0;
}

int loop_path_watch(struct loop *l, const char *path, void (*fn)(void *arg), void *arg, struct vw_err *err)
{
	return 0;
}

int loop_rest(struct loop *l, uint64_t ms, void (*fn)(void *arg), void *arg)
{
	return 0;
}

int loop_job(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct world *w = the_world;

	if (w->n_jobs == WORLD_JOBS)
		return -ENOMEM;
	w->jobs[w->n_jobs++] = (struct world_job){ .work = work, .done = done, .arg = arg };
	return 0;
}

static struct loop_timer *next_timer(const struct world *w)
{
	struct loop_timer *first = NULL;

	for (size_t i = 0; i < WORLD_TIMERS; i++) {
		struct loop_timer *t = (struct loop_timer *)&w->timers[i];

		if (t->set && (!first || t->due < first->due))
			first = t;
	}
	return first;
}

uint64_t world_next_timer(const struct world *w)
{
	const struct loop_timer *t = next_timer(w);

	return t ? t->due : UINT64_MAX;
}

void world_turn(struct world *w)
{
	struct loop_timer *t;

	for (int i = 0; i < 64 && (t = next_timer(w)) && t->due <= w->now; i++) {
		t->set = false;
		t->fn(t->arg);
	}
}

void world_advance(struct world *w, uint64_t ms)
{
	uint64_t until = w->now + ms, next;
	unsigned int spins = 0;

	while ((next = world_next_timer(w)) <= until) {
		if (next > w->now)
			spins = 0;
		if (++spins > 1000)
			fail_msg("the daemon spins: a timer fires again and again at the same time");
		if (next > w->now)
			w->now = next;
		world_turn(w);
	}
	w->now = until;
}

bool world_job_step(struct world *w)
{
	size_t i;
	struct world_job j;

	if (!w->n_jobs)
		return false;
	i = world_rnd(w, (unsigned int)w->n_jobs);
	if (!w->jobs[i].worked) {
		w->jobs[i].worked = true;
		w->jobs[i].work(w->jobs[i].arg);
		return true;
	}
	j = w->jobs[i];
	w->jobs[i] = w->jobs[--w->n_jobs];
	j.done(j.arg);
	return true;
}

unsigned int world_index(const struct vw_ip *ip)
{
	struct world *w = the_world;
	uint64_t h = UINT64_C(14695981039346656037);
	unsigned int at;

	if (ip->family == AF_INET && vw_ip4_u32(ip) - 0x0a000000u < WORLD_ADDRS4)
		return vw_ip4_u32(ip) - 0x0a000000u;
	for (int i = 0; i < 16; i++)
		h = (h ^ ip->b[i]) * UINT64_C(1099511628211);
	for (at = (unsigned int)(h % (2 * WORLD_ADDRS6)); w->hash6[at]; at = (at + 1) % (2 * WORLD_ADDRS6))
		if (vw_ip_eq(&w->seen6[w->hash6[at] - 1], ip))
			return WORLD_ADDRS4 + w->hash6[at] - 1;
	assert_true(w->n_seen6 < WORLD_ADDRS6);
	w->seen6[w->n_seen6] = *ip;
	w->hash6[at] = ++w->n_seen6;
	return WORLD_ADDRS4 + w->n_seen6 - 1;
}

struct vw_ip world_address(const struct world *w, unsigned int index)
{
	return index < WORLD_ADDRS4 ? vw_ip4(0x0a000000u + index) : w->seen6[index - WORLD_ADDRS4];
}

static void ghost(struct world *w, const struct world_job *j)
{
	w->ghost_calls = 0;
	if (setjmp(w->ghost) == 0)
		j->work(j->arg);
}

void world_ghosts(struct world *w, void (*work)(void *arg))
{
	w->is_ghost = true;
	for (size_t i = 0; i < w->n_jobs; i++)
		if (!w->jobs[i].worked && w->jobs[i].work == work)
			ghost(w, &w->jobs[i]);
	w->is_ghost = false;
}

/* --- store: before and after each write */

int __real_store_open(const char *path, const char *boot_id, struct store **ret_store, struct vw_buf *note, struct vw_err *err);
int __wrap_store_open(const char *path, const char *boot_id, struct store **ret_store, struct vw_buf *note, struct vw_err *err);
void __real_store_close(struct store *s);
void __wrap_store_close(struct store *s);

int __wrap_store_open(const char *path, const char *boot_id, struct store **ret_store, struct vw_buf *note, struct vw_err *err)
{
	int r;

	world_point(the_world);
	r = __real_store_open(path, boot_id, ret_store, note, err);
	the_world->store = r == 0 ? *ret_store : NULL;
	world_point(the_world);
	return r;
}

void __wrap_store_close(struct store *s)
{
	the_world->store = NULL;
	__real_store_close(s);
}

#define STORE_WRITE(name, params, ...)                                     \
	int __real_##name params;                                          \
	int __wrap_##name params;                                          \
	int __wrap_##name params                                           \
	{                                                                  \
		int r;                                                     \
                                                                           \
		world_point(the_world);                                    \
		r = __real_##name(__VA_ARGS__);                            \
		world_point(the_world);                                    \
		return r;                                                  \
	}

STORE_WRITE(store_attach_put, (struct store *s, const struct store_attachment *a, struct vw_err *err), s, a, err)
STORE_WRITE(store_attach_del, (struct store *s, const struct store_attachment *a, uint64_t until, struct vw_err *err), s, a, until, err)
STORE_WRITE(store_eni_put, (struct store *s, const struct store_eni *e, struct vw_err *err), s, e, err)
STORE_WRITE(store_eni_del, (struct store *s, const char *id, struct vw_err *err), s, id, err)
STORE_WRITE(store_intent_put, (struct store *s, const struct store_intent *i, struct vw_err *err), s, i, err)
STORE_WRITE(store_intent_del, (struct store *s, const char *token, struct vw_err *err), s, token, err)
STORE_WRITE(store_meta_put, (struct store *s, const char *key, const char *value, struct vw_err *err), s, key, value, err)

/* --- socket */

int rpc_server_new(struct loop *loop, const char *socket_path, const struct rpc_server_ops *ops, void *arg,
		   struct rpc_server **ret_server, struct vw_err *err)
{
	the_world->rpc = ops;
	the_world->rpc_arg = arg;
	*ret_server = (struct rpc_server *)the_world;
	return 0;
}

void rpc_server_free(struct rpc_server *s)
{
	the_world->rpc = NULL;
}

unsigned int rpc_conn_version(const struct rpc_conn *conn)
{
	return VW_RPC_VERSION_MAX;
}

int rpc_conn_reply(struct rpc_conn *conn, const struct vw_buf *message)
{
	vw_auto_json struct vw_json *reply = NULL;
	struct vw_err err;

	if (the_world->dead)
		return 0;
	world_point(the_world);
	assert_true(conn->open && !conn->answered);
	conn->answered = true;
	conn->open = false;
	if (vw_rpc_reply_decode(message->data, message->len, &reply, &err) < 0)
		fail_msg("the reply cannot be read: %s", err.msg);
	conn->have_wiring = vw_rpc_wiring_decode(reply, &conn->w, &err) == 0;
	for (unsigned int i = 0; conn->have_wiring && !conn->w.existing && i < conn->w.n_addr; i++)
		if (the_world->tracked[world_index(&conn->w.addr[i].ip)])
			fail_msg("a pod got address %u, which connections of its former pod still lead to",
				 world_index(&conn->w.addr[i].ip));
	the_world->heard(the_world->heard_arg, conn);
	return 0;
}

void rpc_conn_fail(struct rpc_conn *conn, const struct vw_err *failure)
{
	if (the_world->dead)
		return;
	world_point(the_world);
	assert_true(conn->open && !conn->answered);
	conn->answered = true;
	conn->open = false;
	conn->cni = failure->cni ? failure->cni : -1;
	(void)!vw_fmt(conn->msg, sizeof(conn->msg), "%.*s", (int)sizeof(conn->msg) - 1, failure->msg);
	the_world->heard(the_world->heard_arg, conn);
}

/* --- eBPF maps */

int np_open(const char *bpf_dir, const struct np_sizes *sizes, struct np **ret_np, struct vw_err *err)
{
	*ret_np = (struct np *)the_world;
	return 0;
}

struct np *np_close(struct np *np)
{
	return NULL;
}

const char *np_from_pod_path(const struct np *np)
{
	return "/sys/fs/bpf/model/from_pod";
}

const char *np_to_pod_path(const struct np *np)
{
	return "/sys/fs/bpf/model/to_pod";
}

int np_slot_publish(struct np *np, unsigned int slot, const struct np_pod_conf *pod, struct vw_err *err)
{
	struct world *w = the_world;

	if (w->dead)
		return 0;
	world_point(w);
	assert_true(slot < NP_SLOTS);
	w->np[slot] = *pod;
	w->np_used[slot] = true;
	return 0;
}

int np_slot_clear(struct np *np, unsigned int slot, struct vw_err *err)
{
	struct world *w = the_world;

	if (w->dead)
		return 0;
	if (w->np_used[slot])
		world_point(w);
	w->np_used[slot] = false;
	return 0;
}

/* --- network policy and programs have tests of their own; here pods are admitted, and what came is told in order */

int policy_new(struct daemon *d, struct policy **ret, struct vw_err *err)
{
	*ret = NULL;
	return 0;
}

void policy_free(struct policy *p)
{
}

int policy_start(struct daemon *d, struct vw_err *err)
{
	return 0;
}

int policy_admit(struct daemon *d, const struct attachment *a, struct vw_err *err)
{
	struct world *w = the_world;

	if (w->dead)
		return 0;
	world_point(w);
	assert_false(w->np_used[a->slot]);
	return 0;
}

void policy_dismiss(struct daemon *d, const struct attachment *a)
{
}

void policy_config_changed(struct daemon *d, const struct vwired_config *old)
{
}

void policy_instance_known(struct daemon *d)
{
}

void programs_attach_eni(struct daemon *d, const struct eni *e)
{
}

void programs_judge_node(struct daemon *d)
{
}

void programs_renew(struct daemon *d)
{
}

/* --- nobody takes anything of ours away: what drift does about it has tests of its own */

unsigned int programs_look_tcx(struct daemon *d, void (*missing)(struct daemon *d, const struct attachment *a))
{
	return 0;
}

bool hostnet_sysctls_changed(struct hostnet *hn, const struct hostnet_eni *enis, size_t n)
{
	return false;
}

int programs_repair_pod(struct daemon *d, const struct attachment *a, enum attach_hung *hung, const struct hostnet_truth *t,
			struct vw_err *err)
{
	return 0;
}

int programs_repair_enis(struct daemon *d, const struct hostnet_truth *t, struct vw_err *err)
{
	return 0;
}

int hostnet_repair(struct hostnet *hn, unsigned int kinds, const struct hostnet_truth *t, struct vw_err *err)
{
	return 0;
}

int hostnet_pod_repair(struct hostnet *hn, struct hostnet_pod *pod, const char *owner, const struct hostnet_truth *t,
		       struct vw_err *err)
{
	return 1;
}

uint32_t hostnet_port(const struct hostnet *hn)
{
	return 0;
}

struct vw_nft_watch *vw_nft_watch_free(struct vw_nft_watch *w)
{
	return NULL;
}

int vw_nft_watch_new(struct vw_nft_watch **ret_watch, struct vw_err *err)
{
	*ret_watch = NULL;
	return 0;
}

int vw_nft_watch_fd(const struct vw_nft_watch *w)
{
	return -1;
}

int vw_nft_watch_read(struct vw_nft_watch *w, char by[VW_NFT_BY_LEN], struct vw_err *err)
{
	return 0;
}

int query_answer(struct daemon *d, const char *what, const struct vw_json *args, struct vw_json **ret_result,
		 struct vw_err *err)
{
	return vw_err_set(err, EINVAL, 0, "the model asks nothing");
}

/* --- changes of links: they wait until the daemon's loop comes round to them */

int vw_monitor_new(const struct vw_monitor_want *want, void (*fn)(const struct vw_event *ev, void *arg), void *arg,
		   struct vw_monitor **ret_monitor, struct vw_err *err)
{
	struct world *w = the_world;

	assert_true(want->kinds & VW_EVENT_BIT(VW_EVENT_LINK));
	w->link_event = fn;
	w->link_arg = arg;
	w->n_events = 0;
	*ret_monitor = (struct vw_monitor *)w;
	return 0;
}

struct vw_monitor *vw_monitor_free(struct vw_monitor *m)
{
	the_world->link_event = NULL;
	return NULL;
}

int vw_monitor_fd(const struct vw_monitor *m)
{
	return -1;
}

int vw_monitor_read(struct vw_monitor *m, struct vw_err *err)
{
	return 0;
}

int loop_fd_watch(struct loop *l, int fd, void (*fn)(void *arg), void *arg, struct loop_fd **ret_watch)
{
	*ret_watch = (struct loop_fd *)the_world;
	return 0;
}

void loop_fd_unwatch(struct loop_fd *w)
{
}

void world_link(struct world *w, const struct world_eni *e, bool gone)
{
	struct vw_event *ev;

	if (!w->link_event)
		return;
	/* a socket holds only so much */
	if (w->n_events == WORLD_EVENTS || !world_rnd(w, 16)) {
		w->n_events = 1;
		w->events[0] = (struct vw_event){ .kind = VW_EVENT_LOST };
		return;
	}
	ev = &w->events[w->n_events++];
	*ev = (struct vw_event){ .kind = VW_EVENT_LINK, .gone = gone };
	ev->link.ifindex = 100 + e->serial;
	ev->link.mac = (struct vw_mac){ { 2, 0, 0, 0, (uint8_t)(e->serial >> 8), (uint8_t)e->serial } };
	(void)!vw_fmt(ev->link.name, sizeof(ev->link.name), "eth%u", e->device);
}

void world_events(struct world *w)
{
	for (size_t i = 0; i < w->n_events && w->link_event; i++) {
		const struct vw_event ev = w->events[i];

		world_point(w);
		w->link_event(&ev, w->link_arg);
	}
	w->n_events = 0;
}

/* --- kernel: its real sockets are not needed, and would be lost with each death */

int vw_nl_open(struct vw_nl *nl, struct vw_err *err)
{
	return 0;
}

int hostnet_new(struct hostnet **ret_hn, struct vw_err *err)
{
	/* the lists went with the former life, what the kernel tracks did not */
	memset(the_world->stale, 0, sizeof(the_world->stale));
	memset(the_world->purging, 0, sizeof(the_world->purging));
	the_world->n_stale = the_world->n_purging = 0;
	*ret_hn = (struct hostnet *)the_world;
	return 0;
}

struct hostnet *hostnet_free(struct hostnet *hn)
{
	return NULL;
}

int hostnet_init(struct hostnet *hn, uint32_t mark_primary, struct vw_err *err)
{
	return 0;
}

int hostnet_init6(struct hostnet *hn, struct vw_err *err)
{
	return 0;
}

uint32_t hostnet_eni_table(unsigned int card, unsigned int device)
{
	return device + 1;
}

int hostnet_eni_setup(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err)
{
	world_point(the_world);
	return 0;
}

int hostnet_eni_remove(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err)
{
	world_point(the_world);
	return 0;
}

int hostnet_nat_apply(struct hostnet *hn, const struct hostnet_nat *nat, struct vw_err *err)
{
	struct world *w = the_world;

	world_point(w);
	assert_true(nat->n_vpc > 0 || !w->ranged);      /* else all that pods send within the VPC would be translated */
	if (w->faults && w->ranged && !world_rnd(w, 16))
		return vw_err_set(err, EPERM, 0, "nftables: not today");
	w->ranged = nat->n_vpc > 0;
	return 0;
}

int hostnet_verify(struct hostnet *hn, const struct hostnet_eni *enis, size_t n_enis, struct vw_err *err)
{
	return 0;
}

static void make_stale(struct world *w, unsigned int addr)
{
	w->tracked[addr] = true;
	world_say(w, "connections of %u are old", addr);
	w->n_stale += !w->stale[addr];
	w->stale[addr] = true;
}

bool hostnet_is_stale(const struct hostnet *hn, const struct vw_ip *ip)
{
	return the_world->stale[world_index(ip)] || the_world->purging[world_index(ip)];
}

int hostnet_free_set(struct hostnet *hn, const char *eni_id, const struct vw_cidr *slots, size_t n, struct vw_err *err)
{
	world_point(the_world);
	return 0;
}

int hostnet_free_prune(struct hostnet *hn, struct vw_err *err)
{
	return 0;
}

int hostnet_purge(bool (*gone)(const struct vw_ip *ip, const void *arg), const void *arg, struct vw_err *err)
{
	struct world *w = the_world;

	world_point(w);
	for (unsigned int i = 0; i < WORLD_ADDRS4 + w->n_seen6; i++) {
		const struct vw_ip ip = world_address(w, i);

		if (w->tracked[i] && gone(&ip, arg))
			w->tracked[i] = false;
		else if (w->tracked[i])
			world_say(w, "connections of %u stay", i);
	}
	return 0;
}

int hostnet_pod_forget(struct hostnet *hn, const struct hostnet_pod *pod, struct vw_err *err)
{
	struct world *w = the_world;
	struct world_veth *v = &w->veth[pod->ifindex - VW_IFINDEX_BASE];

	if (w->dead)
		return 0;
	world_point(w);
	v->route = false;
	for (unsigned int i = 0; i < pod->n_addr; i++)
		make_stale(w, world_index(&pod->addr[i].ip));
	if (!v->exists)
		return 0;
	v->dying = true;
	world_point(w);
	return 1;
}

size_t hostnet_dying(const struct hostnet *hn)
{
	size_t n = 0;

	for (unsigned int s = 0; s < NP_SLOTS; s++)
		n += the_world->veth[s].exists && the_world->veth[s].dying;
	return n + the_world->n_stale + the_world->n_purging;
}

bool hostnet_is_dying(const struct hostnet *hn, const char *ifname, unsigned int ifindex)
{
	for (unsigned int s = 0; s < NP_SLOTS && ifname; s++) {
		const struct world_veth *v = &the_world->veth[s];

		if (v->exists && v->dying && !strcmp(v->name, ifname))
			return true;
	}
	return ifindex && the_world->veth[ifindex - VW_IFINDEX_BASE].exists && the_world->veth[ifindex - VW_IFINDEX_BASE].dying;
}

int hostnet_reap_begin(struct hostnet *hn)
{
	int n = 0;

	for (unsigned int s = 0; s < NP_SLOTS; s++) {
		struct world_veth *v = &the_world->veth[s];

		if (v->begun)
			return -EBUSY;
	}
	if (the_world->n_purging)
		return -EBUSY;
	for (unsigned int s = 0; s < NP_SLOTS; s++) {
		struct world_veth *v = &the_world->veth[s];

		v->begun = v->exists && v->dying;
		n += v->begun;
	}
	for (unsigned int i = 0; i < WORLD_ADDRS4 + the_world->n_seen6 && the_world->n_stale; i++) {
		the_world->purging[i] = the_world->stale[i];
		the_world->stale[i] = false;
		the_world->n_purging += the_world->purging[i];
	}
	the_world->n_stale = 0;
	return n + (int)the_world->n_purging;
}

int hostnet_reap_work(const struct hostnet *hn, struct vw_err *ret_ct, struct vw_err *err)
{
	world_point(the_world);
	*ret_ct = (struct vw_err){ 0 };
	return 0;
}

int hostnet_reap_end(struct hostnet *hn, int result, void (*reaped)(unsigned int ifindex, void *arg), void *arg)
{
	int n = 0;

	if (the_world->dead)
		return 0;
	for (unsigned int i = 0; i < WORLD_ADDRS4 + the_world->n_seen6 && the_world->n_purging; i++) {
		if (the_world->purging[i])
			the_world->tracked[i] = false;
		the_world->purging[i] = false;
	}
	the_world->n_purging = 0;
	for (unsigned int s = 0; s < NP_SLOTS; s++) {
		struct world_veth *v = &the_world->veth[s];

		if (!v->begun)
			continue;
		v->begun = false;
		if (result < 0)
			continue;
		*v = (struct world_veth){ 0 };
		if (reaped)
			reaped(VW_IFINDEX_BASE + s, arg);
		n++;
	}
	return n;
}

/* the link of an ENI is there as long as EC2 has it attached; its MAC ends in the ENI's serial number */
static void link_of(const struct world_eni *e, struct vw_link *ret)
{
	*ret = (struct vw_link){
		.ifindex = 100 + e->serial,
		.mac = { { 2, 0, 0, 0, (uint8_t)(e->serial >> 8), (uint8_t)e->serial } },
	};
	(void)!vw_fmt(ret->name, sizeof(ret->name), "eth%u", e->device);
}

int hostnet_scan(struct hostnet *hn, struct hostnet_scan *ret_scan, struct vw_err *err)
{
	struct world *w = the_world;

	*ret_scan = (struct hostnet_scan){
		.pods = calloc(NP_SLOTS, sizeof(*ret_scan->pods)),
		.devices = calloc(WORLD_ENIS, sizeof(*ret_scan->devices)),
	};
	assert_non_null(ret_scan->pods);
	assert_non_null(ret_scan->devices);
	for (size_t i = 0; i < WORLD_ENIS; i++)
		if (w->enis[i].exists && w->enis[i].attached)
			link_of(&w->enis[i], &ret_scan->devices[ret_scan->n_devices++]);
	for (unsigned int s = 0; s < NP_SLOTS; s++) {
		const struct world_veth *v = &w->veth[s];
		struct hostnet_found *f = &ret_scan->pods[ret_scan->n_pods];

		if (!v->exists)
			continue;
		*f = (struct hostnet_found){ .up = true, .dying = v->dying };
		f->pod.ifindex = VW_IFINDEX_BASE + s;
		memcpy(f->pod.ifname, v->name, sizeof(v->name));
		f->pod.n_addr = v->route ? v->n_addr : 0;
		for (unsigned int i = 0; i < f->pod.n_addr; i++)
			f->pod.addr[i] = vw_cidr_host(&v->addr[i]);
		(void)!vw_fmt(f->owner, sizeof(f->owner), "%s", v->owner);
		ret_scan->n_pods++;
	}
	return 0;
}

void hostnet_scan_done(struct hostnet_scan *scan)
{
	free(scan->pods);
	free(scan->devices);
	*scan = (struct hostnet_scan){ 0 };
}

int hostnet_orphan_del(struct hostnet *hn, const struct hostnet_pod *orphan, struct vw_err *err)
{
	return 0;
}

int __wrap_vw_link_get(struct vw_nl *nl, unsigned int ifindex, struct vw_link *ret_link, struct vw_err *err);
int __wrap_vw_link_wait_mac(int netns_fd, const struct vw_mac *mac, uint64_t deadline_ms, struct vw_link *ret_link,
			    struct vw_err *err);

int __wrap_vw_link_get(struct vw_nl *nl, unsigned int ifindex, struct vw_link *ret_link, struct vw_err *err)
{
	const struct world_veth *v = &the_world->veth[ifindex - VW_IFINDEX_BASE];

	if (!v->exists || v->dying)
		return vw_err_set(err, ENODEV, 0, "no such link");
	*ret_link = (struct vw_link){ .ifindex = ifindex, .flags = v->alive ? IFF_UP | IFF_RUNNING : 0 };
	return 0;
}

int __wrap_vw_link_wait_mac(int netns_fd, const struct vw_mac *mac, uint64_t deadline_ms, struct vw_link *ret_link,
			    struct vw_err *err)
{
	for (size_t i = 0; i < WORLD_ENIS; i++) {
		const struct world_eni *e = &the_world->enis[i];

		if (!e->exists || !e->attached)
			continue;
		link_of(e, ret_link);
		if (vw_mac_eq(&ret_link->mac, mac))
			return 0;
	}
	return vw_err_set(err, ETIMEDOUT, 0, "no link with this MAC");
}
