#pragma once

#include "tests/unit/netns_fixture.h"

#include <stdlib.h>
#include <sys/mount.h>

/**
 * struct bpf_fixture - a private network namespace, and a private bpf file system at @dir that vanishes with the test.
 */
struct bpf_fixture {
	char dir[64];
	struct np *np;
};

static inline int bpf_fixture_setup(void **state)
{
	struct bpf_fixture *f;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) {
		print_message("# skip: making namespaces needs root\n");
		*state = NULL;
		return 0;
	}
	f = calloc(1, sizeof(*f));
	assert_non_null(f);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/vpcwire-test-bpf-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(mount("bpf", f->dir, "bpf", 0, NULL), 0);
	*state = f;
	return 0;
}

static inline int bpf_fixture_done(void **state)
{
	struct bpf_fixture *f = *state;

	if (!f)
		return 0;
	umount2(f->dir, MNT_DETACH);
	rmdir(f->dir);
	free(f);
	return 0;
}

#define BPF_OR_SKIP(state) \
	struct bpf_fixture *f = *(state); \
	__attribute__((unused)) struct vw_err err = { 0 }; \
	if (!f) \
		skip()
