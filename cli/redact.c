/*
 * JSON is taken apart, so that a key is known for what it is, however it is spelled. Text is read as it may be: a log line, a header, JSON inside a
 * message, its quotes behind backslashes. There, what follows a name is the value up to where it must have ended, and rather too much of it.
 */
#include "cli/redact.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/json/json.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define REMOVED "(removed)"
#define ACCESS_KEY_LEN 20       /* AKIA..., ASIA... */
#define SECRET_KEY_LEN 40
#define JWT_MIN 40
#define WORD_MAX 160            /* session tokens have several hundred */
#define KEY_MAX 1024            /* of several words, from the one that counts */
#define LOOK_AGAIN 65536        /* bytes of values of names inside what goes, and so many times its own */
#define LOOK_AGAIN_TIMES 8
#define MAX_INSIDE 8            /* JSON in a string of JSON in a string ... */

/* --- what is a secret */

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("+/_.-", c));
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

static bool has_access_key(const char *w, size_t n)
{
	for (size_t i = 0; i + ACCESS_KEY_LEN <= n; i++) {
		size_t len = 0;

		if ((strncmp(w + i, "AKIA", 4) && strncmp(w + i, "ASIA", 4)) || (i && isalnum((unsigned char)w[i - 1])))
			continue;
		while (i + len < n && (isupper((unsigned char)w[i + len]) || isdigit((unsigned char)w[i + len])))
			len++;
		if (len == ACCESS_KEY_LEN && (i + len == n || !isalnum((unsigned char)w[i + len])))
			return true;
	}
	return false;
}

static bool is_secret(const char *w, size_t n)
{
	return has_access_key(w, n) || (n == SECRET_KEY_LEN && is_mixed(w, n)) || (n >= JWT_MIN && !strncmp(w, "eyJ", 3)) ||
	       (n > WORD_MAX && is_mixed(w, n));
}

static bool names_secret(const char *w, size_t n)
{
	static const char *const names[] = { "password", "passwd", "passphrase", "secret", "token", "authorization", "credential", "signature", "cookie",
					     "private_key", "private-key", "privatekey", "api_key", "api-key", "apikey" };

	for (size_t i = 0; i < VW_ARRAY_SIZE(names); i++)
		for (size_t at = 0; at + strlen(names[i]) <= n; at++)
			if (!strncasecmp(w + at, names[i], strlen(names[i])))
				return true;
	return false;
}

/* --- in text */

/* a quote and the backslashes before it, which it has inside another string. Return: how many bytes; 0: there is none */
static size_t quote(const char *t, size_t len)
{
	size_t n = 0;

	while (n < len && t[n] == '\\')
		n++;
	return n < len && t[n] == '"' ? n + 1 : 0;
}

/* @lines: newlines too, and those that are written "\n" in a string */
static size_t blanks(const char *t, size_t len, bool lines)
{
	size_t n = 0, end;

	for (;;) {
		while (n < len && (t[n] == ' ' || t[n] == '\t' || (lines && (t[n] == '\n' || t[n] == '\r'))))
			n++;
		for (end = n; lines && end < len && t[end] == '\\'; end++)
			;
		if (end == n || end == len || (t[end] != 'n' && t[end] != 'r' && t[end] != 't'))
			return n;
		n = end + 1;
	}
}

/*
 * Behind a quote with @slashes backslashes: bytes up to the one that ends its string. The string's own quotes have 2 * slashes + 1, a
 * backslash at its end adds 2 * (slashes + 1); a quote with fewer ends the string that this one is in.
 */
static size_t string_len(const char *t, size_t len, size_t slashes)
{
	size_t run = 0, n;

	for (n = 0; n < len && t[n] != '\n'; n++) {
		if (t[n] == '"' && (run < slashes || (run - slashes) % (2 * (slashes + 1)) == 0))
			return n - (run < slashes ? run : slashes);
		run = t[n] == '\\' ? run + 1 : 0;
	}
	return n;
}

/* behind '[' or '{': bytes up to and with what closes it, over newlines. @slashes: of the key's quotes; fewer end the string that all of it is in */
static size_t nested_len(const char *t, size_t len, size_t slashes)
{
	size_t n = 0, open = 1, q;

	while (n < len && open) {
		q = quote(t + n, len - n);
		if (q && q - 1 < slashes)
			return n;
		if (q) {
			n += q;
			n += string_len(t + n, len - n, q - 1);
			n += quote(t + n, len - n);
			continue;
		}
		/* none of them stands before a quote: it need not be asked again of each */
		while (n + 1 < len && t[n] == '\\' && t[n + 1] == '\\')
			n++;
		open += t[n] == '[' || t[n] == '{';
		open -= t[n] == ']' || t[n] == '}';
		n++;
	}
	return n;
}

static size_t bare_len(const char *t, size_t len, const char *ends)
{
	size_t n = 0;

	while (n < len && t[n] && !strchr(ends, t[n]))
		n++;
	return n;
}

/** struct value - what follows a name. @gap: bytes up to it, which stay; 0: nothing follows. @len: its bytes. @slashes: before its quotes. @quoted: it needs some. */
struct value {
	size_t gap, len, slashes;
	bool quoted;
};

/* `": `: the rest of a key in quotes, and a colon. Return: bytes; 0: it is none */
static size_t to_colon(const char *t, size_t len, size_t *ret_slashes)
{
	size_t n = bare_len(t, len < KEY_MAX ? len : KEY_MAX, "\"\\\n"), q = quote(t + n, len - n);

	if (!q)
		return 0;
	*ret_slashes = q - 1;
	n += q;
	n += blanks(t + n, len - n, true);
	return n < len && t[n] == ':' ? n + 1 : 0;
}

/* `=`, ` = `: what a log line and an environment have; ": " of a header, whose value is the rest of the line ("Authorization: Bearer x") */
static size_t to_sign(const char *t, size_t len, char *ret_sign)
{
	size_t n = blanks(t, len, false);

	if (n == len || (t[n] != '=' && t[n] != ':'))
		return 0;
	*ret_sign = t[n++];
	return n + blanks(t + n, len - n, false);
}

/* behind the name of a key in quotes */
static struct value value_of_key(const char *t, size_t len)
{
	struct value v = { 0 };
	size_t q, n = to_colon(t, len, &v.slashes);

	if (!n)
		return v;
	n += blanks(t + n, len - n, true);
	v.gap = n;
	t += n;
	len -= n;
	q = quote(t, len);
	if (q) {
		v.gap += q;
		v.len = string_len(t + q, len - q, q - 1);
		return v;
	}
	v.quoted = true;
	v.len = len && (*t == '[' || *t == '{') ? 1 + nested_len(t + 1, len - 1, v.slashes) : bare_len(t, len, " ,;}]\t\r\n");
	return v;
}

/* behind a name that stands in no quotes */
static struct value value_of_name(const char *t, size_t len)
{
	struct value v = { 0 };
	char sign = 0;
	size_t q;

	v.gap = to_sign(t, len, &sign);
	t += v.gap;
	len -= v.gap;
	q = sign == '=' ? quote(t, len) : 0;
	v.gap += q;
	if (q)
		v.len = string_len(t + q, len - q, q - 1);
	else if (sign)
		v.len = bare_len(t, len, sign == '=' ? " ,;}\n" : "\n");
	return v;
}

/* where what follows a name ends, whichever of both it is; 0: neither */
static size_t further_end(const struct value *key, const struct value *name)
{
	size_t a = key->gap + key->len, b = name->gap + name->len;

	return a > b ? a : b;
}

/* "://user:password@" at @t: bytes between "://" and '@'; 0: it is none, or nobody is named */
static size_t user_len(const char *t, size_t len)
{
	size_t n;

	if (len <= 3 || strncmp(t, "://", 3))
		return 0;
	n = bare_len(t + 3, len - 3, "@/?# \t\r\n\"'\\");
	return n < len - 3 && t[3 + n] == '@' ? n : 0;
}

/*
 * What goes, up to @end, may hold other names, whose values go on beyond it: they would be left with nothing before them that tells. Return: where
 * it ends with those. Names in names are looked at again and again, so there is a limit, from which on all of the rest goes.
 */
static size_t with_values_inside(const char *t, size_t at, size_t end, size_t len)
{
	size_t left = LOOK_AGAIN + LOOK_AGAIN_TIMES * (end - at);

	while (at < end && end < len) {
		size_t n = 0, user = user_len(t + at, len - at), reach = user ? at + 3 + user : at, from;

		while (at + n < len && is_word(t[at + n]))
			n++;
		from = at + (n ? n : 1);
		if (n && names_secret(t + at, n)) {
			const struct value key = value_of_key(t + from, len - from), name = value_of_name(t + from, len - from);

			reach = from + further_end(&key, &name);
		}
		if (reach - at > left)
			return len;
		left -= reach - at;
		end = reach > end ? reach : end;
		at = from;
	}
	return end;
}

static struct value value_behind(const char *t, size_t len)
{
	const struct value key = value_of_key(t, len), name = value_of_name(t, len);

	/* `token="a": b` may be either: all of it goes */
	if (key.gap && name.gap)
		return (struct value){ .gap = name.gap, .len = with_values_inside(t, name.gap, further_end(&key, &name), len) - name.gap };
	return key.gap ? key : name;
}

static void put_removed(struct vw_buf *out, const struct value *v)
{
	for (int side = 0; side < 2; side++) {
		for (size_t i = 0; v->quoted && i < v->slashes; i++)
			vw_buf_putc(out, '\\');
		vw_buf_puts(out, v->quoted ? "\"" : "");
		vw_buf_puts(out, side ? "" : REMOVED);
	}
}

void redact(const char *text, size_t len, struct vw_buf *out)
{
	for (size_t i = 0, n; i < len; i += n) {
		struct value v = { 0 };

		for (n = 0; i + n < len && is_word(text[i + n]); n++)
			;
		if (!n) {
			size_t user = user_len(text + i, len - i);

			vw_buf_putc(out, text[i]);
			vw_buf_puts(out, user ? "//" REMOVED : "");
			n = user ? 3 + user : 1;
			continue;
		}
		if (is_secret(text + i, n))
			vw_buf_puts(out, REMOVED);
		else
			vw_buf_add(out, text + i, n);
		if (names_secret(text + i, n))
			v = value_behind(text + i + n, len - i - n);
		vw_buf_add(out, text + i + n, v.gap);
		if (v.len)
			put_removed(out, &v);
		n += v.gap + v.len;
	}
}

/* --- in JSON */

static struct vw_json *clean_of(const struct vw_json *j, unsigned int inside);

/* a string; NULL: no memory */
static struct vw_json *clean_string(const char *text, unsigned int inside)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	vw_auto_json struct vw_json *doc = NULL, *clean = NULL;
	struct vw_err err;

	if ((*text == '{' || *text == '[') && vw_json_parse(text, strlen(text), NULL, "a string", &doc, &err) == 0) {
		if (inside == MAX_INSIDE)
			return vw_json_new_string(REMOVED);
		clean = clean_of(doc, inside + 1);
		if (!clean || vw_json_print(clean, 0, &b) < 0)
			return NULL;
	} else {
		redact(text, strlen(text), &b);
	}
	return vw_buf_err(&b) < 0 ? NULL : vw_json_new_string(vw_buf_str(&b));
}

static int add_member(struct vw_json *o, const char *key, const struct vw_json *value, unsigned int inside)
{
	vw_auto_buf struct vw_buf clean = VW_BUF_INIT;
	bool secret = names_secret(key, strlen(key)) && !vw_json_is_null(value);

	redact(key, strlen(key), &clean);
	if (vw_buf_err(&clean) < 0)
		return -ENOMEM;
	return vw_json_set(o, vw_buf_str(&clean), secret ? vw_json_new_string(REMOVED) : clean_of(value, inside));
}

static struct vw_json *clean_of(const struct vw_json *j, unsigned int inside)
{
	struct vw_json *made;
	const struct vw_json *value;
	const char *key;
	void *at = NULL;
	int failed = 0;

	switch (vw_json_type(j)) {
	case VW_JSON_STRING:
		return clean_string(vw_json_string(j), inside);
	case VW_JSON_OBJECT:
		made = vw_json_new_object();
		while (!failed && (key = vw_json_each(j, &at, &value)))
			failed = add_member(made, key, value, inside);
		break;
	case VW_JSON_ARRAY:
		made = vw_json_new_array();
		for (size_t i = 0; !failed && i < vw_json_len(j); i++)
			failed = vw_json_append(made, clean_of(vw_json_at(j, i), inside));
		break;
	default:
		return vw_json_copy(j);
	}
	return vw_json_whole(made, failed);
}

struct vw_json *redact_json(const struct vw_json *j)
{
	return clean_of(j, 0);
}
