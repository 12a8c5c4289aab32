#include "cli/redact.h"

#include "lib/base/buf.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define REMOVED "(removed)"
#define ACCESS_KEY_LEN 20       /* AKIA..., ASIA... */
#define SECRET_KEY_LEN 40
#define JWT_MIN 40
#define WORD_MAX 160            /* session tokens have several hundred */

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("+/=_.-", c));
}

/* an id of a container, a digest: lower case and digits. A key has capitals as well */
static bool is_mixed(const char *w, size_t n)
{
	bool upper = false, lower = false, digit = false;

	for (size_t i = 0; i < n; i++) {
		upper |= isupper((unsigned char)w[i]) != 0;
		lower |= islower((unsigned char)w[i]) != 0;
		digit |= isdigit((unsigned char)w[i]) != 0;
	}
	return upper && lower && digit;
}

static bool is_secret(const char *w, size_t n)
{
	if (n == ACCESS_KEY_LEN && (!strncmp(w, "AKIA", 4) || !strncmp(w, "ASIA", 4)))
		return true;
	return (n == SECRET_KEY_LEN && is_mixed(w, n)) || (n >= JWT_MIN && !strncmp(w, "eyJ", 3)) || (n > WORD_MAX && is_mixed(w, n));
}

static bool names_secret(const char *w, size_t n)
{
	static const char *const names[] = { "password", "passwd", "secret", "token", "authorization", "credential" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (size_t at = 0; at + strlen(names[i]) <= n; at++)
			if (!strncasecmp(w + at, names[i], strlen(names[i])))
				return true;
	return false;
}

/* Behind a name: `=`, `: `, `": "` and the value, quoted or up to a blank. Return: bytes up to the value; 0: no value follows */
static size_t to_value(const char *t, size_t len)
{
	size_t n = 0;

	while (n < len && t[n] == '"')
		n++;
	if (n == len || (t[n] != '=' && t[n] != ':'))
		return 0;
	n++;
	while (n < len && t[n] == ' ')
		n++;
	return n < len && t[n] == '"' ? n + 1 : n;
}

static size_t value_len(const char *t, size_t len, bool quoted, bool line)
{
	size_t n = 0;

	while (n < len && t[n] != '\n' && (quoted ? t[n] != '"' || (n && t[n - 1] == '\\') : line || !strchr(" ,;}", t[n])))
		n++;
	return n;
}

void redact(const char *text, size_t len, struct vw_buf *out)
{
	for (size_t i = 0, n; i < len; i += n) {
		size_t gap, value;

		for (n = 0; i + n < len && is_word(text[i + n]); n++)
			if (text[i + n] == '=' && names_secret(text + i, n))
				break;
		if (!n) {
			vw_buf_putc(out, text[i]);
			n = 1;
			continue;
		}
		if (is_secret(text + i, n))
			vw_buf_puts(out, REMOVED);
		else
			vw_buf_add(out, text + i, n);
		gap = names_secret(text + i, n) ? to_value(text + i + n, len - i - n) : 0;
		if (!gap)
			continue;
		vw_buf_add(out, text + i + n, gap);
		/* "Authorization: Bearer x": all of the line */
		value = value_len(text + i + n + gap, len - i - n - gap, text[i + n + gap - 1] == '"', text[i + n] == ':');
		if (value)
			vw_buf_puts(out, REMOVED);
		n += gap + value;
	}
}
