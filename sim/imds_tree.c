/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata tree of one instance, as flat sorted paths (names: EC2 User Guide, "Instance metadata
 * categories"). */
#include "sim/imds_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/parse.h"

static int put(struct sim_tree *t, const char *dir, const char *name, const char *value)
{
	struct sim_leaf *v = realloc(t->v, (t->n + 1) * sizeof(*v));
	struct vw_buf path = VW_BUF_INIT;

	if (!v)
		return -ENOMEM;
	t->v = v;
	vw_buf_printf(&path, "%s%s", dir, name);
	v[t->n].path = vw_buf_take(&path);
	v[t->n].value = strdup(value);
	vw_buf_done(&path);
	if (!v[t->n].path || !v[t->n].value) {
		free(v[t->n].path);
		free(v[t->n].value);
		return -ENOMEM;
	}
	t->n++;
	return 0;
}

/* Like put(), with a value that was collected in a buffer; nothing if it is empty. */
static int put_list(struct sim_tree *t, const char *dir, const char *name, struct vw_buf *b)
{
	int r = vw_buf_err(b);

	if (r == 0 && b->len)
		r = put(t, dir, name, vw_buf_str(b));
	vw_buf_done(b);
	*b = (struct vw_buf)VW_BUF_INIT;
	return r;
}

static void line(struct vw_buf *b, const char *text)
{
	vw_buf_printf(b, "%s%s", b->len ? "\n" : "", text);
}

static int put_cidrs(struct sim_tree *t, const char *dir, const char *name, const struct sim_cidrs *l,
		     bool prefixes, bool as_cidr)
{
	struct vw_buf b = VW_BUF_INIT;
	char text[VW_CIDR_STRLEN];
	size_t i;

	for (i = 0; i < l->n; i++) {
		if (!as_cidr && sim_eni_is_prefix(&l->v[i]) != prefixes)
			continue;
		if (prefixes || as_cidr)
			vw_cidr_str(&l->v[i], text);
		else
			vw_ip_str(&l->v[i].ip, text);
		line(&b, text);
	}
	return put_list(t, dir, name, &b);
}

static int put_groups(struct sim_tree *t, const char *dir, const struct sim_eni *e)
{
	struct vw_buf ids = VW_BUF_INIT, names = VW_BUF_INIT;
	size_t i;
	int r;

	for (i = 0; i < e->n_groups; i++) {
		line(&ids, e->groups[i]->id);
		line(&names, e->groups[i]->name);
	}
	r = put_list(t, dir, "security-group-ids", &ids);
	return put_list(t, dir, "security-groups", &names) < 0 ? -ENOMEM : r;
}

static int put_uint(struct sim_tree *t, const char *dir, const char *name, unsigned int v)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", v);
	return put(t, dir, name, text);
}

static int put_ip(struct sim_tree *t, const char *dir, const char *name, const struct vw_ip *ip)
{
	char text[VW_IP_STRLEN];

	return ip->family ? put(t, dir, name, vw_ip_str(ip, text)) : 0;
}

static int put_cidr(struct sim_tree *t, const char *dir, const char *name, const struct vw_cidr *c)
{
	char text[VW_CIDR_STRLEN];

	return c->ip.family ? put(t, dir, name, vw_cidr_str(c, text)) : 0;
}

static int put_eni(struct sim_tree *t, const struct sim_world *w, const struct sim_eni *e)
{
	const struct sim_subnet *s = e->subnet;
	const struct sim_vpc *v = s->vpc;
	char dir[96], mac[VW_MAC_STRLEN];
	int r;

	vw_mac_str(&e->mac, mac);
	snprintf(dir, sizeof(dir), "meta-data/network/interfaces/macs/%s/", mac);
	r = put(t, dir, "mac", mac);
	r |= put(t, dir, "interface-id", e->id);
	r |= put_uint(t, dir, "device-number", e->att.device);
	/* the attribute does not exist on types with one card */
	if (e->att.instance->type->n_cards > 1)
		r |= put_uint(t, dir, "network-card", e->att.card);
	r |= put(t, dir, "owner-id", w->account);
	r |= put(t, dir, "subnet-id", s->id);
	r |= put(t, dir, "vpc-id", v->id);
	r |= put_groups(t, dir, e);
	r |= put_cidrs(t, dir, "local-ipv4s", &e->v4, false, false);
	r |= put_cidrs(t, dir, "ipv4-prefix", &e->v4, true, false);
	r |= put_cidrs(t, dir, "ipv6s", &e->v6, false, false);
	r |= put_cidrs(t, dir, "ipv6-prefix", &e->v6, true, false);
	r |= put_ip(t, dir, "public-ipv4s", &e->public_ip);
	r |= put_cidr(t, dir, "subnet-ipv4-cidr-block", &s->v4);
	r |= put_cidr(t, dir, "subnet-ipv6-cidr-blocks", &s->v6);
	r |= put_cidr(t, dir, "vpc-ipv4-cidr-block", &v->v4.v[0]);
	r |= put_cidrs(t, dir, "vpc-ipv4-cidr-blocks", &v->v4, true, true);
	r |= put_cidrs(t, dir, "vpc-ipv6-cidr-blocks", &v->v6, true, true);
	return r ? -ENOMEM : 0;
}

static int put_identity(struct sim_tree *t, const struct sim_world *w, const struct sim_instance *i)
{
	struct vw_buf b = VW_BUF_INIT;
	char ip[VW_IP_STRLEN], when[VW_TIME_STRLEN];

	vw_buf_printf(
		&b,
		"{\n  \"accountId\" : \"%s\",\n  \"architecture\" : \"x86_64\",\n  \"availabilityZone\" : \"%s\",\n"
		"  \"imageId\" : \"ami-00000000000000000\",\n  \"instanceId\" : \"%s\",\n  \"instanceType\" : \"%s\",\n"
		"  \"pendingTime\" : \"%s\",\n  \"privateIp\" : \"%s\",\n  \"region\" : \"%s\",\n"
		"  \"version\" : \"2017-09-30\"\n}",
		w->account, i->subnet->az, i->id, i->type->name, vw_time_str(i->launch_time, when),
		vw_ip_str(&i->primary->v4.v[0].ip, ip), w->region);
	return put_list(t, "dynamic/instance-identity/", "document", &b);
}

static int put_instance(struct sim_tree *t, const struct sim_world *w, const struct sim_instance *i)
{
	const struct sim_eni *e = i->primary;
	const char *md = "meta-data/";
	char mac[VW_MAC_STRLEN];
	int r;

	r = put(t, md, "ami-id", "ami-00000000000000000");
	r |= put(t, md, "instance-id", i->id);
	r |= put(t, md, "instance-type", i->type->name);
	r |= put(t, md, "hostname", i->hostname);
	r |= put(t, md, "local-hostname", i->hostname);
	r |= put(t, md, "mac", vw_mac_str(&e->mac, mac));
	r |= put_ip(t, md, "local-ipv4", &e->v4.v[0].ip);
	r |= put_ip(t, md, "public-ipv4", &e->public_ip);
	if (e->v6.n && !sim_eni_is_prefix(&e->v6.v[0]))
		r |= put_ip(t, md, "ipv6", &e->v6.v[0].ip);
	r |= put(t, md, "placement/availability-zone", i->subnet->az);
	r |= put(t, md, "placement/availability-zone-id", i->subnet->az_id);
	r |= put(t, md, "placement/region", w->region);
	r |= put(t, md, "services/domain", "amazonaws.com");
	r |= put(t, md, "services/partition", "aws");
	if (i->role[0]) {
		/* answered from the role; here only so that the folders exist */
		r |= put(t, md, "iam/info", "");
		r |= put(t, "meta-data/iam/security-credentials/", i->role, "");
	}
	r |= put_identity(t, w, i);
	return r ? -ENOMEM : 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct sim_leaf *)a)->path, ((const struct sim_leaf *)b)->path);
}

int sim_tree_build(struct sim_world *w, const struct sim_instance *inst, const struct sim_eni *without,
		   struct sim_tree *ret_tree)
{
	struct sim_tree t = { 0 };
	const struct sim_eni *e;
	int r = inst->terminated ? 0 : put_instance(&t, w, inst);

	TAILQ_FOREACH(e, &w->enis, link) {
		if (e->att.instance != inst || e == without || e->att.state == SIM_ATT_ATTACHING || r < 0)
			continue;
		r = put_eni(&t, w, e);
	}
	if (r < 0) {
		sim_tree_done(&t);
		return r;
	}
	if (t.n)
		qsort(t.v, t.n, sizeof(*t.v), by_path);
	*ret_tree = t;
	return 0;
}

void sim_tree_done(struct sim_tree *t)
{
	size_t i;

	for (i = 0; i < t->n; i++) {
		free(t->v[i].path);
		free(t->v[i].value);
	}
	free(t->v);
	*t = (struct sim_tree){ 0 };
}

static bool is_hidden(const char *path, char *const *hidden, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strstr(path, hidden[i]))
			return true;
	return false;
}

int sim_tree_get(const struct sim_tree *t, const char *path, char *const *hidden, size_t n_hidden,
		 struct vw_buf *out)
{
	size_t len = strlen(path), i, last_len = 0;
	const char *last = "";
	bool any = false;

	while (len && path[len - 1] == '/')
		len--;
	for (i = 0; i < t->n; i++) {
		const char *p = t->v[i].path, *rest = p + len;
		size_t n;

		if (strncmp(p, path, len) != 0 || is_hidden(p, hidden, n_hidden))
			continue;
		if (*rest == '\0') {
			vw_buf_puts(out, t->v[i].value);
			return 1;
		}
		if (len && *rest != '/')
			continue;
		rest += len > 0;
		/* "a/b" lists as "a/", once: the leaves are sorted */
		n = strcspn(rest, "/");
		n += rest[n] == '/';
		if (any && n == last_len && strncmp(rest, last, n) == 0)
			continue;
		vw_buf_printf(out, "%s%.*s", any ? "\n" : "", (int)n, rest);
		any = true;
		last = rest;
		last_len = n;
	}
	return any ? 2 : 0;
}
