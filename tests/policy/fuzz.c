/*
 * Random clusters, random questions, several answers. The first seed is fixed, so that `make check` is the same everywhere.
 */
#include "tests/policy/fuzz.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "tests/policy/fuzz_world.h"
#include "tests/policy/shrink.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define SEED 0x5eed
#define STEPS 4                 /* of a world: as it is made, then after changes of its pods */
#define FOUND_MAX 3             /* disagreements told for each executor; the rest is counted */
#define DIR "build/test-logs"

struct fuzzing {
	const struct px *ref, *x;
	size_t n_x;
	uint64_t seed;
	unsigned int worlds, tuples;
	unsigned long asked, allowed, wrong[8];
};

static void tell(struct fuzzing *f, size_t i, const struct fuzz_world *w, const struct fw_query *q, uint64_t seed, int want)
{
	vw_auto_buf struct vw_buf fixture = VW_BUF_INIT;
	char name[64], path[160], ip[VW_IP_STRLEN];
	struct vw_err err = { 0 };
	int r;

	if (f->wrong[i]++ >= FOUND_MAX)
		return;
	printf("# world %#llx: %s %s %s proto %u port %u: %s says %s, %s does not\n", (unsigned long long)seed, q->pod,
	       q->egress ? "to" : "from", vw_ip_str(&q->peer, ip), q->proto, q->port, f->ref->name, want ? "yes" : "no", f->x[i].name);
	(void)snprintf(name, sizeof(name), "fuzz-%s-%llx", f->x[i].name, (unsigned long long)seed);
	r = shrink(f->ref, &f->x[i], w, q, name, &fixture, &err);
	if (r < 0) {
		printf("# cannot be made smaller: %s\n", err.msg);
		return;
	}
	(void)snprintf(path, sizeof(path), "%s/%s.json", DIR, name);
	if (vw_mkdir_p(DIR, 0755, &err) < 0 || vw_replace_file(path, fixture.data, fixture.len, 0644, &err) < 0)
		printf("# %s\n", err.msg);
	printf("# as a fixture, in %s:\n%s", path, vw_buf_str(&fixture));
}

static int load_all(const struct fuzzing *f, const struct fuzz_world *w, struct vw_err *err)
{
	int r = fw_load(f->ref, w, err);

	for (size_t i = 0; r >= 0 && i < f->n_x; i++)
		r = fw_load(&f->x[i], w, err);
	return r;
}

/** ask() - Return: 0, also when there were disagreements; -errno: an executor could not say anything. */
static int ask(struct fuzzing *f, const struct fuzz_world *w, uint64_t seed, uint64_t *rng, struct vw_err *err)
{
	struct fw_query q;
	struct px_half h;
	char why[128];
	int want, r;

	if (!fuzz_query(w, rng, &q))
		return 0;
	h = fw_half(&q);
	want = r = f->ref->judge(f->ref->ctx, &h, why, err);
	f->asked++;
	f->allowed += r > 0;
	for (size_t k = 0; r >= 0 && k < f->n_x; k++) {
		r = f->x[k].judge(f->x[k].ctx, &h, why, err);
		if (r < 0)
			vw_err_wrap(err, "%s", f->x[k].name);
		if (r >= 0 && r != want) {
			tell(f, k, w, &q, seed, want);
			r = load_all(f, w, err);        /* shrinking has loaded others */
		}
	}
	return r < 0 ? r : 0;
}

static int one_world(struct fuzzing *f, uint64_t seed, struct vw_err *err)
{
	uint64_t rng = seed ^ 0x9e3779b9, churn = seed;
	struct fuzz_world w;
	int r = fuzz_world_new(seed, &w);

	if (r < 0)
		return vw_err_set(err, -r, 0, "making world %#llx", (unsigned long long)seed);
	for (unsigned int step = 0; step < STEPS && r >= 0; step++) {
		if (step > 0 && fuzz_churn(&w, &churn) < 0)
			r = vw_err_set(err, ENOMEM, 0, "out of memory");
		else
			r = load_all(f, &w, err);
		for (unsigned int i = 0; r >= 0 && i < f->tuples / STEPS; i++)
			r = ask(f, &w, seed, &rng, err);
	}
	fuzz_world_done(&w);
	return r;
}

static int options(struct fuzzing *f, int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		uint64_t n = 0;

		if (strcmp(argv[i], "--seed") == 0 && strcmp(argv[i + 1], "random") == 0) {
			if (getrandom(&f->seed, sizeof(f->seed), 0) != sizeof(f->seed))
				return -EINVAL;
			continue;
		}
		if (vw_parse_u64(argv[i + 1], 0, UINT64_MAX, &n) < 0 && vw_parse_hex(argv[i + 1], UINT64_MAX, &n) < 0)
			return -EINVAL;
		if (strcmp(argv[i], "--seed") == 0)
			f->seed = n;
		else if (strcmp(argv[i], "--worlds") == 0)
			f->worlds = (unsigned int)n;
		else if (strcmp(argv[i], "--tuples") == 0)
			f->tuples = (unsigned int)n;
		else
			return -EINVAL;
	}
	return argc % 2 ? 0 : -EINVAL;
}

int fuzz_main(int argc, char **argv, const struct px *ref, const struct px *x, size_t n_x, unsigned int worlds, unsigned int tuples)
{
	struct fuzzing f = { .ref = ref, .x = x, .n_x = n_x, .seed = SEED, .worlds = worlds, .tuples = tuples };
	struct vw_err err = { 0 };
	bool bad = false;

	if (options(&f, argc, argv) < 0) {
		(void)fprintf(stderr, "usage: %s [--seed N|random] [--worlds N] [--tuples N]\n", argv[0]);
		return 2;
	}
	printf("# seed %#llx, %u worlds\n", (unsigned long long)f.seed, f.worlds);
	for (unsigned int i = 0; i < f.worlds; i++) {
		if (one_world(&f, f.seed + i, &err) < 0) {
			printf("not ok 1 - world %#llx: %s\n", (unsigned long long)f.seed + i, err.msg);
			return 1;
		}
	}
	for (size_t i = 0; i < n_x; i++) {
		printf("%sok %zu - %s = %s: %lu of %lu tuples differ (%lu allowed)\n", f.wrong[i] ? "not " : "", i + 1, ref->name, x[i].name,
		       f.wrong[i], f.asked, f.allowed);
		bad |= f.wrong[i] > 0;
	}
	printf("1..%zu\n", n_x);
	return bad;
}
