/* SPDX-License-Identifier: Apache-2.0 */
/* The programs of pods in a kernel of a few lines; see np_host.h. Nothing of libc that has a function `stat`, which the programs have too. */
#include "tests/fuzz/np_host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wpointer-arith"
#pragma GCC diagnostic ignored "-Wshadow"
#include <linux/types.h>

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* a jump that is made does not come back; the kernel makes 33 */
#define TAILS_MAX 33
static unsigned int n_tails;
#define bpf_tail_call(ctx, map, where) \
	do { \
		if (n_tails++ < TAILS_MAX) \
			return host_tail(where)(ctx); \
	} while (0)
static int (*host_tail(__u32 where))(struct __sk_buff *skb);

#include "netpolicy-bpf/bpf/np_pod.bpf.c"

static int (*host_tail(__u32 where))(struct __sk_buff *skb)
{
	static int (*const tails[NP_TAILS])(struct __sk_buff *) = {
		[NP_TAIL_FROM4] = from4,   [NP_TAIL_FROM6] = from6,	[NP_TAIL_TO4] = to4, [NP_TAIL_TO6] = to6,
		[NP_TAIL_POST4] = post4,   [NP_TAIL_POST6] = post6,	[NP_TAIL_DNS] = dns, [NP_TAIL_DNS_RECORDS] = dns_records,
		[NP_TAIL_TO_POD] = to_pod,
	};

	return tails[where];
}

/* --- maps */

#define PAGE 4096u
#define HASH_MAX 64             /* entries of each: a full map is soon met */

struct array {
	const char *name;
	const void *map;
	size_t size;
	uint32_t n;
	bool written;           /* by programs, beside what user space has made */
	char *mem;
};
#define ARRAY(m, w) { #m, &(m), sizeof(*(m).value), sizeof(*(m).max_entries) / sizeof(int), w, NULL }
static struct array arrays[] = {
	ARRAY(np_slots, false), ARRAY(np_arena, false),	    ARRAY(np_idents, false),  ARRAY(np_ports, false), ARRAY(np_conf, false),
	ARRAY(np_rt, true),	ARRAY(np_ct, true),	    ARRAY(np_clock, true),    ARRAY(np_ct_locks, false), ARRAY(np_journal, false),
	ARRAY(np_drops, true),	ARRAY(np_rule_keys, false), ARRAY(np_stats, true),    ARRAY(np_counts, true), ARRAY(np_scratch, true),
	ARRAY(np_dns_work, true),
};

struct hash {
	const char *name;
	const void *map;
	size_t key, value;
	bool trie, written;
	unsigned int n;
	_Alignas(8) char keys[HASH_MAX][64];
	_Alignas(8) char values[HASH_MAX][64];
};
#define HASH(m, t, w) { .name = #m, .map = &(m), .key = sizeof(*(m).key), .value = sizeof(*(m).value), .trie = t, .written = w }
static struct hash hashes[] = {
	HASH(np_adopted, false, false), HASH(np_ip4, false, false),  HASH(np_ip6, false, false),  HASH(np_cidr4, true, false), HASH(np_cidr6, true, false),
	HASH(np_frag, false, true),	HASH(np_fqdn4, false, true), HASH(np_fqdn6, false, true), HASH(np_dns, false, false),
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct array *array_of(const void *map)
{
	for (size_t i = 0; i < COUNT(arrays); i++)
		if (arrays[i].map == map)
			return &arrays[i];
	return NULL;
}

static struct hash *hash_of(const void *map)
{
	for (size_t i = 0; i < COUNT(hashes); i++)
		if (hashes[i].map == map)
			return &hashes[i];
	abort();
}

static struct hash *hash_named(const char *name)
{
	for (size_t i = 0; i < COUNT(hashes); i++)
		if (!strcmp(hashes[i].name, name))
			return &hashes[i];
	abort();
}

/* @key and @entry: of a trie, a length in bits and as many bits */
static bool covers(const struct hash *h, const char *entry, const char *key, uint32_t *ret_len)
{
	uint32_t len, left;

	memcpy(&len, entry, sizeof(len));
	memcpy(&left, key, sizeof(left));
	*ret_len = len;
	if (len > left || memcmp(entry + 4, key + 4, len / 8))
		return false;
	return len % 8 == 0 || !((entry[4 + len / 8] ^ key[4 + len / 8]) & (0xff00 >> len % 8) & 0xff);
}

static int find(const struct hash *h, const void *key)
{
	uint32_t best = 0, len;
	int at = -1;

	for (unsigned int i = 0; i < h->n; i++) {
		if (!h->trie && memcmp(h->keys[i], key, h->key) == 0)
			return (int)i;
		if (h->trie && covers(h, h->keys[i], key, &len) && (at < 0 || len > best)) {
			best = len;
			at = (int)i;
		}
	}
	return at;
}

static int exact(const struct hash *h, const void *key)
{
	for (unsigned int i = 0; i < h->n; i++)
		if (memcmp(h->keys[i], key, h->key) == 0)
			return (int)i;
	return -1;
}

static int put(struct hash *h, const void *key, const void *value)
{
	int at = exact(h, key);

	if (at < 0 && h->n == HASH_MAX)
		return -E2BIG;
	if (at < 0)
		at = (int)h->n++;
	memcpy(h->keys[at], key, h->key);
	memcpy(h->values[at], value, h->value);
	return 0;
}

static void *lookup(void *map, const void *key)
{
	struct array *a = array_of(map);
	struct hash *h;
	uint32_t index;
	int at;

	if (a) {
		memcpy(&index, key, sizeof(index));
		return index < a->n ? a->mem + index * a->size : NULL;
	}
	h = hash_of(map);
	at = find(h, key);
	return at < 0 ? NULL : h->values[at];
}

static long update(void *map, const void *key, const void *value, __u64 flags)
{
	struct hash *h = hash_of(map);

	if (flags == BPF_NOEXIST && exact(h, key) >= 0)
		return -EEXIST;
	return put(h, key, value);
}

static long forget_entry(void *map, const void *key)
{
	struct hash *h = hash_of(map);
	int at = exact(h, key);

	if (at < 0)
		return -ENOENT;
	h->n--;
	memmove(h->keys[at], h->keys[h->n], sizeof(h->keys[0]));
	memmove(h->values[at], h->values[h->n], sizeof(h->values[0]));
	return 0;
}

/* --- packets */

static char *wire;              /* NP_HOST_MAX bytes, then a page that nobody may touch */
static size_t whole_len;

static long load_bytes(const void *ctx, __u32 off, void *to, __u32 len)
{
	const struct __sk_buff *skb = ctx;

	if (off > whole_len || len > whole_len - off) {
		memset(to, 0, len);
		return -EFAULT;
	}
	memcpy(to, (const char *)(long)skb->data + off, len);
	return 0;
}

static long pull_data(struct __sk_buff *skb, __u32 len)
{
	if (len > whole_len)
		return -ENOMEM;
	if (skb->data + len > skb->data_end)
		skb->data_end = skb->data + len;
	return 0;
}

static __u64 the_time(void)
{
	return 1000ull << 30;
}

static __u64 jiffies(void)
{
	return 1000;
}

static void *reserve(void *ringbuf, __u64 size, __u64 flags)
{
	static char event[1024];

	if (size > sizeof(event))
		abort();
	return event;
}

static void submit(void *data, __u64 flags)
{
}

static long lock(struct bpf_spin_lock *l)
{
	if (l->val++)
		abort();
	return 0;
}

static long unlock(struct bpf_spin_lock *l)
{
	if (--l->val)
		abort();
	return 0;
}

static void *pages(size_t size, void *where)
{
	void *p = mmap(where, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (where ? MAP_FIXED_NOREPLACE : 0), -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

static void begin(void)
{
	if (wire)
		return;
	for (size_t i = 0; i < COUNT(arrays); i++)
		arrays[i].mem = pages((arrays[i].n * arrays[i].size + PAGE - 1) & ~(size_t)(PAGE - 1), NULL);
	wire = pages(NP_HOST_MAX + PAGE, (void *)0x20000000);
	if (mprotect(wire + NP_HOST_MAX, PAGE, PROT_NONE))
		abort();
	bpf_map_lookup_elem = lookup;
	bpf_map_update_elem = update;
	bpf_map_delete_elem = forget_entry;
	bpf_skb_load_bytes = load_bytes;
	bpf_skb_pull_data = pull_data;
	bpf_ktime_get_ns = the_time;
	bpf_jiffies64 = jiffies;
	bpf_ringbuf_reserve = reserve;
	bpf_ringbuf_submit = submit;
	bpf_spin_lock = lock;
	bpf_spin_unlock = unlock;
}

int np_host_run(enum np_host_prog prog, const struct np_host_packet *p)
{
	struct __sk_buff skb = { .ifindex = p->ifindex, .ingress_ifindex = p->ingress_ifindex, .mark = p->mark, .protocol = p->protocol };
	char *at;

	begin();
	if (p->len > NP_HOST_MAX)
		abort();
	/* the IP header aligned, as in the kernel; so up to three bytes lie behind */
	at = wire + ((NP_HOST_MAX - p->len - ETH_HLEN % 4) & ~(size_t)3) + ETH_HLEN % 4;
	memcpy(at, p->frame, p->len);
	whole_len = p->len;
	skb.len = (__u32)p->len;
	skb.data = (__u32)(long)at;
	skb.data_end = skb.data + (__u32)(p->linear < p->len ? p->linear : p->len);
	n_tails = 0;
	return prog == NP_HOST_FROM_POD ? from_pod(&skb) : prog == NP_HOST_TO_POD ? to_pod(&skb) : to_wire(&skb);
}

void *np_host_array(const char *name)
{
	begin();
	for (size_t i = 0; i < COUNT(arrays); i++)
		if (!strcmp(arrays[i].name, name))
			return arrays[i].mem;
	return NULL;
}

int np_host_set(const char *name, const void *key, const void *value)
{
	return put(hash_named(name), key, value);
}

void np_host_del(const char *name, const void *key)
{
	(void)forget_entry((void *)hash_named(name)->map, key);
}

void np_host_each(const char *name, void (*fn)(const void *key, const void *value))
{
	const struct hash *h = hash_named(name);

	for (unsigned int i = 0; i < h->n; i++)
		fn(h->keys[i], h->values[i]);
}

void np_host_reset(void)
{
	begin();
	for (size_t i = 0; i < COUNT(arrays); i++)
		if (arrays[i].written && madvise(arrays[i].mem, (arrays[i].n * arrays[i].size + PAGE - 1) & ~(size_t)(PAGE - 1), MADV_DONTNEED))
			abort();
	for (size_t i = 0; i < COUNT(hashes); i++)
		if (hashes[i].written)
			hashes[i].n = 0;
}
