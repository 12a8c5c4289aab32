/* The loader on a bpf file system of its own: what it pins, takes over, replaces, refuses and removes. */
#include "lib/base/cleanup.h"
#include "lib/net/bpf.h"
#include "netpolicy-bpf/user/np_loader.h"
#include "tests/bpf/bpf_fixture.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static struct np_pod_conf conf(const char *ip4, const char *ip6, unsigned int eni)
{
	struct np_pod_conf c = { .eni = eni };

	if (ip4)
		assert_int_equal(vw_ip_parse(ip4, &c.ip4), 0);
	if (ip6)
		assert_int_equal(vw_ip_parse(ip6, &c.ip6), 0);
	return c;
}

static void path_of(const struct bpf_fixture *f, const char *name, char path[160])
{
	(void)snprintf(path, 160, "%s/vpcwire/v%d/%s", f->dir, NP_ABI, name);
}

static struct np *open_np(struct bpf_fixture *f, bool want_replaced)
{
	struct vw_err err;
	struct np *np;
	char dir[96];

	(void)snprintf(dir, sizeof(dir), "%s/vpcwire", f->dir);
	ok(np_open(dir, NULL, &np, &err));
	assert_int_equal(np_replaced(np), want_replaced);
	return np;
}

static void unpin(struct bpf_fixture *f)
{
	struct vw_err err;
	struct stat st;
	char dir[96];

	(void)snprintf(dir, sizeof(dir), "%s/vpcwire", f->dir);
	ok(np_unpin(dir, &err));
	assert_int_equal(stat(dir, &st), -1);
	ok(np_unpin(dir, &err));
}

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_restart_keeps_slots(void **state)
{
	struct np_pod_conf c = conf("10.0.1.30", "2001:db8::30", 17), got;
	struct np *np;
	uint32_t id;
	int fds;

	BPF_OR_SKIP(state);
	np = open_np(f, true);
	ok(np_slot_publish(np, 4095, &c, &err));
	np_close(np);
	fds = open_fds();
	np = open_np(f, false);
	assert_int_equal(ok(np_slot_get(np, 4095, &got, &err)), 1);
	assert_true(vw_ip_eq(&got.ip4, &c.ip4));
	assert_true(vw_ip_eq(&got.ip6, &c.ip6));
	assert_int_equal(got.eni, 17);
	assert_int_equal(ok(np_slot_get(np, 0, &got, &err)), 0);
	ok(np_slot_clear(np, 4095, &err));
	assert_int_equal(ok(np_slot_get(np, 4095, &got, &err)), 0);
	id = (uint32_t)np_from_pod_fd(np);
	assert_true(id > 0);
	np_close(np);
	assert_int_equal(open_fds(), fds);
	unpin(f);
}

static void test_bad_arguments(void **state)
{
	struct np_pod_conf c = conf("10.0.1.30", NULL, 1), none = conf(NULL, NULL, 1), eni = conf("10.0.1.30", NULL, 128);
	struct np *np;

	BPF_OR_SKIP(state);
	np = open_np(f, true);
	assert_int_equal(np_slot_publish(np, NP_SLOTS, &c, &err), -ERANGE);
	assert_int_equal(np_slot_clear(np, NP_SLOTS, &err), -ERANGE);
	assert_int_equal(np_slot_get(np, NP_SLOTS, &c, &err), -ERANGE);
	assert_int_equal(np_slot_publish(np, 1, &none, &err), -EINVAL);
	assert_int_equal(np_slot_publish(np, 1, &eni, &err), -EINVAL);
	assert_int_equal(ok(np_slot_get(np, 1, &c, &err)), 0);
	assert_null(np_drop_name(NP_DROP_MAX));
	for (unsigned int i = 0; i < NP_DROP_MAX; i++)
		assert_non_null(np_drop_name(i));
	np_close(np);
	unpin(f);
}

/* Whoever may write the pinned map may write nonsense. */
static void test_slots_are_not_trusted(void **state)
{
	static const struct np_slot bad[] = {
		{ .flags = NP_SLOT_IP4, .ip4 = 1 },                             /* not in use, yet not empty */
		{ .flags = NP_SLOT_USED },                                      /* no address */
		{ .flags = NP_SLOT_USED | NP_SLOT_IP4 | 1u << 31, .ip4 = 1 },   /* a flag from nowhere */
		{ .flags = NP_SLOT_USED | NP_SLOT_IP4, .ip4 = 1, .eni = 128 },
		{ .flags = NP_SLOT_USED | NP_SLOT_IP4, .ip4 = 1, .pad = { 0, 0, 1 } },
	};
	vw_auto_close int map = -EBADF;
	struct np_pod_conf got;
	const uint32_t slot = 9;
	struct np *np;
	char path[160];

	BPF_OR_SKIP(state);
	np = open_np(f, true);
	path_of(f, np_map_name(NP_M_SLOTS), path);
	map = bpf_obj_get(path);
	assert_true(map >= 0);
	for (size_t i = 0; i < VW_ARRAY_SIZE(bad); i++) {
		assert_int_equal(bpf_map_update_elem(map, &slot, &bad[i], BPF_ANY), 0);
		assert_int_equal(np_slot_get(np, slot, &got, &err), -EBADMSG);
	}
	np_close(np);
	unpin(f);
}

static void pin_foreign_map(const char *path, enum bpf_map_type type, uint32_t value, uint32_t entries)
{
	vw_auto_close int map = bpf_map_create(type, "np_slots", 4, value, entries, NULL);

	assert_true(map >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(bpf_obj_pin(map, path), 0);
}

/* pin_map_like() - an empty one of the same shape. */
static void pin_map_like(int fd, const char *name, const char *path)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);
	vw_auto_close int map = -EBADF;

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = info.map_flags);
	map = bpf_map_create(info.type, name, info.key_size, info.value_size, info.max_entries, &opts);
	assert_true(map >= 0);
	assert_int_equal(bpf_obj_pin(map, path), 0);
}

static void test_misfit_maps_are_replaced(void **state)
{
	static const struct {
		enum bpf_map_type type;
		uint32_t value, entries;
	} misfits[] = {
		{ BPF_MAP_TYPE_HASH, sizeof(struct np_slot), NP_SLOTS },
		{ BPF_MAP_TYPE_ARRAY, sizeof(struct np_slot) * 2, NP_SLOTS },
		{ BPF_MAP_TYPE_ARRAY, sizeof(struct np_slot), 16 },
	};
	struct np_pod_conf c = conf("10.0.1.30", NULL, 1), got;
	struct np *np;
	char path[160];

	BPF_OR_SKIP(state);
	path_of(f, np_map_name(NP_M_SLOTS), path);
	np_close(open_np(f, true));
	for (size_t i = 0; i < VW_ARRAY_SIZE(misfits); i++) {
		pin_foreign_map(path, misfits[i].type, misfits[i].value, misfits[i].entries);
		np = open_np(f, true);                          /* another map: another program, to be attached again */
		ok(np_slot_publish(np, NP_SLOTS - 1, &c, &err));
		np_close(np);
		np = open_np(f, false);
		assert_int_equal(ok(np_slot_get(np, NP_SLOTS - 1, &got, &err)), 1);
		np_close(np);
	}
	unpin(f);
}

static void test_other_program_is_replaced(void **state)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	vw_auto_close int old = -EBADF, pinned = -EBADF;
	struct np_pod_conf c = conf("10.0.1.30", NULL, 1), got;
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);
	char path[160], temp[170];
	struct np *np;

	BPF_OR_SKIP(state);
	path_of(f, NP_PROG_FROM_POD, path);
	np = open_np(f, true);
	ok(np_slot_publish(np, 7, &c, &err));
	np_close(np);
	/* an older release's program, and what a killed daemon left half-way */
	old = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "from_pod", "GPL", insns, 2, NULL);
	assert_true(old >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(bpf_obj_pin(old, path), 0);
	(void)snprintf(temp, sizeof(temp), "%s_new", path);
	assert_int_equal(bpf_obj_pin(old, temp), 0);
	np = open_np(f, true);
	assert_string_equal(np_from_pod_path(np), path);
	pinned = bpf_obj_get(path);
	assert_int_equal(bpf_obj_get_info_by_fd(pinned, &info, &len), 0);
	assert_true(info.nr_map_ids >= 2);
	assert_int_equal(access(temp, F_OK), -1);
	assert_int_equal(ok(np_slot_get(np, 7, &got, &err)), 1);        /* slots outlive an upgrade */
	np_close(np);
	unpin(f);
}

/* Return: what np_open() says in a process that may load no program. */
static int open_without_loading(struct bpf_fixture *f)
{
	const struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_bpf, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BPF_PROG_LOAD, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog prog = { VW_ARRAY_SIZE(filter), (struct sock_filter *)filter };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct np *np = NULL;
		struct vw_err err;
		char dir[96];
		int r;

		(void)snprintf(dir, sizeof(dir), "%s/vpcwire", f->dir);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
			_exit(255);
		r = np_open(dir, NULL, &np, &err);
		_exit(r < 0 ? -r : np_replaced(np));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 255);
	return -WEXITSTATUS(status);
}

/* A restart of the same build loads nothing, and is not taken in by what only looks the same. */
static void test_restart_loads_nothing(void **state)
{
	char build[160], path[160];
	const uint32_t key = 0;
	unsigned char value[512];
	struct np *np;

	BPF_OR_SKIP(state);
	path_of(f, "np_build", build);
	path_of(f, np_map_name(NP_M_IP6), path);
	assert_int_equal(open_without_loading(f), -EPERM);
	np_close(open_np(f, true));
	assert_int_equal(open_without_loading(f), 0);
	np_close(open_np(f, false));
	/* another map of the same shape, which has come by the name otherwise, or is called so, too */
	for (int same = 0; same < 2; same++) {
		np = open_np(f, false);
		assert_int_equal(unlink(path), 0);
		pin_map_like(np_map_fd(np, NP_M_IP6), same ? np_map_name(NP_M_IP6) : "like", path);
		np_close(np);
		assert_int_equal(open_without_loading(f), -EPERM);
		np_close(open_np(f, true));     /* at_node6 looks into it, and is replaced */
		assert_int_equal(open_without_loading(f), 0);
	}
	/* a note that is lost, or is another build's: loaded, found to be the same, noted again */
	assert_int_equal(unlink(build), 0);
	assert_int_equal(open_without_loading(f), -EPERM);
	np_close(open_np(f, false));
	{
		vw_auto_close int fd = bpf_obj_get(build);

		assert_int_equal(bpf_map_lookup_elem(fd, &key, value), 0);
		value[0] ^= 1;
		assert_int_equal(bpf_map_update_elem(fd, &key, value, 0), 0);
	}
	assert_int_equal(open_without_loading(f), -EPERM);
	np_close(open_np(f, false));
	assert_int_equal(open_without_loading(f), 0);
	unpin(f);
}

/* The policy in force belongs to the publisher; a slot's next pod is told from the last by its generation. */
static void test_policy_and_generation(void **state)
{
	struct np_pod_conf a = conf("10.0.1.30", "2001:db8::30", 1), b = conf("10.0.1.31", NULL, 1);
	struct np_slot *slot;
	struct np *np;

	BPF_OR_SKIP(state);
	np = open_np(f, true);
	slot = (struct np_slot *)np_map_mem(np, NP_M_SLOTS) + 3;
	ok(np_slot_publish(np, 3, &a, &err));
	assert_int_equal(slot->pub, 0);
	assert_int_equal(slot->gen, 1);
	slot->pub = 0x700000005;
	ok(np_slot_pickup(np, 3, 30, &err));
	assert_true(slot->pickup_until - np_tick() - 29 <= 1);
	ok(np_slot_publish(np, 3, &a, &err));                   /* a restart */
	a.eni = 2;
	ok(np_slot_publish(np, 3, &a, &err));                   /* the same pod behind another ENI */
	assert_int_equal(slot->pub, 0x700000005);
	assert_int_equal(slot->gen, 1);
	assert_int_equal(slot->eni, 2);
	np_close(np);
	np = open_np(f, false);
	slot = (struct np_slot *)np_map_mem(np, NP_M_SLOTS) + 3;
	assert_int_equal(slot->pub, 0x700000005);
	ok(np_slot_clear(np, 3, &err));
	assert_int_equal(slot->pub, 0x700000000 | NP_LINE_NONE);        /* what is under way finds no policy, not: no policy needed */
	assert_int_equal(slot->pickup_until, 0);
	ok(np_slot_publish(np, 3, &b, &err));
	assert_int_equal(slot->gen, 2);
	ok(np_slot_clear(np, 3, &err));
	ok(np_slot_publish(np, 3, &b, &err));                   /* another pod that was given the same address */
	assert_int_equal(slot->gen, 3);
	np_close(np);
	unpin(f);
}

static void test_maps_are_shared(void **state)
{
	static const enum np_map mapped[] = { NP_M_SLOTS, NP_M_ARENA, NP_M_IDENTS, NP_M_PORTS, NP_M_CONF, NP_M_RT };
	struct np_line line = { .w = { 1, 2, 3 } }, got;
	const uint32_t last = NP_ARENA_LINES - 1;
	struct np_conf *c, first;
	struct np *np;
	char path[160];

	BPF_OR_SKIP(state);
	np = open_np(f, true);
	for (int i = 0; i < NP_MAPS; i++) {
		assert_false(np_map_kept(np, i));
		assert_true(np_map_fd(np, i) >= 0);
		assert_true(np_map_max(np, i) > 0);
		path_of(f, np_map_name(i), path);
		assert_int_equal(access(path, F_OK), 0);
	}
	for (size_t i = 0; i < VW_ARRAY_SIZE(mapped); i++)
		assert_non_null(np_map_mem(np, mapped[i]));
	assert_null(np_map_mem(np, NP_M_CT_LOCKS));
	((struct np_line *)np_map_mem(np, NP_M_ARENA))[last] = line;
	assert_int_equal(bpf_map_lookup_elem(np_map_fd(np, NP_M_ARENA), &last, &got), 0);
	assert_memory_equal(&got, &line, sizeof(line));
	c = np_map_mem(np, NP_M_CONF);
	assert_true(c->dns_key[0] && c->dns_key[1] && c->ct_key[0] && c->ct_key[NP_CT_KEYS - 1] && c->ct_quota && c->event_rate && c->event_burst);
	c->flags = NP_CONF_KEEP;
	first = *c;
	np_close(np);
	np = open_np(f, false);
	for (int i = 0; i < NP_MAPS; i++)
		assert_true(np_map_kept(np, i));
	assert_memory_equal(np_map_mem(np, NP_M_CONF), &first, sizeof(first));
	np_close(np);
	unpin(f);
}

static void test_sizes(void **state)
{
	struct np_sizes sizes = { .max = { [NP_M_CT] = 3, [NP_M_EVENTS] = 4096 } };
	struct np *np;
	char dir[96];

	BPF_OR_SKIP(state);
	np_close(open_np(f, true));
	(void)snprintf(dir, sizeof(dir), "%s/vpcwire", f->dir);
	for (int again = 0; again < 2; again++) {
		ok(np_open(dir, &sizes, &np, &err));
		assert_int_equal(np_replaced(np), !again);      /* another map, so other programs */
		assert_int_equal(np_map_kept(np, NP_M_CT), again);
		assert_int_equal(np_map_kept(np, NP_M_CT_LOCKS), again);
		assert_true(np_map_kept(np, NP_M_FRAG));
		assert_int_equal(np_map_max(np, NP_M_CT), 3);
		assert_int_equal(np_map_max(np, NP_M_CT_LOCKS), 3);
		assert_int_equal(((struct np_conf *)np_map_mem(np, NP_M_CONF))->ct_groups, 3);
		np_close(np);
	}
	sizes.max[NP_M_ARENA] = 1000;
	assert_int_equal(np_open(dir, &sizes, &np, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "np_arena"));
	unpin(f);
}

static void test_programs_are_pinned(void **state)
{
	struct bpf_prog_info info;
	struct np *np;

	BPF_OR_SKIP(state);
	np = open_np(f, true);
	char at4[160], at6[160];
	const char *paths[] = { np_from_pod_path(np), np_to_pod_path(np), np_to_wire_path(np), at4, at6 };
	const int fds[] = { np_from_pod_fd(np), np_to_pod_fd(np), np_to_wire_fd(np), np_at_node_fd(np, 4), np_at_node_fd(np, 6) };

	path_of(f, NP_PROG_AT_NODE4, at4);
	path_of(f, NP_PROG_AT_NODE6, at6);

	for (size_t i = 0; i < VW_ARRAY_SIZE(paths); i++) {
		vw_auto_close int fd = bpf_obj_get(paths[i]);
		struct bpf_prog_info held = { 0 };
		uint32_t len = sizeof(info);

		assert_true(fd >= 0);
		memset(&info, 0, sizeof(info));
		assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
		assert_int_equal(bpf_obj_get_info_by_fd(fds[i], &held, &len), 0);
		assert_int_equal(info.id, held.id);
	}
	np_close(np);
	unpin(f);
}

/* An upgrade: what another version pinned stays until it is told to go, and nothing else goes with it. */
static void test_former_pins(void **state)
{
	char dir[96], path[128];
	struct stat st;
	struct np *np;

	BPF_OR_SKIP(state);
	np = open_np(f, true);
	(void)snprintf(dir, sizeof(dir), "%s/vpcwire", f->dir);
	for (int v = NP_ABI - 1; v <= NP_ABI + 1; v += 2) {
		(void)snprintf(path, sizeof(path), "%s/v%d", dir, v);
		assert_int_equal(mkdir(path, 0700), 0);
		(void)snprintf(path, sizeof(path), "%s/v%d/np_clock", dir, v);
		assert_int_equal(bpf_obj_pin(np_map_fd(np, NP_M_CLOCK), path), 0);
	}
	(void)snprintf(path, sizeof(path), "%s/branch1", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	np_close(np);
	np_close(open_np(f, false));
	(void)snprintf(path, sizeof(path), "%s/v%d/np_clock", dir, NP_ABI - 1);
	assert_int_equal(stat(path, &st), 0);
	ok(np_unpin_former(dir, &err));
	for (int v = NP_ABI - 1; v <= NP_ABI + 1; v += 2) {
		(void)snprintf(path, sizeof(path), "%s/v%d", dir, v);
		assert_int_equal(stat(path, &st), -1);
	}
	(void)snprintf(path, sizeof(path), "%s/branch1", dir);
	assert_int_equal(rmdir(path), 0);
	np_close(open_np(f, false));            /* all of ours is there */
	unpin(f);
}

/* a program that is replaced stays within reach, over a death too, until nothing has it any more */
static void test_replaced_programs_stay_within_reach(void **state)
{
	static const struct bpf_insn other[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = -1 }, { .code = BPF_JMP | BPF_EXIT } };
	struct np_formers formers;
	uint32_t id, got;
	char path[160], dir[96];
	struct np *np;
	int fd, fds;

	BPF_OR_SKIP(state);
	np_close(open_np(f, true));
	fd = ok(vw_bpf_prog_load(other, 2, "other", &err));
	ok(vw_bpf_prog_id(fd, &id, &err));
	path_of(f, "from_pod", path);
	ok(vw_bpf_obj_pin(fd, path, &err));
	close(fd);
	np = open_np(f, true);                  /* the upgrade */
	fds = open_fds();
	np_close(np);
	np = open_np(f, false);                 /* which was killed before it had told the links */
	ok(np_formers_open(np, &formers, &err));
	assert_int_equal(formers.n_from_pod, 1);
	assert_int_equal(formers.n_to_pod, 0);
	ok(vw_bpf_prog_id(formers.from_pod[0], &got, &err));
	assert_int_equal(got, id);
	np_formers_close(&formers);
	assert_true(open_fds() <= fds);
	(void)snprintf(dir, sizeof(dir), "%s/vpcwire", f->dir);
	ok(np_unpin_former(dir, &err));
	ok(np_formers_open(np, &formers, &err));
	assert_int_equal(formers.n_from_pod + formers.n_to_pod, 0);
	np_formers_close(&formers);
	np_close(np);
	np_close(open_np(f, false));            /* and of ours nothing has gone */
	unpin(f);
}

static void test_where_it_may_be(void **state)
{
	char dir[] = "/tmp/vpcwire-test-nobpf-XXXXXX", deep[96];
	struct np *np = NULL;
	struct stat st;

	BPF_OR_SKIP(state);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(deep, sizeof(deep), "%s/a/b", dir);
	assert_int_equal(np_open(deep, NULL, &np, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "mount -t bpf"));
	assert_non_null(strstr(err.msg, deep));
	(void)snprintf(deep, sizeof(deep), "%s/a", dir);
	assert_int_equal(stat(deep, &st), -1);                          /* and nothing was made */
	assert_int_equal(np_unpin(dir, &err), -EINVAL);
	assert_int_equal(np_open("relative/path", NULL, &np, &err), -EINVAL);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restart_keeps_slots),
		cmocka_unit_test(test_bad_arguments),
		cmocka_unit_test(test_slots_are_not_trusted),
		cmocka_unit_test(test_misfit_maps_are_replaced),
		cmocka_unit_test(test_restart_loads_nothing),
		cmocka_unit_test(test_other_program_is_replaced),
		cmocka_unit_test(test_policy_and_generation),
		cmocka_unit_test(test_maps_are_shared),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_programs_are_pinned),
		cmocka_unit_test(test_former_pins),
		cmocka_unit_test(test_replaced_programs_stay_within_reach),
		cmocka_unit_test(test_where_it_may_be),
	};

	return cmocka_run_group_tests(tests, bpf_fixture_setup, bpf_fixture_done);
}
