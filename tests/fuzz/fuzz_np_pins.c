/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pins that somebody else has written to. In the policy maps (plain memory here) stands what a daemon has left; the input changes bytes
 * of it: records of a place, an offset, a length, and the bytes. A daemon that starts then either refuses, and has changed nothing but what
 * a switch that had begun says, or takes it over: then the next image it publishes is in force, whatever stood there.
 * A first byte of 'c' is about the flow table instead: np_ct, filled likewise, is swept.
 */
#include "lib/base/err.h"
#include "netpolicy-bpf/user/np_ct.h"
#include "netpolicy-bpf/user/np_image.h"
#include "netpolicy-bpf/user/np_publish.h"
#include "netpolicy-bpf/user/np_world.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ENTRIES 64
#define DNS_ENTRIES 16
#define GROUPS 2u
#define PAGE 4096u

static void must(bool yes)
{
	if (!yes)
		abort();
}

/* --- the maps. Each is a private mapping of a file that holds what the former daemon left, so that changes are easily thrown away */

struct addr_entry {
	struct vw_ip ip;
	uint8_t len;            /* 255: an address, else a prefix */
	uint32_t ident;
};

struct lists {
	struct addr_entry addr[ENTRIES];
	struct {
		struct np_dns_key key;
		struct np_dns_names names;
	} dns[DNS_ENTRIES];
	unsigned int n_addr, n_dns;
};

enum region { R_ARENA, R_PORTS, R_IDENTS, R_SLOTS, R_JOURNAL, R_KEYS, R_LISTS, R_CT, REGIONS };

static struct {
	size_t bytes;
	char *mem;
} region[REGIONS] = {
	[R_ARENA] = { NP_ARENA_LINES * sizeof(struct np_line), NULL },
	[R_PORTS] = { NP_PORT_LINES * sizeof(struct np_line), NULL },
	[R_IDENTS] = { NP_IDENTS * sizeof(struct np_ident), NULL },
	[R_SLOTS] = { NP_SLOTS * sizeof(struct np_slot), NULL },
	[R_JOURNAL] = { (NP_SLOTS + 1) * sizeof(struct np_journal), NULL },
	[R_KEYS] = { NP_RULES * sizeof(uint64_t), NULL },
	[R_LISTS] = { sizeof(struct lists), NULL },
	[R_CT] = { GROUPS * sizeof(struct np_ct_group), NULL },
};

static size_t whole(size_t bytes)
{
	return (bytes + PAGE - 1) & ~(size_t)(PAGE - 1);
}

/* an inaccessible page follows each; what comes last of a map ends at its page's end only if its size is whole pages */
static void make_regions(bool shared, int fd)
{
	off_t at = 0;

	for (int i = 0; i < REGIONS; i++) {
		const size_t n = whole(region[i].bytes);

		region[i].mem = mmap(NULL, n + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(region[i].mem != MAP_FAILED);
		must(mmap(region[i].mem, n, PROT_READ | PROT_WRITE, MAP_FIXED | (shared ? MAP_SHARED : MAP_PRIVATE), fd, at) != MAP_FAILED);
		at += (off_t)n;
	}
}

static void drop_changes(void)
{
	for (int i = 0; i < REGIONS; i++)
		must(madvise(region[i].mem, whole(region[i].bytes), MADV_DONTNEED) == 0);
}

static struct lists *lists(void)
{
	return (struct lists *)region[R_LISTS].mem;
}

static struct addr_entry *find(const struct vw_ip *ip, uint8_t len)
{
	struct lists *l = lists();

	for (unsigned int i = 0; i < l->n_addr; i++)
		if (l->addr[i].len == len && vw_ip_eq(&l->addr[i].ip, ip))
			return &l->addr[i];
	return NULL;
}

static int set(const struct vw_ip *ip, uint8_t len, uint32_t ident)
{
	struct addr_entry *e = find(ip, len);

	if (!e && lists()->n_addr == ENTRIES)
		return -E2BIG;
	if (!e)
		e = &lists()->addr[lists()->n_addr++];
	*e = (struct addr_entry){ *ip, len, ident };
	return 0;
}

static int unset(const struct vw_ip *ip, uint8_t len)
{
	struct addr_entry *e = find(ip, len);

	if (e)
		*e = lists()->addr[--lists()->n_addr];
	return 0;
}

static int addr_set(void *arg, const struct vw_ip *ip, uint32_t ident) { return set(ip, 255, ident); }
static int addr_del(void *arg, const struct vw_ip *ip) { return unset(ip, 255); }
static int cidr_set(void *arg, const struct vw_cidr *c, uint32_t ident) { return set(&c->ip, c->len, ident); }
static int cidr_del(void *arg, const struct vw_cidr *c) { return unset(&c->ip, c->len); }
static int rule_clear(void *arg, uint32_t rule) { return 0; }
static int barrier(void *arg) { return 0; }

static int each_addr(void *arg, int (*fn)(void *fn_arg, const struct vw_ip *ip, uint32_t ident), void *fn_arg)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < lists()->n_addr; i++)
		if (lists()->addr[i].len == 255)
			r = fn(fn_arg, &lists()->addr[i].ip, lists()->addr[i].ident);
	return r;
}

static int each_cidr(void *arg, int (*fn)(void *fn_arg, const struct vw_cidr *c, uint32_t ident), void *fn_arg)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < lists()->n_addr; i++) {
		const struct vw_cidr c = { lists()->addr[i].ip, lists()->addr[i].len };

		if (c.len != 255)
			r = fn(fn_arg, &c, lists()->addr[i].ident);
	}
	return r;
}

static int ident_of(void *arg, const struct vw_ip *ip, uint32_t *ret)
{
	int best = -1;

	for (unsigned int i = 0; i < lists()->n_addr; i++) {
		const struct addr_entry *e = &lists()->addr[i];
		const struct vw_cidr c = { e->ip, e->len };

		if ((int)e->len > best && (e->len == 255 ? vw_ip_eq(&e->ip, ip) : vw_cidr_has(&c, ip))) {
			best = e->len;
			*ret = e->ident;
		}
	}
	return best < 0 ? -ENOENT : 0;
}

static int dns_at(const struct np_dns_key *key)
{
	for (unsigned int i = 0; i < lists()->n_dns; i++)
		if (memcmp(&lists()->dns[i].key, key, sizeof(*key)) == 0)
			return (int)i;
	return -1;
}

static int dns_set(void *arg, const struct np_dns_key *key, const struct np_dns_names *names)
{
	int at = dns_at(key);

	if (at < 0 && lists()->n_dns == DNS_ENTRIES)
		return -E2BIG;
	if (at < 0)
		at = (int)lists()->n_dns++;
	lists()->dns[at].key = *key;
	lists()->dns[at].names = *names;
	return 0;
}

static int dns_del(void *arg, const struct np_dns_key *key)
{
	int at = dns_at(key);

	if (at >= 0)
		lists()->dns[at] = lists()->dns[--lists()->n_dns];
	return 0;
}

static int each_dns(void *arg, int (*fn)(void *fn_arg, const struct np_dns_key *key, const struct np_dns_names *names), void *fn_arg)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < lists()->n_dns; i++)
		r = fn(fn_arg, &lists()->dns[i].key, &lists()->dns[i].names);
	return r;
}

static int each_fqdn(void *arg, int (*fn)(void *fn_arg, uint32_t set, const struct vw_ip *ip, const struct np_fqdn *f), void *fn_arg)
{
	return 0;
}

static int fqdn_get(void *arg, uint32_t set, const struct vw_ip *ip, struct np_fqdn *ret) { return -ENOENT; }
static int fqdn_set(void *arg, uint32_t set, const struct vw_ip *ip, const struct np_fqdn *f) { return 0; }

static const __u64 dns_key[2] = { 0x1234567, 0x89abcdef };

static int start(struct np_publish **ret, struct vw_err *err)
{
	const struct np_pub_io io = {
		.arena = (struct np_line *)region[R_ARENA].mem, .ports = (struct np_line *)region[R_PORTS].mem,
		.idents = (struct np_ident *)region[R_IDENTS].mem, .slots = (struct np_slot *)region[R_SLOTS].mem,
		.journal = (struct np_journal *)region[R_JOURNAL].mem, .rule_keys = (uint64_t *)region[R_KEYS].mem,
		.addr_set = addr_set, .addr_del = addr_del, .cidr_set = cidr_set, .cidr_del = cidr_del, .each_addr = each_addr,
		.each_cidr = each_cidr, .dns_key = dns_key, .dns_set = dns_set, .dns_del = dns_del, .each_dns = each_dns,
		.each_fqdn = each_fqdn, .fqdn_get = fqdn_get, .fqdn_set = fqdn_set, .ident_of = ident_of, .rule_clear = rule_clear,
		.barrier = barrier,
	};

	return np_publish_new(&io, ret, err);
}

/* --- two images: what the former daemon left, and what the next one wants */

static const char was[] =
	"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"x\",\"name\":\"a\",\"labels\":{\"a\":\"b\"}}}"
	"{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\",\"metadata\":{\"namespace\":\"x\",\"name\":\"p\"},\"spec\":{"
	"\"podSelector\":{},\"policyTypes\":[\"Ingress\",\"Egress\"],\"ingress\":[{\"from\":[{\"ipBlock\":{\"cidr\":\"10.1.0.0/16\"}}],\"ports\":[{\"port\":80}]}]}}"
	"{\"apiVersion\":\"networking.k8s.aws/v1alpha1\",\"kind\":\"ApplicationNetworkPolicy\",\"metadata\":{\"namespace\":\"x\",\"name\":\"n\"},\"spec\":{"
	"\"podSelector\":{},\"egress\":[{\"to\":[{\"domainNames\":[\"*.example.com\"]}]}]}}";
static const char next[] =
	"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"x\",\"name\":\"a\",\"labels\":{\"a\":\"b\"}}}"
	"{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\",\"metadata\":{\"namespace\":\"x\",\"name\":\"p\"},\"spec\":{"
	"\"podSelector\":{\"matchLabels\":{\"a\":\"b\"}},\"policyTypes\":[\"Ingress\"],\"ingress\":[{\"from\":[{\"ipBlock\":{\"cidr\":\"10.2.0.0/16\"}}],"
	"\"ports\":[{\"port\":443},{\"port\":53,\"protocol\":\"UDP\"}]},{\"from\":[{\"ipBlock\":{\"cidr\":\"fd00::/8\"}}]}]}}";
static const struct np_local local[] = { { 1, "x", "a", { AF_INET, { 10, 0, 0, 1 } }, { AF_INET6, { 0xfd, 0, [15] = 1 } } },
					 { 2, "x", "b", { AF_INET, { 10, 0, 0, 2 } }, { 0 } } };

static struct np_image *image_of(const char *text)
{
	const struct np_compile_conf conf = { .node_name = "n" };
	struct np_world *w = np_world_new();
	struct np_image *img = NULL;
	struct vw_err err = { 0 };

	must(w && np_world_take(w, "m.json", text, strlen(text), &err) == 0);
	must(np_compile(w, &conf, local, 2, NULL, &img, &err) == 0);
	np_world_free(w);
	return img;
}

static void publish(struct np_publish *p, struct np_image *img)
{
	struct vw_err err = { 0 };

	if (np_publish_image(p, img, &err) < 0) {
		must(err.msg[0]);
		return;
	}
	do {
		must(np_publish_wait(p) == 0 && np_publish_settle(p, &err) == 0);
	} while (np_publish_unsettled(p));
}

static struct np_image *wanted;

static void first_time(void)
{
	size_t all = 0;
	struct np_publish *p;
	struct np_image *img;
	struct vw_err err;
	int fd;

	if (wanted)
		return;
	for (int i = 0; i < REGIONS; i++)
		all += whole(region[i].bytes);
	fd = memfd_create("maps", MFD_CLOEXEC);
	must(fd >= 0 && ftruncate(fd, (off_t)all) == 0);
	make_regions(true, fd);
	img = image_of(was);
	must(start(&p, &err) == 0);
	publish(p, img);
	np_publish_free(p);
	np_image_free(img);
	for (int i = 0; i < REGIONS; i++)
		must(munmap(region[i].mem, whole(region[i].bytes) + PAGE) == 0);
	make_regions(false, fd);
	close(fd);
	wanted = image_of(next);
}

/* --- foreign bytes */

/* where records go: what is in use, not all of the 8 MiB */
static const struct {
	enum region region;
	size_t at, window;
} places[] = {
	{ R_ARENA, 0, 8192 },
	{ R_ARENA, NP_ARENA_LINES / 2 * sizeof(struct np_line), 8192 },
	{ R_PORTS, 0, 4096 },
	{ R_IDENTS, 0, 64 * sizeof(struct np_ident) },
	{ R_SLOTS, 0, 4 * sizeof(struct np_slot) },
	{ R_JOURNAL, 0, 4 * sizeof(struct np_journal) },
	{ R_JOURNAL, NP_JOURNAL_HEAD * sizeof(struct np_journal), sizeof(struct np_journal) },
	{ R_KEYS, 0, 256 },
	{ R_LISTS, 0, sizeof(struct lists) },
};

/** tidy_addr() - a key that the kernel's maps may have: an address, or a prefix no longer than one, host bits zero. */
static struct addr_entry tidy_addr(struct addr_entry e)
{
	struct vw_cidr c;

	e.ip.family = e.ip.family == AF_INET6 ? AF_INET6 : AF_INET;
	if (e.ip.family == AF_INET)
		memset(e.ip.b + 4, 0, 12);
	if (e.len > (e.ip.family == AF_INET ? 32 : 128))
		e.len = 255;
	c = (struct vw_cidr){ e.ip, e.len };
	if (e.len != 255)
		e.ip = vw_cidr_masked(&c).ip;
	return e;
}

/* what the kernel's maps cannot hold goes: more entries than fit, two with one key */
static void tidy_lists(void)
{
	struct lists *l = lists();
	const unsigned int n_addr = l->n_addr % (ENTRIES + 1), n_dns = l->n_dns % (DNS_ENTRIES + 1);

	l->n_addr = l->n_dns = 0;
	for (unsigned int i = 0; i < n_addr; i++) {
		const struct addr_entry e = tidy_addr(l->addr[i]);

		if (!find(&e.ip, e.len))
			l->addr[l->n_addr++] = e;
	}
	for (unsigned int i = 0; i < n_dns; i++)
		if (dns_at(&l->dns[i].key) < 0)
			l->dns[l->n_dns++] = l->dns[i];
}

static void scribble(const uint8_t *data, size_t size)
{
	while (size > 4) {
		const size_t place = data[0] % (sizeof(places) / sizeof(places[0])), window = places[place].window;
		const size_t off = (size_t)(data[1] | data[2] << 8) % window;
		size_t n = data[3] % 64 + 1;

		data += 4;
		size -= 4;
		n = n < size ? n : size;
		n = n < window - off ? n : window - off;
		memcpy(region[places[place].region].mem + places[place].at + off, data, n);
		data += n;
		size -= n;
	}
	tidy_lists();
}

/* --- what must hold */

static void look(const struct np_publish *p)
{
	static const struct vw_ip peers[] = { { AF_INET, { 10, 0, 0, 1 } }, { AF_INET, { 10, 1, 2, 3 } }, { AF_INET, { 10, 2, 2, 2 } },
					      { AF_INET, { 8, 8, 8, 8 } }, { AF_INET6, { 0xfd, 1, [15] = 9 } }, { AF_INET6, { 0x20, 1 } } };
	static const uint16_t ports[] = { 53, 80, 443, 65535 };

	for (unsigned int i = 0; i < 2 * 2 * 6 * 4 * 2; i++) {
		struct np_lookup l = { .slot = local[i % 2].slot, .dir = (enum np_dir)(i / 2 % 2), .peer = peers[i / 4 % 6],
				       .port = ports[i / 24 % 4], .proto = i / 96 % 2 ? IPPROTO_TCP : IPPROTO_UDP };
		const struct np_query q = { .blob = wanted->subject[i % 2].blob, .dir = l.dir, .peer = l.peer, .proto = l.proto, .port = l.port };

		must(wanted->subject[i % 2].slot == l.slot);
		must(np_publish_look(p, &l) == 0 && !l.off);
		must(l.verdict == np_image_judge(wanted, &q, NULL, NULL));
	}
}

static void look_anywhere(const struct np_publish *p)
{
	for (unsigned int slot = 0; slot < 4; slot++) {
		struct np_lookup l = { .slot = slot, .dir = NP_INGRESS, .peer = { AF_INET, { 10, 1, 2, 3 } }, .proto = IPPROTO_TCP, .port = 80 };
		int r = np_publish_look(p, &l);

		must(r == 0 || r == -ENOENT || r == -EBADMSG);
	}
}

/** pubs() - a hash of what is in force for whom. */
static uint64_t pubs(void)
{
	const struct np_slot *slots = (const struct np_slot *)region[R_SLOTS].mem;
	uint64_t h = 0;

	for (unsigned int s = 0; s < NP_SLOTS; s++)
		h = h * 1099511628211u + slots[s].pub;
	return h;
}

static void pins(const uint8_t *data, size_t size)
{
	struct np_publish_use use;
	struct np_publish *p;
	struct vw_err err = { 0 };
	uint64_t before;
	int r;

	scribble(data, size);
	before = pubs();
	r = start(&p, &err);
	if (r < 0) {
		must(err.msg[0] && r == -EBADMSG && pubs() == before);
		return;
	}
	look_anywhere(p);
	r = np_publish_image(p, wanted, &err);
	if (r == 0) {
		look(p);
		do {
			must(np_publish_wait(p) == 0 && np_publish_settle(p, &err) == 0);
		} while (np_publish_unsettled(p));
		look(p);
	} else {
		must(err.msg[0]);
	}
	np_publish_use(p, &use);
	np_publish_free(p);
}

static unsigned int n_ended;

static void ended(void *arg, const struct np_flow *f)
{
	n_ended++;
	must(f->slot < NP_SLOTS && (f->remote.family == AF_INET || f->remote.family == AF_INET6));
}

static int count(void *arg, const struct np_flow *f)
{
	++*(unsigned int *)arg;
	return 0;
}

static void flows(const uint8_t *data, size_t size)
{
	static struct np_conf conf = { .ct_key = { 1, 2, 3, 4, 5, 6 } };
	static struct np_rt rt[NP_SLOTS];
	static struct np_ct_stats st;
	const struct np_ct_maps m = { .ct = (struct np_ct_group *)region[R_CT].mem, .groups = GROUPS, .conf = &conf, .rt = rt,
				      .slots = (const struct np_slot *)region[R_SLOTS].mem, .fqdn4 = -1, .fqdn6 = -1 };
	struct vw_err err = { 0 };
	unsigned int live = 0;

	for (size_t at = 0; at + 3 < size;) {   /* two bytes of place in a group's words and first entries, one of length */
		const size_t off = (size_t)(data[at] | data[at + 1] << 8) % sizeof(struct np_ct_group);
		size_t n = data[at + 2] % 64 + 1u;

		at += 3;
		n = n < size - at ? n : size - at;
		n = n < sizeof(struct np_ct_group) - off ? n : sizeof(struct np_ct_group) - off;
		memcpy((char *)&m.ct[at % GROUPS] + off, data + at, n);
		at += n;
	}
	n_ended = 0;
	for (uint32_t now = 1000; now < 1000000; now += 200000)
		must(np_ct_sweep(&m, now, ended, NULL, &st, &err) == 0 && st.flows4 + st.flows6 <= GROUPS * NP_CT_GROUP_FLOWS);
	must(np_ct_each(&m, count, &live) == 0 && live <= st.flows4 + st.flows6);
	must(n_ended <= 8 * GROUPS * NP_CT_GROUP_FLOWS);
	np_ct_clear(&m);
	live = 0;
	must(np_ct_each(&m, count, &live) == 0 && live == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	first_time();
	drop_changes();
	if (data[0] == 'c')
		flows(data + 1, size - 1);
	else
		pins(data + 1, size - 1);
	return 0;
}
