#pragma once

#include <stddef.h>

/**
 * DOC: the memory of one life. A process that is killed leaves no memory behind; a daemon that dies in here, in the middle of a
 * function, would. So what the daemon's code allocates (also by jansson) is known and goes with it. What is left when a daemon
 * ends in order is a leak of its own.
 */

/** heap_begin() - what is allocated from here on belongs to the life. */
void heap_begin(void);
/** heap_drop() - it is over: nobody frees anything any more. Its descriptors are closed. */
void heap_drop(void);
/** struct heap_live - what is allocated now. */
struct heap_live {
	size_t blocks, bytes;
};
struct heap_live heap_live(void);
/** heap_end() - the last life has ended in order: fails if it left any. */
void heap_end(void);
