// SPDX-License-Identifier: Apache-2.0
/*
 * What of each entry of the flow table has been told: two sums a place, in a file that is mapped. Only sweeps take entries away, and
 * each one that dies is told to its end and its place set to nothing, so a place's note is always about the entry that is there.
 *
 *   entry's sum - note = what is new  ->  a record in the batch  ->  the batch is in the file  ->  note = the sum that it was made from
 *
 * A batch that cannot be written is forgotten, and so what it was about is in the next interval's records; only of flows that have
 * ended it is lost (SKIPDATA). A daemon that is killed between the last two steps tells one batch twice.
 */
#include "daemon/flowlog_priv.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/fnv.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "netpolicy-bpf/user/np_ct.h"
#include "netpolicy-bpf/user/np_loader.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BATCH_BYTES (64 * 1024)
#define BATCH_NOTES 512
#define DENIED_MAX 8192         /* different ones in an interval */
#define ENIS_MAX 128            /* branches too */
#define ID_LEN 32

/** struct state - the mapped file: @seen[place], by enum np_dir. @since_s: Unix time at which the interval under way began. */
#define STATE_MAGIC 0x564c4f47u
struct state {
	uint32_t magic, table, places, adopted;
	int64_t since_s;
	uint64_t pad;
	uint64_t seen[][NP_DIRS];
};

/** struct who - @head, @tail: of its records, JSON; owned. @next: index + 1 of another one of the slot. */
struct who {
	uint8_t gen;
	struct vw_ip ip4, ip6;
	unsigned int eni, next;
	char *head, *tail;
};

/** struct denied - packets of one kind that were dropped; @key has no padding. */
struct denied_key {
	uint8_t ip[16];
	uint32_t rule;
	uint16_t slot, port_pod, port_peer;
	uint8_t gen, dir, family, proto, pad[2];
};
_Static_assert(sizeof(struct denied_key) == 32, "compared as memory");
struct denied {
	struct denied_key key;
	uint64_t packets, bytes, first_ns, last_ns;
	UT_hash_handle hh;
};

/** struct iface - @here: a pod has it. @data, @skipped: in this interval. */
struct iface {
	char id[ID_LEN];
	bool here, data, skipped;
};

struct note {
	uint32_t place;
	uint64_t seen[NP_DIRS];
};

/**
 * struct flowlog
 * @denied: of the interval under way, by the loop; @closing: of the one that a worker writes.
 * @failing: a write of this pass failed, with @why. @said: and that was logged. @skip_all: something was left out of this interval.
 * @written, @lost: records, by the worker; @shown: what they were at the end of the last pass.
 */
struct flowlog {
	struct flowlog_conf conf;
	struct flowlog_file file;
	struct state *state;
	size_t state_bytes;
	struct denied *denied, *closing;
	struct iface iface[ENIS_MAX];
	size_t n_iface;
	bool skip_all;
	uint64_t due_ms;
	/* of a pass */
	struct who *who;
	size_t n_who;
	unsigned int first[NP_SLOTS];
	char **rule;
	size_t n_rule;
	bool due, open;
	int64_t now_s;
	uint64_t now_ns;
	struct vw_buf batch;
	struct note note[BATCH_NOTES];
	size_t n_note, n_record;
	struct vw_err why;
	bool failing, said;
	uint64_t written, lost;
	struct flowlog_stats shown;
};

/* --- the mapped file */

static int state_map(struct flowlog *f, uint32_t table, uint32_t places, struct vw_err *err)
{
	const size_t bytes = sizeof(struct state) + (size_t)places * sizeof(f->state->seen[0]);
	vw_auto_close int fd = open(f->conf.state, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;
	void *mem;

	if (fd < 0 || fstat(fd, &st) < 0)
		return vw_err_sys(err, errno, 0, "opening '%s'", f->conf.state);
	/* allocated, so that a full disk says so here and not by a signal */
	if ((uint64_t)st.st_size != bytes && (ftruncate(fd, 0) < 0 || (errno = posix_fallocate(fd, 0, (off_t)bytes)) != 0)) {
		int r = vw_err_sys(err, errno, 0, "making '%s' of %zu bytes", f->conf.state, bytes);

		(void)unlink(f->conf.state);
		return r;
	}
	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return vw_err_sys(err, errno, 0, "mapping '%s'", f->conf.state);
	f->state = mem;
	f->state_bytes = bytes;
	if (f->state->magic == STATE_MAGIC && f->state->table == table && f->state->places == places && f->state->adopted)
		return 1;
	memset(mem, 0, bytes);
	f->state->table = table;
	f->state->places = places;
	f->state->since_s = vw_unix_s();
	f->state->magic = STATE_MAGIC;
	return 0;
}

static void limits(struct flowlog *f)
{
	f->file.max_bytes = f->conf.max_bytes;
	f->file.files = f->conf.files;
}

int flowlog_new(const struct flowlog_conf *conf, uint32_t table, uint32_t places, struct flowlog **ret, struct vw_err *err)
{
	struct flowlog *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return vw_err_set(err, ENOMEM, 0, "no memory for the flow log");
	f->conf = *conf;
	f->file.fd = -EBADF;
	(void)VW_COPY(f->file.path, conf->path);
	limits(f);
	/* a path that cannot be is told now */
	r = flowlog_file_open(&f->file, err);
	flowlog_file_close(&f->file);
	if (r == 0)
		r = state_map(f, table, places, err);
	if (r < 0) {
		flowlog_free(f);
		return r;
	}
	f->due_ms = vw_mono_ms() + 1000ull * conf->interval_s;
	*ret = f;
	return r;
}

static void denied_free(struct denied **all)
{
	struct denied *d, *tmp;

	HASH_ITER(hh, *all, d, tmp) {
		HASH_DEL(*all, d);
		free(d);
	}
}

static void pass_done(struct flowlog *f)
{
	for (size_t i = 0; i < f->n_who; i++) {
		free(f->who[i].head);
		free(f->who[i].tail);
	}
	for (size_t i = 0; i < f->n_rule; i++)
		free(f->rule[i]);
	free(f->who);
	free(f->rule);
	f->who = NULL;
	f->rule = NULL;
	f->n_who = f->n_rule = 0;
	vw_buf_done(&f->batch);
	f->batch = (struct vw_buf)VW_BUF_INIT;
	denied_free(&f->closing);
}

struct flowlog *flowlog_free(struct flowlog *f)
{
	if (!f)
		return NULL;
	pass_done(f);
	denied_free(&f->denied);
	if (f->state)
		(void)munmap(f->state, f->state_bytes);
	flowlog_file_close(&f->file);
	free(f);
	return NULL;
}

void flowlog_forget(const char *state)
{
	(void)unlink(state);
}

static uint64_t *seen(struct flowlog *f, const struct np_flow *flow)
{
	return flow->place < f->state->places ? f->state->seen[flow->place] : NULL;
}

int flowlog_adopt(void *flowlog, const struct np_flow *flow)
{
	struct flowlog *f = flowlog;
	uint64_t *s = seen(f, flow);

	if (s)
		memcpy(s, flow->ct.sum, sizeof(flow->ct.sum));
	return 0;
}

void flowlog_adopted(struct flowlog *f)
{
	f->state->adopted = 1;
}

void flowlog_tune(struct flowlog *f, const struct flowlog_conf *conf)
{
	if (conf->interval_s != f->conf.interval_s)
		f->due_ms = vw_mono_ms() + 1000ull * conf->interval_s;
	f->conf = *conf;
	limits(f);
}

uint64_t flowlog_due_ms(const struct flowlog *f)
{
	uint64_t now = vw_mono_ms();

	return f->due_ms > now ? f->due_ms - now : 0;
}

struct flowlog_stats flowlog_stats(const struct flowlog *f)
{
	return f->shown;
}

const char *flowlog_fault_name(enum flowlog_fault fault)
{
	static const char *const names[FLOWLOG_FAULTS] = { "open", "write", "rotate" };

	return names[fault];
}

/* --- interfaces */

static unsigned int iface_of(struct flowlog *f, const char *id)
{
	size_t i;

	for (i = 0; i < f->n_iface; i++)
		if (!strcmp(f->iface[i].id, id))
			return (unsigned int)i;
	if (f->n_iface < ENIS_MAX) {
		f->iface[i] = (struct iface){ .skipped = f->skip_all };
		(void)VW_COPY(f->iface[i].id, id);
		f->n_iface++;
		return (unsigned int)i;
	}
	return ENIS_MAX - 1;
}

/* those too that are not known yet */
static void skip_all(struct flowlog *f)
{
	f->skip_all = true;
	for (size_t i = 0; i < f->n_iface; i++)
		f->iface[i].skipped = true;
}

void flowlog_skipped(struct flowlog *f, const char *eni)
{
	if (eni)
		f->iface[iface_of(f, eni)].skipped = true;
	else
		skip_all(f);
}

/* --- what was denied */

/* 1 of so many flows, always the same ones */
static bool left_out(const struct flowlog *f, const struct denied_key *key)
{
	uint64_t h;

	if (f->conf.sample <= 1)
		return false;
	h = vw_fnv1a(VW_FNV1A, key, sizeof(*key));
	return (h ^ h >> 32) % f->conf.sample;
}

int flowlog_denied(struct flowlog *f, const struct np_event *e, uint8_t gen)
{
	struct denied_key key = { .rule = NP_VERDICT_ARG(e->verdict), .slot = e->slot, .gen = gen, .dir = e->dir, .family = e->family,
				  .proto = e->proto, .port_pod = ntohs(e->port_pod), .port_peer = ntohs(e->port_peer) };
	struct denied *d;

	memcpy(key.ip, e->ip_peer, sizeof(key.ip));
	if (left_out(f, &key))
		return 0;
	HASH_FIND(hh, f->denied, &key, sizeof(key), d);
	if (!d) {
		d = HASH_COUNT(f->denied) < DENIED_MAX ? calloc(1, sizeof(*d)) : NULL;
		if (!d) {
			f->shown.left_out++;
			return -ENOSPC;
		}
		d->key = key;
		d->first_ns = e->ns;
		HASH_ADD(hh, f->denied, key, sizeof(d->key), d);
		if (!d->hh.tbl) {
			free(d);
			f->shown.left_out++;
			return -ENOMEM;
		}
	}
	d->packets++;
	d->bytes += e->len;
	d->last_ns = e->ns;
	return 0;
}

/* --- a pass: what records need of others, copied for the worker */

/* "a":"b","c":"d" of pairs, NULL values left out */
static char *pairs(const char *const kv[][2], size_t n)
{
	vw_auto_json struct vw_json *o = vw_json_new_object();
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	char *text;
	int bad = 0;

	for (size_t i = 0; i < n; i++)
		bad |= vw_json_set_str(o, kv[i][0], kv[i][1]);
	if (bad || vw_json_print(o, 0, &b) < 0 || vw_buf_err(&b) || b.len < 2)
		return NULL;
	text = strdup(vw_buf_str(&b) + 1);
	if (text)
		text[strlen(text) - 1] = 0;
	return text;
}

static int copy_who(struct flowlog *f, const char *account, const struct flowlog_who *from, size_t n)
{
	memset(f->first, 0, sizeof(f->first));
	for (size_t i = 0; i < n; i++) {
		const char *const head[][2] = { { "account-id", account[0] ? account : "unknown" }, { "interface-id", from[i].eni } };
		const char *const tail[][2] = { { "namespace", from[i].space }, { "pod", from[i].pod } };
		struct who *w = &f->who[i];

		w->gen = from[i].gen;
		w->ip4 = from[i].ip4;
		w->ip6 = from[i].ip6;
		w->eni = iface_of(f, from[i].eni);
		w->head = pairs(head, 2);
		w->tail = pairs(tail, 2);
		f->n_who++;
		if (!w->head || !w->tail)
			return -ENOMEM;
		f->iface[w->eni].here = true;
		w->next = f->first[from[i].slot % NP_SLOTS];
		f->first[from[i].slot % NP_SLOTS] = (unsigned int)i + 1;
	}
	return 0;
}

int flowlog_begin(struct flowlog *f, const char *account, const struct flowlog_who *who, size_t n_who, const struct flowlog_rule *rules,
		  size_t n_rules)
{
	struct timespec mono;
	int r = 0;

	f->who = calloc(n_who + 1, sizeof(*f->who));
	f->rule = calloc(n_rules + 1, sizeof(*f->rule));
	if (!f->who || !f->rule)
		r = -ENOMEM;
	if (r == 0)
		r = copy_who(f, account, who, n_who);
	for (size_t i = 0; r == 0 && i < n_rules; i++) {
		const char *const kv[][2] = { { "tier", rules[i].tier }, { "policy", rules[i].policy }, { "rule", rules[i].rule } };

		f->n_rule++;
		if (rules[i].policy && !(f->rule[i] = pairs(kv, 3)))
			r = -ENOMEM;
	}
	if (r < 0) {
		pass_done(f);
		return r;
	}
	f->now_s = vw_unix_s();
	(void)clock_gettime(CLOCK_MONOTONIC, &mono);
	f->now_ns = (uint64_t)mono.tv_sec * 1000000000u + (uint64_t)mono.tv_nsec;
	f->due = flowlog_due_ms(f) == 0;
	f->failing = false;
	f->open = flowlog_file_open(&f->file, &f->why) == 0;
	f->failing = !f->open;
	if (f->due) {
		f->closing = f->denied;
		f->denied = NULL;
	}
	return 0;
}

/* --- records */

static int64_t unix_of(const struct flowlog *f, uint64_t mono_ns)
{
	return f->now_s - ((int64_t)f->now_ns - (int64_t)mono_ns) / 1000000000;
}

static int64_t unix_of_tick(const struct flowlog *f, uint32_t tick)
{
	const int32_t ago = (int32_t)((uint32_t)(f->now_ns >> NP_TICK_SHIFT) - tick);

	return f->now_s - (ago > 0 ? ((int64_t)ago << NP_TICK_SHIFT) / 1000000000 : 0);
}

/** flush() - the batch into the file; only then is it told. */
static void flush(struct flowlog *f)
{
	if (f->batch.len && f->open && vw_buf_err(&f->batch) == 0 && flowlog_file_write(&f->file, vw_buf_str(&f->batch), f->batch.len, &f->why) == 0) {
		for (size_t i = 0; i < f->n_note; i++)
			memcpy(f->state->seen[f->note[i].place], f->note[i].seen, sizeof(f->note[i].seen));
		f->written += f->n_record;
	} else if (f->n_record) {
		f->failing = true;
		f->lost += f->n_record;
	}
	vw_buf_reset(&f->batch);
	f->n_note = f->n_record = 0;
}

static struct who *who_of(struct flowlog *f, unsigned int slot, uint8_t gen)
{
	for (unsigned int i = f->first[slot % NP_SLOTS]; i; i = f->who[i - 1].next)
		if (f->who[i - 1].gen == gen)
			return &f->who[i - 1];
	return NULL;
}

/** struct record - what is told. @out: from the pod. @ports: pod's, peer's; 0 but for TCP, UDP, SCTP. */
struct record {
	struct who *who;
	bool out, accept;
	struct vw_ip peer;
	uint16_t pod_port, peer_port;
	uint8_t proto;
	uint32_t rule;
	uint64_t packets, bytes;
	int64_t start, end;
};

static bool has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

static void put(struct flowlog *f, const struct record *r)
{
	const char *rule = r->rule < f->n_rule ? f->rule[r->rule] : NULL;
	const struct vw_ip *own = r->peer.family == AF_INET ? &r->who->ip4 : &r->who->ip6;
	const unsigned int pod_port = has_ports(r->proto) ? r->pod_port : 0, peer_port = has_ports(r->proto) ? r->peer_port : 0;
	char pod[VW_IP_STRLEN], peer[VW_IP_STRLEN];

	(void)vw_ip_str(own, pod);
	(void)vw_ip_str(&r->peer, peer);
	vw_buf_printf(&f->batch, "{\"version\":2,%s,\"srcaddr\":\"%s\",\"dstaddr\":\"%s\",\"srcport\":%u,\"dstport\":%u,\"protocol\":%u",
		      r->who->head, r->out ? pod : peer, r->out ? peer : pod, r->out ? pod_port : peer_port, r->out ? peer_port : pod_port, r->proto);
	vw_buf_printf(&f->batch, ",\"packets\":%llu,\"bytes\":%llu,\"start\":%lld,\"end\":%lld,\"action\":\"%s\",\"log-status\":\"OK\"",
		      (unsigned long long)r->packets, (unsigned long long)r->bytes, (long long)r->start, (long long)r->end,
		      r->accept ? "ACCEPT" : "REJECT");
	vw_buf_printf(&f->batch, ",\"flow-direction\":\"%s\",%s%s%s}\n", r->out ? "egress" : "ingress", r->who->tail, rule ? "," : "",
		      rule ? rule : "");
	f->iface[r->who->eni].data = true;
	f->n_record++;
}

/** tell() - the news of an entry, in both directions. Return: there was some. */
static bool tell(struct flowlog *f, const struct np_flow *flow, const uint64_t *before)
{
	struct record r = { .who = who_of(f, flow->slot, flow->gen), .accept = true, .peer = flow->remote, .pod_port = flow->lport,
			    .peer_port = flow->rport, .proto = flow->proto, .rule = flow->ct.rule };
	const int64_t start = unix_of_tick(f, flow->ct.start), last = unix_of_tick(f, flow->ct.last);
	bool news = false;

	if (!r.who)
		return false;
	r.end = last < f->now_s ? last : f->now_s;
	r.start = start > f->state->since_s ? start : f->state->since_s;
	if (r.start > r.end)
		r.start = r.end;
	for (int dir = 0; dir < NP_DIRS; dir++) {
		const uint64_t diff = flow->ct.sum[dir] - before[dir];

		if (!diff)
			continue;
		r.out = dir == NP_EGRESS;
		r.packets = NP_CT_PKTS(diff);
		r.bytes = NP_CT_BYTES(diff);
		put(f, &r);
		news = true;
	}
	return news;
}

/* Seen behind a service's address it has another entry, by that address, which the pod knows it by. */
static bool is_logged(const struct flowlog *f, const struct np_flow *flow)
{
	struct denied_key key = { .slot = (uint16_t)flow->slot, .gen = flow->gen, .family = flow->remote.family == AF_INET ? 4 : 6,
				  .proto = flow->proto, .port_pod = flow->lport, .port_peer = flow->rport };

	memcpy(key.ip, flow->remote.b, sizeof(key.ip));
	return !(flow->ct.flags & NP_CT_POST) && !left_out(f, &key);
}

int flowlog_live(void *flowlog, const struct np_flow *flow)
{
	struct flowlog *f = flowlog;
	const uint64_t *before = seen(f, flow);

	if (!before || !is_logged(f, flow) || !memcmp(before, flow->ct.sum, sizeof(flow->ct.sum)) || !tell(f, flow, before))
		return 0;
	f->note[f->n_note].place = flow->place;
	memcpy(f->note[f->n_note++].seen, flow->ct.sum, sizeof(flow->ct.sum));
	if (f->n_note == BATCH_NOTES || f->batch.len >= BATCH_BYTES)
		flush(f);
	return 0;
}

void flowlog_ended(void *flowlog, const struct np_flow *flow)
{
	static const uint64_t nothing[NP_DIRS];
	struct flowlog *f = flowlog;
	uint64_t *before = seen(f, flow);

	if (!before)
		return;
	if (is_logged(f, flow))
		(void)tell(f, flow, before);
	memcpy(before, nothing, sizeof(nothing));
	if (f->batch.len >= BATCH_BYTES)
		flush(f);
}

bool flowlog_is_due(const struct flowlog *f)
{
	return f->due;
}

static void put_denied(struct flowlog *f)
{
	for (const struct denied *d = f->closing; d; d = d->hh.next) {
		struct record r = { .who = who_of(f, d->key.slot, d->key.gen), .out = d->key.dir == NP_EGRESS, .pod_port = d->key.port_pod,
				    .peer_port = d->key.port_peer, .proto = d->key.proto, .rule = d->key.rule, .packets = d->packets,
				    .bytes = d->bytes, .start = unix_of(f, d->first_ns), .end = unix_of(f, d->last_ns) };

		r.peer.family = d->key.family == 4 ? AF_INET : AF_INET6;
		memcpy(r.peer.b, d->key.ip, d->key.family == 4 ? 4 : 16);
		if (r.who)
			put(f, &r);
		if (f->batch.len >= BATCH_BYTES)
			flush(f);
	}
}

static void put_status(struct flowlog *f, const struct iface *i, const char *status)
{
	const char *head = NULL;

	for (size_t w = 0; w < f->n_who && !head; w++)
		if (&f->iface[f->who[w].eni] == i)
			head = f->who[w].head;
	if (!head)
		return;
	vw_buf_printf(&f->batch, "{\"version\":2,%s,\"start\":%lld,\"end\":%lld,\"log-status\":\"%s\"}\n", head, (long long)f->state->since_s,
		      (long long)f->now_s, status);
	f->n_record++;
}

void flowlog_write(struct flowlog *f)
{
	if (!f->due) {
		flush(f);
		flowlog_file_close(&f->file);
		return;
	}
	put_denied(f);
	flush(f);
	for (size_t i = 0; i < f->n_iface; i++) {
		struct iface *one = &f->iface[i];

		if (one->skipped)
			put_status(f, one, "SKIPDATA");
		else if (!one->data && one->here)
			put_status(f, one, "NODATA");
	}
	flush(f);
	flowlog_file_close(&f->file);
}

void flowlog_end(struct flowlog *f)
{
	if (f->failing && !f->said)
		vw_error("flow logs cannot be written, what is left out will be told as SKIPDATA; retrying", "err=\"%s\"", f->why.msg);
	else if (!f->failing && f->said)
		vw_info("flow logs are written again", "path=%s", f->conf.path);
	f->said = f->failing;
	f->shown.written = f->written;
	f->shown.lost = f->lost;
	memcpy(f->shown.faults, f->file.faults, sizeof(f->shown.faults));
	f->shown.failing = f->failing;
	if (f->due) {
		f->state->since_s = f->now_s;
		f->due_ms = vw_mono_ms() + 1000ull * f->conf.interval_s;
		f->n_iface = 0;
		f->skip_all = false;
	}
	if (f->failing)
		skip_all(f);
	f->due = false;
	pass_done(f);
}
