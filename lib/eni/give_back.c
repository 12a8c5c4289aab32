// SPDX-License-Identifier: Apache-2.0
/*
 * The way out of a container:
 *
 *   in the container ──move──► on the host, as "ecs<MAC>" ──► old name, MTU, alias, MAC; down
 *                                     ▲
 *   the namespace died ──kernel───────┘ under the name it had, or as "dev<index>" where that is taken
 *
 * The move goes by a name that only this ENI can have: the one it had in the container may be somebody's on the host, and
 * the kernel would then refuse to move it. A namespace that died gives its interfaces up a moment later, from a
 * worker (cleanup_net()), so what is nowhere is waited for. When it does not come, DEL succeeds all the same (the
 * ENI may have been detached) and the file stays, marked as orphaned, for whoever sees the ENI again.
 */
#include "lib/eni/eni.h"

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/eni/state.h"
#include "lib/net/nl.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define WAIT_MS 3000 /* cleanup_net() of a busy machine; a DEL must end within a runtime's patience */

/* By its mark, for a container may have renamed it and a chained plugin given it another MAC; else by its MAC. */
int eni_find_in(struct vw_nl *nl, const struct eni_state *st, struct vw_link *ret, struct vw_err *err)
{
	vw_auto_free struct vw_link *links = NULL;
	const struct vw_link *found = NULL;
	int n = vw_link_list(nl, &links, err);

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		if (eni_alias_is_of(links[i].alias, &st->key)) {
			*ret = links[i];
			return 0;
		}
		if (vw_link_is_device(&links[i]) && !vw_mac_is_zero(&st->mac) && vw_mac_eq(&links[i].mac, &st->mac))
			found = &links[i];
	}
	if (!found)
		return vw_err_set(err, ENODEV, VW_CNI_KERNEL, "no interface of the container's");
	*ret = *found;
	return 0;
}

/* --- on the host */

/* Whether the name may be this link's: nobody has it, or it itself does. */
static bool name_is_free(struct vw_nl *host, const char *name, unsigned int ifindex)
{
	struct vw_link other;
	struct vw_err ignored;

	return vw_link_get_name(host, name, &other, &ignored) == -ENODEV || other.ifindex == ifindex;
}

/*
 * Name, MTU, alias and MAC as they were, and down, as DEL of AWS's plugins leaves it. One by one: an MTU that the driver has
 * come to refuse must not keep the name from it.
 */
static int settle(struct vw_nl *host, const struct vw_link *link, const struct eni_state *st, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_link_set set = {.ifindex = link->ifindex, .name = link->name};

	set.what = VW_LINK_DOWN;
	vw_link_set(&b, &set);
	if (strcmp(link->name, st->host_name)) {
		if (name_is_free(host, st->host_name, link->ifindex)) {
			set.what = VW_LINK_NAME;
			set.new_name = st->host_name;
			vw_link_set(&b, &set);
		} else {
			vw_warn("the name that an ENI had is taken, ignoring", "ifname=%s is_now=%s", st->host_name, link->name);
		}
	}
	if (!vw_mac_eq(&link->mac, &st->mac)) {
		set.what = VW_LINK_MAC;
		set.mac = st->mac;
		vw_link_set(&b, &set);
	}
	if (st->host_mtu && link->mtu != st->host_mtu) {
		set.what = VW_LINK_MTU;
		set.mtu = st->host_mtu;
		vw_link_set(&b, &set);
	}
	if (strcmp(link->alias, st->host_alias)) {
		set.what = VW_LINK_ALIAS;
		set.alias = st->host_alias;
		vw_link_set(&b, &set);
	}
	return vw_nl_commit(host, &b, err);
}

/* "ecs", as AWS's plugin calls it, and all of the MAC: no two ENIs can meet under one name. */
static void unique_name(const struct vw_mac *mac, char ret[IFNAMSIZ])
{
	const uint8_t *m = mac->b;

	snprintf(ret, IFNAMSIZ, "ecs%02x%02x%02x%02x%02x%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static int move_out(struct vw_nl *from, struct vw_nl *host, int host_netns_fd, const struct vw_link *link,
		    const struct eni_state *st, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	char name[IFNAMSIZ];
	struct vw_link_set set = {
		.ifindex = link->ifindex,
		.name = link->name,
		.what = VW_LINK_NETNS | VW_LINK_NAME,
		.netns_fd = host_netns_fd,
		.new_name = name,
	};
	struct vw_link on_host;

	unique_name(&st->mac, name);
	vw_link_set(&b, &set);
	if (vw_nl_commit(from, &b, err) < 0)
		return vw_err_wrap(err, "giving ENI %s back to the host", link->name);
	if (vw_link_get_name(host, name, &on_host, err) < 0 || settle(host, &on_host, st, err) < 0)
		return vw_err_wrap(err, "giving ENI %s its name back", st->host_name);
	return 0;
}

/* What we know of it when there is no file: MAC from the configuration, names from its mark. */
static void learn_from(const struct vw_link *link, struct eni_state *st)
{
	if (!st->host_name[0] && !eni_alias_host_name(link->alias, st->host_name))
		unique_name(vw_mac_is_zero(&st->mac) ? &link->mac : &st->mac, st->host_name);
	if (vw_mac_is_zero(&st->mac))
		st->mac = link->mac;
}

static int is_others(const struct eni_state *other, void *arg)
{
	const struct eni_state *st = arg;

	return !other->orphaned && vw_mac_eq(&other->mac, &st->mac) && !vw_attach_key_eq(&other->key, &st->key);
}

/* Whether another container has been given the ENI since. Return: 1, 0, -errno. */
static int is_held_by_other(const char *dir, const struct eni_state *st, struct vw_err *err)
{
	struct eni_state one = *st;

	return eni_state_each(dir, is_others, &one, err);
}

/* Return: 1 = it was there and is on the host now, 0 = it is not there (or is another container's, in a namespace of the same path), -errno. */
static int from_netns(int netns_fd, struct vw_nl *host, int host_netns_fd, const char *dir, struct eni_state *st, struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_link link;
	int r = vw_netns_same(netns_fd, host_netns_fd, err);

	if (r != 0)
		return r < 0 ? r : 0;
	if (vw_nl_open_at(&nl, netns_fd, err) < 0)
		return -err->eno;
	r = eni_find_in(&nl, st, &link, err);
	if (r == -ENODEV)
		return 0;
	if (r < 0)
		return r;
	if (!eni_alias_is_of(link.alias, &st->key) && (r = is_held_by_other(dir, st, err)) != 0)
		return r < 0 ? r : 0;
	learn_from(&link, st);
	r = move_out(&nl, host, host_netns_fd, &link, st, err);
	return r < 0 ? r : 1;
}

static int from_path(const char *path, struct vw_nl *host, int host_netns_fd, const char *dir, struct eni_state *st, struct vw_err *err)
{
	vw_auto_close int fd = -EBADF;
	struct vw_err gone;

	if (!path[0])
		return 0;
	fd = vw_netns_open(path, &gone);
	return fd < 0 ? 0 : from_netns(fd, host, host_netns_fd, dir, st, err);
}

/*
 * It came back by itself, or it never left: under its own name and without our mark, nothing was done to it. The mark of
 * another container means that it is being given to that one. What has neither mark nor file is none of our business.
 */
static int on_host(struct vw_nl *host, struct eni_state *st, struct vw_err *err)
{
	struct vw_link link;
	int r = eni_find_in(host, st, &link, err);

	if (r < 0)
		return r == -ENODEV ? 0 : r;
	if (!eni_alias_is_of(link.alias, &st->key)) {
		char other[IFNAMSIZ];

		if (eni_alias_host_name(link.alias, other) || !st->host_name[0] || !strcmp(link.name, st->host_name))
			return 1;
	}
	learn_from(&link, st);
	r = settle(host, &link, st, err);
	return r < 0 ? r : 1;
}

/* --- a namespace without a path */

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
	*d = NULL;
}

/* A process that the container left behind keeps its namespace. Return: its fd, -ENOENT. */
static int netns_of_processes(const struct vw_netns_id *id)
{
	vw_auto(close_dir) DIR *d = opendir("/proc");
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char path[64];
		struct stat st;
		int fd;

		if (!isdigit((unsigned char)e->d_name[0]) || vw_fmt(path, sizeof(path), "/proc/%.16s/ns/net", e->d_name) < 0 ||
		    stat(path, &st) < 0 || st.st_ino != id->ino || st.st_dev != id->dev)
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	return -ENOENT;
}

static int from_processes(struct vw_nl *host, int host_netns_fd, const char *dir, struct eni_state *st, struct vw_err *err)
{
	vw_auto_close int fd = st->netns_id.ino ? netns_of_processes(&st->netns_id) : -ENOENT;

	return fd < 0 ? 0 : from_netns(fd, host, host_netns_fd, dir, st, err);
}

/* --- waiting */

/* Return: 1 = it is where it belongs, or somebody else's business; 0 = it is nowhere; -errno. */
static int await(struct vw_nl *host, int host_netns_fd, const char *dir, struct eni_state *st, struct vw_err *err)
{
	struct vw_link link;
	int r;

	if (vw_mac_is_zero(&st->mac))
		return 1;
	r = is_held_by_other(dir, st, err);
	if (r != 0)
		return r;
	r = vw_link_wait_mac(host_netns_fd, &st->mac, vw_mono_ms() + WAIT_MS, &link, err);
	if (r == -ETIMEDOUT)
		return 0;
	return r < 0 ? r : on_host(host, st, err);
}

int eni_give_back(struct vw_nl *host, int host_netns_fd, const char *dir, const struct eni_state *state, const char *netns,
		  struct vw_err *err)
{
	struct eni_state st = *state;
	int r = from_path(netns, host, host_netns_fd, dir, &st, err);

	if (r == 0 && strcmp(netns, st.netns))
		r = from_path(st.netns, host, host_netns_fd, dir, &st, err);
	if (r == 0)
		r = on_host(host, &st, err);
	if (r == 0)
		r = from_processes(host, host_netns_fd, dir, &st, err);
	/* without a file, the attachment may never have been: nothing says that an ENI should come */
	if (r == 0 && state->host_name[0] && !state->orphaned)
		r = await(host, host_netns_fd, dir, &st, err);
	else if (r == 0 && !state->host_name[0])
		r = 1;
	if (r < 0)
		return r;
	if (r > 0)
		return eni_state_remove(dir, &st.key, err);
	if (st.orphaned)
		return 0;
	vw_warn("an ENI did not come back from its container; it gets its name back when it does", "ifname=%s container_id=%s",
		st.host_name, st.key.container_id);
	st.orphaned = true;
	return eni_state_write(dir, &st, err);
}

/* --- orphans */

struct orphans {
	struct vw_nl *host;
	const char *dir;
	const struct vw_mac *mac;
};

static int settle_orphan(const struct eni_state *state, void *arg)
{
	const struct orphans *o = arg;
	struct eni_state st = *state;
	struct vw_err err;

	if (!st.orphaned || (o->mac && !vw_mac_eq(o->mac, &st.mac)) || on_host(o->host, &st, &err) <= 0)
		return 0;
	(void)eni_state_remove(o->dir, &st.key, &err);
	return 0;
}

int eni_settle_orphans(struct vw_nl *host, const char *dir, const struct vw_mac *mac, struct vw_err *err)
{
	struct orphans o = {.host = host, .dir = dir, .mac = mac};

	return eni_state_each(dir, settle_orphan, &o, err);
}
