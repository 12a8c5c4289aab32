#pragma once

#include "tests/policy/run.h"

/**
 * fuzz_main() - random clusters and questions: what @ref says, all of @x must say, as TAP on stdout. A disagreement is shrunk to a
 * fixture, which is printed and written to @dir.
 * argv: [--seed N|random] [--worlds N] [--tuples N] (a world); @worlds, @tuples: the defaults. Return: exit code.
 */
int fuzz_main(int argc, char **argv, const struct px *ref, const struct px *x, size_t n_x, unsigned int worlds, unsigned int tuples);
