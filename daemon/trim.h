#pragma once

/**
 * DOC: giving memory back
 *
 * A survey or a call to EC2 runs through libcurl, a TLS library, an XML parser and what they pull in: some 10 MiB of their
 * code and of freed heap stay mapped although nothing needs them until the next call, which in a steady hour does not
 * come. trim_memory() returns both: free heap pages, and those pages of loaded objects that can be read from their files
 * again (text and constants: segments that were never writable). What is still in use faults in again at once.
 */

/** trim_memory() - some 1 ms; any thread. */
void trim_memory(void);
/** trim_init_process() - before the first thread: one heap for all of them, so that free memory lies in one place. */
void trim_init_process(void);
