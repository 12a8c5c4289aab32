/* The store: what is put comes back after a reopen, cool-downs end, damaged and foreign files are moved aside. */
#include "daemon/store.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char dir[64], path[96];
	struct store *s;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_true(vw_fmt(f->dir, sizeof(f->dir), "/tmp/vpcwire-test-store-XXXXXX") > 0);
	assert_non_null(mkdtemp(f->dir));
	assert_true(vw_fmt(f->path, sizeof(f->path), "%s/state.db", f->dir) > 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	DIR *d = opendir(f->dir);

	store_close(f->s);
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void open_store(struct fixture *f, const char *boot_id, const char *want_in_note)
{
	vw_auto_buf struct vw_buf note = VW_BUF_INIT;
	struct vw_err err = { 0 };

	store_close(f->s);
	f->s = NULL;
	if (store_open(f->path, boot_id, &f->s, &note, &err) < 0)
		fail_msg("store_open: %s", err.msg);
	if (want_in_note)
		assert_non_null(strstr(vw_buf_str(&note), want_in_note));
	else
		assert_string_equal(vw_buf_str(&note), "");
}

static struct store_attachment attachment(const char *id, const char *ip, unsigned int slot)
{
	struct store_attachment a = { .slot = slot, .created_ms = 1000 + slot };

	assert_true(vw_fmt(a.key.container_id, sizeof(a.key.container_id), "%s", id) > 0);
	memcpy(a.key.ifname, "eth0", 5);
	memcpy(a.pod_name, "pod", 4);
	memcpy(a.host_ifname, "eni0123456789a", 15);
	memcpy(a.eni_id, "eni-1", 6);
	assert_int_equal(vw_ip_parse(ip, &a.addr), 0);
	return a;
}

struct seen {
	int n;
	struct store_attachment last;
	struct vw_ip ip;
	uint64_t until;
	struct store_eni eni;
	struct vw_cidr slots[4];
	struct store_intent intent;
};

static int see_attach(const struct store_attachment *a, void *arg)
{
	struct seen *s = arg;

	s->n++;
	s->last = *a;
	return 0;
}

static int see_cooling(const struct vw_ip *ip, uint64_t until_ms, void *arg)
{
	struct seen *s = arg;

	s->n++;
	s->ip = *ip;
	s->until = until_ms;
	return 0;
}

static int see_eni(const struct store_eni *e, void *arg)
{
	struct seen *s = arg;

	s->n++;
	s->eni = *e;
	for (size_t i = 0; i < e->n_slots && i < 4; i++)
		s->slots[i] = e->slots[i];
	return 0;
}

static int see_intent(const struct store_intent *i, void *arg)
{
	struct seen *s = arg;

	s->n++;
	s->intent = *i;
	return 0;
}

/* the how manieth value finds no memory; 0 = none */
static int no_memory_at;

int __real_sqlite3_bind_text(sqlite3_stmt *st, int pos, const char *text, int n, void (*free_fn)(void *));
int __wrap_sqlite3_bind_text(sqlite3_stmt *st, int pos, const char *text, int n, void (*free_fn)(void *));
int __wrap_sqlite3_bind_text(sqlite3_stmt *st, int pos, const char *text, int n, void (*free_fn)(void *))
{
	return no_memory_at > 0 && --no_memory_at == 0 ? SQLITE_NOMEM : __real_sqlite3_bind_text(st, pos, text, n, free_fn);
}

static unsigned int attachments(struct fixture *f)
{
	struct seen seen = { 0 };
	struct vw_err err;

	assert_int_equal(store_attach_each(f->s, see_attach, &seen, &err), 0);
	return (unsigned int)seen.n;
}

/* a row without its namespace would be valid, and wrong; a DELETE of nothing would be a success, and the pod back with the next start */
static void test_a_value_that_finds_no_memory_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct store_attachment a = attachment("c1", "10.0.0.7", 3);
	struct vw_err err;
	int puts = 0, dels = 0, r;

	open_store(f, "boot-a", NULL);
	do {
		no_memory_at = ++puts;
		r = store_attach_put(f->s, &a, &err);
		assert_true(r == 0 || r == -ENOMEM);
		assert_int_equal(attachments(f), r == 0);
	} while (r < 0);
	do {
		no_memory_at = ++dels;
		r = store_attach_del(f->s, &a, 0, &err);
		assert_true(r == 0 || r == -ENOMEM);
		assert_int_equal(attachments(f), r < 0);
	} while (r < 0);
	no_memory_at = 0;
	assert_true(puts > 10 && dels > 2);
}

static void test_attachments_survive_reopen(void **state)
{
	struct fixture *f = *state;
	struct store_attachment a = attachment("c1", "10.0.0.7", 3), b = attachment("c2", "10.0.0.8", 4);
	struct vw_err err;
	struct seen seen = { 0 };

	open_store(f, "boot-a", NULL);
	assert_int_equal(store_attach_put(f->s, &a, &err), 0);
	assert_int_equal(store_attach_put(f->s, &b, &err), 0);
	assert_int_equal(store_attach_put(f->s, &b, &err), 0);
	open_store(f, "boot-a", NULL);
	assert_int_equal(store_attach_each(f->s, see_attach, &seen, &err), 0);
	assert_int_equal(seen.n, 2);
	assert_memory_equal(&seen.last, &b, sizeof(b));
}

static void test_one_address_twice_is_refused(void **state)
{
	struct fixture *f = *state;
	struct store_attachment a = attachment("c1", "10.0.0.7", 3), b = attachment("c2", "10.0.0.7", 4);
	struct vw_err err;
	struct seen seen = { 0 };

	open_store(f, "boot-a", NULL);
	assert_int_equal(store_attach_put(f->s, &a, &err), 0);
	/* INSERT OR REPLACE would silently take the address from c1: the row must win or fail, never vanish */
	(void)store_attach_put(f->s, &b, &err);
	assert_int_equal(store_attach_each(f->s, see_attach, &seen, &err), 0);
	assert_int_equal(seen.n, 1);
	assert_string_equal(seen.last.key.container_id, "c1");
}

static void test_cooling(void **state)
{
	struct fixture *f = *state;
	struct store_attachment a = attachment("c1", "10.0.0.7", 3);
	struct vw_err err;
	struct seen seen = { 0 };

	open_store(f, "boot-a", NULL);
	assert_int_equal(store_attach_put(f->s, &a, &err), 0);
	assert_int_equal(store_attach_del(f->s, &a, 5000, &err), 0);
	open_store(f, "boot-a", NULL);
	assert_int_equal(store_cooling_each(f->s, 4999, see_cooling, &seen, &err), 0);
	assert_int_equal(seen.n, 1);
	assert_true(vw_ip_eq(&seen.ip, &a.addr));
	assert_int_equal(seen.until, 5000);
	/* an address that is given out again cools no more */
	assert_int_equal(store_attach_put(f->s, &a, &err), 0);
	seen.n = 0;
	assert_int_equal(store_cooling_each(f->s, 4999, see_cooling, &seen, &err), 0);
	assert_int_equal(seen.n, 0);
	assert_int_equal(store_attach_del(f->s, &a, 5000, &err), 0);
	assert_int_equal(store_cooling_each(f->s, 5000, see_cooling, &seen, &err), 0);
	assert_int_equal(seen.n, 0);
}

static unsigned int rows_of_cooling(struct fixture *f)
{
	struct seen seen = { 0 };
	struct vw_err err;

	assert_int_equal(store_cooling_each(f->s, 0, see_cooling, &seen, &err), 0);
	return seen.n;
}

/* IPv6: each address once */
static void test_cool_downs_that_are_over_go(void **state)
{
	struct fixture *f = *state;
	struct store_attachment a = attachment("c1", "10.0.0.7", 3);
	struct vw_err err;

	open_store(f, "boot-a", NULL);
	assert_int_equal(vw_ip_parse("2001:db8::", &a.addr6), 0);
	for (uint64_t now = 1; now <= 10000; now++) {
		a.addr6 = vw_ip_add(&a.addr6, 1);
		assert_int_equal(store_attach_del(f->s, &a, now + 30, &err), 0);
		store_tidy(f->s, now);
		if (now % 1000 == 0)
			assert_in_range(rows_of_cooling(f), 1, 2100);
	}
	store_tidy(f->s, 10029);
	assert_true(rows_of_cooling(f) > 0);
	store_tidy(f->s, 10030);
	assert_int_equal(rows_of_cooling(f), 0);
}

static void test_both_families(void **state)
{
	struct fixture *f = *state;
	struct store_attachment both = attachment("c1", "10.0.0.7", 3), only6 = attachment("c2", "10.0.0.8", 4), twice, none;
	struct vw_err err;
	struct seen seen = { 0 };

	assert_int_equal(vw_ip_parse("2001:db8::1", &both.addr6), 0);
	assert_int_equal(vw_ip_parse("2001:db8::2", &only6.addr6), 0);
	only6.addr = (struct vw_ip){ 0 };
	twice = only6;
	memcpy(twice.key.container_id, "c3", 3);
	twice.slot = 5;
	none = attachment("c4", "10.0.0.9", 6);
	none.addr = (struct vw_ip){ 0 };
	open_store(f, "boot-a", NULL);
	assert_int_equal(store_attach_put(f->s, &both, &err), 0);
	assert_int_equal(store_attach_put(f->s, &only6, &err), 0);
	assert_true(store_attach_put(f->s, &twice, &err) < 0);
	assert_true(store_attach_put(f->s, &none, &err) < 0);
	open_store(f, "boot-a", NULL);
	assert_int_equal(store_attach_each(f->s, see_attach, &seen, &err), 0);
	assert_int_equal(seen.n, 2);
	assert_memory_equal(&seen.last, &only6, sizeof(only6));
	assert_int_equal(store_attach_del(f->s, &only6, 5000, &err), 0);
	seen.n = 0;
	assert_int_equal(store_cooling_each(f->s, 4999, see_cooling, &seen, &err), 0);
	assert_int_equal(seen.n, 1);
	assert_true(vw_ip_eq(&seen.ip, &only6.addr6));
	assert_int_equal(store_attach_del(f->s, &both, 5000, &err), 0);
	seen.n = 0;
	assert_int_equal(store_cooling_each(f->s, 4999, see_cooling, &seen, &err), 0);
	assert_int_equal(seen.n, 3);
	assert_int_equal(store_attach_put(f->s, &both, &err), 0);
	seen.n = 0;
	assert_int_equal(store_cooling_each(f->s, 4999, see_cooling, &seen, &err), 0);
	assert_int_equal(seen.n, 1);
}

static void test_older_schema_is_moved_aside(void **state)
{
	static const char one[] = { 0, 0, 0, 1 };
	struct fixture *f = *state;
	struct vw_err err;
	struct seen seen = { 0 };
	int fd;

	open_store(f, "boot-a", NULL);
	store_close(f->s);
	f->s = NULL;
	fd = open(f->path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, one, sizeof(one), 60), sizeof(one));        /* user_version: sqlite.org/fileformat2.html, 1.3 */
	close(fd);
	open_store(f, "boot-a", "schema 1");
	assert_int_equal(store_attach_each(f->s, see_attach, &seen, &err), 0);
	open_store(f, "boot-a", NULL);
}

static void downgrade_and_read(struct fixture *f, const char *sql)
{
	struct store_attachment a = attachment("aaa", "10.0.0.1", 7), b = attachment("bbb", "10.0.0.2", 3);
	struct seen seen = { 0 };
	struct vw_err err;
	sqlite3 *db;

	open_store(f, "boot-a", NULL);
	assert_int_equal(store_attach_put(f->s, &a, &err), 0);
	assert_int_equal(store_attach_put(f->s, &b, &err), 0);
	store_close(f->s);
	f->s = NULL;
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	open_store(f, "boot-a", NULL);
	assert_int_equal(store_attach_each(f->s, see_attach, &seen, &err), 0);
	assert_int_equal(seen.n, 2);
	assert_memory_equal(&seen.last, &a, sizeof(a));         /* the later one: they come by age */
	/* and the keys hold: neither slot nor address twice */
	b = attachment("ccc", "10.0.0.3", 7);
	assert_true(store_attach_put(f->s, &b, &err) < 0);
	b = attachment("ccc", "10.0.0.1", 8);
	assert_true(store_attach_put(f->s, &b, &err) < 0);
	/* once is enough */
	open_store(f, "boot-a", NULL);
}

/* as schema 3 had it: no branch ENIs */
static void test_schema_3_is_brought_up_to_date(void **state)
{
	downgrade_and_read(*state, "ALTER TABLE attachment DROP COLUMN branch; ALTER TABLE attachment DROP COLUMN adopted; PRAGMA user_version=3");
}

static void test_a_branch_comes_back(void **state)
{
	struct fixture *f = *state;
	struct store_attachment a = attachment("aaa", "10.0.0.1", 7);
	struct seen seen = { 0 };
	struct vw_err err;

	a.branch = (struct store_branch){ .mac = { { 2, 1, 2, 3, 4, 5 } }, .ip4 = a.addr, .vlan = 4094, .trunk = 7, .strict = true };
	assert_int_equal(vw_ip_parse("10.0.0.1", &a.branch.gw4), 0);
	snprintf(a.branch.eni_id, sizeof(a.branch.eni_id), "%s", a.eni_id);
	open_store(f, "boot-a", NULL);
	assert_int_equal(store_attach_put(f->s, &a, &err), 0);
	open_store(f, "boot-a", NULL);
	assert_int_equal(store_attach_each(f->s, see_attach, &seen, &err), 0);
	assert_memory_equal(&seen.last, &a, sizeof(a));
}

/* as schema 4 had it: nothing adopted */
static void test_schema_4_is_brought_up_to_date(void **state)
{
	downgrade_and_read(*state, "ALTER TABLE attachment DROP COLUMN adopted; PRAGMA user_version=4");
}

static void test_an_adopted_interface_comes_back(void **state)
{
	struct fixture *f = *state;
	struct store_attachment a = attachment("aaa", "10.0.0.1", 7);
	struct seen seen = { 0 };
	struct vw_err err;

	a.adopted = (struct store_adopted){ .ifindex = 12, .mtu = 9001, .mac = { { 2, 1, 2, 3, 4, 5 } } };
	open_store(f, "boot-a", NULL);
	assert_int_equal(store_adopting(f->s, &err), 0);
	assert_int_equal(store_attach_put(f->s, &a, &err), 0);
	open_store(f, "boot-a", NULL);
	assert_int_equal(store_attach_each(f->s, see_attach, &seen, &err), 0);
	assert_memory_equal(&seen.last, &a, sizeof(a));
}

/* as schema 2 had it: other keys, and no branch ENIs */
static void test_schema_2_is_brought_up_to_date(void **state)
{
	static const char two[] =
		"BEGIN; ALTER TABLE attachment RENAME TO newer;"
		"CREATE TABLE attachment (container_id TEXT, ifname TEXT, network TEXT, netns TEXT, pod_namespace TEXT,"
		" pod_name TEXT, pod_uid TEXT, addr TEXT UNIQUE, slot INTEGER NOT NULL UNIQUE, host_ifname TEXT, eni_id TEXT,"
		" created_ms INTEGER, addr6 TEXT UNIQUE, PRIMARY KEY (container_id, ifname),"
		" CHECK (addr IS NOT NULL OR addr6 IS NOT NULL)) WITHOUT ROWID;"
		"INSERT INTO attachment SELECT container_id, ifname, network, netns, pod_namespace, pod_name, pod_uid, addr, slot, host_ifname,"
		" eni_id, created_ms, addr6 FROM newer; DROP TABLE newer; PRAGMA user_version=2; COMMIT";

	downgrade_and_read(*state, two);
}

static void alter(struct fixture *f, const char *sql)
{
	sqlite3 *db;

	store_close(f->s);
	f->s = NULL;
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* what a later release may do to each table and still be gone back from */
#define LATER(min) "ALTER TABLE attachment ADD COLUMN later TEXT; ALTER TABLE cooling ADD COLUMN later TEXT;" \
	"ALTER TABLE eni ADD COLUMN later TEXT; ALTER TABLE eni_slot ADD COLUMN later TEXT; ALTER TABLE intent ADD COLUMN later TEXT;" \
	"ALTER TABLE meta ADD COLUMN later TEXT; CREATE TABLE later (x); UPDATE attachment SET later = 'kept';" \
	"INSERT OR REPLACE INTO meta (key, value) VALUES ('schema_min', '" min "'); PRAGMA user_version=99"

static void test_a_later_schema_that_only_adds_is_used(void **state)
{
	struct store_attachment a = attachment("aaa", "10.0.0.1", 7), b = attachment("bbb", "10.0.0.2", 3);
	struct store_intent intent = { .token = "t", .kind = "create-eni", .created_unix = 5 };
	struct store_eni e = { .id = "eni-1", .subnet_id = "subnet-1" };
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct vw_cidr slot;
	struct vw_err err;

	assert_int_equal(vw_cidr_parse("10.0.0.0/24", &e.subnet), 0);
	assert_int_equal(vw_ip_parse("10.0.0.4", &e.primary_ip), 0);
	assert_int_equal(vw_cidr_parse("10.0.0.16/28", &slot), 0);
	e.slots = &slot;
	e.n_slots = 1;
	open_store(f, "boot-a", NULL);
	assert_int_equal(store_attach_put(f->s, &a, &err), 0);
	alter(f, LATER("4"));
	for (int i = 0; i < 2; i++) {   /* what it has written it reads again */
		open_store(f, "boot-a", NULL);
		seen.n = 0;
		assert_int_equal(store_attach_each(f->s, see_attach, &seen, &err), 0);
		assert_int_equal(seen.n, 1 + i);
		assert_int_equal(store_attach_put(f->s, &b, &err), 0);
		assert_int_equal(store_eni_put(f->s, &e, &err), 0);
		assert_int_equal(store_intent_put(f->s, &intent, &err), 0);
		assert_int_equal(store_meta_put(f->s, "k", "v", &err), 0);
	}
	assert_int_equal(store_attach_del(f->s, &b, 5000, &err), 0);
	alter(f, "CREATE TABLE proof (x UNIQUE, CHECK (x = 'kept')); INSERT INTO proof SELECT later FROM attachment");
}

static void test_a_later_schema_that_changes_more_is_moved_aside(void **state)
{
	static const char *const later[] = { LATER("6"), LATER("x"), "DELETE FROM meta; PRAGMA user_version=6", "DROP TABLE meta; PRAGMA user_version=6" };
	struct store_attachment a = attachment("aaa", "10.0.0.1", 7);
	struct fixture *f = *state;
	struct vw_err err;

	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
		struct seen seen = { 0 };

		open_store(f, "boot-a", NULL);
		assert_int_equal(store_attach_put(f->s, &a, &err), 0);
		alter(f, later[i]);
		open_store(f, "boot-a", "this vpcwired reads");
		assert_int_equal(store_attach_each(f->s, see_attach, &seen, &err), 0);
		assert_int_equal(seen.n, 0);
	}
}

static off_t wal_size(const struct fixture *f)
{
	char path[128];
	struct stat st;

	assert_true(vw_fmt(path, sizeof(path), "%s-wal", f->path) > 0);
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

/* @n ADDs and DELs */
static void write_much(struct fixture *f, int n, bool tidy)
{
	struct store_attachment a = attachment("aaa", "10.0.0.1", 7);
	struct vw_err err;

	for (int i = 0; i < n; i++) {
		assert_int_equal(store_attach_put(f->s, &a, &err), 0);
		assert_int_equal(store_attach_del(f->s, &a, 1000, &err), 0);
		if (tidy)
			store_tidy(f->s, 0);
	}
}

static void test_the_log_stays_short(void **state)
{
	struct fixture *f = *state;
	off_t once;

	open_store(f, "boot-a", NULL);
	write_much(f, 3000, true);
	once = wal_size(f);
	assert_true(once < 1100 * 4200);
	write_much(f, 3000, true);
	assert_true(wal_size(f) <= once + 10 * 4200);
	/* it has a bound also when nobody tidies up */
	write_much(f, 3000, false);
	assert_true(wal_size(f) < 4100 * 4200);
	write_much(f, 3000, false);
	assert_true(wal_size(f) < 4100 * 4200);
}

static void test_enis_and_intents(void **state)
{
	struct fixture *f = *state;
	struct vw_cidr slots[2];
	struct store_eni e = { .id = "eni-1", .attachment_id = "eni-attach-1", .number = 2, .device = 1, .slots = slots, .n_slots = 2 };
	struct store_intent i = { .token = "tok", .kind = "create-eni", .subnet_id = "subnet-1", .n_prefixes = 3 };
	struct vw_err err;
	struct seen seen = { 0 };

	assert_int_equal(vw_cidr_parse("10.0.0.16/28", &slots[0]), 0);
	assert_int_equal(vw_cidr_parse("10.0.0.5/32", &slots[1]), 0);
	assert_int_equal(vw_mac_parse("02:00:00:00:00:01", &e.mac), 0);
	assert_int_equal(vw_cidr_parse("10.0.0.0/24", &e.subnet), 0);
	assert_int_equal(vw_ip_parse("10.0.0.4", &e.primary_ip), 0);
	assert_int_equal(vw_ip_parse("2001:db8::4", &e.ip6), 0);
	assert_int_equal(vw_cidr_parse("2001:db8:0:0:7::/80", &e.block6), 0);
	open_store(f, "boot-a", NULL);
	assert_int_equal(store_eni_put(f->s, &e, &err), 0);
	assert_int_equal(store_intent_put(f->s, &i, &err), 0);
	open_store(f, "boot-a", NULL);
	assert_int_equal(store_eni_each(f->s, see_eni, &seen, &err), 0);
	assert_int_equal(seen.n, 1);
	assert_string_equal(seen.eni.id, "eni-1");
	assert_int_equal(seen.eni.number, 2);
	assert_int_equal(seen.eni.n_slots, 2);
	assert_true(vw_cidr_eq(&seen.slots[0], &slots[0]));
	assert_true(vw_mac_eq(&seen.eni.mac, &e.mac));
	assert_true(vw_ip_eq(&seen.eni.ip6, &e.ip6));
	assert_true(vw_cidr_eq(&seen.eni.block6, &e.block6));
	assert_int_equal(store_intent_each(f->s, see_intent, &seen, &err), 0);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.intent.n_prefixes, 3);
	assert_int_equal(store_intent_del(f->s, "tok", &err), 0);
	assert_int_equal(store_eni_del(f->s, "eni-1", &err), 0);
	assert_int_equal(store_intent_each(f->s, see_intent, &seen, &err), 0);
	assert_int_equal(store_eni_each(f->s, see_eni, &seen, &err), 0);
	assert_int_equal(seen.n, 2);
}

static void test_another_boot_drops_attachments_keeps_enis(void **state)
{
	struct fixture *f = *state;
	struct store_attachment a = attachment("c1", "10.0.0.7", 3);
	struct store_eni e = { .id = "eni-1" };
	struct vw_err err;
	struct seen seen = { 0 };

	assert_int_equal(vw_cidr_parse("10.0.0.0/24", &e.subnet), 0);
	assert_int_equal(vw_ip_parse("10.0.0.4", &e.primary_ip), 0);
	open_store(f, "boot-a", NULL);
	assert_int_equal(store_attach_put(f->s, &a, &err), 0);
	assert_int_equal(store_eni_put(f->s, &e, &err), 0);
	open_store(f, "boot-b", "booted since");
	assert_int_equal(store_attach_each(f->s, see_attach, &seen, &err), 0);
	assert_int_equal(seen.n, 0);
	assert_int_equal(store_eni_each(f->s, see_eni, &seen, &err), 0);
	assert_int_equal(seen.n, 1);
}

static void write_file(const char *path, const char *text)
{
	vw_auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static int count_bad(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	for (struct dirent *e; d && (e = readdir(d));)
		n += !strncmp(e->d_name, "state.db.bad-", 13);
	closedir(d);
	return n;
}

static void test_garbage_is_moved_aside(void **state)
{
	struct fixture *f = *state;

	write_file(f->path, "this is not a database, and it is long enough to be read as a header of one ........................");
	open_store(f, "boot-a", "kept it as");
	assert_int_equal(count_bad(f->dir), 1);
}

/* truncated by somebody, its log still there: SQLite would call it locked for ever */
static void test_an_empty_file_beside_its_log_is_moved_aside(void **state)
{
	struct fixture *f = *state;
	struct store_attachment a = attachment("c1", "10.0.0.7", 3);
	vw_auto_buf struct vw_buf log = VW_BUF_INIT;
	char path[VW_PATH_MAX];
	struct vw_err err;

	open_store(f, "boot-a", NULL);
	assert_int_equal(store_attach_put(f->s, &a, &err), 0);
	assert_true(vw_fmt(path, sizeof(path), "%s-wal", f->path) > 0);
	assert_int_equal(vw_read_file(path, 1 << 20, &log, &err), 0);
	store_close(f->s);
	f->s = NULL;
	write_file(f->path, "");
	assert_int_equal(vw_replace_file(path, vw_buf_str(&log), log.len, 0600, &err), 0);
	open_store(f, "boot-a", "is empty");
	assert_int_equal(attachments(f), 0);
}

static void test_damaged_row_is_moved_aside(void **state)
{
	struct fixture *f = *state;
	struct store_attachment a = attachment("c1", "10.0.0.7", 3);
	struct vw_err err;

	open_store(f, "boot-a", NULL);
	a.addr = a.addr6;
	a.addr.family = AF_INET6;       /* stored where only an IPv4 address may be */
	assert_int_equal(store_attach_put(f->s, &a, &err), 0);
	open_store(f, "boot-a", "does not parse");
	assert_int_equal(count_bad(f->dir), 1);
}

static void test_unwritable_folder_is_an_error(void **state)
{
	struct fixture *f = *state;
	vw_auto_buf struct vw_buf note = VW_BUF_INIT;
	struct store *s = NULL;
	struct vw_err err = { 0 };

	(void)f;
	assert_true(store_open("/nonexistent-folder/state.db", "b", &s, &note, &err) < 0);
	assert_null(s);
	assert_non_null(strstr(err.msg, "/nonexistent-folder/state.db"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_attachments_survive_reopen),
		T(test_one_address_twice_is_refused),
		T(test_cooling),
		T(test_cool_downs_that_are_over_go),
		T(test_enis_and_intents),
		T(test_another_boot_drops_attachments_keeps_enis),
		T(test_both_families),
		T(test_older_schema_is_moved_aside),
		T(test_schema_2_is_brought_up_to_date),
		T(test_schema_3_is_brought_up_to_date),
		T(test_schema_4_is_brought_up_to_date),
		T(test_an_adopted_interface_comes_back),
		T(test_a_later_schema_that_only_adds_is_used),
		T(test_a_later_schema_that_changes_more_is_moved_aside),
		T(test_a_branch_comes_back),
		T(test_the_log_stays_short),
		T(test_a_value_that_finds_no_memory_is_an_error),
		T(test_garbage_is_moved_aside),
		T(test_an_empty_file_beside_its_log_is_moved_aside),
		T(test_damaged_row_is_moved_aside),
		T(test_unwritable_folder_is_an_error),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
