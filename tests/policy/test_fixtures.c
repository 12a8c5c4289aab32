/*
 * Every fixture, both families, by the executors that need no root.
 */
#include "tests/policy/run.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
	struct px x = px_oracle();
	int r = x.ctx ? px_main(argc, argv, &x, 1) : EXIT_FAILURE;

	px_oracle_done(&x);
	return r;
}
