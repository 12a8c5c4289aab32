/*
 * Text to number, whole text or nothing. Written out instead of strtoull(), which takes blanks, signs and
 * partial input and reports overflow through errno.
 */
#include "lib/base/parse.h"

#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* -EINVAL wins over -ERANGE: "99999999999999999999x" is not a number at all. */
static int digits(const char *text, unsigned int base, uint64_t *ret_value)
{
	bool overflow = false;
	uint64_t v = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		unsigned int d = (unsigned int)digit_of(*text);

		if (d >= base)
			return -EINVAL;
		if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, d, &v))
			overflow = true;
	}
	if (overflow)
		return -ERANGE;
	*ret_value = v;
	return 0;
}

int vw_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	uint64_t v;
	int r = digits(text, 10, &v);

	if (r < 0)
		return r;
	if (v < min || v > max)
		return -ERANGE;
	*ret_value = v;
	return 0;
}

int vw_parse_i64(const char *text, int64_t min, int64_t max, int64_t *ret_value)
{
	bool neg = *text == '-';
	uint64_t mag;
	int64_t v;
	int r = digits(text + neg, 10, &mag);

	if (r < 0)
		return r;
	if (mag > (uint64_t)INT64_MAX + neg)
		return -ERANGE;
	v = neg ? (int64_t)(0 - mag) : (int64_t)mag;
	if (v < min || v > max)
		return -ERANGE;
	*ret_value = v;
	return 0;
}

int vw_parse_hex(const char *text, uint64_t max, uint64_t *ret_value)
{
	uint64_t v;
	int r;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		text += 2;
	r = digits(text, 16, &v);
	if (r < 0)
		return r;
	if (v > max)
		return -ERANGE;
	*ret_value = v;
	return 0;
}

int vw_parse_bool(const char *text, bool *ret_value)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {
		{"true", true}, {"false", false}, {"1", true},   {"0", false}, {"t", true},
		{"f", false},   {"yes", true},    {"no", false}, {"on", true}, {"off", false},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcasecmp(text, words[i].word)) {
			*ret_value = words[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

/* Exactly @n digits at *text, which moves on. */
static int fixed_digits(const char **text, unsigned int n, unsigned int *ret_value)
{
	unsigned int v = 0;

	while (n--) {
		if (**text < '0' || **text > '9')
			return -EINVAL;
		v = v * 10 + (unsigned int)(*(*text)++ - '0');
	}
	*ret_value = v;
	return 0;
}

/* Days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t days_from_civil(unsigned int year, unsigned int month, unsigned int day)
{
	int64_t y = (int64_t)year - (month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + doe - 719468;
}

int vw_parse_time(const char *text, int64_t *ret_unix)
{
	static const uint8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	static const struct {
		char before;
		unsigned int n;
	} fields[] = {
		{0, 4}, {'-', 2}, {'-', 2}, {'T', 2}, {':', 2}, {':', 2},
	};
	unsigned int f[6]; /* year, month, day, hour, minute, second */
	bool leap;

	for (unsigned int i = 0; i < 6; i++) {
		if (fields[i].before && *text++ != fields[i].before)
			return -EINVAL;
		if (fixed_digits(&text, fields[i].n, &f[i]) < 0)
			return -EINVAL;
	}
	if (*text == '.') {
		size_t n = strspn(++text, "0123456789");

		if (!n)
			return -EINVAL;
		text += n;
	}
	if (strcmp(text, "Z"))
		return -EINVAL;
	leap = (f[0] % 4 == 0 && f[0] % 100 != 0) || f[0] % 400 == 0;
	if (f[1] < 1 || f[1] > 12 || f[2] < 1 || f[3] > 23 || f[4] > 59 || f[5] > 60)
		return -EINVAL;
	if (f[2] > month_days[f[1] - 1] + (unsigned int)(leap && f[1] == 2))
		return -EINVAL;
	*ret_unix = days_from_civil(f[0], f[1], f[2]) * 86400 + f[3] * 3600 + f[4] * 60 + f[5];
	return 0;
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool vw_is_name(const char *text)
{
	if (!is_alnum(*text))
		return false;
	while (*++text) {
		if (!is_alnum(*text) && *text != '_' && *text != '.' && *text != '-')
			return false;
	}
	return true;
}

bool vw_is_ifname(const char *text)
{
	/* 0xa0 is white space to the kernel's isspace(), which is Latin-1. */
	static const char forbidden[] = "/: \t\n\v\f\r\xa0";
	size_t len = strlen(text);

	return len >= 1 && len < IFNAMSIZ && strcmp(text, ".") && strcmp(text, "..") &&
	       strcspn(text, forbidden) == len;
}

int vw_fmt(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= size) {
		if (size)
			buf[0] = '\0';
		return -ENAMETOOLONG;
	}
	return n;
}
