/*
 * The oracle against executors that need no root.
 */
#include "tests/policy/fuzz.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
	struct px x[] = { px_oracle(), px_oracle_reversed() };
	int r = x[0].ctx && x[1].ctx ? fuzz_main(argc, argv, &x[0], &x[1], 1, 300, 4000) : EXIT_FAILURE;

	px_oracle_done(&x[0]);
	px_oracle_done(&x[1]);
	return r;
}
