// SPDX-License-Identifier: Apache-2.0
/* Giving up privileges: capabilities, core dumps, new privileges; and saying what is left. System calls are in confine_calls.c. */
#include "daemon/confine.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * All that is kept, while starting and while serving: programs are loaded again when policy is switched on by a reload, and for the
 * first pod that has a branch ENI. Files belong to root, so no right over others' files is among them; nor is CAP_SYS_ADMIN, because
 * nothing enters a pod's namespace (the plugin does), mounts, or looks up programs and maps by id. deploy/systemd/vpcwired.service
 * and docs/OPERATIONS.md have the same list; tests/e2e/test_confine.py compares them.
 */
static const struct {
	unsigned int cap;
	const char *name, *why;
} kept[] = {
	{ CAP_NET_ADMIN, "CAP_NET_ADMIN", "links, addresses, routes, rules, nftables, filters and tcx, connection tracking, sysctls below net/" },
	{ CAP_BPF, "CAP_BPF", "eBPF maps and programs: made, pinned, read and written" },
	{ CAP_PERFMON, "CAP_PERFMON", "the verifier lets programs compute with pointers into packets and maps" },
};

static bool is_kept(unsigned int cap)
{
	for (size_t i = 0; i < VW_ARRAY_SIZE(kept); i++)
		if (kept[i].cap == cap)
			return true;
	return false;
}

static int caps_get(uint64_t *ret_effective)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	*ret_effective = (uint64_t)data[1].effective << 32 | data[0].effective;
	return 0;
}

static int caps_set(uint64_t caps)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	data[0].effective = data[0].permitted = (uint32_t)caps;
	data[1].effective = data[1].permitted = (uint32_t)(caps >> 32);
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/* no way back by exec: without CAP_SETPCAP (a service manager's choice) the set is what it was given, and calls for exec are not listed */
static void shrink_bounding_set(void)
{
	for (unsigned int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (!is_kept(cap))
			(void)prctl(PR_CAPBSET_DROP, cap);
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static int drop_capabilities(struct vw_err *err)
{
	uint64_t have = 0, wanted = 0;
	int r = caps_get(&have);

	if (r < 0)
		return vw_err_sys(err, r, 0, "asking which capabilities this process has");
	for (size_t i = 0; i < VW_ARRAY_SIZE(kept); i++) {
		wanted |= 1ULL << kept[i].cap;
		if (!(have >> kept[i].cap & 1))
			return vw_err_set(err, EPERM, 0, "%s is missing (%s): start vpcwired as root with CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON, "
					  "on Linux 5.8 or later", kept[i].name, kept[i].why);
	}
	shrink_bounding_set();
	r = caps_set(wanted);
	return r < 0 ? vw_err_sys(err, r, 0, "giving up capabilities") : 0;
}

int confine_process(struct vw_err *err)
{
	static const struct rlimit none = { 0, 0 }, all = { RLIM_INFINITY, RLIM_INFINITY };

	/* eBPF maps count as locked memory before Linux 5.11; without the right to raise it libbpf says so when it matters */
	(void)setrlimit(RLIMIT_MEMLOCK, &all);
	/* credentials are in memory: no core, no ptrace by others */
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return vw_err_sys(err, errno, 0, "forbidding core dumps");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return vw_err_sys(err, errno, 0, "giving up new privileges");
	return drop_capabilities(err);
}

/* --- what is left */

static struct vw_json *cap_json(unsigned int cap)
{
	struct vw_json *o = vw_json_new_object();
	char number[24];
	const char *name = number, *why = NULL;

	(void)!vw_fmt(number, sizeof(number), "capability %u", cap);
	for (size_t i = 0; i < VW_ARRAY_SIZE(kept); i++)
		if (kept[i].cap == cap) {
			name = kept[i].name;
			why = kept[i].why;
		}
	if (vw_json_set_str(o, "name", name) < 0 || vw_json_set_str(o, "why", why) < 0) {
		vw_json_free(o);
		return NULL;
	}
	return o;
}

static const char *calls_text(enum config_calls mode)
{
	static const char *const texts[] = { "refused", "killed", "logged", "allowed" };     /* enum config_calls */

	return texts[prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER ? mode : CONFIG_CALLS_OFF];
}

struct vw_json *confine_json(enum config_calls mode)
{
	struct vw_json *o = vw_json_new_object(), *caps = vw_json_new_array();
	uint64_t have = 0;
	int64_t more = 0;
	int r = caps_get(&have);

	for (unsigned int cap = 0; cap < 64 && r == 0; cap++) {
		if (have >> cap & 1)
			r = vw_json_append(caps, cap_json(cap));
		if (!is_kept(cap) && prctl(PR_CAPBSET_READ, cap) == 1)
			more++;
	}
	if (vw_json_set(o, "capabilities", caps) < 0 || r < 0 || vw_json_set_int(o, "capabilities_to_gain", more) < 0 ||
	    vw_json_set_bool(o, "no_new_privileges", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) < 0 ||
	    vw_json_set_bool(o, "dumpable", prctl(PR_GET_DUMPABLE) != 0) < 0 ||
	    vw_json_set_str(o, "system_calls", calls_text(mode)) < 0) {
		vw_json_free(o);
		return NULL;
	}
	return o;
}
