#pragma once

#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;

/**
 * DOC: XML answers
 *
 * The only place that knows libxml2. Documents come from the network: no entities beyond the five of XML, no
 * DTD, no network access, depth capped at 64, size by the caller's HTTP cap. Namespaces are ignored: elements
 * are found by local name. Nodes are borrowed from their document; all functions accept a NULL node, which
 * has nothing in it.
 */
struct xml_doc;
struct xml_node;

/** xml_init_process() - once, in main(), before the first thread. */
void xml_init_process(void);

/**
 * xml_parse() - fails with EBADMSG (not well-formed or cut short, DTD, too deep); @what names the text in the
 * message.
 */
int xml_parse(const char *text, size_t len, const char *what, struct xml_doc **ret_doc, struct vw_err *err);
void xml_free(struct xml_doc *d);
static inline void xml_freep(struct xml_doc **d) { xml_free(*d); *d = NULL; }
#define vw_auto_xml __attribute__((cleanup(xml_freep)))

const struct xml_node *xml_root(const struct xml_doc *d);
const char *xml_name(const struct xml_node *n);
/**
 * xml_child() - first child element called @name; xml_next() - the next sibling of the same name. NULL if
 * none.
 */
const struct xml_node *xml_child(const struct xml_node *n, const char *name);
const struct xml_node *xml_next(const struct xml_node *n);
/** xml_text() - the element's text, "" when empty; NULL for no node or one that holds elements. */
const char *xml_text(const struct xml_node *n);

/**
 * struct xml_in - a run of typed reads with one error: after the first failure the others do nothing.
 * @r: 0 or -EBADMSG; @err: filled on the first failure, names element and parent.
 *
 * xml_<type>() reads the child @name of @parent. @need: XML_NEED: it must be there; XML_MAY: when absent or
 * empty the output stays as it was. Return: true when a value was read.
 */
struct xml_in {
	int r;
	struct vw_err *err;
};
enum xml_need { XML_MAY, XML_NEED };

bool xml_str(struct xml_in *in, const struct xml_node *parent, const char *name, enum xml_need need,
	     char *ret, size_t size);
bool xml_u32(struct xml_in *in, const struct xml_node *parent, const char *name, enum xml_need need,
	     uint32_t max, uint32_t *ret);
bool xml_bool(struct xml_in *in, const struct xml_node *parent, const char *name, enum xml_need need,
	      bool *ret);
bool xml_ip(struct xml_in *in, const struct xml_node *parent, const char *name, enum xml_need need,
	    struct vw_ip *ret);
bool xml_cidr(struct xml_in *in, const struct xml_node *parent, const char *name, enum xml_need need,
	      struct vw_cidr *ret);
bool xml_mac(struct xml_in *in, const struct xml_node *parent, const char *name, enum xml_need need,
	     struct vw_mac *ret);
/** xml_fail() - record a failure about @node (the first one counts). Return: false. */
bool xml_fail(struct xml_in *in, const struct xml_node *node, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
