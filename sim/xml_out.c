/* SPDX-License-Identifier: Apache-2.0 */
/* A small escaping XML writer. */
#include "sim/xml_out.h"

#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"

static void escape(struct vw_buf *b, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '&':
			vw_buf_puts(b, "&amp;");
			break;
		case '<':
			vw_buf_puts(b, "&lt;");
			break;
		case '>':
			vw_buf_puts(b, "&gt;");
			break;
		case '"':
			vw_buf_puts(b, "&quot;");
			break;
		case '\r':
			vw_buf_puts(b, "&#13;"); /* a bare one would be normalised to \n */
			break;
		default:
			vw_buf_putc(b, (unsigned char)*s < 0x20 && !strchr("\t\n", *s) ? '?' : *s);
		}
	}
}

void sim_xml_begin(struct vw_buf *b, const char *root, const char *xmlns)
{
	vw_buf_puts(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
	if (xmlns)
		vw_buf_printf(b, "<%s xmlns=\"%s\">", root, xmlns);
	else
		vw_buf_printf(b, "<%s>", root);
}

void sim_xml_open(struct vw_buf *b, const char *name)
{
	vw_buf_printf(b, "<%s>", name);
}

void sim_xml_close(struct vw_buf *b, const char *name)
{
	vw_buf_printf(b, "</%s>", name);
}

void sim_xml_text(struct vw_buf *b, const char *name, const char *text)
{
	sim_xml_open(b, name);
	escape(b, text);
	sim_xml_close(b, name);
}

void sim_xml_uint(struct vw_buf *b, const char *name, uint64_t v)
{
	vw_buf_printf(b, "<%s>%llu</%s>", name, (unsigned long long)v, name);
}

void sim_xml_bool(struct vw_buf *b, const char *name, bool v)
{
	sim_xml_text(b, name, v ? "true" : "false");
}

void sim_xml_time(struct vw_buf *b, const char *name, int64_t unix_s)
{
	char text[VW_TIME_STRLEN];

	vw_time_str(unix_s, text);
	/* "...:02Z" -> "...:02.000Z" */
	text[strcspn(text, "Z")] = '\0';
	vw_buf_printf(b, "<%s>%s.000Z</%s>", name, text, name);
}
