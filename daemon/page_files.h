#pragma once

/** DOC: the files in daemon/page/, in the binary. Borrowed, NUL-terminated. */
const char *page_style(void);
const char *page_script(void);
