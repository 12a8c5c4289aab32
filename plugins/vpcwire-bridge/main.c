// SPDX-License-Identifier: Apache-2.0
/*
 * vpcwire-bridge, the CNI plugin that puts several containers behind one ENI. No daemon has a part in it: what it must remember is
 * in files. DEL, STATUS and GC stand here; ADD and CHECK have files of their own.
 */
#include "plugins/vpcwire-bridge/bridge.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/cni/main.h"
#include "lib/eni/eni.h"
#include "lib/net/netns.h"
#include "lib/pod/pod.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void br_key_of(const struct vw_cni_call *call, struct vw_attach_key *ret)
{
	/* lib/cni has checked both lengths */
	(void)VW_COPY(ret->container_id, call->env.container_id);
	(void)VW_COPY(ret->ifname, call->env.ifname);
}

/* --- out of a bridge */

int br_read(const char *state_dir, const struct vw_mac *eni, struct eni_state *ret, struct vw_err *err)
{
	struct vw_attach_key key;
	char dir[VW_PATH_MAX];

	if (br_bridges_dir(state_dir, dir, err) < 0)
		return -err->eno;
	br_key(eni, &key);
	return eni_state_read(dir, &key, ret, err);
}

/* the file of a bridge that never was: an ADD was killed while it wrote it */
static void tidy_bridge(const char *state_dir, const struct vw_mac *eni)
{
	struct vw_attach_key key;
	char dir[VW_PATH_MAX];
	struct vw_err err;

	br_key(eni, &key);
	if (br_bridges_dir(state_dir, dir, &err) == 0)
		eni_state_tidy(dir, &key);
}

static int is_other(const struct eni_state *st, void *arg)
{
	const struct eni_state *one = arg;

	return vw_mac_eq(&st->mac, &one->mac) && !vw_attach_key_eq(&st->key, &one->key);
}

/*
 * With the last container goes the bridge. It is as its file says now: while nobody held the lock, an ADD may have given it addresses,
 * and made its nftables anew, with all who have a file, so with this one too. @place: closed = there was no bridge.
 */
static int remove_last(const char *state_dir, const struct eni_state *st, struct br_place *place, struct vw_err *err)
{
	struct eni_state one = *st, br;
	int others = eni_state_each(state_dir, is_other, &one, err);
	int known = others < 0 || place->host.fd < 0 ? 0 : br_read(state_dir, &st->mac, &br, err), r = 0;

	if (others < 0 || known < 0)
		return -err->eno;
	if (known && !others)
		r = br_unmake(place, state_dir, &br, err);
	else if (known && place->fd >= 0)
		r = br_nat_remove(&place->nft, &br, st, err);
	return r < 0 ? r : eni_state_remove(state_dir, &st->key, err);
}

/*
 * What the container has at the bridge goes under the lock; its link and its connections, which take longer, without; then the file. Whoever is
 * killed in between leaves the file.
 */
int br_remove(const char *state_dir, const struct eni_state *st, bool locked, struct vw_err *err)
{
	struct br_place place = BR_PLACE_INIT;
	struct eni_state br;
	vw_auto_close int lock = -EBADF;
	int r;

	if (!locked && (lock = br_lock(state_dir, &st->mac, err)) < 0)
		return lock;
	if (st->stay_down && br_tap_remove(st, err) < 0)
		return -err->eno;
	r = br_read(state_dir, &st->mac, &br, err);
	if (r == 0)
		tidy_bridge(state_dir, &st->mac);
	else if (r > 0)
		r = br_place_of(&br, &place, err);
	if (r == 0 && place.fd >= 0) {
		r = br_detach(&place, &br, st, err);
		if (!locked)
			vw_close_fd(&lock);
		if (r == 0)
			r = br_reap(&place, state_dir, err);
		if (r == 0)
			r = br_forget(&place, st, err);
		if (r == 0 && !locked)
			lock = r = br_lock(state_dir, &st->mac, err);
	}
	if (r >= 0)
		r = remove_last(state_dir, st, &place, err);
	br_place_done(&place);
	return r < 0 ? r : 0;
}

int br_del(struct vw_cni_call *call, struct vw_err *err)
{
	const char *dir = br_conf_state_dir(call);
	vw_auto_close int pod = -EBADF;
	struct vw_attach_key key = {0};
	struct eni_state st;
	struct vw_err gone;
	int r;

	/* A namespace that is gone, or is none any more, is no reason for a DEL to fail. */
	if (call->env.netns[0])
		pod = vw_netns_open(call->env.netns, &gone);
	if (pod >= 0 && vw_call_refuse_own_netns(call, pod, err) < 0)
		return -err->eno;
	br_key_of(call, &key);
	r = eni_state_read(dir, &key, &st, err);
	if (r == 0)             /* an ADD that was killed in its first write may have left something */
		return eni_state_remove(dir, &key, err);
	return r < 0 ? r : br_remove(dir, &st, false, err);
}

/* The ADD succeeded, nobody heard of it. */
void br_undo(struct vw_cni_call *call)
{
	struct vw_err ignored;

	(void)br_del(call, &ignored);
}

/* --- STATUS */

static int eni_is_there(const struct br_conf *conf, struct vw_err *err)
{
	vw_auto(eni_link_done) struct eni_link eni = ENI_LINK_INIT;
	vw_auto(br_place_done) struct br_place place = BR_PLACE_INIT;

	if (br_place_open(conf->netns, &place, err) < 0)
		return -err->eno;
	return eni_link_find(&place.host, &conf->eni_mac, conf->eni_name, 0, *conf->netns != '\0', &eni, err);
}

struct search {
	const struct br_conf *conf;
	struct eni_state br;
};

static int is_the_bridge(const struct eni_state *br, void *arg)
{
	struct search *s = arg;

	if (!vw_mac_is_zero(&s->conf->eni_mac) ? !vw_mac_eq(&s->conf->eni_mac, &br->mac) : strcmp(s->conf->eni_name, br->host_name) != 0)
		return 0;
	s->br = *br;
	return 1;
}

int br_find(const struct br_conf *conf, struct eni_state *ret, struct vw_err *err)
{
	struct search s = {.conf = conf};
	char dir[VW_PATH_MAX];
	int r = br_bridges_dir(conf->state_dir, dir, err);

	if (r == 0)
		r = eni_state_each(dir, is_the_bridge, &s, err);
	if (r > 0)
		*ret = s.br;
	return r;
}

/* Return: 0 = an ADD finds its bridge, or an ENI to make one of; -errno. */
static int bridge_is_good(const struct eni_state *br, struct vw_err *err)
{
	vw_auto(br_place_done) struct br_place place = BR_PLACE_INIT;
	struct vw_link bridge;
	int r = br_place_of(br, &place, err);

	if (r == 0)
		r = br_is_whole(&place, br, &bridge, err);
	if (r > 0)
		return 0;
	err->cni = VW_CNI_LIMITED;      /* there is a bridge, so there are containers behind it */
	return -err->eno;
}

int br_status(struct vw_cni_call *call, struct vw_err *err)
{
	struct eni_state br, st = {0};
	struct br_conf conf;
	int r;

	if (br_conf_parse(call, &conf, err) < 0)
		return -err->eno;
	r = br_find(&conf, &br, err);
	if (r > 0 && !br.orphaned) {
		if (bridge_is_good(&br, err) < 0)
			return -err->eno;
		st.mac = br.mac;
		st.addrs = conf.pod;
		r = br_refuse_clashes(conf.state_dir, &st, err);
	} else if (r >= 0) {
		r = eni_is_there(&conf, err);
	}
	if (r < 0)
		err->cni = VW_CNI_NOT_AVAILABLE;
	return r;
}

/* --- GC */

struct gc {
	const struct vw_cni_call *call;
	const struct vw_cni_attachment *valid;
	size_t n_valid;
	const char *dir;
	struct vw_err failed;
};

static int collect(const struct eni_state *st, void *arg)
{
	struct gc *gc = arg;
	struct vw_err err;

	if (strcmp(st->network, gc->call->conf.name) || vw_cni_is_listed(gc->valid, gc->n_valid, st->key.container_id, st->key.ifname))
		return 0;
	if (vw_pod_may_live(st->netns, &st->netns_id, st->key.ifname)) {
		vw_warn("the runtime does not list a container whose interface lives, keeping it", "container_id=%s ifname=%s",
			st->key.container_id, st->key.ifname);
		return 0;
	}
	if (br_remove(gc->dir, st, false, &err) < 0)
		vw_err_gather(&gc->failed, &err, "%.64s/%s", st->key.container_id, st->key.ifname);
	return 0;
}

int br_gc(struct vw_cni_call *call, struct vw_err *err)
{
	vw_auto_free struct vw_cni_attachment *valid = NULL;
	struct gc gc = {.call = call, .dir = br_conf_state_dir(call)};
	char bridges[VW_PATH_MAX];
	bool unknown;

	if (vw_cni_conf_attachments(&call->conf, &valid, &gc.n_valid, &unknown, err) < 0)
		return -err->eno;
	gc.valid = valid;
	if (eni_state_each(gc.dir, collect, &gc, err) < 0 || br_bridges_dir(gc.dir, bridges, err) < 0)
		return -err->eno;
	eni_state_tidy(gc.dir, NULL);
	eni_state_tidy(bridges, NULL);
	if (gc.failed.eno)
		*err = gc.failed;
	return -gc.failed.eno;
}

int main(int argc, char *argv[], char *envp[])
{
	static const struct vw_cni_plugin plugin = {
		.name = PLUGIN_NAME,
		.about = "CNI " PLUGIN_NAME " plugin v" VW_VERSION,
		.caps = VW_CNI_CAP_IPS | VW_CNI_CAP_MAC | VW_CNI_CAP_PORT_MAPPINGS,
		.capabilities = "{\"capabilities\":[\"awsvpc-network-mode\"]}",
		.add = br_add,
		.del = br_del,
		.check = br_check,
		.status = br_status,
		.gc = br_gc,
		.undo = br_undo,
	};

	return vw_cni_main(&plugin, argc, argv, envp);
}
