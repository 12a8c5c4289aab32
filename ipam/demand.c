/*
 * The demand estimator. All figures decay by halves, so that it does not matter in how many steps time passes: a
 * state is the events alone. Doubles are as deterministic as integers here (only + - * / on the same inputs), and
 * the power of two is our own, so nothing depends on a libm.
 */
#include "ipam/demand.h"

#include "ipam/pool.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LN2 0.69314718055994530942
#define TEXT_FORMAT "1 %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64

static double max_d(double a, double b)
{
	return a > b ? a : b;
}

static double min_d(double a, double b)
{
	return a < b ? a : b;
}

static double clamp(double v, double lo, double hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* 2^-(ms / half_ms): whole halves, then e^-x by its series, x < 0.7, to some 1e-9 */
static double decay(uint64_t ms, uint64_t half_ms)
{
	uint64_t halves = ms / half_ms;
	double x = LN2 * (double)(ms % half_ms) / (double)half_ms, term = 1, sum = 1;

	if (halves > 60)
		return 0;
	for (int i = 1; i < 12; i++) {
		term *= -x / i;
		sum += term;
	}
	return sum / (double)(UINT64_C(1) << halves);
}

/* the state as of @now_ms; time that goes back is no time */
static struct ipam_demand as_of(const struct ipam_demand *d, uint64_t now_ms)
{
	struct ipam_demand t = *d;
	uint64_t dt = now_ms > d->at_ms ? now_ms - d->at_ms : 0;

	if (!dt)
		return t;
	t.at_ms = now_ms;
	t.recent *= decay(dt, IPAM_DEMAND_RECENT_HALF_MS);
	t.surge *= decay(dt, IPAM_DEMAND_SURGE_HALF_MS);
	t.burst *= decay(dt, IPAM_DEMAND_BURST_HALF_MS);
	t.left *= decay(dt, IPAM_DEMAND_LEFT_HALF_MS);
	return t;
}

void ipam_demand_init(struct ipam_demand *d, uint64_t now_ms)
{
	*d = (struct ipam_demand){
		.at_ms = now_ms,
		.burst = IPAM_DEMAND_FIRST,
		.lead_ms = IPAM_DEMAND_LEAD_FIRST_MS,
	};
}

void ipam_demand_arrive(struct ipam_demand *d, uint64_t now_ms)
{
	*d = as_of(d, now_ms);
	d->recent += 1;
	d->surge += 1;
	d->burst = max_d(d->burst, d->surge);
}

void ipam_demand_withdraw(struct ipam_demand *d, uint64_t now_ms)
{
	*d = as_of(d, now_ms);
	d->recent = max_d(d->recent - 1, 0);
	d->surge = max_d(d->surge - 1, 0);
}

void ipam_demand_leave(struct ipam_demand *d, uint64_t now_ms)
{
	*d = as_of(d, now_ms);
	d->left += 1;
}

void ipam_demand_grew(struct ipam_demand *d, uint64_t now_ms, uint64_t took_ms)
{
	double took = clamp((double)took_ms, IPAM_DEMAND_LEAD_MIN_MS, IPAM_DEMAND_LEAD_MAX_MS);

	*d = as_of(d, now_ms);
	d->lead_ms = max_d(took, d->lead_ms * 0.75 + took * 0.25);
}

static unsigned int round_up(double v)
{
	unsigned int n;

	if (v >= IPAM_DEMAND_MAX)
		return IPAM_DEMAND_MAX;
	n = (unsigned int)v;
	return (double)n < v ? n + 1 : n;
}

/*
 * low: what may come before growth that starts now brings anything, and half of what a burst like the last one would still
 * bring. While a burst comes, no more of it is expected than its memory has left, or a quarter of what has come when there
 * is no such memory: otherwise a node that has all that it needs asks for more, and those that have not wait behind it.
 * fill: a little more, and room for the whole of such a burst. keep: beyond that what random arrivals move the marks by, and
 * those who have left, before anything is given back.
 */
struct ipam_warm ipam_demand_warm(const struct ipam_demand *d, uint64_t now_ms, enum ipam_mode mode,
				  unsigned int capacity)
{
	struct ipam_demand t = as_of(d, now_ms);
	double per_ms = t.recent * LN2 / IPAM_DEMAND_RECENT_HALF_MS;
	double half = capacity ? capacity / 2.0 : IPAM_DEMAND_MAX;
	double burst = t.burst < half ? t.burst : half;
	double coming = min_d(per_ms * t.lead_ms * 2, max_d(t.burst - t.surge, t.surge / 4));
	double low = IPAM_DEMAND_FLOOR + coming + max_d(burst - t.surge, 0) / 2;
	double fill = max_d(low + IPAM_DEMAND_FLOOR, IPAM_DEMAND_FLOOR + burst);
	double keep = fill + max_d(fill / 4, IPAM_DEMAND_BAND) + t.left;

	/* a prefix is a lump already: no need to make it larger */
	if (mode == IPAM_MODE_PREFIXES) {
		fill = (low + fill) / 2;
		keep = fill + IPAM_PREFIX4_ADDRS - 1 + t.left;
	}

	return (struct ipam_warm){
		.low = round_up(low),
		.fill = round_up(fill),
		.keep = round_up(keep),
		.spare = round_up(burst),
	};
}

uint64_t ipam_demand_lasts_ms(const struct ipam_demand *d, uint64_t now_ms, unsigned int avail)
{
	double per_ms = as_of(d, now_ms).recent * LN2 / IPAM_DEMAND_RECENT_HALF_MS;

	return per_ms * IPAM_DEMAND_BURST_HALF_MS < 1 ? IPAM_NEVER : (uint64_t)(avail / per_ms);
}

uint64_t ipam_demand_falls_ms(const struct ipam_demand *d, uint64_t now_ms, enum ipam_mode mode,
			      unsigned int capacity, unsigned int avail)
{
	uint64_t lo = 0, hi = UINT64_C(64) * IPAM_DEMAND_BURST_HALF_MS;

	if (ipam_demand_warm(d, now_ms, mode, capacity).keep < avail)
		return now_ms;
	if (ipam_demand_warm(d, now_ms + hi, mode, capacity).keep >= avail)
		return IPAM_NEVER;
	while (hi - lo > 1) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (ipam_demand_warm(d, now_ms + mid, mode, capacity).keep < avail)
			hi = mid;
		else
			lo = mid;
	}
	return now_ms + hi;
}

/* --- text: version, time, then thousandths */

static uint64_t thousandths(double v)
{
	return (uint64_t)(v * 1000 + 0.5);
}

const char *ipam_demand_print(const struct ipam_demand *d, char buf[IPAM_DEMAND_TEXT])
{
	snprintf(buf, IPAM_DEMAND_TEXT, TEXT_FORMAT, d->at_ms, thousandths(d->recent), thousandths(d->surge),
		 thousandths(d->burst), thousandths(d->left), thousandths(d->lead_ms));
	return buf;
}

int ipam_demand_parse(struct ipam_demand *d, const char *text, uint64_t now_ms)
{
	uint64_t v[7] = { 0 };
	char word[24];

	for (size_t i = 0; i < 7; i++) {
		size_t n = strcspn(text, " ");

		if (n >= sizeof(word) || (text[n] == 0) != (i == 6))
			return -EINVAL;
		memcpy(word, text, n);
		word[n] = 0;
		if (vw_parse_u64(word, 0, i == 1 ? UINT64_MAX : UINT64_C(1000) * 1000 * 1000, &v[i]) < 0)
			return -EINVAL;
		text += n + 1;
	}
	if (v[0] != 1)
		return -EINVAL;
	*d = (struct ipam_demand){
		.at_ms = v[1] < now_ms ? v[1] : now_ms,
		.recent = (double)v[2] / 1000,
		.surge = (double)v[3] / 1000,
		.burst = (double)v[4] / 1000,
		.left = (double)v[5] / 1000,
		.lead_ms = clamp((double)v[6] / 1000, IPAM_DEMAND_LEAD_MIN_MS, IPAM_DEMAND_LEAD_MAX_MS),
	};
	return 0;
}
