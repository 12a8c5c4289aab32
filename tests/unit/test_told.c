/* What an ADD that gets no address is told, in moments that a lab meets by chance only: virtual time, and EC2 as it is told to be. */
#include "tests/unit/model.h"

#include <stdlib.h>
#include <string.h>

#define WAIT_MS 7000
#define RETRY_MS 5000

/* Pods until one has to wait -> that one; all that the others and it have begun is done. */
static struct box *one_too_many(struct model *m)
{
	for (unsigned int i = 0; i < BOXES; i++) {
		model_add(m, &m->box[i]);
		model_finish_jobs(m);
		if (m->box[i].state != BOX_HAS)
			return &m->box[i];
	}
	fail_msg("an address for each of %d pods", BOXES);
	return NULL;
}

/*
 * The next try is due shortly before the pod's patience is over, and the loop comes late to both: the try has not begun yet, but it is not
 * that nothing stood in the way.
 */
static void test_a_pause_that_has_just_ended(void **state)
{
	struct model *m = calloc(1, sizeof(*m));
	struct box *b;

	assert_non_null(m);
	model_setup(m, 70, false, "\"warm_ip_target\":1,\"subnet_retry_s\":5,\"add_wait_ms\":7000");
	model_run_dry(m, 120000);
	m->w->full = true;
	b = one_too_many(m);
	assert_int_equal(b->state, BOX_ASKING);
	model_run_dry(m, RETRY_MS - 10);
	assert_int_equal(b->state, BOX_ASKING);
	m->w->now += WAIT_MS - RETRY_MS + 20;
	world_turn(m->w);
	assert_true(b->conn.answered);
	assert_string_equal(b->conn.msg, "no free address: no free address in subnet subnet-1 (being tried again)");
	model_rest(m);
	model_teardown(m);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_pause_that_has_just_ended),
	};

	return cmocka_run_group_tests_name("told", tests, NULL, NULL);
}
