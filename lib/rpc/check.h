#pragma once

#include <stdbool.h>

struct vw_json;

/**
 * vw_check() - append {"part", "ok", "what", "todo"} to @checks: what was looked at, whether it is as it should be, what is there, and, where it
 * is not, what to do about it. The shape that explain and doctor share (docs/RPC.md).
 * @todo: ignored when @ok. @fmt: of "what", cut off at 640 bytes. Return: 0, -ENOMEM.
 */
int vw_check(struct vw_json *checks, const char *part, bool ok, const char *todo, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
