/*
 * Every fixture, both families, by the executors that need no root.
 */
#include "tests/policy/tables.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
	struct px x[] = { px_oracle(), px_tables(), px_changes() };
	int r = x[0].ctx && x[1].ctx && x[2].ctx ? px_main(argc, argv, x, 3) : EXIT_FAILURE;

	px_oracle_done(&x[0]);
	px_tables_done(&x[1]);
	px_tables_done(&x[2]);
	return r;
}
