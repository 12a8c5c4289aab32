// SPDX-License-Identifier: Apache-2.0
/*
 * What aws-network-policy-agent leaves. On the clsact of each pod's host veth are two filters of its, handle_ingress on egress and
 * handle_egress on ingress, by the names, priority and handle that aws-ebpf-sdk-go (pkg/tc) gives; their programs and maps are pinned. With
 * the agent stopped they judge for ever by the policies of that moment. Ours let what they allow go on to them, so they must go. The clsact
 * stays, empty: taking it off a link that is up loses packets (programs.c).
 */
#include "daemon/migrate_priv.h"

#include "daemon/programs.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/tc.h"
#include "lib/rpc/rpc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PRIO 1                  /* FilterAttrs of TCIngressAttach() and TCEgressAttach() */
#define HANDLE 1                /* DEFAULT_BPF_FILTER_HANDLE */

static bool is_theirs(const struct vw_filter_info *info)
{
	return !strcmp(info->name, "handle_ingress") || !strcmp(info->name, "handle_egress");
}

static int drop_filters(struct vw_nl *nl, struct vw_nl_batch *b, const struct vw_link *l, size_t *ret_n, struct vw_err *err)
{
	for (int dir = VW_TC_INGRESS; dir <= VW_TC_EGRESS; dir++) {
		const struct vw_filter f = { .ifindex = l->ifindex, .dir = dir, .prio = PRIO, .handle = HANDLE, .dev = l->name };
		struct vw_filter_info info = { 0 };
		int r = vw_filter_get(nl, &f, &info, err);

		if (r == -ENOENT || r == -ENODEV || (r == 0 && !is_theirs(&info)))
			continue;
		if (r < 0)
			return r;
		(void)vw_filter_del(b, &f);
		vw_nl_tolerate(b, VW_NL_OK_GONE);
		(*ret_n)++;
	}
	return 0;
}

int migrate_npa_find(const char *bpf_dir, struct vw_nl *nl, struct vw_nl_batch *b, size_t *ret_n, struct vw_err *err)
{
	vw_auto_free struct vw_link *links = NULL;
	int n = vw_link_list(nl, &links, err), r = 0;

	for (int i = 0; r >= 0 && i < n; i++) {
		if (links[i].group != VW_GROUP_PODS || strcmp(links[i].kind, "veth"))
			continue;
		r = programs_judge_pod(bpf_dir, nl, links[i].ifindex, links[i].name, err);
		if (r == -ENODEV) {     /* its pod has just ended */
			r = 0;
			continue;
		}
		if (r == 0)
			r = vw_err_set(err, EBUSY, 0, "vpcwire's programs do not judge a pod yet (%s): does vpcwired serve, and what does its log say "
				       "of that pod? Nothing was changed", links[i].name);
		if (r > 0)
			r = drop_filters(nl, b, &links[i], ret_n, err);
	}
	return n < 0 ? n : r < 0 ? r : 0;
}

static int empty(int parent, const char *name, size_t *ret_n)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		r = errno == ENOENT ? 0 : -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	for (const struct dirent *e; r == 0 && (e = readdir(dir));) {
		if (e->d_name[0] == '.')
			continue;
		if (unlinkat(fd, e->d_name, 0) == 0)
			(*ret_n)++;
		else if (errno != ENOENT)
			r = -errno;
	}
	closedir(dir);
	return r;
}

int migrate_npa_unpin(size_t *ret_n, struct vw_err *err)
{
	vw_auto_close int fd = open(MIGRATE_NPA_PINS, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : vw_err_sys(err, errno, 0, "opening '" MIGRATE_NPA_PINS "'");
	r = empty(fd, "programs", ret_n);
	if (r == 0)
		r = empty(fd, "maps", ret_n);
	return r < 0 ? vw_err_sys(err, r, 0, "removing the policy agent's pins in '" MIGRATE_NPA_PINS "'") : 0;
}
