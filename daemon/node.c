/*
 * The node's identity as one JSON object in the store's meta table, so that a restarted daemon serves before IMDS answers.
 * It is read like anything from outside: what does not parse is dropped and learnt again.
 */
#include "daemon/daemon.h"
#include "daemon/node.h"
#include "daemon/store.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <string.h>

#define META_NODE "node"

static int add_list(struct vw_json *obj, const struct node *n)
{
	struct vw_json *cidrs = vw_json_new_array(), *groups = vw_json_new_array();
	vw_auto_json struct vw_json *cards = vw_json_new_array();
	char text[VW_CIDR_STRLEN];
	int r = 0;

	for (size_t i = 0; r == 0 && i < n->n_vpc_cidrs; i++)
		r = vw_json_append(cidrs, vw_json_new_string(vw_cidr_str(&n->vpc_cidrs[i], text)));
	for (size_t i = 0; r == 0 && i < n->n_groups; i++)
		r = vw_json_append(groups, vw_json_new_string(n->groups[i]));
	for (uint32_t i = 0; r == 0 && i < n->n_cards; i++) {
		r = vw_fmt(text, sizeof(text), "%u", n->card_enis[i]) < 0 ? -EINVAL : 0;
		if (r == 0)
			r = vw_json_append(cards, vw_json_new_string(text));
	}
	if (vw_json_set(obj, "vpc_cidrs", cidrs) < 0 || vw_json_set(obj, "groups", groups) < 0 ||
	    vw_json_set(obj, "cards", vw_json_copy(cards)) < 0)
		r = -ENOMEM;
	return r;
}

void node_cards(const struct node *n, bool multi, struct cards *ret)
{
	*ret = (struct cards){ .n = 1, .enis = { n->max_enis } };
	if (multi && n->n_cards) {
		ret->n = n->n_cards;
		memcpy(ret->enis, n->card_enis, sizeof(ret->enis));
	}
}

bool node_take_ranges(struct node *n, const struct vw_cidr *v, size_t len)
{
	bool same = len == n->n_vpc_cidrs;

	for (size_t i = 0; same && i < len; i++)
		same = vw_cidr_eq(&n->vpc_cidrs[i], &v[i]);
	if (!len || same)
		return false;
	memcpy(n->vpc_cidrs, v, len * sizeof(*v));
	n->n_vpc_cidrs = len;
	return true;
}

int node_save(struct store *store, const struct node *n, struct vw_err *err)
{
	vw_auto_json struct vw_json *obj = vw_json_new_object();
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	char mac[VW_MAC_STRLEN];

	if (vw_json_set_str(obj, "instance_id", n->instance_id) < 0 ||
	    vw_json_set_str(obj, "instance_type", n->instance_type) < 0 ||
	    vw_json_set_str(obj, "zone", n->zone) < 0 || vw_json_set_str(obj, "region", n->region) < 0 ||
	    vw_json_set_str(obj, "primary_mac", vw_mac_str(&n->primary_mac, mac)) < 0 ||
	    vw_json_set_str(obj, "vpc_id", n->vpc_id) < 0 ||
	    vw_json_set_str(obj, "subnet_id", n->subnet_id) < 0 || vw_json_set_int(obj, "max_enis", n->max_enis) < 0 ||
	    vw_json_set_int(obj, "ips_per_eni", n->ips_per_eni) < 0 ||
	    vw_json_set_bool(obj, "prefixes", n->prefixes) < 0 || add_list(obj, n) < 0 ||
	    vw_json_print(obj, 0, &text) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for the node's identity");
	return store_meta_put(store, META_NODE, vw_buf_str(&text), err);
}

static int get_text(const struct vw_json *obj, const char *key, char *ret, size_t size)
{
	const char *t = vw_json_string(vw_json_get(obj, key));

	return t && vw_fmt(ret, size, "%s", t) >= 0 ? 0 : -EBADMSG;
}

static int get_lists(const struct vw_json *obj, struct node *n)
{
	const struct vw_json *cidrs = vw_json_get(obj, "vpc_cidrs"), *groups = vw_json_get(obj, "groups");

	for (size_t i = 0; i < vw_json_len(cidrs) && i < VW_ARRAY_SIZE(n->vpc_cidrs); i++) {
		const char *t = vw_json_string(vw_json_at(cidrs, i));

		if (!t || vw_cidr_parse(t, &n->vpc_cidrs[n->n_vpc_cidrs++]) < 0)
			return -EBADMSG;
	}
	for (size_t i = 0; i < vw_json_len(groups) && i < VW_ARRAY_SIZE(n->groups); i++) {
		const char *t = vw_json_string(vw_json_at(groups, i));

		if (!t || vw_fmt(n->groups[n->n_groups++], sizeof(n->groups[0]), "%s", t) < 0)
			return -EBADMSG;
	}
	return 0;
}

static int get_cards(const struct vw_json *obj, struct node *n)
{
	const struct vw_json *cards = vw_json_get(obj, "cards");

	for (size_t i = 0; i < vw_json_len(cards); i++) {
		const char *text = vw_json_string(vw_json_at(cards, i));
		uint64_t enis;

		if (i == EC2_MAX_CARDS || !text || vw_parse_u64(text, 0, 1024, &enis) < 0)
			return -EBADMSG;
		n->card_enis[n->n_cards++] = (uint32_t)enis;
	}
	return 0;
}

static int node_decode(const struct vw_json *obj, struct node *n, struct vw_err *err)
{
	int64_t max_enis = 0, ips = 0;
	char mac[VW_MAC_STRLEN];

	if (get_text(obj, "instance_id", n->instance_id, sizeof(n->instance_id)) < 0 ||
	    get_text(obj, "instance_type", n->instance_type, sizeof(n->instance_type)) < 0 ||
	    get_text(obj, "zone", n->zone, sizeof(n->zone)) < 0 ||
	    get_text(obj, "region", n->region, sizeof(n->region)) < 0 ||
	    get_text(obj, "vpc_id", n->vpc_id, sizeof(n->vpc_id)) < 0 ||
	    get_text(obj, "subnet_id", n->subnet_id, sizeof(n->subnet_id)) < 0 ||
	    get_text(obj, "primary_mac", mac, sizeof(mac)) < 0 || vw_mac_parse(mac, &n->primary_mac) < 0 ||
	    get_lists(obj, n) < 0 || get_cards(obj, n) < 0)
		return vw_err_set(err, EBADMSG, 0, "the recorded identity of the node does not parse");
	if (vw_json_get_int(obj, "max_enis", 0, 1024, &max_enis, err) < 0 ||
	    vw_json_get_int(obj, "ips_per_eni", 0, 1024, &ips, err) < 0 ||
	    vw_json_get_bool(obj, "prefixes", &n->prefixes, err) < 0)
		return -EBADMSG;
	n->max_enis = (unsigned int)max_enis;
	n->ips_per_eni = (unsigned int)ips;
	return 0;
}

int node_load(struct store *store, struct node *ret_node, struct vw_err *err)
{
	vw_auto_json struct vw_json *obj = NULL;
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	struct node n = { 0 };
	int r = store_meta_get(store, META_NODE, &text, err);

	if (r <= 0)
		return r;
	r = vw_json_parse(vw_buf_str(&text), text.len, NULL, "the recorded identity of the node", &obj, err);
	if (r == 0)
		r = node_decode(obj, &n, err);
	if (r < 0)
		return r;
	*ret_node = n;
	return 1;
}
