/*
 * EC2 and IMDS for the model: a subnet of 4,096 addresses, ENIs, tokens, and faults: calls refused, calls carried out whose
 * answer is lost, an IMDS that shows what was, an EC2 that does not answer.
 */
#include "tests/unit/model_world.h"

#include "daemon/creds.h"
#include "daemon/http.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SUBNET "subnet-1"
#define BASE 0x0a000000u        /* 10.0.0.0/20 */

/* --- addresses */

static struct vw_cidr subnet_cidr(void)
{
	struct vw_ip ip = vw_ip4(BASE);

	return vw_cidr_of(&ip, 20);
}

static struct vw_ip primary_ip(const struct world_eni *e)
{
	return vw_ip4(BASE + 5 + e->serial % 11);       /* never in a slot: the first block is taken */
}

static void mark(struct world *w, const struct vw_cidr *c, bool taken)
{
	unsigned int from = vw_ip4_u32(&c->ip) - BASE;

	for (unsigned int i = 0; i < 1u << (32 - c->len); i++) {
		assert_true(w->taken[from + i] != taken);
		w->taken[from + i] = taken;
	}
}

static bool take(struct world *w, bool prefix, struct vw_cidr *ret)
{
	unsigned int step = prefix ? 16 : 1, n = WORLD_ADDRS4 / step, start = world_rnd(w, n);

	for (unsigned int k = 0; k < n && !w->full; k++) {
		unsigned int from = (start + k) % n * step;
		struct vw_ip ip = vw_ip4(BASE + from);
		bool taken = from < 16;

		for (unsigned int i = 0; i < step && !taken; i++)
			taken = w->taken[from + i];
		if (taken)
			continue;
		*ret = vw_cidr_of(&ip, prefix ? 28 : 32);
		mark(w, ret, true);
		return true;
	}
	return false;
}

bool world_eni_has(const struct world_eni *e, const struct vw_cidr *c)
{
	for (size_t i = 0; i < e->n_slots; i++)
		if (vw_cidr_eq(&e->slots[i], c))
			return true;
	return false;
}

void world_take_slot(struct world *w, struct world_eni *e, size_t i)
{
	world_say(w, "%s loses %u/%u", e->id, vw_ip4_u32(&e->slots[i].ip) - BASE, e->slots[i].len);
	mark(w, &e->slots[i], false);
	e->slots[i] = e->slots[--e->n_slots];
}

void world_give_slot(struct world *w, struct world_eni *e, const struct vw_cidr *c)
{
	assert_true(e->n_slots < WORLD_SLOTS);
	mark(w, c, true);
	e->slots[e->n_slots++] = *c;
}

void world_detach(struct world *w, struct world_eni *e)
{
	if (e->attached)
		world_link(w, e, true);
	while (e->n_slots)
		world_take_slot(w, e, 0);
	*e = (struct world_eni){ 0 };
}

struct world_eni *world_eni(struct world *w, const char *id)
{
	for (size_t i = 0; i < WORLD_ENIS; i++)
		if (w->enis[i].exists && !strcmp(w->enis[i].id, id))
			return &w->enis[i];
	return NULL;
}

void world_imds_refresh(struct world *w)
{
	memcpy(w->imds, w->enis, sizeof(w->imds));
}

/* 2001:db8:<n>::/80 */
static struct vw_cidr new_block6(struct world *w)
{
	struct vw_ip ip = { .family = AF_INET6, .b = { 0x20, 0x01, 0x0d, 0xb8 } };
	unsigned int n = w->n_blocks6++;

	ip.b[4] = (uint8_t)(n >> 8);
	ip.b[5] = (uint8_t)n;
	return vw_cidr_of(&ip, 80);
}

/* --- failures */

static int refuse(struct ec2_error *err, enum ec2_fail kind, bool unknown)
{
	*err = (struct ec2_error){ .kind = kind, .unknown = unknown, .code = "Model" };
	return vw_err_set(&err->why, EAGAIN, VW_CNI_TRY_AGAIN, "the model refuses");
}

/* how a call goes: 0 well, 1 refused, 2 carried out but unheard, 3 neither carried out nor heard of */
static int fate_of(struct world *w, const char *call, struct ec2_error *err)
{
	static const enum ec2_fail refusals[] = { EC2_THROTTLED, EC2_UNAUTHORIZED, EC2_NO_CREDS, EC2_CLOCK_SKEW };

	if (w->is_ghost) {
		if (w->ghost_calls++)
			longjmp(w->ghost, 1);
		world_say(w, "%s of the dead", call);
		return 0;
	}
	world_point(w);
	w->calls++;
	if (!w->faults || world_rnd(w, 8)) {
		world_say(w, "%s", call);
		return 0;
	}
	world_say(w, "%s, which fails", call);
	switch (world_rnd(w, 3)) {
	case 0:
		refuse(err, EC2_TRANSIENT, true);
		w->commits_unheard++;
		return 2;
	case 1:
		refuse(err, world_rnd(w, 2) ? EC2_TRANSIENT : EC2_PROTOCOL, true);
		return 3;
	default:
		refuse(err, refusals[world_rnd(w, 4)], false);
		return 1;
	}
}

#define fate(w, err) fate_of(w, __func__, err)

/* the end of a call that was carried out: the daemon may die before it hears of it */
static int heard(struct world *w, int fated, struct ec2_error *err)
{
	if (w->is_ghost)
		longjmp(w->ghost, 1);
	world_point(w);
	return fated == 2 ? -EAGAIN : 0;
}

/* --- what EC2 shows */

static void show(struct world *w, const struct world_eni *e, struct ec2_eni *ret)
{
	*ret = (struct ec2_eni){
		.type = "interface",
		.subnet_id = SUBNET,
		.mac = { { 2, 0, 0, 0, (uint8_t)(e->serial >> 8), (uint8_t)e->serial } },
		.status = e->attached ? EC2_ENI_IN_USE : EC2_ENI_AVAILABLE,
		.primary4 = primary_ip(e),
	};
	memcpy(ret->id, e->id, sizeof(e->id));
	if (e->attached) {
		ret->attachment.status = EC2_ATTACHED;
		ret->attachment.device = e->device;
		ret->attachment.delete_on_termination = true;
		memcpy(ret->attachment.id, e->attachment, sizeof(e->attachment));
		(void)!vw_fmt(ret->attachment.instance_id, EC2_ID_LEN, "i-model");
	}
	for (size_t i = 0; i < e->n_slots; i++) {
		if (e->slots[i].len == 32)
			ret->addr4[ret->n_addr4++] = e->slots[i].ip;
		else
			ret->prefix4[ret->n_prefix4++] = e->slots[i];
	}
	if (e->block6.ip.family)
		ret->prefix6[ret->n_prefix6++] = e->block6;
	if (e->primary)
		return;
	ret->tags = calloc(2, sizeof(*ret->tags));
	assert_non_null(ret->tags);
	ret->tags[ret->n_tags++] = (struct ec2_tag){ strdup(TAG_INSTANCE), strdup("i-model") };
	ret->tags[ret->n_tags++] = (struct ec2_tag){ strdup(TAG_INTENT), strdup(e->token) };
}

void ec2_eni_done(struct ec2_eni *eni)
{
	for (size_t i = 0; i < eni->n_tags; i++) {
		free(eni->tags[i].key);
		free(eni->tags[i].value);
	}
	free(eni->tags);
	eni->tags = NULL;
	eni->n_tags = 0;
}

void ec2_enis_done(struct ec2_enis *l)
{
	for (size_t i = 0; i < l->n; i++)
		ec2_eni_done(&l->v[i]);
	free(l->v);
	*l = (struct ec2_enis){ 0 };
}

const char *ec2_eni_tag(const struct ec2_eni *eni, const char *key)
{
	for (size_t i = 0; i < eni->n_tags; i++)
		if (!strcmp(eni->tags[i].key, key))
			return eni->tags[i].value;
	return NULL;
}

bool ec2_held(struct ec2 *e, struct ec2_held *ret)
{
	return false;
}

const char *ec2_fail_name(enum ec2_fail f)
{
	return "model";
}

/* --- calls */

static struct world_eni *new_eni(struct world *w, const struct ec2_create *what, struct ec2_error *err)
{
	struct world_eni *e = NULL;

	for (size_t i = 0; i < WORLD_ENIS && !e; i++)
		if (!w->enis[i].exists)
			e = &w->enis[i];
	assert_non_null(e);     /* so many can only be leaks */
	*e = (struct world_eni){ .exists = true, .serial = w->n_made++ };
	(void)!vw_fmt(e->id, sizeof(e->id), "eni-%u", e->serial);
	(void)!vw_fmt(e->token, sizeof(e->token), "%s", what->token);
	for (unsigned int i = 0; i < what->n_prefixes + what->n_addrs; i++) {
		assert_true(e->n_slots < WORLD_SLOTS);
		if (!take(w, what->n_prefixes > 0, &e->slots[e->n_slots])) {
			world_detach(w, e);
			refuse(err, what->n_prefixes ? EC2_SUBNET_NO_PREFIX : EC2_SUBNET_NO_ADDRESS, false);
			return NULL;
		}
		e->n_slots++;
	}
	if (what->n_prefixes6)
		e->block6 = new_block6(w);
	return e;
}

int ec2_create_eni(struct ec2 *ec2, uint64_t deadline_ms, const struct ec2_create *what, struct ec2_eni *ret_eni,
		   struct ec2_error *err)
{
	struct world *w = world_now();
	struct world_eni *e = NULL;
	int f = fate(w, err), r;

	if (f == 1 || f == 3)
		return -EAGAIN;
	for (size_t i = 0; i < WORLD_ENIS; i++)
		if (w->enis[i].exists && !strcmp(w->enis[i].token, what->token))
			e = &w->enis[i];
	if (!e)
		e = new_eni(w, what, err);
	if (!e)
		return -EAGAIN;
	r = heard(w, f, err);
	if (r == 0)
		show(w, e, ret_eni);
	return r;
}

int ec2_attach(struct ec2 *ec2, uint64_t deadline_ms, const char *eni_id, uint32_t device, uint32_t card,
	       char ret_attachment_id[EC2_ID_LEN], struct ec2_error *err)
{
	struct world *w = world_now();
	struct world_eni *e = world_eni(w, eni_id);
	unsigned int attached = 0;
	int f = fate(w, err);

	if (f == 1 || f == 3)
		return -EAGAIN;
	if (!e)
		return refuse(err, EC2_NOT_FOUND, false);
	for (size_t i = 0; i < WORLD_ENIS; i++) {
		attached += w->enis[i].attached;
		if (&w->enis[i] != e && w->enis[i].attached && w->enis[i].device == device)
			return refuse(err, EC2_DEVICE_IN_USE, false);
	}
	if (e->attached && e->device != device)
		return refuse(err, EC2_IN_USE, false);
	if (!e->attached && attached >= WORLD_MAX_ENIS)
		return refuse(err, EC2_ATTACH_LIMIT, false);
	e->device = device;
	if (!e->attached)
		world_link(w, e, false);
	e->attached = true;
	(void)!vw_fmt(e->attachment, sizeof(e->attachment), "att-%u", e->serial);
	if (heard(w, f, err) < 0)
		return -EAGAIN;
	(void)!vw_fmt(ret_attachment_id, EC2_ID_LEN, "%s", e->attachment);
	return 0;
}

int ec2_detach(struct ec2 *ec2, uint64_t deadline_ms, const char *attachment_id, bool force, struct ec2_error *err)
{
	struct world *w = world_now();
	int f = fate(w, err);

	if (f == 1 || f == 3)
		return -EAGAIN;
	for (size_t i = 0; i < WORLD_ENIS; i++) {
		struct world_eni *e = &w->enis[i];

		if (e->exists && e->attached && !strcmp(e->attachment, attachment_id)) {
			assert_false(e->primary);
			e->attached = false;
			world_link(w, e, true);
		}
	}
	return heard(w, f, err);
}

int ec2_delete_eni(struct ec2 *ec2, uint64_t deadline_ms, const char *eni_id, struct ec2_error *err)
{
	struct world *w = world_now();
	struct world_eni *e = world_eni(w, eni_id);
	int f = fate(w, err);

	if (f == 1 || f == 3)
		return -EAGAIN;
	if (e && e->attached)
		return refuse(err, EC2_IN_USE, false);
	if (e)
		world_detach(w, e);
	return heard(w, f, err);
}

int ec2_delete_on_termination(struct ec2 *ec2, uint64_t deadline_ms, const char *eni_id, const char *attachment_id, bool on,
			      struct ec2_error *err)
{
	return fate(world_now(), err) ? -EAGAIN : 0;
}

int ec2_describe_eni(struct ec2 *ec2, uint64_t deadline_ms, const char *eni_id, struct ec2_eni *ret_eni, struct ec2_error *err)
{
	struct world *w = world_now();
	const struct world_eni *e = world_eni(w, eni_id);

	if (fate(w, err))
		return -EAGAIN;
	if (!e)
		return refuse(err, EC2_NOT_FOUND, false);
	show(w, e, ret_eni);
	return 0;
}

int ec2_describe_enis(struct ec2 *ec2, uint64_t deadline_ms, const struct ec2_find *what, struct ec2_enis *ret,
		      struct ec2_error *err)
{
	struct world *w = world_now();

	*ret = (struct ec2_enis){ 0 };
	if (fate(w, err))
		return -EAGAIN;
	ret->v = calloc(WORLD_ENIS, sizeof(*ret->v));
	assert_non_null(ret->v);
	assert_string_equal(what->filters[0].key, "tag:" TAG_INTENT);   /* the only question that the daemon has */
	for (size_t i = 0; i < WORLD_ENIS; i++)
		if (w->enis[i].exists && !strcmp(w->enis[i].token, what->filters[0].value))
			show(w, &w->enis[i], &ret->v[ret->n++]);
	return 0;
}

int ec2_describe_subnets(struct ec2 *ec2, uint64_t deadline_ms, const struct ec2_find *what, struct ec2_subnets *ret,
			 struct ec2_error *err)
{
	*ret = (struct ec2_subnets){ 0 };
	return refuse(err, EC2_INVALID, false);
}

void ec2_subnets_done(struct ec2_subnets *l)
{
}

static int assign6(struct world *w, struct world_eni *e, int fated, struct ec2_assigned *ret, struct ec2_error *err)
{
	if (e->block6.ip.family)
		return refuse(err, EC2_ENI_IP_LIMIT, false);
	e->block6 = new_block6(w);
	if (heard(w, fated, err) < 0)
		return -EAGAIN;
	*ret = (struct ec2_assigned){ .n = 1, .v = { e->block6 } };
	return 0;
}

int ec2_assign(struct ec2 *ec2, uint64_t deadline_ms, const struct ec2_assign *what, struct ec2_assigned *ret,
	       struct ec2_error *err)
{
	struct world *w = world_now();
	struct world_eni *e = world_eni(w, what->eni_id);
	unsigned int n = what->n_addrs + what->n_prefixes, had;
	int f = fate(w, err);

	if (f == 1 || f == 3)
		return -EAGAIN;
	if (!e)
		return refuse(err, EC2_NOT_FOUND, false);
	if (what->family == AF_INET6)
		return assign6(w, e, f, ret, err);
	had = (unsigned int)e->n_slots;
	if (had + n > WORLD_SLOTS)
		return refuse(err, EC2_ENI_IP_LIMIT, false);
	while (e->n_slots < had + n) {
		if (take(w, what->n_prefixes > 0, &e->slots[e->n_slots])) {
			e->n_slots++;
			continue;
		}
		while (e->n_slots > had)
			world_take_slot(w, e, e->n_slots - 1);
		return refuse(err, what->n_prefixes ? EC2_SUBNET_NO_PREFIX : EC2_SUBNET_NO_ADDRESS, false);
	}
	if (heard(w, f, err) < 0)
		return -EAGAIN;
	*ret = (struct ec2_assigned){ .n = n };
	memcpy(ret->v, &e->slots[had], n * sizeof(ret->v[0]));
	return 0;
}

int ec2_unassign(struct ec2 *ec2, uint64_t deadline_ms, const char *eni_id, const struct vw_cidr *cidrs, size_t n,
		 struct ec2_error *err)
{
	struct world *w = world_now();
	struct world_eni *e = world_eni(w, eni_id);
	int f = fate(w, err);

	if (f == 1 || f == 3)
		return -EAGAIN;
	for (size_t i = 0; e && i < n; i++)
		for (size_t k = 0; k < e->n_slots; k++)
			if (vw_cidr_eq(&e->slots[k], &cidrs[i])) {
				world_take_slot(w, e, k);
				break;
			}
	return heard(w, f, err);
}

/* --- the survey */

int cloud_new(const struct vwired_config *cfg, struct cloud **ret_cloud, struct vw_err *err)
{
	*ret_cloud = calloc(1, sizeof(**ret_cloud));
	assert_non_null(*ret_cloud);
	(*ret_cloud)->ec2 = (struct ec2 *)world_now();
	return 0;
}

void cloud_free(struct cloud *c)
{
	free(c);
}

void cloud_cancel(struct cloud *c)
{
}

bool http_is_cancelled(const struct http *h)
{
	return false;
}

int http_wait(struct http *h, uint64_t ms)
{
	return -ECANCELED;      /* it would be asked again for ever: time stands still in here */
}

int creds_refresh(struct creds *c, uint64_t deadline_ms, struct vw_err *err)
{
	return 0;
}

int64_t creds_refresh_due_s(struct creds *c)
{
	return 0;
}

static void imds_shows(struct survey *s, const struct world_eni *e)
{
	struct imds_eni *i = &s->imds_enis[s->n_imds_enis++];

	*i = (struct imds_eni){
		.mac = { { 2, 0, 0, 0, (uint8_t)(e->serial >> 8), (uint8_t)e->serial } },
		.device = e->device,
		.subnet4 = subnet_cidr(),
		.subnet_id = SUBNET,
		.vpc4 = { subnet_cidr() },
		.n_vpc4 = 1,
		.ipv4 = { primary_ip(e) },
		.n_ipv4 = 1,
	};
	memcpy(i->id, e->id, sizeof(e->id));
	if (e->block6.ip.family)
		i->prefix6[i->n_prefix6++] = e->block6;
	for (size_t k = 0; k < e->n_slots; k++) {
		if (e->slots[k].len == 32)
			i->ipv4[i->n_ipv4++] = e->slots[k].ip;
		else
			i->prefix4[i->n_prefix4++] = e->slots[k];
	}
}

static void kernel_shows(struct survey *s, const struct world_eni *e)
{
	struct eni_link *l = &s->links[s->n_links++];

	*l = (struct eni_link){ .mac = { { 2, 0, 0, 0, (uint8_t)(e->serial >> 8), (uint8_t)e->serial } },
				.ifindex = 100 + e->serial };
	(void)!vw_fmt(l->ifname, sizeof(l->ifname), "eth%u", e->device);
}

int cloud_survey(struct survey *s, struct vw_err *err)
{
	struct world *w = world_now();

	world_point(w);
	if (w->faults && !world_rnd(w, 8))
		return vw_err_set(err, ETIMEDOUT, 0, "IMDS does not answer");
	if (!w->faults || world_rnd(w, 2))
		world_imds_refresh(w);
	(void)!vw_fmt(s->id.instance_id, sizeof(s->id.instance_id), "i-model");
	(void)!vw_fmt(s->id.instance_type, sizeof(s->id.instance_type), "model.large");
	s->id.primary_mac = (struct vw_mac){ { 2, 0, 0, 0, 0, 0 } };
	s->imds_enis = calloc(WORLD_ENIS, sizeof(*s->imds_enis));
	s->links = calloc(WORLD_ENIS, sizeof(*s->links));
	s->ec2_enis.v = calloc(WORLD_ENIS, sizeof(*s->ec2_enis.v));
	assert_true(s->imds_enis && s->links && s->ec2_enis.v);
	for (size_t i = 0; i < WORLD_ENIS; i++) {
		/* now and then one is not there: IMDS shows it in pieces */
		if (w->imds[i].exists && w->imds[i].attached && (w->imds[i].primary || !w->faults || world_rnd(w, 8)))
			imds_shows(s, &w->imds[i]);
		if (w->enis[i].exists && w->enis[i].attached)
			kernel_shows(s, &w->enis[i]);
	}
	s->ec2_ok = !w->faults || world_rnd(w, 4);
	if (!s->ec2_ok) {
		w->surveys_half++;
		refuse(&s->ec2_err, EC2_TRANSIENT, false);
		return 0;
	}
	for (size_t i = 0; i < WORLD_ENIS; i++)
		if (w->enis[i].exists && w->enis[i].attached)
			show(w, &w->enis[i], &s->ec2_enis.v[s->ec2_enis.n++]);
	s->limits_ok = true;
	s->limits = (struct ec2_limits){ .max_enis = WORLD_MAX_ENIS, .ipv4_per_eni = WORLD_SLOTS + 1, .ipv6 = true, .nitro = true,
					 .n_cards = 1, .card_enis = { WORLD_MAX_ENIS } };
	return 0;
}

/* a second one comes and goes, but for surveys, so that there is something to take up */
int imds_vpc_ranges(struct imds *m, const struct vw_mac *mac, uint64_t deadline_ms, struct vw_cidr *ret, size_t *ret_n, struct vw_err *err)
{
	const struct vw_ip second = vw_ip4(0x64400000);
	struct world *w = world_now();

	world_point(w);
	*ret_n = 0;
	if (w->faults && !world_rnd(w, 8))
		return vw_err_set(err, ETIMEDOUT, 0, "IMDS does not answer");
	if (w->faults && !world_rnd(w, 8))
		return 0;
	ret[(*ret_n)++] = subnet_cidr();
	if (w->faults && world_rnd(w, 2))
		ret[(*ret_n)++] = vw_cidr_of(&second, 16);
	return 0;
}

void survey_done(struct survey *s)
{
	free(s->imds_enis);
	ec2_enis_done(&s->ec2_enis);
	free(s->links);
	*s = (struct survey){ 0 };
}

const struct eni_link *survey_link(const struct survey *s, const struct vw_mac *mac)
{
	for (size_t i = 0; i < s->n_links; i++)
		if (vw_mac_eq(&s->links[i].mac, mac))
			return &s->links[i];
	return NULL;
}

void cloud_take_clients(struct cloud *c, struct survey *s)
{
}
