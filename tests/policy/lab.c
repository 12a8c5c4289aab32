#include "tests/policy/lab.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/net/link.h"
#include "lib/net/nl.h"
#include "netpolicy-bpf/user/np_ct.h"
#include "netpolicy-bpf/user/np_loader.h"
#include "netpolicy-bpf/user/np_publish.h"
#include "tests/policy/pkt.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define NODES TABLES_NODES
#define SLOTS TABLES_PODS
#define ENI_INDEX 42            /* the ENI that packets from elsewhere come in by, and leave by */
#define PORT_FIRST 20000        /* of openers, 2000 in turn: no fixture serves them */
#define PORT_COUNT 2000
#define FOLLOW 3                /* of so many flows, one in each dress is followed beyond its first packet */
#define MARK_IN 0xe000c085u     /* other people's bits, and low ones of ours */
#define MARK_OURS (NP_MARK_PENDING | NP_MARK_SLOT_MASK)

struct lab_node {
	char name[FX_NAME];
	struct np *np;
	struct np_publish *pub;
	struct np_pod_conf pod[SLOTS];
	unsigned int n_slot;
	uint64_t dropped[NP_DIRS];      /* NP_DROP_INGRESS, NP_DROP_EGRESS so far */
};

struct lab {
	int fs;
	bool live;
	struct lab_node node[NODES];
	unsigned int n_node, n_veth;
	unsigned int turn;              /* counts packets, to vary them */
};

static unsigned int veth(unsigned int slot)
{
	return NP_IFINDEX_BASE + slot;
}

/* --- making it */

/** new_fs() - a bpf file system that is mounted nowhere: /proc/self/fd/N is its root. */
static int new_fs(struct vw_err *err)
{
	vw_auto_close int fs = fsopen("bpf", FSOPEN_CLOEXEC);
	int r;

	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return vw_err_set(err, errno, 0, "bpf file system");
	r = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	return r < 0 ? vw_err_set(err, errno, 0, "mounting a bpf file system") : r;
}

static int add_links(struct lab *l, unsigned int slots, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	char name[16], peer[16];
	int r = vw_nl_open(&nl, err);

	if (r < 0)
		return r;
	if (l->n_veth == 0)
		(void)vw_link_add_veth(&b, &(struct vw_link_end){ .name = "eni", .ifindex = ENI_INDEX }, &(struct vw_link_end){ .name = "wire" });
	for (; l->n_veth < slots; l->n_veth++) {
		(void)snprintf(name, sizeof(name), "eni%u", l->n_veth);
		(void)snprintf(peer, sizeof(peer), "pod%u", l->n_veth);
		(void)vw_link_add_veth(&b, &(struct vw_link_end){ .name = name, .ifindex = veth(l->n_veth) },
				       &(struct vw_link_end){ .name = peer });
	}
	return vw_nl_commit(&nl, &b, err);
}

int lab_new(struct lab **ret, bool live, struct vw_err *err)
{
	struct lab *l;
	int r;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		return vw_err_set(err, errno, 0, "making namespaces");
	l = calloc(1, sizeof(*l));
	if (!l)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	l->live = live;
	l->fs = r = new_fs(err);
	if (r >= 0)
		r = add_links(l, 1, err);
	if (r < 0) {
		lab_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

void lab_free(struct lab *l)
{
	if (!l)
		return;
	for (unsigned int i = 0; i < l->n_node; i++) {
		np_publish_free(l->node[i].pub);
		np_close(l->node[i].np);
	}
	if (l->fs >= 0)
		close(l->fs);
	free(l);
}

static int no_barrier(void *arg)
{
	(void)arg;
	return 0;       /* no packet is under way while this process is here */
}

int lab_node(struct lab *l, const char *name, struct lab_node **ret, struct vw_err *err)
{
	const struct np_sizes sizes = { .max = {
		[NP_M_IP4] = 1024, [NP_M_IP6] = 1024, [NP_M_CIDR4] = 2048, [NP_M_CIDR6] = 2048, [NP_M_CT] = 4,
		[NP_M_FRAG] = 256, [NP_M_FQDN4] = 256, [NP_M_FQDN6] = 256, [NP_M_DNS] = 256, [NP_M_EVENTS] = 4096 } }, as_ever = { { 0 } };
	struct np_pub_io io;
	struct lab_node *n;
	char dir[64];
	int r;

	for (unsigned int i = 0; i < l->n_node; i++) {
		*ret = &l->node[i];
		if (strcmp(l->node[i].name, name) == 0)
			return 0;
	}
	if (l->n_node == NODES)
		return vw_err_set(err, E2BIG, 0, "more than %d nodes", NODES);
	n = *ret = &l->node[l->n_node];
	(void)snprintf(dir, sizeof(dir), "/proc/self/fd/%d/%u", l->fs, l->n_node);
	if (VW_COPY(n->name, name) < 0)
		return vw_err_set(err, EINVAL, 0, "name of node %s", name);
	r = np_open(dir, l->live ? &as_ever : &sizes, &n->np, err);
	if (r < 0)
		return r;
	l->n_node++;
	io = np_publish_io(n->np);
	if (!l->live)
		io.barrier = no_barrier;
	return np_publish_new(&io, &n->pub, err);
}

unsigned int lab_node_index(const struct lab *l, const struct lab_node *n)
{
	return (unsigned int)(n - l->node);
}

struct np *lab_node_np(const struct lab_node *n)
{
	return n->np;
}

int lab_gone(struct lab_node *n, unsigned int slot, struct vw_err *err)
{
	n->pod[slot] = (struct np_pod_conf){ .eni = 0 };
	return np_slot_clear(n->np, slot, err);
}

static int put_pod(struct lab *l, struct lab_node *n, const struct np_local *local, struct vw_err *err)
{
	unsigned int slot = local->slot;
	int r = add_links(l, slot + 1, err);

	n->pod[slot] = (struct np_pod_conf){ .ip4 = local->ip4, .ip6 = local->ip6, .eni = (slot + 1) & NP_MARK_ENI_MASK };
	if (slot >= n->n_slot)
		n->n_slot = slot + 1;
	return r < 0 ? r : np_slot_publish(n->np, slot, &n->pod[slot], err);
}

int lab_settle(struct lab_node *n, struct vw_err *err)
{
	return np_publish_settle(n->pub, err);
}

int lab_image(struct lab *l, struct lab_node *n, const struct tables_node *t, struct vw_err *err)
{
	int r = 0;

	for (unsigned int i = 0; i < n->n_slot && r == 0; i++) {
		if (i >= t->n_slot || !t->pod[i][0])
			r = lab_gone(n, i, err);
	}
	if (r == 0)
		r = np_publish_image(n->pub, t->img, err);
	if (r == 0)
		r = lab_settle(n, err);
	for (unsigned int i = 0; i < t->n_slot && r == 0; i++) {
		if (t->pod[i][0])
			r = put_pod(l, n, &t->local[i], err);
	}
	return r;
}

int lab_subject(struct lab *l, struct lab_node *n, const struct tables_node *t, unsigned int slot, unsigned int blob, struct vw_err *err)
{
	int r = 0;

	if (t->fresh[slot])
		r = lab_gone(n, slot, err);
	if (r == 0)
		r = np_publish_subject(n->pub, slot, blob, err);
	return r == 0 && t->fresh[slot] ? put_pod(l, n, &t->local[slot], err) : r;
}

int lab_peer(struct lab_node *n, const struct np_peer_change *c, struct vw_err *err)
{
	int r = np_publish_peer(n->pub, c, err);

	if (r == 0)
		np_publish_judge_again(n->pub);
	return r;
}

/* --- packets */

/** struct shot - one packet at one program. @mark: before, then after it. @filter: a socket filter, which says whether to drop. */
struct shot {
	int prog;
	bool filter;
	unsigned int ifindex, from;
	uint32_t mark;
};

static int denials(struct lab_node *n, uint64_t ret[NP_DIRS], struct vw_err *err)
{
	static const uint32_t reason[] = { [NP_INGRESS] = NP_DROP_INGRESS, [NP_EGRESS] = NP_DROP_EGRESS };
	uint64_t cpu[1024];

	for (int d = 0; d < NP_DIRS; d++) {
		memset(cpu, 0, sizeof(cpu));
		if (bpf_map_lookup_elem(np_map_fd(n->np, NP_M_DROPS), &reason[d], cpu) < 0)
			return vw_err_set(err, errno, 0, "np_drops");
		ret[d] = 0;
		for (size_t i = 0; i < VW_ARRAY_SIZE(cpu); i++)
			ret[d] += cpu[i];
	}
	return 0;
}

/** was_denied() - a drop is an answer only if policy was the reason. Return: the direction that dropped it, -errno. */
static int was_denied(struct lab_node *n, struct vw_err *err)
{
	uint64_t now[NP_DIRS], all[NP_DROP_MAX];
	int r = denials(n, now, err), in, out;

	if (r < 0)
		return r;
	in = (int)(now[NP_INGRESS] - n->dropped[NP_INGRESS]);
	out = (int)(now[NP_EGRESS] - n->dropped[NP_EGRESS]);
	memcpy(n->dropped, now, sizeof(now));
	if (in + out == 1)
		return in ? NP_INGRESS : NP_EGRESS;
	r = np_drops(n->np, all, err);
	vw_err_set(err, EPROTO, 0, "dropped, but not for policy; all drops so far:");
	for (unsigned int i = 0; i < NP_DROP_MAX && r == 0; i++) {
		size_t at = strlen(err->msg);

		if (all[i])
			(void)snprintf(err->msg + at, sizeof(err->msg) - at, " %s %lu", np_drop_name(i), (unsigned long)all[i]);
	}
	return -EPROTO;
}

/** shoot() - Return: 1 = passed, 0 = dropped by policy, -errno. @ret_dir: by which, may be NULL. */
static int shoot(struct lab_node *n, struct shot *s, const struct pkt *p, int *ret_dir, struct vw_err *err)
{
	struct __sk_buff in = { .ifindex = s->ifindex, .ingress_ifindex = s->from, .mark = s->mark }, out = { 0 };
	uint8_t data[sizeof(p->b)];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = p->b, .data_size_in = (uint32_t)p->len, .data_out = data,
		    .data_size_out = sizeof(data), .ctx_in = &in, .ctx_size_in = sizeof(in), .ctx_out = &out,
		    .ctx_size_out = sizeof(out));
	int r = bpf_prog_test_run_opts(s->prog, &opts);

	if (r < 0)
		return vw_err_set(err, -r, 0, "BPF_PROG_TEST_RUN");
	if (s->filter)          /* test_run gives its frame's head back as zeros */
		memcpy(data, p->b, ETH_HLEN);
	if (opts.data_size_out != p->len || memcmp(data, p->b, p->len) != 0)
		return vw_err_set(err, EPROTO, 0, "the packet was changed");
	s->mark = out.mark;
	if (s->filter ? opts.retval == 0 : (int)opts.retval == TC_ACT_UNSPEC)
		return 1;
	if (opts.retval != (s->filter ? 1 : TC_ACT_SHOT))
		return vw_err_set(err, EPROTO, 0, "the program returned %d", (int)opts.retval);
	r = was_denied(n, err);
	if (r >= 0 && ret_dir)
		*ret_dir = r;
	return r < 0 ? r : 0;
}

/** enum goal - what from_pod does with a packet: judges it, leaves that to who sees its real destination, or both. */
enum goal { GOAL_PEER, GOAL_SERVICE, GOAL_OWN_NODE };

static enum goal goal_of(const struct lab_node *n, unsigned int slot, const struct vw_ip *dst)
{
	struct np_lookup l = { .slot = slot, .dir = NP_EGRESS, .peer = *dst, .proto = IPPROTO_TCP, .port = 1 };

	return np_publish_look(n->pub, &l) == 0 && l.flags & NP_IDENT_OWN_NODE ? GOAL_OWN_NODE : GOAL_PEER;
}

static int from_pod(struct lab_node *n, unsigned int slot, const struct pkt *p, enum goal goal, uint32_t *ret_mark, struct vw_err *err)
{
	struct shot s = { .prog = np_from_pod_fd(n->np), .ifindex = veth(slot), .from = veth(slot), .mark = MARK_IN };
	uint32_t want = (MARK_IN & ~(NP_MARK_ENI_MASK | MARK_OURS)) | n->pod[slot].eni;
	int dir = NP_EGRESS, r = shoot(n, &s, p, &dir, err);

	if (goal != GOAL_PEER)
		want |= NP_MARK_PENDING | slot << NP_MARK_SLOT_SHIFT;
	if (r == 1 && s.mark != want)
		return vw_err_set(err, EPROTO, 0, "from_pod left mark %#x, not %#x", s.mark, want);
	if (r == 0 && (goal == GOAL_SERVICE || dir != NP_EGRESS))
		return vw_err_set(err, EPROTO, 0, "from_pod dropped what it was not to judge");
	*ret_mark = s.mark;
	return r;
}

/** to() - to_wire, or to_pod when @slot is one. @mark: as from_pod left it, or MARK_IN. */
static int to(struct lab_node *n, unsigned int slot, unsigned int from, uint32_t mark, const struct pkt *p, struct vw_err *err)
{
	bool pod = slot < SLOTS;
	struct shot s = { .prog = pod ? np_to_pod_fd(n->np) : np_to_wire_fd(n->np), .ifindex = pod ? veth(slot) : ENI_INDEX,
			  .from = from, .mark = mark };
	int dir = -1, r = shoot(n, &s, p, &dir, err);
	bool pending = mark & NP_MARK_PENDING;

	if (r == 1 && s.mark != (pending ? mark & ~MARK_OURS : mark))
		return vw_err_set(err, EPROTO, 0, "mark %#x became %#x", mark, s.mark);
	if (r == 0 && !pending && dir != NP_INGRESS)
		return vw_err_set(err, EPROTO, 0, "what was judged already was judged again for its sender");
	return r;
}

/* --- flows */

static bool is_echo(const struct pkt_flow *f)
{
	return f->proto == (f->src.family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

static bool has_ports(const struct pkt_flow *f)
{
	return f->proto == IPPROTO_TCP || f->proto == IPPROTO_UDP || f->proto == IPPROTO_SCTP;
}

/** enum way - of a flow, seen from a slot. BEHIND: out of it, behind a service's address. */
enum way { IN, OUT, BEHIND };

/**
 * forget() - delete the flow's entry of slot @slot, which is there if it was let through, so that nothing that is asked later is
 * an answer to it.
 */
static int forget(struct lab_node *n, unsigned int slot, const struct pkt_flow *f, enum way way, bool is_there, struct vw_err *err)
{
	const bool egress = way != IN;
	const struct np_slot *slots = np_map_mem(n->np, NP_M_SLOTS);
	const struct np_ct_maps m = np_ct_maps_of(n->np);
	struct np_flow of = { .slot = slot, .gen = slots[slot].gen, .proto = f->proto, .remote = egress ? f->dst : f->src,
			      .post = way == BEHIND };

	if (has_ports(f)) {
		of.rport = egress ? f->dport : f->sport;
		of.lport = egress ? f->sport : f->dport;
	} else if (is_echo(f)) {
		of.rport = egress ? NP_CT_ECHO_OUT : NP_CT_ECHO_IN;
		of.lport = f->sport;
	}
	if (np_ct_forget(&m, &of))
		return is_there ? 0 : vw_err_set(err, EPROTO, 0, "a flow that was dropped has an entry in conntrack");
	return is_there ? vw_err_set(err, EPROTO, 0, "a flow that was let through has no entry in conntrack") : 0;
}

/** passes() - what follows an opened flow must. */
static int passes(int r, const char *what, struct vw_err *err)
{
	return r == 0 ? vw_err_set(err, EPROTO, 0, "%s of a flow that was let through was dropped", what) : r;
}

static unsigned int slot_of(const struct lab_node *n, const struct vw_ip *ip)
{
	for (unsigned int i = 0; i < n->n_slot; i++) {
		if (vw_ip_eq(ip->family == AF_INET ? &n->pod[i].ip4 : &n->pod[i].ip6, ip))
			return i;
	}
	return SLOTS;
}

struct asking {
	struct lab_node *n;
	unsigned int slot;
	enum pkt_dress dress;
	bool on;                /* what follows the first packet is sent, too */
	bool names;             /* the peer is known by some */
	struct vw_err *err;
};

/** at_node() - the same flow, behind a service's address: it must come to the verdict @want, too. */
static int at_node(const struct asking *a, const struct pkt_flow *f, int want)
{
	struct shot s = { .prog = np_at_node_fd(a->n->np, f->dst.family == AF_INET ? 4 : 6), .filter = true, .ifindex = veth(a->slot),
			  .from = veth(a->slot), .mark = NP_MARK_PENDING | a->slot << NP_MARK_SLOT_SHIFT };
	struct pkt p;
	int r;

	pkt_make(f, PKT_OPEN, a->dress, &p);
	r = shoot(a->n, &s, &p, NULL, a->err);
	if (r >= 0 && r != want)
		return vw_err_set(a->err, EPROTO, 0, "from_pod says %d of what is for the node, at_node %d", want, r);
	return r < 0 ? r : forget(a->n, a->slot, f, BEHIND, r == 1, a->err);
}

static int egress(const struct asking *a, const struct pkt_flow *f)
{
	const enum goal goal = goal_of(a->n, a->slot, &f->dst);
	uint32_t mark;
	struct pkt p;
	int r, open;

	pkt_make(f, PKT_OPEN, a->dress, &p);
	open = r = from_pod(a->n, a->slot, &p, goal, &mark, a->err);
	if (r == 1 && a->on && (has_ports(f) || is_echo(f))) {
		pkt_make(f, PKT_ANSWER, a->dress, &p);
		r = passes(to(a->n, a->slot, ENI_INDEX, MARK_IN, &p, a->err), "the answer", a->err);
		if (r == 1) {
			pkt_make(f, PKT_MORE, PKT_PLAIN, &p);
			r = passes(from_pod(a->n, a->slot, &p, goal, &mark, a->err), "the next packet", a->err);
		}
	}
	if (r >= 0)
		r = forget(a->n, a->slot, f, OUT, open == 1, a->err);
	/* which knows no names */
	if (r >= 0 && goal == GOAL_OWN_NODE && !a->names)
		r = at_node(a, f, open);
	return r < 0 ? r : open;
}

static int ingress(const struct asking *a, const struct pkt_flow *f, bool node_local)
{
	unsigned int peer = slot_of(a->n, &f->src), from = node_local ? 0 : peer < SLOTS ? veth(peer) : ENI_INDEX;
	uint32_t mark;
	struct pkt p;
	int r, open;

	pkt_make(f, PKT_OPEN, a->dress, &p);
	open = r = to(a->n, a->slot, from, MARK_IN, &p, a->err);
	if (r == 1 && a->on && (has_ports(f) || is_echo(f))) {
		pkt_make(f, PKT_ANSWER, a->dress, &p);
		r = passes(from_pod(a->n, a->slot, &p, GOAL_PEER, &mark, a->err), "the answer", a->err);
		if (r == 1) {
			pkt_make(f, PKT_MORE, PKT_PLAIN, &p);
			r = passes(to(a->n, a->slot, from, MARK_IN, &p, a->err), "the next packet", a->err);
		}
	}
	if (r >= 0)
		r = forget(a->n, a->slot, f, IN, open == 1, a->err);
	return r < 0 ? r : open;
}

/** beside() - behind DNAT the flow enters another pod here: the egress of the one and the ingress of the other decide. */
static int beside(const struct asking *a, const struct pkt_flow *real, unsigned int peer, uint32_t mark, int out)
{
	struct pkt p;
	int in, both, r;

	pkt_make(real, PKT_OPEN, a->dress, &p);
	in = r = to(a->n, peer, veth(a->slot), MARK_IN, &p, a->err);
	if (r >= 0)
		r = forget(a->n, peer, real, IN, in == 1, a->err);
	if (r < 0)
		return r;
	both = r = to(a->n, peer, veth(a->slot), mark, &p, a->err);
	if (r < 0)
		return r;
	if (both != (in && out))
		return vw_err_set(a->err, EPROTO, 0, "egress %d, ingress %d, but both together %d", out, in, both);
	r = forget(a->n, a->slot, real, BEHIND, out == 1, a->err);
	return r < 0 ? r : forget(a->n, peer, real, IN, both == 1, a->err);
}

/** by_service() - @f: to the service's address; @real: as DNAT makes it. */
static int by_service(const struct asking *a, const struct pkt_flow *f, const struct pkt_flow *real)
{
	unsigned int peer = slot_of(a->n, &real->dst);
	uint32_t mark, more;
	struct pkt p;
	int r, out;

	pkt_make(f, PKT_OPEN, a->dress, &p);
	r = from_pod(a->n, a->slot, &p, GOAL_SERVICE, &mark, a->err);
	if (r < 0)
		return r;
	pkt_make(real, PKT_OPEN, a->dress, &p);
	out = r = to(a->n, SLOTS, veth(a->slot), mark, &p, a->err);
	if (r == 1 && a->on) {
		pkt_make(f, PKT_ANSWER, a->dress, &p);
		r = passes(to(a->n, a->slot, ENI_INDEX, MARK_IN, &p, a->err), "the answer", a->err);
	}
	if (r == 1 && a->on) {
		pkt_make(f, PKT_MORE, PKT_PLAIN, &p);
		r = from_pod(a->n, a->slot, &p, GOAL_SERVICE, &more, a->err);
		pkt_make(real, PKT_MORE, PKT_PLAIN, &p);
		if (r == 1)
			r = passes(to(a->n, SLOTS, veth(a->slot), more, &p, a->err), "the next packet", a->err);
	}
	if (r >= 0)
		r = forget(a->n, a->slot, f, OUT, true, a->err);
	if (r == 0)
		r = forget(a->n, a->slot, real, BEHIND, out == 1, a->err);
	if (r == 0 && peer < SLOTS && peer != a->slot)
		r = beside(a, real, peer, mark, out);
	return r < 0 ? r : out;
}

/* --- names */

int lab_teach(struct lab_node *n, unsigned int slot, const struct vw_ip *peer, uint64_t names, bool known, struct vw_err *err)
{
	const struct np_slot *slots = np_map_mem(n->np, NP_M_SLOTS);
	const struct np_line *arena = np_map_mem(n->np, NP_M_ARENA);
	const struct np_blob *blob = (const struct np_blob *)&arena[slots[slot].pub & NP_PUB_LINE_MASK];
	bool four = peer->family == AF_INET;
	struct np_fqdn4_key k4 = { .set = blob->fqdn_set };
	struct np_fqdn6_key k6 = { .set = blob->fqdn_set };
	struct np_fqdn v = { .names = { names }, .expires = { np_tick() + 3600 } };
	int fd = np_map_fd(n->np, four ? NP_M_FQDN4 : NP_M_FQDN6);
	const void *key = four ? (const void *)&k4 : &k6;

	if (!names)
		return 0;
	if (blob->magic != NP_BLOB_MAGIC || !blob->fqdn_set)
		return vw_err_set(err, EPROTO, 0, "the blob knows names but has no key for them");
	memcpy(&k4.ip, peer->b, sizeof(k4.ip));
	memcpy(k6.ip, peer->b, sizeof(k6.ip));
	/* pods of one kind share what they are told, so it may be forgotten already */
	if ((known ? bpf_map_update_elem(fd, key, &v, BPF_F_LOCK) : bpf_map_delete_elem(fd, key)) && (known || errno != ENOENT))
		return vw_err_set(err, errno, 0, "np_fqdn");
	return 0;
}

int lab_judge(struct lab *l, struct lab_node *n, unsigned int slot, const struct px_half *h, uint64_t names, struct vw_err *err)
{
	const struct asking a = { .n = n, .slot = slot, .dress = (enum pkt_dress)(l->turn % PKT_DRESSES),
				  .on = l->turn / PKT_DRESSES % FOLLOW == 0, .names = names != 0, .err = err };
	uint16_t sport = (uint16_t)(PORT_FIRST + l->turn++ % PORT_COUNT);
	struct pkt_flow real = { .src = h->egress ? h->self : h->peer, .dst = h->egress ? h->peer : h->self, .proto = h->proto,
				 .sport = sport, .dport = h->port };
	struct pkt_flow f = real;
	struct vw_err ignored;
	int r = lab_teach(n, slot, &h->peer, names, true, err), last;

	if (r < 0)
		return r;
	f.dst = h->vip;
	f.dport = h->vip_port;
	if (!h->egress)
		r = ingress(&a, &real, h->node_local);
	else if (h->vip.family)
		r = by_service(&a, &f, &real);
	else
		r = egress(&a, &real);
	last = lab_teach(n, slot, &h->peer, names, false, r < 0 ? &ignored : err);
	return last < 0 && r >= 0 ? last : r;
}
