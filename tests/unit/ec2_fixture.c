/* See ec2_fixture.h. */
#include "tests/unit/ec2_fixture.h"

#include "daemon/creds.h"
#include "daemon/http.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "tests/unit/cm.h"
#include "tests/unit/scripted_http.h"

#include <string.h>

static uint64_t fake_now(void *arg)
{
	return ((struct ec2_fixture *)arg)->now;
}

static void fake_wait(void *arg, uint64_t ms)
{
	struct ec2_fixture *f = arg;

	f->is_held = ec2_held(f->ec2, &f->held);
	f->now += ms;
	assert_true(f->n_waits < VW_ARRAY_SIZE(f->waits));
	f->waits[f->n_waits++] = ms;
}

static uint32_t fake_random(void *arg)
{
	return UINT32_MAX; /* always the cap */
}

void ec2_fx_start_with(struct ec2_fixture *f, const struct scripted_step *steps, size_t n,
		       const struct creds_options *keys, struct ec2_rate change)
{
	const struct http_options opt = { 0 };
	struct ec2_options eo = {
		.region = "eu-north-1",
		.instance_id = "i-me",
		.change = change,
		.clock = { f, fake_now, fake_wait, fake_random },
	};
	struct creds_options co = *keys;
	struct vw_err err;

	*f = (struct ec2_fixture){ .now = vw_mono_ms() };
	f->srv = scripted_start(steps, n);
	eo.endpoint = scripted_url(f->srv);
	if (!co.access_key_id)
		co.container_full_uri = scripted_url(f->srv);
	assert_int_equal(http_new(&opt, &f->http, &err), 0);
	assert_int_equal(creds_new(&co, f->http, NULL, &f->creds, &err), 0);
	assert_int_equal(ec2_new(&eo, f->http, f->creds, &f->ec2, &err), 0);
}

void ec2_fx_start(struct ec2_fixture *f, const struct scripted_step *steps, size_t n)
{
	const struct creds_options keys = { .access_key_id = "AKIA", .secret_access_key = "s" };

	ec2_fx_start_with(f, steps, n, &keys, (struct ec2_rate){ 0 });
}

void ec2_fx_stop(struct ec2_fixture *f, size_t n_steps)
{
	assert_int_equal(scripted_n(f->srv), n_steps);
	ec2_free(f->ec2);
	creds_free(f->creds);
	http_free(f->http);
	scripted_stop(f->srv);
}

uint64_t ec2_fx_in(const struct ec2_fixture *f, uint64_t ms)
{
	return f->now + ms;
}

void ec2_fx_expect_form(struct ec2_fixture *f, size_t i, const char *form)
{
	const char *got = strstr(scripted_request(f->srv, i), "\r\n\r\n");

	assert_non_null(got);
	assert_string_equal(got + 4, form);
}

uint64_t ec2_fx_counted(struct ec2_fixture *f, const char *action, const char *code)
{
	struct ec2_counter c[64];
	size_t n = ec2_counters(f->ec2, c, VW_ARRAY_SIZE(c));

	for (size_t i = 0; i < n; i++) {
		if (!strcmp(c[i].action, action) && !strcmp(c[i].code, code))
			return c[i].n;
	}
	return 0;
}
