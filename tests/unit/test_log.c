/* Log lines: shape, level, one line whatever the text holds, the mute of a noisy call site, errno kept. */
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "tests/unit/cm.h"

#include <fcntl.h>
#include <string.h>

struct tap {
	int fds[2];
	char got[65536];
};

static int open_tap(void **state)
{
	struct tap *t = calloc(1, sizeof(*t));

	*state = t;
	if (pipe2(t->fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	vw_log_fd_set(t->fds[1]);
	vw_log_level_set(VW_LOG_INFO);
	return 0;
}

static int close_tap(void **state)
{
	struct tap *t = *state;

	close(t->fds[0]);
	close(t->fds[1]);
	free(t);
	vw_log_fd_set(2);
	vw_log_level_set(VW_LOG_INFO);
	return 0;
}

static const char *drain(struct tap *t)
{
	ssize_t n = read(t->fds[0], t->got, sizeof(t->got) - 1);

	t->got[n > 0 ? n : 0] = '\0';
	return t->got;
}

static void shape(void **state)
{
	struct tap *t = *state;

	errno = EXDEV;
	vw_info("pod wired");
	assert_int_equal(errno, EXDEV);
	assert_string_equal(drain(t), "level=info msg=\"pod wired\"\n");
	vw_error("gave up", "eni=%s n=%d", "eni-1", 3);
	assert_string_equal(drain(t), "level=error msg=\"gave up\" eni=eni-1 n=3\n");
}

static void levels(void **state)
{
	struct tap *t = *state;
	enum vw_log_level level = VW_LOG_ERROR;

	vw_debug("no");
	assert_string_equal(drain(t), "");
	assert_int_equal(vw_log_level_parse("DEBUG", &level), 0);
	vw_log_level_set(level);
	vw_debug("yes");
	assert_string_equal(drain(t), "level=debug msg=\"yes\"\n");
	assert_int_equal(vw_log_level_parse("warning", &level), 0);
	assert_int_equal(level, VW_LOG_WARN);
	assert_int_equal(vw_log_level_parse("loud", &level), -EINVAL);
	assert_int_equal(level, VW_LOG_WARN);
}

static void note_line(void *arg, enum vw_log_level level, const char *line, size_t len)
{
	(void)!vw_fmt(arg, 200, "%d:%.*s", (int)level, (int)len, line);
}

static void a_hearer_hears_what_the_level_drops(void **state)
{
	struct tap *t = *state;
	char heard[200] = "";

	vw_log_level_set(VW_LOG_ERROR);
	vw_log_hear(note_line, heard);
	vw_info("grown", "eni=%s", "eni-1\n");
	assert_string_equal(heard, "2:level=info msg=\"grown\" eni=eni-1 ");
	assert_string_equal(drain(t), "");
	vw_debug("detail");
	assert_string_equal(heard, "2:level=info msg=\"grown\" eni=eni-1 ");
	vw_error("bad");
	assert_string_equal(heard, "0:level=error msg=\"bad\"");
	assert_string_equal(drain(t), "level=error msg=\"bad\"\n");
	vw_log_hear(NULL, NULL);
	vw_info("gone");
	assert_string_equal(heard, "0:level=error msg=\"bad\"");
}

static void foreign_text_stays_on_its_line(void **state)
{
	struct tap *t = *state;
	static char big[8000];

	vw_info("x", "err=\"%s\"", "a\nlevel=error msg=forged\r\x1b[2J");
	assert_string_equal(drain(t), "level=info msg=\"x\" err=\"a level=error msg=forged  [2J\"\n");
	memset(big, 'b', sizeof(big) - 1);
	vw_info("big", "v=%s", big);
	assert_true(strlen(drain(t)) <= 2048);
	assert_ptr_equal(strchr(t->got, '\n'), t->got + strlen(t->got) - 1);
}

static void noisy_site_is_muted_and_says_so(void **state)
{
	struct vw_log_site site = {0};
	struct tap *t = *state;

	/* The site's second is pinned by hand: the test does not depend on when it runs. */
	site.suppressed = 7;
	site.second = -1;
	vw_log_at(&site, VW_LOG_INFO, "m", NULL);
	assert_string_equal(drain(t), "level=info msg=\"m\" suppressed=7\n");
	assert_int_equal(site.suppressed, 0);
	for (int i = 0; i < 100000; i++) {
		long second = site.second;

		site.n = 20;
		vw_log_at(&site, VW_LOG_INFO, "m", NULL);
		if (site.second != second) {
			drain(t); /* a second went by between the two lines: try again */
			continue;
		}
		assert_int_equal(site.suppressed, 1);
		break;
	}
	assert_string_equal(drain(t), "");
}

#define test(fn) cmocka_unit_test_setup_teardown(fn, open_tap, close_tap)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(shape),
		test(levels),
		test(a_hearer_hears_what_the_level_drops),
		test(foreign_text_stays_on_its_line),
		test(noisy_site_is_muted_and_says_so),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
