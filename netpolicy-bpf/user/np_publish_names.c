// SPDX-License-Identifier: Apache-2.0
/* The names that the program of DNS answers looks for. An entry belongs to a set, so it is neutral to all pods of other sets. */
#include "netpolicy-bpf/user/np_publish_priv.h"

#include "lib/base/err.h"
#include "netpolicy-bpf/user/np_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int np_publish_adopt_name(void *publish, const struct np_dns_key *key, const struct np_dns_names *names)
{
	struct np_publish *p = publish;
	struct dns *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->key = *key;
	d->names = *names;
	HASH_ADD(hh, p->dns, key, sizeof(d->key), d);
	if (!d->hh.tbl) {
		free(d);
		return -ENOMEM;
	}
	return 0;
}

/* "www.example.com" -> 3www7example3com0; -EINVAL: no name of DNS */
static int wire_name(const char *text, uint8_t ret[256])
{
	size_t n = 0;

	while (*text) {
		size_t len = strcspn(text, ".");

		if (len == 0 || len > 63 || n + len + 2 > 255)
			return -EINVAL;
		ret[n++] = (uint8_t)len;
		memcpy(ret + n, text, len);
		n += len;
		text += len + (text[len] == '.');
	}
	ret[n++] = 0;
	return (int)n;
}

/** name_key() - where @pattern stands in np_dns, and whether as a wildcard. Return: 0, -EINVAL. */
static int name_key(const struct np_publish *p, uint32_t set, const char *pattern, struct np_dns_key *ret, bool *ret_wild)
{
	bool wild = pattern[0] == '*' && pattern[1] == '.';
	uint8_t wire[256];
	int n = wire_name(pattern + (wild ? 2 : 0), wire);

	if (n < 0)
		return n;
	*ret = (struct np_dns_key){ .hash = np_dns_hash(p->io.dns_key, wire, (uint32_t)n), .set = set };
	*ret_wild = wild;
	return 0;
}

int np_publish_name_bit(const struct np_publish *p, uint32_t set, const char *pattern)
{
	struct np_dns_key key;
	const struct dns *d;
	uint64_t bits;
	bool wild;

	if (name_key(p, set, pattern, &key, &wild) < 0)
		return -ENOENT;
	HASH_FIND(hh, p->dns, &key, sizeof(key), d);
	bits = d ? wild ? d->names.wild : d->names.exact : 0;
	return bits ? __builtin_ctzll(bits) : -ENOENT;
}

/** add_name() - pattern @bit of @set. One key may stand for "a.b" and "*.a.b". */
static int add_name(struct np_publish *p, uint32_t set, const char *pattern, unsigned int bit, struct vw_err *err)
{
	struct np_dns_names names = { 0 };
	struct np_dns_key key;
	struct dns *d;
	bool wild;
	int r;

	if (name_key(p, set, pattern, &key, &wild) < 0)
		return vw_err_set(err, EINVAL, 0, "'%.128s' is no domain name", pattern);
	HASH_FIND(hh, p->dns, &key, sizeof(key), d);
	if (d && d->seen == p->round)
		names = d->names;
	*(wild ? &names.wild : &names.exact) |= 1ull << bit;
	if (d && memcmp(&d->names, &names, sizeof(names)) == 0) {
		d->seen = p->round;
		return 0;
	}
	r = p->io.dns_set(p->io.arg, &key, &names);
	if (r == 0 && !d)
		r = np_publish_adopt_name(p, &key, &names);
	if (r < 0)
		return vw_err_sys(err, r, 0, "writing the name '%.128s' to np_dns", pattern);
	HASH_FIND(hh, p->dns, &key, sizeof(key), d);
	d->names = names;
	d->seen = p->round;
	return 0;
}

int np_publish_add_names(struct np_publish *p, const struct np_image_blob *b, struct vw_err *err)
{
	uint32_t set = ((const struct np_blob *)b->line)->fqdn_set;
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < b->n_fqdn; i++)
		r = add_name(p, set, b->fqdn[i], i, err);
	return r;
}

int np_publish_drop_names(struct np_publish *p)
{
	struct dns *d, *tmp;

	HASH_ITER(hh, p->dns, d, tmp) {
		int r = d->seen == p->round ? 0 : p->io.dns_del(p->io.arg, &d->key);

		if (r < 0)
			return r;
		if (d->seen == p->round)
			continue;
		HASH_DEL(p->dns, d);
		free(d);
	}
	return 0;
}
