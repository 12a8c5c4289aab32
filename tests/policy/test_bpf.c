/*
 * Every fixture, both families, by the real programs.
 */
#include "tests/policy/lab.h"

int main(int argc, char **argv)
{
	return px_main_as_root(argc, argv, px_bpf, px_bpf_done);
}
