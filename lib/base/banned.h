/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that this project does not make, poisoned so that using one does not compile. The Makefile includes this file
 * before every source of ours. The headers that declare the calls come first: a poisoned name may not even be declared.
 *
 *   strcpy strcat strncpy strncat stpcpy  -> struct vw_buf, snprintf with its result checked, memcpy with a known length
 *   sprintf vsprintf                      -> snprintf, struct vw_buf
 *   strtok                                -> strsep, strcspn
 *   system popen                          -> nothing here runs another program
 *   atoi strtol sscanf ...                -> lib/base/parse.h (strtol and its kin live in parse.c alone)
 *   sleep usleep nanosleep                -> wait for the event itself: poll, timerfd, inotify, SIGCHLD
 *   gethostbyname inet_ntoa inet_addr     -> lib/base/ip.h
 *   tmpnam mktemp tempnam                 -> mkstemp, O_TMPFILE
 *   asctime ctime localtime gmtime        -> the _r forms
 */
#pragma once

#include <arpa/inet.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#if __has_include(<linux/bpf.h>)
#include <linux/bpf.h> /* its list of helpers names strtol */
#endif

#pragma GCC poison strcpy strcat strncpy strncat stpcpy stpncpy sprintf vsprintf gets
#pragma GCC poison strtok strtok_r
#pragma GCC poison system popen
#pragma GCC poison atoi atol atoll atof sscanf vsscanf fscanf
#pragma GCC poison sleep usleep
#pragma GCC poison gethostbyname inet_ntoa inet_addr inet_aton
#pragma GCC poison tmpnam tempnam mktemp
#pragma GCC poison asctime ctime localtime gmtime
#ifndef VW_MAY_STRTOL
#pragma GCC poison strtol strtoll strtoul strtoull strtoimax strtoumax strtod strtof
#endif
