#pragma once

#include <stdbool.h>
#include <stddef.h>

struct loop;
struct vw_buf;
struct vw_err;

/**
 * DOC: what the daemon serves over HTTP
 *
 * A fence around libmicrohttpd, in the loop's thread: GET and HEAD of a few fixed paths, each answered at once from memory. It
 * listens where the configuration says, by default on loopback only; it is for reading, so nothing that it serves may be a secret
 * and nothing that it takes changes anything. A request whose Host is a name is refused: names are how a web page elsewhere
 * makes a browser on this machine ask here (DNS rebinding).
 */
struct httpd;

/**
 * struct httpd_page - @type: Content-Type. @print: appends the body. -ENOENT answers 404 with the error's text, a sour buffer or another
 * error 500. A browser lets a page load style and script from here, ask here, and nothing else: no script inside HTML, no frames, no forms.
 */
struct httpd_page {
	const char *path;
	const char *type;
	int (*print)(void *arg, struct vw_buf *body, struct vw_err *err);
};

/**
 * httpd_new() - listen on @address and answer @pages.
 * @address: "127.0.0.1:61678", "[::1]:61678" or "unix:/path" (a socket left there by a former life is replaced; mode 0600).
 * @pages: borrowed, must outlive it. Return: 0; -EINVAL (not an address), -EADDRINUSE, ..., each with @err filled.
 */
int httpd_new(struct loop *loop, const char *address, const struct httpd_page *pages, size_t n, void *arg,
	      struct httpd **ret_httpd, struct vw_err *err);
/**
 * httpd_serve() - what *@h listens at ends, then it listens at @address, or not at all when that is "" or @off. A place that is taken is logged,
 * with @advice, and left: a node without pages still serves pods.
 */
void httpd_serve(struct httpd **h, struct loop *loop, const char *address, bool off, const struct httpd_page *pages, size_t n, void *arg,
		 const char *advice);
/** httpd_free() - closes the socket and every connection. Before the loop ends. NULL is fine. */
void httpd_free(struct httpd *h);

/** httpd_check_address() - what httpd_new() would say about the text alone; "" is fine and means: do not listen. */
int httpd_check_address(const char *address, struct vw_err *err);
