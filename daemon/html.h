#pragma once

struct vw_buf;

/**
 * html_text() - append @text so that it is text wherever HTML has text, or an attribute's value in quotes: <, >, &, " and ' become references,
 * control characters blanks, and bytes that are no UTF-8 U+FFFD. NULL is "".
 */
void html_text(struct vw_buf *b, const char *text);
/** html_cell() - <td>text</td>. */
void html_cell(struct vw_buf *b, const char *text);
