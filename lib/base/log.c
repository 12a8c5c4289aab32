/*
 * One event, one line, one write(2), so that lines of several processes on one fd do not mix. Control
 * characters in what was formatted become blanks: a message can quote foreign text, and a newline in it must
 * not forge a second line.
 */
#include "lib/base/log.h"

#include "lib/base/clock.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048
#define PER_SECOND     20

/* The level, and with it where lines go: the one thing in the project that is global and changes. */
static struct {
	enum vw_log_level level;
	int fd;
	void (*hear)(void *arg, enum vw_log_level level, const char *line, size_t len);
	void *arg;
} log_to = {.level = VW_LOG_INFO, .fd = STDERR_FILENO};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void vw_log_level_set(enum vw_log_level level)
{
	log_to.level = level;
}

int vw_log_level_parse(const char *text, enum vw_log_level *ret_level)
{
	for (unsigned int i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (!strcasecmp(text, level_names[i])) {
			*ret_level = (enum vw_log_level)i;
			return 0;
		}
	}
	if (strcasecmp(text, "warning"))
		return -EINVAL;
	*ret_level = VW_LOG_WARN;
	return 0;
}

void vw_log_fd_set(int fd)
{
	log_to.fd = fd;
}

void vw_log_hear(void (*fn)(void *arg, enum vw_log_level level, const char *line, size_t len), void *arg)
{
	log_to.arg = arg;
	log_to.hear = fn;
}

/* Whether this call may speak; *ret_muted is how many before it, in an earlier second, did not. */
static int may_speak(struct vw_log_site *site, unsigned int *ret_muted)
{
	long now = (long)(vw_mono_ms() / 1000);

	*ret_muted = 0;
	if (site->second != now) {
		*ret_muted = site->suppressed;
		site->second = now;
		site->n = site->suppressed = 0;
	}
	if (site->n >= PER_SECOND) {
		site->suppressed++;
		return 0;
	}
	site->n++;
	return 1;
}

/* snprintf's answer, cut to what really fits into @room. */
static size_t clamp(int n, size_t room)
{
	if (n < 0)
		return 0;
	return (size_t)n < room ? (size_t)n : room - 1;
}

void vw_log_at(struct vw_log_site *site, enum vw_log_level level, const char *msg, const char *kvfmt, ...)
{
	char line[LINE_MAX_BYTES + 1];
	size_t room = LINE_MAX_BYTES, len;
	int saved = errno;
	bool heard = log_to.hear && level <= VW_LOG_INFO;
	unsigned int muted;
	va_list ap;

	if ((level > log_to.level && !heard) || !may_speak(site, &muted))
		return;
	len = clamp(snprintf(line, room, "level=%s msg=\"%s\"", level_names[level], msg), room);
	while (kvfmt && *kvfmt == ' ')
		kvfmt++;
	if (kvfmt && *kvfmt) {
		if (len < room - 1)
			line[len++] = ' ';
		va_start(ap, kvfmt);
		len += clamp(vsnprintf(line + len, room - len, kvfmt, ap), room - len);
		va_end(ap);
	}
	if (muted)
		len += clamp(snprintf(line + len, room - len, " suppressed=%u", muted), room - len);
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = ' ';
	}
	if (heard)
		log_to.hear(log_to.arg, level, line, len);
	line[len++] = '\n';
	/* Nobody is left to hear that logging failed. */
	if (level <= log_to.level)
		(void)!write(log_to.fd, line, len);
	errno = saved;
}
