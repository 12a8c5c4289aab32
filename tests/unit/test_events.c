/* The ring of events: order, what is lost, what is cut off, a number of a former life. */
#include "daemon/advice.h"
#include "daemon/daemon.h"
#include "daemon/events.h"
#include "daemon/loop.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "tests/unit/cm.h"

#include <stdio.h>
#include <string.h>

static int begin(void **state)
{
	static struct daemon d;
	struct vw_err err;

	d = (struct daemon){ 0 };
	TAILQ_INIT(&d.later);
	*state = &d;
	return loop_new(&d.loop, &err) < 0 || events_new(&d, &d.events, &err) < 0;
}

static int end(void **state)
{
	struct daemon *d = *state;

	loop_free(d->loop);
	events_free(d->events);
	return 0;
}

/* kinds and texts from @after on, and how many were lost */
static struct vw_json *ask(struct daemon *d, unsigned long long after, size_t want_n, int64_t want_first, int64_t want_lost)
{
	struct vw_json *j = events_json(d->events, after);
	const struct vw_json *v = vw_json_get(j, "events");

	assert_non_null(j);
	assert_int_equal(vw_json_len(v), want_n);
	assert_int_equal(vw_json_int(vw_json_get(j, "lost")), want_lost);
	if (want_n)
		assert_int_equal(vw_json_int(vw_json_get(vw_json_at(v, 0), "seq")), want_first);
	return j;
}

static void test_in_order(void **state)
{
	struct daemon *d = *state;
	struct vw_json *j;

	vw_json_free(ask(d, 0, 0, 0, 0));
	vw_log_level_set(VW_LOG_ERROR);
	vw_info("grown", "eni=%s", "eni-1");
	events_add(d->events, "denied", "pod=x and more", 5);
	vw_log_level_set(VW_LOG_INFO);
	j = ask(d, 0, 2, 1, 0);
	assert_string_equal(vw_json_string(vw_json_get(vw_json_at(vw_json_get(j, "events"), 0), "text")), "msg=\"grown\" eni=eni-1");
	assert_string_equal(vw_json_string(vw_json_get(vw_json_at(vw_json_get(j, "events"), 0), "kind")), "info");
	assert_string_equal(vw_json_string(vw_json_get(vw_json_at(vw_json_get(j, "events"), 1), "text")), "pod=x");
	assert_int_equal(vw_json_int(vw_json_get(j, "next")), 2);
	vw_json_free(j);
	vw_json_free(ask(d, 1, 1, 2, 0));
	vw_json_free(ask(d, 2, 0, 0, 0));
	/* the daemon's former life had more of them */
	vw_json_free(ask(d, 4711, 2, 1, 0));
}

static void test_what_is_lost_is_told(void **state)
{
	struct daemon *d = *state;
	char text[1000];

	memset(text, 'x', sizeof(text));
	for (unsigned int i = 0; i < EVENTS_KEPT + 10; i++)
		events_add(d->events, "warn", text, sizeof(text));
	/* who has seen none asks for what there is; who has seen 4 has missed those up to 10 */
	vw_json_free(ask(d, 0, EVENTS_KEPT, 11, 0));
	vw_json_free(ask(d, 4, EVENTS_KEPT, 11, 6));
	vw_json_free(ask(d, 10, EVENTS_KEPT, 11, 0));
	vw_json_free(ask(d, EVENTS_KEPT, 10, EVENTS_KEPT + 1, 0));
}

static void test_nobody_keeps_any(void **state)
{
	(void)state;
	events_add(NULL, "warn", "x", 1);
}

/* what is denied in the thousands does not push out an error; the same one again is one of many; the latest comes first */
static void test_errors_are_kept_apart(void **state)
{
	struct daemon *d = *state;
	struct vw_json *j;
	char text[32];

	events_add(d->events, "error", "msg=\"no page\" x", 15);
	events_add(d->events, "warn", "msg=\"second\"", 12);
	for (unsigned int i = 0; i < 2 * EVENTS_KEPT; i++)
		events_add(d->events, i % 2 ? "denied" : "info", "pod=x", 5);
	events_add(d->events, "error", "msg=\"no page\" x", 15);
	j = events_errors_json(d->events);
	assert_int_equal(vw_json_len(j), 2);
	assert_string_equal(vw_json_string(vw_json_get(vw_json_at(j, 0), "text")), "msg=\"no page\" x");
	assert_string_equal(vw_json_string(vw_json_get(vw_json_at(j, 0), "todo")), advice_todo("no page"));
	assert_int_equal(vw_json_int(vw_json_get(vw_json_at(j, 0), "times")), 2);
	assert_string_equal(vw_json_string(vw_json_get(vw_json_at(j, 1), "kind")), "warn");
	assert_null(vw_json_get(vw_json_at(j, 1), "todo"));
	assert_int_equal(vw_json_int(vw_json_get(vw_json_at(j, 1), "times")), 1);
	vw_json_free(j);
	for (unsigned int i = 0; i < ERRORS_KEPT + 3; i++) {
		(void)snprintf(text, sizeof(text), "msg=\"%u\"", i);
		events_add(d->events, "error", text, strlen(text));
	}
	j = events_errors_json(d->events);
	assert_int_equal(vw_json_len(j), ERRORS_KEPT);
	assert_string_equal(vw_json_string(vw_json_get(vw_json_at(j, 0), "text")), text);
	assert_string_equal(vw_json_string(vw_json_get(vw_json_at(j, ERRORS_KEPT - 1), "text")), "msg=\"3\"");
	vw_json_free(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_in_order, begin, end),
		cmocka_unit_test_setup_teardown(test_what_is_lost_is_told, begin, end),
		cmocka_unit_test_setup_teardown(test_errors_are_kept_apart, begin, end),
		cmocka_unit_test(test_nobody_keeps_any),
	};

	return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
