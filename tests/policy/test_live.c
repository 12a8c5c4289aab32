/*
 * Every fixture, both families, by connections between namespaces through the real programs.
 */
#include "tests/policy/lab.h"

int main(int argc, char **argv)
{
	return px_main_as_root(argc, argv, px_live, px_live_done);
}
