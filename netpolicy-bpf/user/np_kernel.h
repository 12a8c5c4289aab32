#pragma once

#include <stdbool.h>

struct bpf_program;

/* What the programs use where the kernel has it, and how they are without. */

/** np_kernel_has_exchange() - does it take atomic compare-and-exchange in programs (Linux 5.12)? Asked by loading a program that does. */
bool np_kernel_has_exchange(void);
/**
 * np_without_exchange() - @prog, opened and not loaded yet, as other kernels take it: the switch NP_CT_EXCHANGE (np_ct.h) off, and
 * additions in the place of all other atomic operations, which nobody gets to then. Return: 0, -ENOMEM, -errno.
 */
int np_without_exchange(struct bpf_program *prog);
