/*
 * Every fixture, both families, by the executors that need no root.
 */
#include "tests/policy/tables.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
	struct px x[] = { px_oracle(), px_tables() };
	int r = x[0].ctx && x[1].ctx ? px_main(argc, argv, x, 2) : EXIT_FAILURE;

	px_oracle_done(&x[0]);
	px_tables_done(&x[1]);
	return r;
}
