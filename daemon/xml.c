/*
 * A fence around libxml2's tree. struct xml_doc and struct xml_node are its xmlDoc and xmlNode under another
 * name, so nothing is copied; reads go through xml_in, which keeps the first failure.
 */
#include "daemon/xml.h"

#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

#define MAX_DEPTH 64

void xml_init_process(void)
{
	xmlInitParser();
}

static inline const xmlNode *node_of(const struct xml_node *n)
{
	return (const xmlNode *)(const void *)n;
}

static inline const struct xml_node *node_as(const xmlNode *n)
{
	return (const struct xml_node *)(const void *)n;
}

static inline xmlDoc *doc_of(struct xml_doc *d)
{
	return (xmlDoc *)(void *)d;
}

/* Walks the tree without recursion: depth comes from outside. */
static bool too_deep(const xmlNode *root)
{
	const xmlNode *n = root;
	int depth = 1;

	while (n) {
		if (n->type == XML_ELEMENT_NODE && n->children) {
			if (++depth > MAX_DEPTH)
				return true;
			n = n->children;
			continue;
		}
		while (n != root && !n->next) {
			n = n->parent;
			depth--;
		}
		if (n == root)
			break;
		n = n->next;
	}
	return false;
}

int xml_parse(const char *text, size_t len, const char *what, struct xml_doc **ret_doc, struct vw_err *err)
{
	const int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA |
			    XML_PARSE_NOBLANKS;
	xmlParserCtxt *ctx;
	const xmlError *why;
	xmlDoc *doc;
	int r = 0;

	if (len > INT_MAX)
		return vw_err_set(err, EBADMSG, 0, "%s: too large", what);
	/* before parsing, so that no entity is ever declared */
	if (memmem(text, len, "<!DOCTYPE", 9))
		return vw_err_set(err, EBADMSG, 0,
				  "%s: has a document type declaration, which no AWS answer has", what);
	ctx = xmlNewParserCtxt();
	if (!ctx)
		return vw_err_sys(err, ENOMEM, 0, "parsing %s", what);
	doc = xmlCtxtReadMemory(ctx, text, (int)len, NULL, "UTF-8", options);
	if (!doc) {
		why = xmlCtxtGetLastError(ctx);
		r = vw_err_set(err, EBADMSG, 0, "%s: not well-formed XML (line %d, %zu bytes): %.*s", what,
			       why ? why->line : 0, len,
			       why && why->message ? (int)strcspn(why->message, "\n") : 0,
			       why && why->message ? why->message : "");
	} else if (doc->intSubset || too_deep(xmlDocGetRootElement(doc))) {
		r = vw_err_set(err, EBADMSG, 0, "%s: nested deeper than %d, or with a document type", what,
			       MAX_DEPTH);
	}
	xmlFreeParserCtxt(ctx);
	if (r < 0) {
		if (doc)
			xmlFreeDoc(doc);
		return r;
	}
	*ret_doc = (struct xml_doc *)(void *)doc;
	return 0;
}

void xml_free(struct xml_doc *d)
{
	if (d)
		xmlFreeDoc(doc_of(d));
}

const struct xml_node *xml_root(const struct xml_doc *d)
{
	return d ? node_as(xmlDocGetRootElement((const xmlDoc *)(const void *)d)) : NULL;
}

const char *xml_name(const struct xml_node *n)
{
	return n ? (const char *)node_of(n)->name : "";
}

static const struct xml_node *find(const xmlNode *n, const char *name)
{
	for (; n; n = n->next) {
		if (n->type == XML_ELEMENT_NODE && !strcmp((const char *)n->name, name))
			return node_as(n);
	}
	return NULL;
}

const struct xml_node *xml_child(const struct xml_node *n, const char *name)
{
	return n ? find(node_of(n)->children, name) : NULL;
}

const struct xml_node *xml_next(const struct xml_node *n)
{
	return n ? find(node_of(n)->next, (const char *)node_of(n)->name) : NULL;
}

const char *xml_text(const struct xml_node *n)
{
	const xmlNode *c;
	const char *text = "";

	if (!n)
		return NULL;
	for (c = node_of(n)->children; c; c = c->next) {
		if (c->type == XML_COMMENT_NODE)
			continue;
		if (c->type != XML_TEXT_NODE || text[0])
			return NULL;
		text = (const char *)c->content;
	}
	return text;
}

bool xml_fail(struct xml_in *in, const struct xml_node *node, const char *fmt, ...)
{
	char why[200];
	va_list ap;

	if (in->r < 0)
		return false;
	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	in->r = vw_err_set(in->err, EBADMSG, 0, "in <%s>: %s", xml_name(node), why);
	return false;
}

/* The child's text; NULL when there is nothing to read, which is recorded where it was needed. */
static const char *text_of(struct xml_in *in, const struct xml_node *parent, const char *name,
			   enum xml_need need)
{
	const struct xml_node *child = xml_child(parent, name);
	const char *text = xml_text(child);

	if (in->r < 0)
		return NULL;
	if (child && !text) {
		(void)xml_fail(in, parent, "<%s> holds elements where text is wanted", name);
		return NULL;
	}
	if (text && text[0])
		return text;
	if (need == XML_NEED)
		(void)xml_fail(in, parent, "<%s> is missing", name);
	return NULL;
}

static bool bad_value(struct xml_in *in, const struct xml_node *parent, const char *name, const char *text,
		      const char *want)
{
	return xml_fail(in, parent, "<%s> is '%.60s', not %s", name, text, want);
}

bool xml_str(struct xml_in *in, const struct xml_node *parent, const char *name, enum xml_need need,
	     char *ret, size_t size)
{
	const char *text = text_of(in, parent, name, need);

	if (!text)
		return false;
	if (strlen(text) >= size)
		return bad_value(in, parent, name, text, "short enough to be one");
	memcpy(ret, text, strlen(text) + 1);
	return true;
}

bool xml_u32(struct xml_in *in, const struct xml_node *parent, const char *name, enum xml_need need,
	     uint32_t max, uint32_t *ret)
{
	const char *text = text_of(in, parent, name, need);
	uint64_t v;

	if (!text)
		return false;
	if (vw_parse_u64(text, 0, max, &v) < 0)
		return bad_value(in, parent, name, text, "a number in range");
	*ret = (uint32_t)v;
	return true;
}

bool xml_bool(struct xml_in *in, const struct xml_node *parent, const char *name, enum xml_need need,
	      bool *ret)
{
	const char *text = text_of(in, parent, name, need);

	if (!text)
		return false;
	if (strcmp(text, "true") && strcmp(text, "false"))
		return bad_value(in, parent, name, text, "true or false");
	*ret = text[0] == 't';
	return true;
}

bool xml_ip(struct xml_in *in, const struct xml_node *parent, const char *name, enum xml_need need,
	    struct vw_ip *ret)
{
	const char *text = text_of(in, parent, name, need);

	return text && (vw_ip_parse(text, ret) == 0 || bad_value(in, parent, name, text, "an address"));
}

bool xml_cidr(struct xml_in *in, const struct xml_node *parent, const char *name, enum xml_need need,
	      struct vw_cidr *ret)
{
	const char *text = text_of(in, parent, name, need);

	return text &&
	       (vw_cidr_parse(text, ret) == 0 || bad_value(in, parent, name, text, "an address block"));
}

bool xml_mac(struct xml_in *in, const struct xml_node *parent, const char *name, enum xml_need need,
	     struct vw_mac *ret)
{
	const char *text = text_of(in, parent, name, need);

	return text && (vw_mac_parse(text, ret) == 0 || bad_value(in, parent, name, text, "a MAC address"));
}
