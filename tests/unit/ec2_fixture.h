#pragma once

#include "daemon/ec2.h"

#include <stddef.h>
#include <stdint.h>

struct creds_options;
struct scripted_step;

/**
 * DOC: an EC2 client for unit tests
 *
 * Its server is a script (scripted_http.h) and its clock is false: waits are noted in @waits and pass at
 * once; the wait chosen by chance is always the longest. @held: what held up growth during the last wait.
 */
struct ec2_fixture {
	struct scripted_http *srv;
	struct http *http;
	struct creds *creds;
	struct ec2 *ec2;
	uint64_t now;
	uint64_t waits[32];
	size_t n_waits;
	bool is_held;
	struct ec2_held held;
};

#define EC2_FX_OK(action) "<" action "Response><return>true</return></" action "Response>"
#define EC2_FX_ERROR(code, message)                                                                          \
	"<Response><Errors><Error><Code>" code "</Code><Message>" message                                    \
	"</Message></Error></Errors><RequestID>r-1</RequestID></Response>"

/**
 * ec2_fx_start() - with keys of the environment and default rates. ec2_fx_start_with(): without keys, from
 * the script.
 */
void ec2_fx_start(struct ec2_fixture *f, const struct scripted_step *steps, size_t n);
void ec2_fx_start_with(struct ec2_fixture *f, const struct scripted_step *steps, size_t n,
		       const struct creds_options *keys, struct ec2_rate change);
/** ec2_fx_stop() - every step of the script must have been asked for, and nothing beyond it. */
void ec2_fx_stop(struct ec2_fixture *f, size_t n_steps);
/** ec2_fx_in() - a deadline @ms from now by the false clock. */
uint64_t ec2_fx_in(const struct ec2_fixture *f, uint64_t ms);
/** ec2_fx_expect_form() - the body of request @i is @form. */
void ec2_fx_expect_form(struct ec2_fixture *f, size_t i, const char *form);
uint64_t ec2_fx_counted(struct ec2_fixture *f, const char *action, const char *code);
