#pragma once

#include "lib/base/log.h"
#include "lib/cni/version.h"

#include <stdbool.h>
#include <stddef.h>

struct vw_err;
struct vw_json;

enum vw_cni_attach { VW_CNI_ATTACH_DEFAULT, VW_CNI_ATTACH_CLSACT, VW_CNI_ATTACH_TCX };

/**
 * struct vw_cni_conf - a plugin's configuration as it came on stdin. Keys match in any letter case, unknown ones are
 * ignored. Texts and JSON values are borrowed from @root.
 * @version:     of "cniVersion"; absent or "" means 0.1.0.
 * @name:        the network's; checked.
 * @prev_result: as given, unchecked (vw_cni_result_parse() does that); NULL when absent or null.
 * @dns:         "dns" of the network, an object, with what "runtimeConfig" says of servers, searches and options instead of
 *               its own; NULL when absent.
 * @ipam:        "ipam"."type", the plugin to delegate the choice of addresses to; "" when there is none.
 * The rest are keys of ours:
 * @socket:      vpcwired's; NULL = the built-in path.
 * @mtu:         0 = as the daemon says.
 * @timeout_ms:  for a whole ADD.
 * @log_file:    NULL = only errors, on stderr.
 */
struct vw_cni_conf {
	struct vw_json *root;
	enum vw_cni_version version;
	const char *name, *type, *ipam;
	const struct vw_json *prev_result, *dns;
	const char *socket;
	unsigned int mtu;
	enum vw_cni_attach attach;
	unsigned int timeout_ms;
	enum vw_log_level log_level;
	const char *log_file;
};

#define VW_CNI_CONF_MAX_BYTES (1024 * 1024)
#define VW_CNI_CONF_MAX_DEPTH 64
#define VW_CNI_TIMEOUT_MS_DEFAULT 60000         /* kubelet gives a sandbox 2 to 4 minutes, and a new ENI takes 10 s */

/**
 * vw_cni_conf_parse() - decode and check.
 * @tolerant: for DEL and GC: a key of ours that makes no sense is as good as absent, so that a slip in the file does not
 *            keep an address for ever.
 * Fails with VW_CNI_DECODE (syntax, size, depth, not an object), VW_CNI_INCOMPATIBLE_VERSION (message and, after a
 * newline, details), VW_CNI_INVALID_CONFIG (network name, a key of ours). The caller frees with vw_cni_conf_done().
 */
int vw_cni_conf_parse(const char *text, size_t len, bool tolerant, struct vw_cni_conf *ret_conf, struct vw_err *err);
void vw_cni_conf_done(struct vw_cni_conf *conf);

/** struct vw_cni_attachment - one that lives, by GC's word. Borrowed texts. */
struct vw_cni_attachment {
	const char *container_id, *ifname;
};

/**
 * vw_cni_conf_attachments() - "cni.dev/valid-attachments", or the older "cni.dev/attachments".
 * @ret: array that the caller frees; NULL when there are none. @ret_unknown: neither key is there, or null (what a nil
 * slice of Go's becomes): the runtime names nobody, which is not the same as "nobody lives".
 * Fails with VW_CNI_INVALID_CONFIG for an entry that is not understood: nothing may be freed by half a list.
 */
int vw_cni_conf_attachments(const struct vw_cni_conf *conf, struct vw_cni_attachment **ret, size_t *ret_n,
			    bool *ret_unknown, struct vw_err *err);
/** vw_cni_is_listed() - this attachment is in such a list. */
bool vw_cni_is_listed(const struct vw_cni_attachment *list, size_t n, const char *container_id, const char *ifname);
