#pragma once

#include <stdarg.h>
#include <stddef.h>

/**
 * DOC: logging
 *
 * One line per event on stderr (or the fd set): `level=info msg="..." key=value ...`. error = gave up, warn =
 * survived (the text says "ignoring" or "retrying in"), info = a state change, debug = anything. Keys in use:
 * container_id pod ifname eni addr dur_ms err. Never log credentials, IMDS tokens or a whole stdin.
 * The level (with the fd and the hearer) is the only global of the project that changes.
 */
enum vw_log_level { VW_LOG_ERROR, VW_LOG_WARN, VW_LOG_INFO, VW_LOG_DEBUG };

/** vw_log_level_set() - drop lines above @level. Default: VW_LOG_INFO. */
void vw_log_level_set(enum vw_log_level level);

/** vw_log_level_parse() - "error", "warn", "info", "debug" (any case; aws-node's "DEBUG") -> level. Return: 0, -EINVAL. */
int vw_log_level_parse(const char *text, enum vw_log_level *ret_level);

/** vw_log_fd_set() - write to @fd (borrowed, default 2). */
void vw_log_fd_set(int fd);

/**
 * vw_log_hear() - @fn hears each line up to VW_LOG_INFO as well, also those that the level drops. NULL: nobody any more.
 * @fn:  called in the thread that logs, perhaps in several at once. @line: as it is written, without the newline; borrowed. Must not log.
 * Set before there are threads, and taken away when there are none any more.
 */
void vw_log_hear(void (*fn)(void *arg, enum vw_log_level level, const char *line, size_t len), void *arg);

/**
 * vw_log() - write one line. Keeps errno.
 * @msg: fixed text without newline.
 * @kvfmt: left out, or a literal printf format that yields `key=value` pairs, e.g. "eni=%s dur_ms=%d"; the caller quotes
 *         values that can hold blanks ("err=\"%s\""). Control characters come out as blanks.
 * A call site that fires more than 20 times in a second is muted until the next and then says how often it was.
 */
#define vw_log(level, msg, ...) \
	do { \
		static struct vw_log_site vw_site_; \
		vw_log_at(&vw_site_, (level), (msg), " " __VA_ARGS__); \
	} while (0)

struct vw_log_site {
	long second;
	unsigned int n, suppressed;
};

void vw_log_at(struct vw_log_site *site, enum vw_log_level level, const char *msg, const char *kvfmt, ...)
	__attribute__((format(printf, 4, 5)));

#define vw_error(...) vw_log(VW_LOG_ERROR, __VA_ARGS__)
#define vw_warn(...) vw_log(VW_LOG_WARN, __VA_ARGS__)
#define vw_info(...) vw_log(VW_LOG_INFO, __VA_ARGS__)
#define vw_debug(...) vw_log(VW_LOG_DEBUG, __VA_ARGS__)
