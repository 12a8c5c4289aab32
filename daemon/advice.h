#pragma once

#include <stddef.h>

struct vw_buf;

/**
 * DOC: what to do about it
 *
 * One table of what the daemon says when something is wrong, what it is, and what an operator does about it. `vpcwirectl status` shows the last
 * column beside the message, docs/OPERATIONS.md prints the table ("By symptom"), and tests provoke each row (operator_sees()).
 */
struct advice {
	const char *says;       /* a part of the message; words that do not change with node and moment */
	const char *is, *todo;  /* Markdown, without '|'; todo is shown in terminals too */
};

/** advice_of() - the row whose words @text has, the first one by the table's order. @text: NULL or "" is fine. Return: NULL = none, there is nothing to add. */
const struct advice *advice_of(const char *text);
/** advice_todo() - its last column, NULL likewise. */
const char *advice_todo(const char *text);
/** advice_print_docs() - the table of docs/OPERATIONS.md. Return: 0, -ENOMEM. */
int advice_print_docs(struct vw_buf *b);
