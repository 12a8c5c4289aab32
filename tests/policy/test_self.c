/*
 * The runner and the fuzzer themselves: what is wrong they must find, and a disagreement must come out small, as a fixture that
 * can be run.
 */
#include "tests/policy/fuzz_world.h"
#include "tests/policy/shrink.h"
#include "tests/policy/tables.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/json/json.h"

#include <string.h>

static unsigned int tests, failed;

static void check(bool good, const char *what)
{
	printf("%sok %u - %s\n", good ? "" : "not ", ++tests, what);
	failed += !good;
}

static int yes(void *ctx, const struct px_half *h, char why[128], struct vw_err *err)
{
	(void)snprintf(why, 128, "always yes");
	return 1;
}

static int no(void *ctx, const struct px_half *h, char why[128], struct vw_err *err)
{
	(void)snprintf(why, 128, "always no");
	return 0;
}

/** suite() - each case of @path that has a cell which @x gets wrong must say so. */
static void suite(const char *path, struct px x, char right)
{
	struct vw_err err = { 0 };
	struct fx_file *f = NULL;
	unsigned int found = 0, hidden = 0;

	if (fx_open(path, &f, &err) < 0) {
		check(false, err.msg);
		return;
	}
	for (size_t i = 0; i < fx_n_cases(f); i++) {
		vw_auto_buf struct vw_buf told = VW_BUF_INIT;
		struct fx_run *run = NULL;
		unsigned int cells;
		bool any = false;

		if (fx_start(f, i, &run, &err) < 0) {
			check(false, err.msg);
			continue;
		}
		for (size_t s = 0; s < fx_n_steps(f, i) && fx_step(run, s, &err) == 0; s++) {
			size_t n;

			fx_ends(run, &n);
			for (size_t e = 0; e < fx_n_expects(run); e++) {
				for (size_t r = 0; r < n; r++)
					any |= fx_expect(run, e)->row[r][strcspn(fx_expect(run, e)->row[r], right == '.' ? "X" : ".")] != 0;
			}
		}
		fx_stop(run);
		if (any && px_run_case(&x, f, i, 0, &cells, &told) > 0)
			found++;
		else
			hidden += any;
	}
	check(found > 0 && hidden == 0, path);
	fx_close(f);
}

/** load_less() - an executor that never sees a NetworkPolicy. */
static struct px oracle;
static int load_less(void *ctx, const struct vw_json *const *objs, size_t n, bool strict, struct vw_err *err)
{
	const struct vw_json *seen[2048];
	size_t n_seen = 0;

	for (size_t i = 0; i < n; i++) {
		const char *kind = vw_json_string(vw_json_get(objs[i], "kind"));

		if (kind && strcmp(kind, "NetworkPolicy") != 0)
			seen[n_seen++] = objs[i];
	}
	return oracle.load(ctx, seen, n_seen, strict, err);
}

static void shrinks(void)
{
	struct px blind = px_oracle();
	unsigned int small = 0, wrong = 0, runs = 0;

	blind.load = load_less;
	for (uint64_t seed = 1; seed < 60 && wrong < 5; seed++) {
		vw_auto_buf struct vw_buf fixture = VW_BUF_INIT;
		struct vw_err err = { 0 };
		struct fuzz_world w;
		struct fw_query q;
		uint64_t rng = seed;
		char why[128];
		bool found = false;

		if (fuzz_world_new(seed, &w) < 0)
			continue;
		if (fw_load(&oracle, &w, &err) == 0 && fw_load(&blind, &w, &err) == 0) {
			for (int i = 0; i < 2000 && !found; i++) {
				struct px_half h;

				if (!fuzz_query(&w, &rng, &q))
					continue;
				h = fw_half(&q);
				found = oracle.judge(oracle.ctx, &h, why, &err) != blind.judge(blind.ctx, &h, why, &err);
			}
		}
		if (found) {
			struct fx_file *f = NULL;
			struct vw_json *j = NULL;

			wrong++;
			if (shrink(&oracle, &blind, &w, &q, "self", &fixture, &err) < 0 ||
			    vw_json_parse(fixture.data, fixture.len, NULL, "the fixture", &j, &err) < 0)
				printf("# %s\n", err.msg);
			small += vw_json_len(vw_json_get(vw_json_get(j, "world"), "objects")) <= 3;
			vw_json_free(j);
			if (fx_parse(vw_buf_str(&fixture), &f, &err) == 0) {
				vw_auto_buf struct vw_buf told = VW_BUF_INIT;
				unsigned int cells = 0;

				runs += px_run_case(&oracle, f, 0, !fx_has_family(f, 0, 0), &cells, &told) == 0 && cells == 1;
				fx_close(f);
			}
		}
		fuzz_world_done(&w);
	}
	check(wrong == 5, "a blind executor is found out");
	check(small == wrong, "disagreements shrink to a handful of objects");
	check(runs == wrong, "and run as fixtures");
	px_oracle_done(&blind);
}

/** follows() - changes of pods are mostly taken over without compiling, else "changes" would be "tables". */
static void follows(void)
{
	struct px x = px_changes();
	const struct tables *t = x.ctx;
	struct vw_err err = { 0 };
	unsigned long loads = 0;

	for (uint64_t seed = 1; t && seed < 40; seed++) {
		struct fuzz_world w;
		uint64_t rng = seed;

		if (fuzz_world_new(seed, &w) < 0)
			continue;
		for (int i = 0; i < 4 && fw_load(&x, &w, &err) == 0 && fuzz_churn(&w, &rng) == 0; i++)
			loads++;
		fuzz_world_done(&w);
	}
	check(loads == 4 * 39, "clusters whose pods change are loaded");
	printf("# %lu images compiled, %lu times followed\n", t ? t->compiled : 0, t ? t->followed : 0);
	check(t && t->followed > t->compiled / 4, "many changes of pods need no compiling");
	px_tables_done(&x);
}

int main(void)
{
	oracle = px_oracle();
	if (!oracle.ctx)
		return 1;
	for (int i = 0; i < 2; i++) {
		struct px x = oracle;

		x.judge = i ? no : yes;
		suite("tests/policy/fixtures/k8s-e2e.json", x, i ? 'X' : '.');
		suite("tests/policy/fixtures/conformance-v1alpha2.json", x, i ? 'X' : '.');
		suite("tests/policy/fixtures/regress.json", x, i ? 'X' : '.');
	}
	shrinks();
	follows();
	px_oracle_done(&oracle);
	printf("1..%u\n", tests);
	return failed > 0;
}
