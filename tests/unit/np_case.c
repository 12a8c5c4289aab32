#include "tests/unit/np_case.h"

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "tests/unit/cm.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void case_init(struct np_case *c)
{
	*c = (struct np_case){ .w = np_world_new(), .node = "n1" };
	assert_non_null(c->w);
}

void case_done(struct np_case *c)
{
	/* an image outlives the objects that it was made of */
	c->w = np_world_free(c->w);
	c->img = np_image_free(c->img);
}

void case_take(struct np_case *c, const char *file, const char *yaml)
{
	struct vw_err err = { 0 };

	if (np_world_take(c->w, file, yaml, strlen(yaml), &err) < 0)
		fail_msg("%s\n%s", yaml, err.msg);
}

static struct vw_ip ip_of(const char *text)
{
	struct vw_ip ip;

	if (vw_ip_parse(text, &ip) < 0)
		fail_msg("no address: '%s'", text);
	return ip;
}

unsigned int case_local(struct np_case *c, const char *pod, const char *ip, const char *ip2)
{
	static char names[CASE_LOCALS][2][64];
	struct np_local *l = &c->local[c->n_local];
	const char *slash = strchr(pod, '/');

	assert_true(c->n_local < CASE_LOCALS);
	assert_true(vw_fmt(names[c->n_local][0], 64, "%.*s", slash ? (int)(slash - pod) : 0, pod) >= 0);
	assert_true(vw_fmt(names[c->n_local][1], 64, "%s", slash ? slash + 1 : pod) >= 0);
	*l = (struct np_local){ .slot = (unsigned int)c->n_local + 1, .ns = names[c->n_local][0], .name = names[c->n_local][1] };
	for (int i = 0; i < 2; i++) {
		const char *text = i ? ip2 : ip;
		struct vw_ip a;

		if (!text)
			continue;
		a = ip_of(text);
		*(a.family == AF_INET ? &l->ip4 : &l->ip6) = a;
	}
	return c->local[c->n_local++].slot;
}

static void fill_conf(struct np_case *c)
{
	c->conf.node_name = c->node;
	c->conf.node_ip = c->node_ip;
	c->conf.service_cidr = c->service;
	c->conf.resolver = c->resolver;
}

void case_compile(struct np_case *c)
{
	struct np_image *img = NULL;
	struct vw_err err = { 0 };

	fill_conf(c);
	if (np_compile(c->w, &c->conf, c->local, c->n_local, c->img, &img, &err) < 0)
		fail_msg("compile: %s", err.msg);
	np_image_free(c->img);
	c->img = img;
	case_check_image(img);
}

void case_fails(struct np_case *c, int eno, const char *why)
{
	struct np_image *img = NULL;
	struct vw_err err = { 0 };

	fill_conf(c);
	assert_int_equal(np_compile(c->w, &c->conf, c->local, c->n_local, c->img, &img, &err), -eno);
	assert_null(img);
	if (!strstr(err.msg, why))
		fail_msg("'%s', wanted '%s'", err.msg, why);
}

static void check_rules(const struct np_image *img, const struct np_image_blob *b, int dir, uint32_t n_rows)
{
	const struct np_blob_dir *d = &((const struct np_blob *)b->line)->dir[dir];

	for (uint32_t i = 0; i < n_rows * d->ncol; i++) {
		uint32_t v = b->line[d->mtx].w[i];
		const struct np_chain *c;
		unsigned int n = 0;

		assert_true((d->mtx + i / NP_LINE_WORDS) < b->n_lines);
		if (NP_VERDICT_ACTION(v) != NP_CHAIN) {
			assert_true(NP_VERDICT_ARG(v) < img->n_rule);
			assert_true(NP_VERDICT_ARG(v) == 0 ? NP_VERDICT_ACTION(v) == NP_ALLOW : img->rule[NP_VERDICT_ARG(v)].key != 0);
			continue;
		}
		assert_in_range(NP_VERDICT_ARG(v), 1, b->n_lines - 1);
		for (c = (const struct np_chain *)&b->line[NP_VERDICT_ARG(v)]; c->names; c++)
			assert_true(++n < NP_CHAIN_MAX && NP_VERDICT_ACTION(c->verdict) != NP_CHAIN && (b->n_fqdn == 64 || c->names >> b->n_fqdn == 0));
		assert_true(NP_VERDICT_ACTION(c->verdict) != NP_CHAIN && n > 0);
	}
}

static void check_blob(const struct np_image *img, const struct np_image_blob *b)
{
	const struct np_blob *h = (const struct np_blob *)b->line;

	assert_int_equal(h->magic, NP_BLOB_MAGIC);
	assert_int_equal(h->n_class, img->n_class);
	assert_int_equal(h->n_port_class, img->n_port_class);
	assert_int_equal(h->fqdn_set != 0, b->n_fqdn != 0);
	assert_true(b->n_fqdn <= NP_FQDN_NAMES);
	for (int d = 0; d < NP_DIRS; d++) {
		uint32_t rows = 0;

		for (unsigned int i = 0; i < img->n_class; i++)
			rows = b->line[h->dir[d].row].h[i] >= rows ? b->line[h->dir[d].row].h[i] + 1u : rows;
		for (unsigned int i = 0; i < img->n_port_class; i++)
			assert_true(b->line[h->dir[d].col].h[i] < h->dir[d].ncol);
		check_rules(img, b, d, rows);
	}
}

void case_check_image(const struct np_image *img)
{
	uint32_t lines = 0;
	bool all4 = false, all6 = false;

	for (size_t i = 0; i < img->n_peer; i++) {
		assert_true(img->peer[i].cls < img->n_class);
		assert_ptr_equal(np_image_find_peer(img, &img->peer[i].ip), &img->peer[i]);
		assert_non_null(img->peer[i].who);
	}
	for (size_t i = 0; i < img->n_cidr; i++) {
		const struct vw_cidr *c = &img->cidr[i].cidr;

		assert_true(img->cidr[i].cls < img->n_class && c->len < vw_ip_bits(&c->ip) && vw_cidr_is_masked(c));
		assert_ptr_equal(np_image_find_cidr(img, c), &img->cidr[i]);
		all4 = all4 || (c->len == 0 && c->ip.family == AF_INET);
		all6 = all6 || (c->len == 0 && c->ip.family == AF_INET6);
	}
	assert_true(all4 && all6);
	for (int p = 0; p < NP_PORT_PROTOS; p++)
		for (int i = 0; i < 65536; i++)
			if (img->port[p][i] >= img->n_port_class)
				fail_msg("port %d", i);
	for (unsigned int i = 0; i < img->n_blob; i++) {
		check_blob(img, &img->blob[i]);
		lines += img->blob[i].n_lines;
	}
	assert_true(lines < NP_ARENA_LINES / 2);
	for (size_t i = 0; i < img->n_subject; i++)
		assert_true(img->subject[i].blob < img->n_blob);
	assert_int_equal(img->rule[0].key, 0);
}

static void read_question(struct np_case *c, const char *question, struct np_explain_query *q)
{
	char text[256], *word[4] = { text }, *slash;
	size_t n = 1;
	uint64_t port = 0;

	(void)snprintf(text, sizeof(text), "%s", question);
	for (char *p = text; *p; p++)
		if (*p == ' ') {
			*p = 0;
			assert_true(n < 4);
			word[n++] = p + 1;
		}
	assert_int_equal(n, 4);
	*q = (struct np_explain_query){ .dir = *word[1] == '<' ? NP_INGRESS : NP_EGRESS, .peer = ip_of(word[2]), .name = c->name, .n_name = c->n_name };
	q->node_local = c->node_local;
	for (size_t i = 0; i < c->n_local; i++) {
		char who[140];

		(void)snprintf(who, sizeof(who), "%s%s%s", c->local[i].ns, *c->local[i].ns ? "/" : "", c->local[i].name);
		if (!strcmp(who, word[0]))
			q->slot = c->local[i].slot;
	}
	assert_true(q->slot != 0);
	slash = strchr(word[3], '/');
	if (slash) {
		*slash = 0;
		assert_int_equal(vw_parse_u64(slash + 1, 0, 65535, &port), 0);
	}
	q->port = (uint16_t)port;
	q->proto = !strcmp(word[3], "TCP") ? IPPROTO_TCP : !strcmp(word[3], "UDP") ? IPPROTO_UDP : !strcmp(word[3], "SCTP") ? IPPROTO_SCTP : IPPROTO_ICMP;
}

const char *case_asks(struct np_case *c, const char *question)
{
	static char answer[1200];
	struct np_explain_query q;
	struct np_explain e;
	struct vw_err err = { 0 };

	read_question(c, question, &q);
	if (np_explain(c->img, c->w, &q, &e, &err) < 0)
		fail_msg("%s: %s", question, err.msg);
	(void)snprintf(answer, sizeof(answer), "%s%s%s%s%s%s%s", NP_VERDICT_ACTION(e.verdict) == NP_ALLOW ? "ALLOW" : "DENY", e.rule ? " " : "",
		       e.rule ? e.rule->kind : "", e.rule && *e.rule->policy ? " " : "", e.rule ? e.rule->policy : "",
		       e.rule && *e.rule->path ? " " : "", e.rule ? e.rule->path : "");
	if (!e.agree)
		fail_msg("%s: the objects say %s, the tables %s", question, e.action == NP_ALLOW ? "ALLOW" : "DENY", answer);
	np_explain_done(&e);
	return answer;
}

void case_expect(struct np_case *c, const char *question, const char *want)
{
	const char *got = case_asks(c, question);

	if (strncmp(got, want, strlen(want)) != 0)
		fail_msg("%s: '%s', wanted '%s'", question, got, want);
}
