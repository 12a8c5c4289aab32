#pragma once

#include <stddef.h>
#include <stdint.h>

struct http_header;
struct http_sign;
struct vw_buf;

#define SIGV4_DATE_LEN 17       /* "20261123T200102Z" */

/**
 * sigv4_sign() - the Authorization header's value for a POST of @body to path "/" without query (all that
 * EC2's Query API needs).
 * @host: as in the Host header, with the port if the URL has one. @headers: further headers to sign, in any
 *        order and case; host and x-amz-date are added here, x-amz-security-token by the caller.
 * @unix_s: time of the signature. @ret_date: value of the x-amz-date header to send.
 * Return: 0, -ENOMEM, -E2BIG (more than 16 headers).
 */
int sigv4_sign(const struct http_sign *sign, const char *host, const struct http_header *headers,
	       size_t n_headers, const char *body, size_t body_len, int64_t unix_s,
	       char ret_date[SIGV4_DATE_LEN], struct vw_buf *ret_auth);
