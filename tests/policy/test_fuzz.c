/*
 * The oracle against everything else.
 */
#include "tests/policy/fuzz.h"
#include "tests/policy/tables.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
	struct px ref = px_oracle(), x[] = { px_oracle_reversed(), px_tables(), px_changes() };
	int r = ref.ctx && x[0].ctx && x[1].ctx && x[2].ctx ? fuzz_main(argc, argv, &ref, x, 3, 300, 4000) : EXIT_FAILURE;

	px_tables_done(&x[2]);
	px_tables_done(&x[1]);
	px_oracle_done(&x[0]);
	px_oracle_done(&ref);
	return r;
}
