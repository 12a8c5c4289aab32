/* A plugin's configuration: JSON from the runtime, checked once, then plain values. */
#include "lib/cni/conf.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <stdint.h>
#include <string.h>

#define WHAT    "the network configuration on stdin"
#define MTU_MIN 576 /* what every IPv4 host must take; aws-node's own floor */

static const char *const version_names[VW_CNI_VERSIONS] = {
	"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0",
};

int vw_cni_version_parse(const char *text, enum vw_cni_version *ret_version)
{
	if (!*text)
		text = version_names[VW_CNI_0_1_0];
	for (int i = 0; i < VW_CNI_VERSIONS; i++) {
		if (!strcmp(text, version_names[i])) {
			*ret_version = (enum vw_cni_version)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *vw_cni_version_str(enum vw_cni_version version)
{
	return version_names[version];
}

struct vw_json *vw_cni_versions_json(void)
{
	vw_auto_json struct vw_json *arr = vw_json_new_array();
	int failed = 0;

	for (int i = 0; arr && i < VW_CNI_VERSIONS; i++)
		failed |= vw_json_append(arr, vw_json_new_string(version_names[i]));
	return failed ? NULL : VW_TAKE_PTR(arr);
}

static int take_version(struct vw_cni_conf *c, struct vw_err *err)
{
	const char *text = "";

	if (vw_json_get_str(c->root, "cniVersion", &text, err) < 0) {
		err->cni = VW_CNI_DECODE;
		return -err->eno;
	}
	if (vw_cni_version_parse(text, &c->version) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_INCOMPATIBLE_VERSION,
				  "incompatible CNI versions\nconfig is \"%.60s\", plugin supports "
				  "[\"0.1.0\" \"0.2.0\" \"0.3.0\" \"0.3.1\" \"0.4.0\" \"1.0.0\" \"1.1.0\"]",
				  text);
	return 0;
}

static int take_name(struct vw_cni_conf *c, struct vw_err *err)
{
	if (vw_json_get_str(c->root, "name", &c->name, err) < 0 ||
	    vw_json_get_str(c->root, "type", &c->type, err) < 0)
		return -err->eno;
	if (!*c->name)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "missing network name\nthe configuration has no \"name\"");
	if (!vw_is_name(c->name))
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "invalid characters found in network name\n\"name\" is \"%.200s\"",
				  c->name);
	if (strlen(c->name) >= 320)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "network name is too long\nat most 319 bytes are supported");
	return 0;
}

/* --- keys of ours: each leaves its default in place when it fails */

static int take_mtu(struct vw_cni_conf *c, struct vw_err *err)
{
	int64_t mtu = 0;

	if (vw_json_get_int(c->root, "mtu", 0, 65535, &mtu, err) < 0)
		return -err->eno;
	if (mtu && mtu < MTU_MIN)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "key 'mtu' is %d, but 0 or a number from %d to 65535 is wanted", (int)mtu,
				  MTU_MIN);
	c->mtu = (unsigned int)mtu;
	return 0;
}

static int take_timeout(struct vw_cni_conf *c, struct vw_err *err)
{
	int64_t ms = VW_CNI_TIMEOUT_MS_DEFAULT;

	if (vw_json_get_int(c->root, "timeout_ms", 100, 600000, &ms, err) < 0)
		return -err->eno;
	c->timeout_ms = (unsigned int)ms;
	return 0;
}

static int take_attach(struct vw_cni_conf *c, struct vw_err *err)
{
	const char *text = "";

	if (vw_json_get_str(c->root, "attach", &text, err) < 0)
		return -err->eno;
	if (!strcmp(text, "clsact"))
		c->attach = VW_CNI_ATTACH_CLSACT;
	else if (!strcmp(text, "tcx"))
		c->attach = VW_CNI_ATTACH_TCX;
	else if (*text)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "key 'attach' is \"%.60s\", but \"clsact\" or \"tcx\" is wanted", text);
	return 0;
}

static int take_socket(struct vw_cni_conf *c, struct vw_err *err)
{
	const char *path = NULL;

	if (vw_json_get_str(c->root, "socket", &path, err) < 0)
		return -err->eno;
	if (path && path[0] && path[0] != '/')
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "key 'socket' is \"%.200s\", but an absolute path is wanted", path);
	c->socket = path && path[0] ? path : NULL;
	return 0;
}

static int take_logging(struct vw_cni_conf *c, struct vw_err *err)
{
	const char *level = "", *file = NULL;
	struct vw_err ignored;

	/* aws-node's names first, so that its conflist serves as it is; what it may say there and we do not know, we leave */
	if (vw_json_get_str(c->root, "pluginLogFile", &file, &ignored) > 0 && !strcmp(file, "stderr"))
		file = NULL;
	if (vw_json_get_str(c->root, "pluginLogLevel", &level, &ignored) > 0)
		(void)vw_log_level_parse(level, &c->log_level);
	level = "";
	if (vw_json_get_str(c->root, "log_level", &level, err) < 0 ||
	    vw_json_get_str(c->root, "log_file", &file, err) < 0)
		return -err->eno;
	if (*level && vw_log_level_parse(level, &c->log_level) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "key 'log_level' is \"%.60s\", but error, warn, info or debug is wanted",
				  level);
	c->log_file = file && *file ? file : NULL;
	return 0;
}

/* Texts alone: what a runtime leaves empty is as the network has it. */
static int copy_texts(struct vw_json *dns, const char *key, const struct vw_json *from, const char *from_key,
		      struct vw_err *err)
{
	const struct vw_json *arr = NULL;
	struct vw_json *copy;

	if (vw_json_get_arr(from, from_key, &arr, err) < 0)
		return vw_err_wrap(err, "runtimeConfig.dns");
	for (size_t i = 0; i < vw_json_len(arr); i++) {
		if (!vw_json_string(vw_json_at(arr, i)))
			return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
					  "runtimeConfig.dns: %s[%zu] is no text", from_key, i);
	}
	if (!vw_json_len(arr))
		return 0;
	(void)vw_json_del(dns, key);
	copy = vw_json_copy(arr);
	return vw_json_set(dns, key, copy) < 0 ? vw_err_sys(err, ENOMEM, 0, "merging dns") : 0;
}

/*
 * The network's own, and over it the dns capability (CONVENTIONS.md: other names than in a result). The merged object
 * takes the place of the former in @c->root, which owns it.
 */
static int take_dns(struct vw_cni_conf *c, struct vw_err *err)
{
	vw_auto_json struct vw_json *merged = NULL;
	const struct vw_json *dns = NULL, *rc = NULL;

	if (vw_json_get_obj(c->root, "dns", &dns, err) < 0 ||
	    vw_json_get_obj(vw_json_get(c->root, "runtimeConfig"), "dns", &rc, err) < 0)
		return -err->eno;
	c->dns = dns;
	if (!vw_json_len(rc))
		return 0;
	merged = dns ? vw_json_copy(dns) : vw_json_new_object();
	if (!merged)
		return vw_err_sys(err, ENOMEM, 0, "merging dns");
	if (copy_texts(merged, "nameservers", rc, "servers", err) < 0 ||
	    copy_texts(merged, "search", rc, "searches", err) < 0 ||
	    copy_texts(merged, "options", rc, "options", err) < 0)
		return -err->eno;
	if (!vw_json_len(merged))
		return 0;
	(void)vw_json_del(c->root, "dns");
	if (vw_json_set(c->root, "dns", VW_TAKE_PTR(merged)) < 0)
		return vw_err_sys(err, ENOMEM, 0, "merging dns");
	c->dns = vw_json_get(c->root, "dns");
	return 0;
}

static int take_ipam(struct vw_cni_conf *c, struct vw_err *err)
{
	const struct vw_json *ipam = NULL;

	if (vw_json_get_obj(c->root, "ipam", &ipam, err) < 0)
		return -err->eno;
	return vw_json_get_str(ipam, "type", &c->ipam, err) < 0 ? vw_err_wrap(err, "ipam") : 0;
}

int vw_cni_conf_parse(const char *text, size_t len, bool tolerant, struct vw_cni_conf *ret_conf,
		      struct vw_err *err)
{
	static int (*const takers[])(struct vw_cni_conf *, struct vw_err *) = {
		take_mtu, take_timeout, take_attach, take_socket, take_logging, take_dns, take_ipam,
	};
	static const struct vw_json_limits lim = {VW_CNI_CONF_MAX_BYTES, VW_CNI_CONF_MAX_DEPTH};
	vw_auto_json struct vw_json *root = NULL;
	struct vw_cni_conf c = {
		.name = "",
		.type = "",
		.ipam = "",
		.timeout_ms = VW_CNI_TIMEOUT_MS_DEFAULT,
		.log_level = VW_LOG_INFO,
	};

	if (vw_json_parse(text, len, &lim, WHAT, &root, err) < 0)
		return -err->eno;
	if (vw_json_type(root) != VW_JSON_OBJECT)
		return vw_err_set(err, EBADMSG, VW_CNI_DECODE, WHAT " is not a JSON object");
	c.root = root;
	if (take_version(&c, err) < 0 || take_name(&c, err) < 0)
		return -err->eno;
	for (size_t i = 0; i < VW_ARRAY_SIZE(takers); i++) {
		if (takers[i](&c, err) < 0 && !tolerant)
			return -err->eno;
	}
	c.prev_result = vw_json_get(root, "prevResult");
	if (vw_json_is_null(c.prev_result))
		c.prev_result = NULL;
	c.root = VW_TAKE_PTR(root);
	*ret_conf = c;
	return 0;
}

void vw_cni_conf_done(struct vw_cni_conf *conf)
{
	vw_json_freep(&conf->root);
}

int vw_cni_conf_attachments(const struct vw_cni_conf *conf, struct vw_cni_attachment **ret, size_t *ret_n,
			    bool *ret_unknown, struct vw_err *err)
{
	vw_auto_free struct vw_cni_attachment *list = NULL;
	const struct vw_json *arr = NULL;
	size_t n;

	if (vw_json_get_arr(conf->root, "cni.dev/valid-attachments", &arr, err) < 0 ||
	    (!arr && vw_json_get_arr(conf->root, "cni.dev/attachments", &arr, err) < 0))
		return -err->eno;
	n = vw_json_len(arr);
	if (n) {
		list = calloc(n, sizeof(*list));
		if (!list)
			return vw_err_sys(err, ENOMEM, 0, "reading %zu attachments", n);
	}
	for (size_t i = 0; i < n; i++) {
		const struct vw_json *entry = vw_json_at(arr, i);
		const char *id = "", *ifname = "";

		if (vw_json_get_str(entry, "containerID", &id, err) < 0 ||
		    vw_json_get_str(entry, "ifname", &ifname, err) < 0)
			return vw_err_wrap(err, "entry %zu of the valid attachments", i);
		if (!vw_is_name(id) || !vw_is_ifname(ifname))
			return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
					  "entry %zu of the valid attachments has containerID \"%.80s\" and "
					  "ifname \"%.40s\"",
					  i, id, ifname);
		list[i] = (struct vw_cni_attachment){id, ifname};
	}
	*ret = VW_TAKE_PTR(list);
	*ret_n = n;
	*ret_unknown = !arr;
	return 0;
}

bool vw_cni_is_listed(const struct vw_cni_attachment *list, size_t n, const char *container_id, const char *ifname)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(list[i].container_id, container_id) && !strcmp(list[i].ifname, ifname))
			return true;
	}
	return false;
}
