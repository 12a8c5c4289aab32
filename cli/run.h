#pragma once

#include <stdint.h>

struct vw_buf;
struct vw_err;

/**
 * run_program() - run @argv[0], looked for in the system's own folders only, with no environment but LC_ALL=C and nothing on its standard input.
 * @out: gets what it writes, on both outputs; its cap cuts it off. @deadline_ms: it is killed then (vw_mono_ms() scale).
 * Return: its exit status; -ENOENT: it is not installed; -ETIMEDOUT; -errno.
 */
int run_program(const char *const *argv, uint64_t deadline_ms, struct vw_buf *out, struct vw_err *err);
