/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct vw_buf;

/**
 * DOC: writing XML
 *
 * Elements in the order of calls, no attributes but the root's namespace, text escaped (also control
 * characters that XML 1.0 forbids: they become '?'). Errors stay in the buffer (vw_buf_err()).
 */
void sim_xml_begin(struct vw_buf *b, const char *root, const char *xmlns);
void sim_xml_open(struct vw_buf *b, const char *name);
void sim_xml_close(struct vw_buf *b, const char *name);
void sim_xml_text(struct vw_buf *b, const char *name, const char *text);
void sim_xml_uint(struct vw_buf *b, const char *name, uint64_t v);
void sim_xml_bool(struct vw_buf *b, const char *name, bool v);
/** sim_xml_time() - ISO 8601 with milliseconds, as EC2 writes it. */
void sim_xml_time(struct vw_buf *b, const char *name, int64_t unix_s);
