#pragma once

#include <sys/resource.h>

/**
 * scarce_begin() - from now on no new descriptor can be had until one that is open is closed, and then only one; what accept4() is asked is counted.
 * @ret_was: for scarce_end().
 */
void scarce_begin(struct rlimit *ret_was);
void scarce_end(const struct rlimit *was);

/**
 * scarce_turns() - many turns of a loop, each one call of @turn, while a connection waits for which there is no descriptor. Fails when accept4()
 * was called more often than once and after each pause of the acceptor's, which is what a loop that spins does.
 */
void scarce_turns(void (*turn)(void *arg), void *arg);
