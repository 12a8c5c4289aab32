/*
 * Runs fixtures: for every cell of every table, the source's end is asked for egress and the destination's for ingress; both
 * must agree to let the packet through. Where the destination is a pod with a service of its own, the same must hold by the
 * service's address.
 */
#include "tests/policy/run.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#define TOLD_MAX 12             /* lines of a failed case */

/** struct checking - @cell: of a step, for an executor that is asked for all at once. */
struct checking {
	const struct px *x;
	const struct fx_run *run;
	int family;
	size_t step;
	unsigned int wrong, cells;
	struct vw_buf *told;
	struct px_cell *cell;
	size_t n_cell, cap_cell;
};

static void tell(struct checking *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void tell(struct checking *c, const char *fmt, ...)
{
	va_list ap;

	if (c->wrong++ >= TOLD_MAX)
		return;
	vw_buf_printf(c->told, "#   step %zu: ", c->step + 1);
	va_start(ap, fmt);
	vw_buf_vprintf(c->told, fmt, ap);
	va_end(ap);
	vw_buf_putc(c->told, '\n');
}

/** by_pod() - a half for the pod at @self. Return: what the executor said; ends that are no pods let everything through. */
static int half(struct checking *c, const struct fx_end *self, const struct fx_end *peer, bool egress, const struct fx_port *on,
		bool by_service, char why[128])
{
	struct px_half h = {
		.pod = self->name, .node = self->node, .egress = egress, .self = self->ip[c->family], .peer = peer->ip[c->family],
		.port = on->port, .proto = on->proto, .names = peer->names, .n_names = peer->n_names,
		.node_local = !egress && peer->kind == FX_NODE && strcmp(peer->node, self->node) == 0,
	};
	struct vw_err err = { 0 };
	int r;

	why[0] = 0;
	if (self->kind != FX_POD)
		return 1;
	if (h.proto == IPPROTO_ICMP && c->family)
		h.proto = IPPROTO_ICMPV6;
	if (by_service && egress) {
		h.vip = peer->vip[c->family];
		h.vip_port = fx_service_port(on->port);
	}
	r = c->x->judge(c->x->ctx, &h, why, &err);
	if (r < 0)
		(void)snprintf(why, 128, "error: %.100s", err.msg);
	return r;
}

static void add_cell(struct checking *c, const struct px_cell *cell)
{
	if (c->n_cell == c->cap_cell) {
		size_t cap = c->cap_cell ? 2 * c->cap_cell : 1024;
		struct px_cell *grown = reallocarray(c->cell, cap, sizeof(*grown));

		if (!grown) {
			tell(c, "out of memory");
			return;
		}
		c->cell = grown;
		c->cap_cell = cap;
	}
	c->cell[c->n_cell++] = *cell;
}

static int by_source(const void *a, const void *b)
{
	const struct px_cell *x = a, *y = b;

	return strcmp(x->src->name, y->src->name);
}

/* what was collected in this step */
static void check_cells(struct checking *c)
{
	struct vw_err err = { 0 };

	qsort(c->cell, c->n_cell, sizeof(*c->cell), by_source);
	if (c->n_cell && c->x->ask(c->x->ctx, c->run, c->family, c->cell, c->n_cell, &err) < 0) {
		tell(c, "%s", err.msg);
		c->n_cell = 0;
	}
	for (size_t i = 0; i < c->n_cell; i++) {
		const struct px_cell *cell = &c->cell[i];

		if (cell->got != cell->want)
			tell(c, "%s -> %s%s proto %u port %u: wanted %s, got %s: %s", cell->src->name, cell->dst->name,
			     cell->by_service ? " by its service" : "", cell->on->proto, cell->on->port, cell->want ? "." : "X",
			     cell->got < 0 ? "an error" : cell->got ? "." : "X", cell->why ? cell->why : "");
	}
	c->n_cell = 0;
}

static void check_cell(struct checking *c, const struct fx_end *src, const struct fx_end *dst, const struct fx_port *on,
		       bool by_service, bool want)
{
	char why_out[128], why_in[128];
	int out, in;

	if (!src->ip[c->family].family || !dst->ip[c->family].family)
		return;
	c->cells++;
	if (c->x->ask) {
		add_cell(c, &(struct px_cell){ .src = src, .dst = dst, .on = on, .by_service = by_service, .want = want });
		return;
	}
	out = half(c, src, dst, true, on, by_service, why_out);
	in = half(c, dst, src, false, on, by_service, why_in);
	if (out >= 0 && in >= 0 && (out && in) == want)
		return;
	tell(c, "%s -> %s%s proto %u port %u: wanted %s, got %s (egress %s: %s; ingress %s: %s)", src->name, dst->name,
	     by_service ? " by its service" : "", on->proto, on->port, want ? "." : "X",
	     out < 0 || in < 0 ? "an error" : out && in ? "." : "X", out > 0 ? "yes" : "no", why_out, in > 0 ? "yes" : "no", why_in);
}

static bool serves(const struct fx_end *e, const struct fx_port *on, int family)
{
	if (!e->vip[family].family)
		return false;
	for (size_t i = 0; i < e->n_served; i++) {
		if (e->served[i].proto == on->proto && e->served[i].port == on->port)
			return true;
	}
	return false;
}

static void check_expect(struct checking *c, const struct fx_expect *e)
{
	size_t n;
	const struct fx_end *end = fx_ends(c->run, &n);

	for (size_t p = 0; p < e->n_on; p++) {
		for (size_t i = 0; i < n; i++) {
			for (size_t k = 0; k < n; k++) {
				if (e->row[i][k] == '-')
					continue;
				check_cell(c, &end[i], &end[k], &e->on[p], false, e->row[i][k] == '.');
				if (end[i].kind == FX_POD && end[k].kind == FX_POD && serves(&end[k], &e->on[p], c->family))
					check_cell(c, &end[i], &end[k], &e->on[p], true, e->row[i][k] == '.');
			}
		}
	}
}

static void check_refusals(struct checking *c)
{
	const struct fx_refusal *refuse;
	size_t n = fx_refusals(c->run, &refuse);

	for (size_t i = 0; i < n; i++) {
		struct vw_err err = { 0 };
		int r = c->x->refuse(c->x->ctx, refuse[i].obj, &err);

		c->cells++;
		if (r >= 0)
			tell(c, "an object that is wrong at %s was taken", refuse[i].at);
		else if (!strstr(err.msg, refuse[i].at))
			tell(c, "an object that is wrong at %s was refused for another reason: %s", refuse[i].at, err.msg);
	}
}

unsigned int px_run_case(const struct px *x, const struct fx_file *f, size_t i, int family, unsigned int *ret_cells,
			 struct vw_buf *told)
{
	struct checking c = { .x = x, .family = family, .told = told };
	struct vw_err err = { 0 };
	struct fx_run *run = NULL;

	if (fx_start(f, i, &run, &err) < 0) {
		tell(&c, "%s", err.msg);
		return c.wrong;
	}
	c.run = run;
	for (; c.step < fx_n_steps(f, i); c.step++) {
		const struct vw_json *const *objs;
		size_t n;

		if (fx_step(run, c.step, &err) < 0) {
			tell(&c, "%s", err.msg);
			break;
		}
		objs = fx_objects(run, &n);
		if (x->load(x->ctx, objs, n, fx_strict(run), &err) < 0) {
			tell(&c, "%s", err.msg);
			break;
		}
		check_refusals(&c);
		for (size_t e = 0; e < fx_n_expects(run); e++)
			check_expect(&c, fx_expect(run, e));
		check_cells(&c);
	}
	fx_stop(run);
	free(c.cell);
	if (c.cells == 0)
		tell(&c, "nothing was asked");
	if (c.wrong > TOLD_MAX)
		vw_buf_printf(told, "#   and %u more\n", c.wrong - TOLD_MAX);
	*ret_cells = c.cells;
	return c.wrong;
}

struct totals {
	unsigned int tests, failed;
	unsigned long cells;
};

static void run_file(const char *path, const char *only, const struct px *x, size_t n_x, struct totals *t)
{
	struct vw_err err = { 0 };
	struct fx_file *f = NULL;

	if (fx_open(path, &f, &err) < 0) {
		printf("not ok %u - %s\n#   %s\n", ++t->tests, path, err.msg);
		t->failed++;
		return;
	}
	for (size_t i = 0; i < fx_n_cases(f); i++) {
		for (size_t k = 0; k < 2 * n_x && (!only || strcmp(only, fx_case_name(f, i)) == 0); k++) {
			vw_auto_buf struct vw_buf told = VW_BUF_INIT;
			unsigned int cells = 0, wrong;

			if (!fx_has_family(f, i, (int)(k % 2)))
				continue;
			wrong = px_run_case(&x[k / 2], f, i, (int)(k % 2), &cells, &told);

			printf("%sok %u - %s %s IPv%c %s (%u cells)\n%s", wrong ? "not " : "", ++t->tests, fx_suite(f),
			       fx_case_name(f, i), k % 2 ? '6' : '4', x[k / 2].name, cells, vw_buf_str(&told));
			t->failed += wrong > 0;
			t->cells += cells;
		}
	}
	fx_close(f);
}

int px_main(int argc, char **argv, const struct px *x, size_t n_x)
{
	struct totals t = { 0 };
	const char *only = NULL;
	int i = 1;

	if (argc > 2 && strcmp(argv[1], "--case") == 0) {
		only = argv[2];
		i = 3;
	}
	if (i < argc) {
		for (; i < argc; i++)
			run_file(argv[i], only, x, n_x, &t);
	} else {
		glob_t g;

		if (glob("tests/policy/fixtures/*.json", 0, NULL, &g) == 0) {
			for (size_t k = 0; k < g.gl_pathc; k++)
				run_file(g.gl_pathv[k], only, x, n_x, &t);
			globfree(&g);
		}
	}
	if (t.tests == 0) {
		printf("not ok 1 - no fixture\n");
		return 1;
	}
	printf("1..%u\n# %lu cells\n", t.tests, t.cells);
	return t.failed > 0;
}

int px_main_as_root(int argc, char **argv, int (*make)(struct px *ret, struct vw_err *err), void (*done)(struct px *x))
{
	struct px x = { 0 };
	struct vw_err err = { 0 };
	int r = make(&x, &err);

	if (r == -EPERM) {
		printf("ok 1 - programs # skip: making namespaces needs root\n1..1\n");
		return EXIT_SUCCESS;
	}
	if (r < 0) {
		printf("not ok 1 - programs\n# %s\n1..1\n", err.msg);
		return EXIT_FAILURE;
	}
	r = px_main(argc, argv, &x, 1);
	done(&x);
	return r;
}
