// SPDX-License-Identifier: Apache-2.0
/*
 * vpcwire-eni, the CNI plugin that gives a container a whole ENI. No daemon has a part in it: what it must remember is in files.
 * DEL, STATUS and GC stand here; ADD and CHECK have files of their own.
 */
#include "plugins/vpcwire-eni/eni.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/cni/main.h"
#include "lib/net/nl.h"
#include "lib/pod/pod.h"

#include <stdlib.h>
#include <string.h>

/* --- DEL */

/* What a configuration of a branch ENI says of it: its link bears a mark, so nobody else's is taken for it. */
static void branch_for_del(const struct vw_cni_call *call, struct vw_nl *host, int pod_netns_fd, struct eni_state *st)
{
	struct eni_conf conf;
	struct vw_link trunk;
	struct vw_err ignored;

	if (eni_conf_parse(call, &conf, &ignored) < 0 || !conf.vlan ||
	    eni_trunk_find(host, &conf.eni_mac, conf.eni_name, 0, &trunk, &ignored) < 0)
		return;
	st->mac = conf.branch_mac;
	st->vlan = conf.vlan;
	st->trunk = trunk.ifindex;
	st->iface = conf.iface;
	branch_name(&trunk, st->vlan, st->host_name);
	if (pod_netns_fd >= 0 && vw_netns_id(pod_netns_fd, &st->netns_id, &ignored) == 0)
		(void)VW_COPY(st->netns, call->env.netns);
}

/* The file's word; without one (a tmpfs that was cleared, another plugin's ADD) the configuration's, as far as it goes. */
static int state_for_del(const struct vw_cni_call *call, const char *dir, struct vw_nl *host, int pod_netns_fd, struct eni_state *ret,
			 struct vw_err *err)
{
	struct vw_attach_key key = {0};
	int r;

	eni_key_of(call, &key);
	r = eni_state_read(dir, &key, ret, err);
	if (r != 0)
		return r < 0 ? r : 0;
	*ret = (struct eni_state){.key = key, .mac = eni_conf_mac(call)};
	branch_for_del(call, host, pod_netns_fd, ret);
	return 0;
}

int eni_del(struct vw_cni_call *call, struct vw_err *err)
{
	vw_auto_close int self = vw_netns_open_self(err), pod = -EBADF;
	const char *dir = eni_conf_state_dir(call);
	vw_auto_nl struct vw_nl host = VW_NL_INIT;
	struct eni_state st;
	struct vw_err gone;

	if (self < 0)
		return self;
	/* A namespace that is gone, or is none any more, is no reason for a DEL to fail. */
	if (call->env.netns[0])
		pod = vw_netns_open(call->env.netns, &gone);
	if (pod >= 0 && vw_call_refuse_own_netns(call, pod, err) < 0)
		return -err->eno;
	if (vw_nl_open(&host, err) < 0 || state_for_del(call, dir, &host, pod, &st, err) < 0)
		return -err->eno;
	return give_back(call, &host, self, &st, call->env.netns, err);
}

int give_back(const struct vw_cni_call *call, struct vw_nl *host, int host_netns_fd, const struct eni_state *st, const char *netns,
	      struct vw_err *err)
{
	const char *dir = eni_conf_state_dir(call);

	if (!st->vlan)
		return eni_give_back(host, host_netns_fd, dir, st, netns, err);
	if (guest_remove(st, netns, err) < 0)
		return -err->eno;
	if (branch_remove(host, eni_conf_bpf_dir(call), st, err) < 0)
		return -err->eno;
	return eni_state_remove(dir, &st->key, err);
}

/* The ADD succeeded, nobody heard of it. */
void eni_undo(struct vw_cni_call *call)
{
	struct vw_err ignored;

	(void)eni_del(call, &ignored);
}

/* --- what has become of an attachment */

enum life { DEAD, ALIVE, BEREFT, UNKNOWN };

/*
 * Alive: the interface is up in the very namespace that ADD saw. Bereft: that namespace is there, its interface is not (the
 * ENI was detached). Who cannot see has not seen a death: a runtime's empty list (CRI-O at boot, `cnitool gc`) must
 * not take an ENI from a container that runs.
 */
static enum life life_of(const struct eni_state *st)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_close int fd = -EBADF;
	struct vw_netns_id id;
	struct vw_link link;
	struct vw_err err;
	int r;

	fd = vw_netns_open(st->netns, &err);
	if (fd < 0)
		return err.eno == ENOENT || err.eno == ENOTDIR || err.eno == EINVAL ? DEAD : UNKNOWN;
	if (vw_netns_id(fd, &id, &err) < 0)
		return UNKNOWN;
	if (id.dev != st->netns_id.dev || id.ino != st->netns_id.ino)
		return DEAD;
	if (vw_nl_open_at(&nl, fd, &err) < 0)
		return UNKNOWN;
	/* a guest's links all have the mark: what counts is the one that the VMM opens */
	r = st->iface == ENI_IFACE_VLAN ? eni_find_in(&nl, st, &link, &err) : vw_link_get_name(&nl, st->key.ifname, &link, &err);
	if (r < 0)
		return r == -ENODEV ? BEREFT : UNKNOWN;
	return st->stay_down || (link.flags & IFF_UP) ? ALIVE : DEAD;
}

/* --- STATUS */

struct holder {
	struct vw_nl *host;
	struct vw_mac mac;
	char container_id[VW_ID_MAX];
	const char *gone;       /* what the container has lost, NULL = nothing */
};

/* of a branch the container keeps its interface */
static bool trunk_is_gone(struct vw_nl *host, const struct eni_state *st)
{
	struct vw_link trunk;
	struct vw_err err;

	return st->vlan && vw_link_get(host, st->trunk, &trunk, &err) == -ENODEV;
}

static int is_holder(const struct eni_state *st, void *arg)
{
	struct holder *h = arg;

	if (st->orphaned || !vw_mac_eq(&st->mac, &h->mac))
		return 0;
	memcpy(h->container_id, st->key.container_id, sizeof(h->container_id));
	h->gone = trunk_is_gone(h->host, st) ? "trunk of the branch ENI" : life_of(st) == BEREFT ? "ENI" : NULL;
	return 1;
}

static int explain(struct vw_nl *host, const struct eni_conf *conf, const struct vw_mac *mac, const struct vw_err *why, struct vw_err *err)
{
	struct holder h = {.host = host, .mac = *mac};

	if (!vw_mac_is_zero(mac) && eni_state_each(conf->state_dir, is_holder, &h, err) > 0)
		return h.gone ? vw_err_set(err, ENODEV, VW_CNI_LIMITED, "the %s of container %.64s is not there any more: was it detached?",
					   h.gone, h.container_id)
			      : vw_err_set(err, EBUSY, VW_CNI_NOT_AVAILABLE, "container %.64s has the ENI", h.container_id);
	*err = *why;
	err->cni = VW_CNI_NOT_AVAILABLE;
	return -err->eno;
}

/* An ADD could be served now: the ENI is on the host and may leave it, or the trunk is there and nobody has the tag. */
int eni_status(struct vw_cni_call *call, struct vw_err *err)
{
	vw_auto(eni_link_done) struct eni_link eni = ENI_LINK_INIT;
	vw_auto_nl struct vw_nl host = VW_NL_INIT;
	struct eni_conf conf;
	struct vw_link trunk;
	struct vw_err why;

	if (eni_conf_parse(call, &conf, err) < 0)
		return -err->eno;
	if (vw_nl_open(&host, err) < 0)
		return -err->eno;
	if (conf.vlan) {
		if (eni_trunk_find(&host, &conf.eni_mac, conf.eni_name, 0, &trunk, &why) == 0 &&
		    branch_is_free(&host, &conf, &trunk, &why) == 0)
			return 0;
		return explain(&host, &conf, &conf.branch_mac, &why, err);
	}
	if (eni_link_find(&host, &conf.eni_mac, conf.eni_name, 0, true, &eni, &why) == 0)
		return 0;
	return explain(&host, &conf, &conf.eni_mac, &why, err);
}

/* --- GC */

struct gc {
	const struct vw_cni_call *call;
	const struct vw_cni_attachment *valid;
	size_t n_valid;
	struct vw_nl *host;
	int host_netns;
	const char *dir;
	struct vw_err first;
	struct vw_buf causes;
};

static int collect(const struct eni_state *st, void *arg)
{
	struct gc *gc = arg;
	enum life life;
	struct vw_err err;

	if (st->orphaned || strcmp(st->network, gc->call->conf.name) || vw_cni_is_listed(gc->valid, gc->n_valid, st->key.container_id, st->key.ifname))
		return 0;
	life = life_of(st);
	if (life == ALIVE || life == UNKNOWN) {
		vw_warn("the runtime does not list a container whose interface lives, keeping its ENI",
			"container_id=%s ifname=%s certain=%s", st->key.container_id, st->host_name, life == ALIVE ? "yes" : "no");
		return 0;
	}
	if (give_back(gc->call, gc->host, gc->host_netns, st, "", &err) < 0) {
		/* go on, and tell all, as far as they fit into one message */
		if (gc->causes.len < sizeof(err.msg))
			vw_buf_printf(&gc->causes, "%s%s/%s: %s", gc->causes.len ? "; " : "", st->key.container_id,
				      st->key.ifname, err.msg);
		if (!gc->first.eno)
			gc->first = err;
	}
	return 0;
}

int eni_gc(struct vw_cni_call *call, struct vw_err *err)
{
	vw_auto_free struct vw_cni_attachment *valid = NULL;
	vw_auto_close int self = -EBADF;
	vw_auto_nl struct vw_nl host = VW_NL_INIT;
	struct gc gc = {.call = call, .dir = eni_conf_state_dir(call), .host = &host, .causes = VW_BUF_INIT};
	bool unknown;
	int r;

	if (vw_cni_conf_attachments(&call->conf, &valid, &gc.n_valid, &unknown, err) < 0)
		return -err->eno;
	gc.valid = valid;
	gc.host_netns = self = vw_netns_open_self(err);
	if (self < 0 || vw_nl_open(&host, err) < 0)
		return -err->eno;
	r = eni_state_each(gc.dir, collect, &gc, err);
	if (r == 0)
		r = eni_settle_orphans(&host, gc.dir, NULL, err);
	eni_state_tidy(gc.dir, NULL);
	if (r == 0 && gc.first.eno)
		r = vw_err_set(err, gc.first.eno, gc.first.cni, "%s", vw_buf_str(&gc.causes));
	vw_buf_done(&gc.causes);
	return r;
}

int main(int argc, char *argv[], char *envp[])
{
	static const struct vw_cni_plugin plugin = {
		.name = PLUGIN_NAME,
		.about = "CNI " PLUGIN_NAME " plugin v" VW_VERSION,
		.args = eni_conf_args,
		.capabilities = "{\"capabilities\":[\"awsvpc-network-mode\"]}",
		.add = eni_add,
		.del = eni_del,
		.check = eni_check,
		.status = eni_status,
		.gc = eni_gc,
		.undo = eni_undo,
	};

	return vw_cni_main(&plugin, argc, argv, envp);
}
