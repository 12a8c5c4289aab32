/* Files: caps on reads, atomic replacement that leaves nothing behind when it fails, folders with parents. */
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "tests/unit/cm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define PATH_LEN 300

struct dir {
	char path[64];
};

static int make_dir(void **state)
{
	struct dir *d = calloc(1, sizeof(*d));

	snprintf(d->path, sizeof(d->path), "/tmp/vw-test-file.XXXXXX");
	*state = d;
	return mkdtemp(d->path) ? 0 : -1;
}

static unsigned int entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void remove_tree(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char sub[PATH_LEN];

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (vw_fmt(sub, sizeof(sub), "%s/%s", path, e->d_name) > 0 && unlink(sub) < 0)
			remove_tree(sub);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

static int drop_dir(void **state)
{
	struct dir *d = *state;

	remove_tree(d->path);
	free(d);
	return 0;
}

static const char *in(void **state, const char *name, char buf[PATH_LEN])
{
	struct dir *d = *state;

	assert_true(vw_fmt(buf, PATH_LEN, "%s/%s", d->path, name) > 0);
	return buf;
}

static void replace_and_read(void **state)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	char path[PATH_LEN];
	struct vw_err err;
	struct stat st;
	mode_t old = umask(0077);

	in(state, "f", path);
	assert_int_equal(vw_replace_file(path, "one", 3, 0644, &err), 0);
	umask(old);
	assert_int_equal(vw_replace_file(path, "second", 6, 0640, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(vw_read_file(path, 6, &b, &err), 0);
	assert_string_equal(vw_buf_str(&b), "second");
	assert_int_equal(entries(((struct dir *)*state)->path), 1);
}

static void replace_fails_cleanly(void **state)
{
	char path[PATH_LEN], target[PATH_LEN];
	struct vw_err err;

	/* A folder is where the file should go: rename fails after the temp file was written. */
	in(state, "d", path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(vw_replace_file(path, "x", 1, 0600, &err), -EISDIR);
	assert_non_null(strstr(err.msg, path));
	assert_int_equal(entries(((struct dir *)*state)->path), 1);
	in(state, "missing/f", target);
	assert_int_equal(vw_replace_file(target, "x", 1, 0600, &err), -ENOENT);
}

static void read_caps(void **state)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	char path[PATH_LEN];
	struct vw_err err;

	in(state, "f", path);
	assert_int_equal(vw_replace_file(path, "12345", 5, 0600, &err), 0);
	vw_buf_puts(&b, "kept");
	assert_int_equal(vw_read_file(path, 4, &b, &err), -EFBIG);
	assert_string_equal(vw_buf_str(&b), "kept");
	assert_int_equal(vw_buf_err(&b), 0);
	assert_int_equal(vw_read_file(path, 5, &b, &err), 0);
	assert_string_equal(vw_buf_str(&b), "kept12345");
	assert_int_equal(vw_read_file("/nonexistent/x", 5, &b, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "/nonexistent/x"));
	assert_int_equal(vw_read_file("/tmp", 5, &b, &err), -EISDIR);
}

static void read_fd_is_bounded(void **state)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT_MAX(1000);
	vw_auto_close int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	assert_int_equal(vw_read_fd(zero, &b), -EFBIG);
	assert_true(b.len <= 1000);
	assert_int_equal(vw_read_fd(-1, &b), -EBADF);
}

static void write_once(void **state)
{
	char path[PATH_LEN];
	struct vw_err err;

	in(state, "f", path);
	assert_int_equal(vw_write_once(path, "1"), -ENOENT);
	assert_int_equal(vw_replace_file(path, "0", 1, 0600, &err), 0);
	assert_int_equal(vw_write_once(path, "1"), 0);
	assert_int_equal(vw_write_once("/dev/full", "1"), -ENOSPC);
}

static void mkdirs(void **state)
{
	char path[PATH_LEN];
	struct vw_err err;
	struct stat st;

	in(state, "a//b/c", path);
	assert_int_equal(vw_mkdir_p(path, 0700, &err), 0);
	assert_int_equal(vw_mkdir_p(path, 0700, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	in(state, "f", path);
	assert_int_equal(vw_replace_file(path, "", 0, 0600, &err), 0);
	assert_int_equal(vw_mkdir_p(path, 0700, &err), -ENOTDIR);
	in(state, "f/g", path);
	assert_int_equal(vw_mkdir_p(path, 0700, &err), -ENOTDIR);
	assert_int_equal(vw_mkdir_p("", 0700, &err), -EINVAL);
}

static void touch(void **state, const char *name)
{
	char path[PATH_LEN];
	int fd;

	in(state, name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void temps_of_the_dead(void **state)
{
	static const char *const stay[] = { "a.json", "a.json.tmp.", "a.json.tmp.12x", "a.json.tmp", ".tmp.12" };
	const struct dir *d = *state;
	char path[PATH_LEN];
	struct stat st;
	int living;

	for (size_t i = 0; i < VW_ARRAY_SIZE(stay); i++)
		touch(state, stay[i]);
	touch(state, "a.json.tmp.12");
	touch(state, "b.json.tmp.12");
	touch(state, "b.json.tmp.1.tmp.13");
	touch(state, "c.json.tmp.14");
	in(state, "link.tmp.15", path);
	assert_int_equal(symlink("a.json", path), 0);
	in(state, "c.json.tmp.14", path);
	living = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(flock(living, LOCK_EX), 0);
	assert_int_equal(vw_tidy_temps(d->path, "a.json"), 1);
	assert_int_equal(vw_tidy_temps(d->path, "b.json"), 1);
	assert_int_equal(vw_tidy_temps(d->path, NULL), 1);
	assert_int_equal(entries(d->path), VW_ARRAY_SIZE(stay) + 2);
	assert_int_equal(stat(path, &st), 0);
	close(living);
	assert_int_equal(vw_tidy_temps(d->path, NULL), 1);
	assert_int_equal(entries(d->path), VW_ARRAY_SIZE(stay) + 1);
	in(state, "nowhere", path);
	assert_int_equal(vw_tidy_temps(path, NULL), 0);
}

struct tidier {
	const char *dir;
	atomic_bool stop;
};

static void *tidy_on_and_on(void *arg)
{
	struct tidier *t = arg;

	while (!atomic_load(&t->stop))
		(void)vw_tidy_temps(t->dir, NULL);
	return NULL;
}

/* between its making and its lock a temp file looks like a dead one's */
static void tidying_costs_no_writer_anything(void **state)
{
	const struct dir *d = *state;
	struct tidier t = { .dir = d->path };
	char path[PATH_LEN];
	struct vw_err err;
	pthread_t thread;

	in(state, "f.json", path);
	assert_int_equal(pthread_create(&thread, NULL, tidy_on_and_on, &t), 0);
	for (int i = 0; i < 400; i++)
		assert_int_equal(vw_replace_file(path, "x", 1, 0600, &err), 0);
	atomic_store(&t.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(entries(d->path), 1);
}

#define test(fn) cmocka_unit_test_setup_teardown(fn, make_dir, drop_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(replace_and_read), test(replace_fails_cleanly),
		test(read_caps),        test(read_fd_is_bounded),
		test(write_once),       test(mkdirs),
		test(temps_of_the_dead), test(tidying_costs_no_writer_anything),
	};

	return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
