#pragma once

/**
 * DOC: hash tables
 *
 * uthash, for all of us with the same setting: without memory for the table an element is left out of it, instead of ending the process. So
 * whoever adds one looks whether it is in: `if (!e->hh.tbl) { free(e); return -ENOMEM; }`.
 */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
