/*
 * The oracle against everything else. What needs root goes last, and is left out without.
 */
#include "lib/base/err.h"
#include "tests/policy/fuzz.h"
#include "tests/policy/lab.h"

#include <errno.h>
#include <stdlib.h>

#define WORLDS 300
#define TUPLES 4000             /* of each */

int main(int argc, char **argv)
{
	struct px ref = px_oracle(), x[4] = { px_oracle_reversed(), px_tables(), px_changes() };
	struct vw_err err = { 0 };
	int r = px_bpf(&x[3], &err);

	if (r < 0 && r != -EPERM) {
		printf("not ok 1 - programs\n# %s\n1..1\n", err.msg);
		return EXIT_FAILURE;
	}
	if (r < 0)
		printf("# skip: the programs need root\n");
	r = ref.ctx && x[0].ctx && x[1].ctx && x[2].ctx ? fuzz_main(argc, argv, &ref, x, r < 0 ? 3 : 4, WORLDS, TUPLES) : EXIT_FAILURE;
	px_bpf_done(&x[3]);
	px_tables_done(&x[2]);
	px_tables_done(&x[1]);
	px_oracle_done(&x[0]);
	px_oracle_done(&ref);
	return r;
}
