#include "daemon/html.h"

#include "lib/base/buf.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

/* Bytes of the UTF-8 character at @s, 0 = it is none (RFC 3629: neither too long a form, nor a surrogate, nor beyond U+10FFFF) */
static size_t utf8_len(const unsigned char *s)
{
	size_t n = s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : s[0] >= 0xe0 && s[0] <= 0xef ? 3 : s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static const char *reference(char c)
{
	switch (c) {
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '&':
		return "&amp;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return (unsigned char)c < ' ' || c == 0x7f ? " " : NULL;
	}
}

void html_text(struct vw_buf *b, const char *text)
{
	for (const char *c = text ? text : ""; *c;) {
		const char *instead = reference(*c);
		size_t n = 1;

		if (instead) {
			vw_buf_puts(b, instead);
		} else if ((unsigned char)*c < 0x80) {
			vw_buf_putc(b, *c);
		} else if ((n = utf8_len((const unsigned char *)c)) != 0) {
			vw_buf_add(b, c, n);
		} else {
			vw_buf_puts(b, REPLACEMENT);
			n = 1;
		}
		c += n;
	}
}

void html_cell(struct vw_buf *b, const char *text)
{
	vw_buf_puts(b, "<td>");
	html_text(b, text);
	vw_buf_puts(b, "</td>");
}
