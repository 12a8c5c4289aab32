/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets planted by the input's bytes behind any name that is a secret's: in JSON of any nesting and spelling, in JSON in strings of JSON, in log
 * lines, headers and environments, and words that are secrets by their looks. Nothing of one may be in a bug report; what is none must be.
 */
#include "cli/redact.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANARY "Zq7"            /* at the beginning, in the middle and at the end of each secret; nothing else has a Z */
#define KEPT "kept"             /* of what is no secret's; secrets have none */
#define MAX_DEPTH 12
#define MAX_LEVELS 3            /* quotes within quotes */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** struct input - bytes, as long as there are some. @kept: how many values stay. @greedy: it may be fewer. */
struct input {
	const uint8_t *at, *end;
	unsigned int kept;
	bool greedy;
};

static unsigned int byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static void check(bool fine, const char *what, const struct vw_buf *made, const struct vw_buf *out)
{
	if (fine)
		return;
	fprintf(stderr, "%s\nmade: %s\nleft: %s\n", what, vw_buf_str(made), vw_buf_str(out));
	abort();
}

static unsigned int count(const char *text, const char *what)
{
	unsigned int n = 0;

	for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
		n++;
	return n;
}

/* --- what is planted */

/* @not: letters that they must not have; with some no control characters either, which JSON writes with a backslash */
static void add_bytes(struct input *in, struct vw_buf *b, const char *not)
{
	for (unsigned int n = byte(in) % 8; n; n--) {
		char c = (char)(byte(in) & 0x7f);

		vw_buf_putc(b, c && c != 'Z' && c != 'k' && !strchr(not, c) && (!*not || c >= ' ') ? c : '-');
	}
}

static void add_secret(struct input *in, struct vw_buf *b, const char *not)
{
	vw_buf_puts(b, CANARY);
	for (int i = 0; i < 2; i++) {
		add_bytes(in, b, not);
		vw_buf_puts(b, CANARY);
	}
}

/* the name itself is in one word, and may have others around it */
static void add_secret_key(struct input *in, struct vw_buf *b, const char *not)
{
	static const char *const names[] = { "password", "PassWd", "SECRET", "secretAccessKey", "token", "x-Token-x", "Authorization", "credentials",
					     "apiKey", "private_key", "Set-Cookie", "X-Amz-Signature", "passphrase" };

	add_bytes(in, b, not);
	vw_buf_puts(b, names[byte(in) % VW_ARRAY_SIZE(names)]);
	add_bytes(in, b, not);
}

static void add_plain_key(struct input *in, struct vw_buf *b)
{
	static const char letters[] = "abcdefghij _-./";

	for (unsigned int n = 1 + byte(in) % 6; n; n--)
		vw_buf_putc(b, letters[byte(in) % (sizeof(letters) - 1)]);
}

/* --- documents */

static struct vw_json *secret_value(struct input *in, unsigned int depth)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT, key = VW_BUF_INIT;
	struct vw_json *j;
	unsigned int kind = byte(in) % 6;

	add_secret(in, &b, "");
	if (depth >= MAX_DEPTH || kind > 2)
		return vw_json_new_string(vw_buf_str(&b));
	if (kind == 2) {
		j = vw_json_new_array();
		for (unsigned int n = 1 + byte(in) % 3; n; n--)
			(void)vw_json_append(j, secret_value(in, depth + 1));
		return j;
	}
	j = vw_json_new_object();
	add_plain_key(in, &key);
	(void)vw_json_set(j, vw_buf_str(&key), secret_value(in, depth + 1));
	return j;
}

static struct vw_json *document(struct input *in, unsigned int depth, const char *not);

/* JSON in a string, as answers of servers are in a message */
static struct vw_json *string_of(struct input *in, unsigned int depth, const char *not)
{
	vw_auto_json struct vw_json *inner = document(in, depth + 1, not);
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;

	(void)vw_json_print(inner, byte(in) % 3, &b);
	return vw_json_new_string(vw_buf_str(&b));
}

static struct vw_json *member(struct input *in, unsigned int depth, const char *not)
{
	char text[32];

	switch (byte(in) % 5) {
	case 0:
		return document(in, depth + 1, not);
	case 1:
		return vw_json_new_int(byte(in));
	case 2:
		if (depth < MAX_LEVELS)
			return string_of(in, depth, not);
	}
	(void)snprintf(text, sizeof(text), KEPT " %u", in->kept++);
	return vw_json_new_string(text);
}

/* an object or an array. @not: letters that no key may have */
static struct vw_json *document(struct input *in, unsigned int depth, const char *not)
{
	bool array = byte(in) % 4 == 0;
	struct vw_json *j = array ? vw_json_new_array() : vw_json_new_object();

	for (unsigned int n = byte(in) % 5; n && depth < MAX_DEPTH; n--) {
		vw_auto_buf struct vw_buf key = VW_BUF_INIT;
		bool secret = !array && byte(in) % 2;

		if (array) {
			(void)vw_json_append(j, member(in, depth, not));
			continue;
		}
		if (secret)
			add_secret_key(in, &key, not);
		else
			add_plain_key(in, &key);
		/* a second value of a key would take the first one's place, and what is counted of it */
		if (!vw_json_has(j, vw_buf_str(&key)))
			(void)vw_json_set(j, vw_buf_str(&key), secret ? secret_value(in, depth) : member(in, depth, not));
	}
	return j;
}

static void judge(const struct input *in, const struct vw_buf *made, const struct vw_buf *out)
{
	check(!strstr(vw_buf_str(out), CANARY), "a secret is left", made, out);
	check(in->greedy || count(vw_buf_str(out), KEPT) == in->kept, "something else is not", made, out);
}

/* keys of any letters: JSON says what they are */
static void as_json(struct input *in)
{
	vw_auto_json struct vw_json *doc = document(in, 0, ""), *clean = redact_json(doc), *again = NULL;
	vw_auto_buf struct vw_buf made = VW_BUF_INIT, out = VW_BUF_INIT, twice = VW_BUF_INIT;

	(void)vw_json_print(doc, 2, &made);
	(void)vw_json_print(clean, 2, &out);
	judge(in, &made, &out);
	again = redact_json(clean);
	(void)vw_json_print(again, 2, &twice);
	check(!strcmp(vw_buf_str(&out), vw_buf_str(&twice)), "what was cleaned is changed again", &out, &twice);
}

/* the same as text, perhaps in the string of a log line; keys are without quotes, and no headers */
static void as_text(struct input *in)
{
	vw_auto_json struct vw_json *doc = document(in, 0, "\"\\:");
	vw_auto_buf struct vw_buf made = VW_BUF_INIT, out = VW_BUF_INIT, inner = VW_BUF_INIT;
	unsigned int levels = byte(in) % MAX_LEVELS;

	(void)vw_json_print(doc, byte(in) % 3, &inner);
	for (unsigned int i = 0; i < levels; i++) {
		vw_auto_json struct vw_json *s = vw_json_new_string(vw_buf_str(&inner));

		vw_buf_reset(&inner);
		vw_buf_puts(&inner, i ? "" : "level=info msg=");
		(void)vw_json_print(s, 0, &inner);
		vw_buf_puts(&inner, " next=" KEPT "\n");
		in->kept++;
	}
	vw_buf_puts(&made, vw_buf_str(&inner));
	redact(vw_buf_str(&made), made.len, &out);
	judge(in, &made, &out);
}

/* KEY=value, KEY="value", KEY: value */
static void as_lines(struct input *in)
{
	vw_auto_buf struct vw_buf made = VW_BUF_INIT, out = VW_BUF_INIT;

	for (unsigned int n = 1 + byte(in) % 4; n; n--) {
		vw_auto_buf struct vw_buf secret = VW_BUF_INIT;
		unsigned int kind = byte(in) % 4;

		vw_buf_puts(&made, KEPT " ");
		/* one word */
		add_secret_key(in, &made, " !\"#$%&'()*,:;<=>?@[\\]^`{|}~\x7f");
		if (kind == 0) {
			vw_buf_puts(&made, byte(in) % 2 ? "=" : " = ");
			/* it ends at these; a quote or a bracket at its begin would say otherwise, but it begins with a letter */
			add_secret(in, &secret, " ,;}\n");
			vw_buf_puts(&made, vw_buf_str(&secret));
			in->greedy |= strchr(vw_buf_str(&secret), '"') != NULL;
			vw_buf_puts(&made, " next=" KEPT "\n");
		} else if (kind == 1) {
			vw_auto_json struct vw_json *s = NULL;

			add_secret(in, &secret, "");
			s = vw_json_new_string(vw_buf_str(&secret));
			vw_buf_putc(&made, '=');
			(void)vw_json_print(s, 0, &made);
			vw_buf_puts(&made, " next=" KEPT "\n");
		} else {
			vw_buf_puts(&made, byte(in) % 2 ? ":" : ": Bearer ");
			add_secret(in, &secret, "\n");
			vw_buf_puts(&made, vw_buf_str(&secret));
			in->greedy |= strchr(vw_buf_str(&secret), '"') != NULL;         /* what follows may be its value */
			vw_buf_puts(&made, "\n" KEPT "\n");
		}
		in->kept += 2;
	}
	redact(vw_buf_str(&made), made.len, &out);
	judge(in, &made, &out);
}

/* what is a secret by its looks, between letters that belong to no word */
static void by_looks(struct input *in)
{
	static const char *const between[] = { " ", "\"", "=", "\n", ": ", ",", "(", "&x=", "/path?key=" };
	static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXY0123456789";
	static const char base64[] = "abcdefghijlmnopqrstuvwxyABCDEFGHIJKLMNOPQRSTUVWXY0123456789+/";
	vw_auto_buf struct vw_buf made = VW_BUF_INIT, secret = VW_BUF_INIT, out = VW_BUF_INIT;
	unsigned int kind = byte(in) % 4, len = 40;

	vw_buf_puts(&made, KEPT);
	vw_buf_puts(&made, between[byte(in) % VW_ARRAY_SIZE(between)]);
	if (kind == 0) {
		vw_buf_puts(&secret, byte(in) % 2 ? "AKIA" : "ASIA");
		while (secret.len < 20)
			vw_buf_putc(&secret, upper[byte(in) % (sizeof(upper) - 1)]);
	} else if (kind == 3) {
		vw_buf_puts(&made, "https://");
		vw_buf_puts(&secret, "user:" CANARY);
		add_bytes(in, &secret, "@/?# \t\r\n\"'\\");
	} else {
		vw_buf_puts(&secret, kind == 1 ? "aB3" : "eyJ");
		len += kind == 1 ? 0 : byte(in);
		while (secret.len < len)
			vw_buf_putc(&secret, base64[byte(in) % (sizeof(base64) - 1)]);
	}
	vw_buf_puts(&made, vw_buf_str(&secret));
	vw_buf_puts(&made, kind == 3 ? "@host/" KEPT : "\n" KEPT);
	redact(vw_buf_str(&made), made.len, &out);
	check(!strstr(vw_buf_str(&out), vw_buf_str(&secret)), "a secret is left", &made, &out);
	in->kept = 2;
	judge(in, &made, &out);
}

/* anything: it ends, and what has no name and no looks of a secret is left alone */
static void as_it_is(const uint8_t *data, size_t size)
{
	vw_auto_buf struct vw_buf made = VW_BUF_INIT, out = VW_BUF_INIT;

	redact((const char *)data, size, &out);
	if (vw_buf_err(&out) < 0)
		abort();
	for (size_t i = 0; i < size; i++)
		vw_buf_putc(&made, strchr("0123456789abcdf .=:\"{}[]\n\\", data[i]) && data[i] ? (char)data[i] : '-');
	vw_buf_reset(&out);
	redact(vw_buf_str(&made), made.len, &out);
	check(made.len == out.len && !memcmp(vw_buf_str(&made), vw_buf_str(&out), made.len), "there was no secret", &made, &out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .at = data, .end = data + size };

	if (size > 4096)
		return 0;
	switch (byte(&in) % 5) {
	case 0:
		as_json(&in);
		break;
	case 1:
		as_text(&in);
		break;
	case 2:
		as_lines(&in);
		break;
	case 3:
		by_looks(&in);
		break;
	default:
		as_it_is(data, size);
	}
	return 0;
}
