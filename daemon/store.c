/*
 * The store: five small tables behind prepared statements.
 *
 * Every write is one transaction. Values are bound and read by position; addresses, CIDRs and MACs are stored as text,
 * so that `sqlite3 state.db` is readable in a bug report, and are parsed again on the way in: a row that does not parse
 * makes the whole file "damaged" (see store_open()), it is never half-used.
 *
 * A downgrade finds the file of a later schema. Statements therefore name their columns, and a schema that only adds some leaves
 * the lowest one that can still use it in meta's "schema_min": what that reads, it reads as it is.
 */
#include "daemon/store.h"

#include "daemon/store_text.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum stmt {
	S_BEGIN, S_COMMIT, S_ROLLBACK,
	S_ATTACH_PUT, S_ATTACH_DEL, S_ATTACH_EACH,
	S_COOL_PUT, S_COOL_DEL, S_COOL_EXPIRE, S_COOL_EACH,
	S_ENI_PUT, S_ENI_DEL, S_ENI_EACH, S_SLOT_PUT, S_SLOT_CLEAR, S_SLOT_EACH,
	S_INTENT_PUT, S_INTENT_DEL, S_INTENT_EACH,
	S_META_GET, S_META_PUT,
	S_COUNT
};

static const char *const stmt_sql[S_COUNT] = {
	[S_BEGIN] = "BEGIN IMMEDIATE",
	[S_COMMIT] = "COMMIT",
	[S_ROLLBACK] = "ROLLBACK",
	[S_ATTACH_PUT] = "INSERT INTO attachment (container_id, ifname, network, netns, pod_namespace, pod_name, pod_uid, addr, slot,"
			 " host_ifname, eni_id, created_ms, addr6, branch, adopted) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
			 " ON CONFLICT (container_id, ifname) DO UPDATE SET network=excluded.network, netns=excluded.netns,"
			 " pod_namespace=excluded.pod_namespace, pod_name=excluded.pod_name, pod_uid=excluded.pod_uid,"
			 " addr=excluded.addr, slot=excluded.slot, host_ifname=excluded.host_ifname, eni_id=excluded.eni_id,"
			 " created_ms=excluded.created_ms, addr6=excluded.addr6, branch=excluded.branch,"
			 " adopted=excluded.adopted",
	[S_ATTACH_DEL] = "DELETE FROM attachment WHERE container_id=? AND ifname=?",
	[S_ATTACH_EACH] = "SELECT container_id, ifname, network, netns, pod_namespace, pod_name, pod_uid, addr, slot,"
			  " host_ifname, eni_id, created_ms, addr6, branch, adopted FROM attachment ORDER BY created_ms",
	[S_COOL_PUT] = "INSERT OR REPLACE INTO cooling (addr, until_ms) VALUES (?,?)",
	[S_COOL_DEL] = "DELETE FROM cooling WHERE addr=?",
	[S_COOL_EXPIRE] = "DELETE FROM cooling WHERE until_ms<=?",
	[S_COOL_EACH] = "SELECT addr, until_ms FROM cooling",
	[S_ENI_PUT] = "INSERT OR REPLACE INTO eni (id, attachment_id, mac, number, device, card, is_primary, subnet_id, subnet,"
		      " primary_ip, ip6, block6) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
	[S_ENI_DEL] = "DELETE FROM eni WHERE id=?",
	[S_ENI_EACH] = "SELECT id, attachment_id, mac, number, device, card, is_primary, subnet_id, subnet, primary_ip,"
		       " ip6, block6 FROM eni ORDER BY number",
	[S_SLOT_PUT] = "INSERT OR REPLACE INTO eni_slot (eni_id, cidr) VALUES (?,?)",
	[S_SLOT_CLEAR] = "DELETE FROM eni_slot WHERE eni_id=?",
	[S_SLOT_EACH] = "SELECT cidr FROM eni_slot WHERE eni_id=? ORDER BY cidr",
	[S_INTENT_PUT] = "INSERT OR REPLACE INTO intent (token, kind, subnet_id, n_prefixes, n_addrs, created_unix) VALUES (?,?,?,?,?,?)",
	[S_INTENT_DEL] = "DELETE FROM intent WHERE token=?",
	[S_INTENT_EACH] = "SELECT token, kind, subnet_id, n_prefixes, n_addrs, created_unix FROM intent ORDER BY created_unix",
	[S_META_GET] = "SELECT value FROM meta WHERE key=?",
	[S_META_PUT] = "INSERT OR REPLACE INTO meta (key, value) VALUES (?,?)",
};

/*
 * An ADD waits for what is written here, page by page. By slot, which is an integer and given out in turn, a row goes
 * beside the one before; the indexes then carry an integer instead of a container id; and what has no address of a
 * family is in no index of it.
 */
#define ATTACHMENT_TABLE \
	"CREATE TABLE attachment (container_id TEXT NOT NULL, ifname TEXT NOT NULL, network TEXT, netns TEXT," \
	" pod_namespace TEXT, pod_name TEXT, pod_uid TEXT, addr TEXT, slot INTEGER PRIMARY KEY, host_ifname TEXT, eni_id TEXT," \
	" created_ms INTEGER, addr6 TEXT, branch TEXT, adopted TEXT, UNIQUE (container_id, ifname), CHECK (addr IS NOT NULL OR addr6 IS NOT NULL));" \
	"CREATE UNIQUE INDEX attachment_addr ON attachment (addr) WHERE addr IS NOT NULL;" \
	"CREATE UNIQUE INDEX attachment_addr6 ON attachment (addr6) WHERE addr6 IS NOT NULL;"

/* schema 4 can use what has no adopted interfaces: store_adopting() */
#define SCHEMA_VERSION "INSERT OR REPLACE INTO meta VALUES ('schema_min', '4'); PRAGMA user_version=5; COMMIT;"

static const char schema_sql[] =
	"BEGIN IMMEDIATE;"
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
	ATTACHMENT_TABLE
	"CREATE TABLE cooling (addr TEXT PRIMARY KEY, until_ms INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE eni (id TEXT PRIMARY KEY, attachment_id TEXT, mac TEXT, number INTEGER, device INTEGER,"
	" card INTEGER, is_primary INTEGER, subnet_id TEXT, subnet TEXT, primary_ip TEXT, ip6 TEXT, block6 TEXT) WITHOUT ROWID;"
	"CREATE TABLE eni_slot (eni_id TEXT, cidr TEXT, PRIMARY KEY (eni_id, cidr)) WITHOUT ROWID;"
	"CREATE TABLE intent (token TEXT PRIMARY KEY, kind TEXT, subnet_id TEXT, n_prefixes INTEGER, n_addrs INTEGER,"
	" created_unix INTEGER) WITHOUT ROWID;"
	SCHEMA_VERSION;

/* from which schema, how. 0: a new file */
static const struct {
	int from;
	const char *sql, *what;
} migrations[] = {
	{0, schema_sql, "creating the tables"},
	/* schema 2 had these columns but the last two, in the same order, behind other keys */
	{2, "BEGIN IMMEDIATE; ALTER TABLE attachment RENAME TO attachment2;" ATTACHMENT_TABLE
	    "INSERT INTO attachment SELECT *, NULL, NULL FROM attachment2; DROP TABLE attachment2;" SCHEMA_VERSION,
	 "bringing the tables up to date"},
	{3, "BEGIN IMMEDIATE; ALTER TABLE attachment ADD COLUMN branch TEXT; ALTER TABLE attachment ADD COLUMN adopted TEXT;" SCHEMA_VERSION,
	 "bringing the tables up to date"},
	{4, "BEGIN IMMEDIATE; ALTER TABLE attachment ADD COLUMN adopted TEXT;" SCHEMA_VERSION, "bringing the tables up to date"},
};

/* of the log, which is folded into the file when it is so long: by store_tidy(), or in the middle of a write when nobody calls it */
#define WAL_PAGES 1000          /* SQLite's own figure */
#define WAL_PAGES_MAX 4000
#define COOLED_MAX 4096

/** struct store - @cooled: cool-downs written since the last time that those which are over were dropped, @cooled_until: the last's end. */
struct store {
	sqlite3 *db;
	sqlite3_stmt *st[S_COUNT];
	int wal_pages;
	bool unbound;           /* a value did not get into a statement: it must not run */
	unsigned int cooled;
	uint64_t cooled_until;
};

static int db_err(struct store *s, const char *what, struct vw_err *err)
{
	int rc = sqlite3_errcode(s->db);
	int eno;

	switch (rc & 0xff) {
	case SQLITE_FULL:
		eno = ENOSPC;
		break;
	case SQLITE_NOMEM:
		eno = ENOMEM;
		break;
	case SQLITE_READONLY:
		eno = EROFS;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR:      /* tables other than ours */
		eno = EBADMSG;
		break;
	default:
		eno = EIO;
	}
	return vw_err_set(err, eno, VW_CNI_IO, "state store: %s: %s", what, sqlite3_errmsg(s->db));
}

/* no memory for a value, which is NULL then: a row would lose it, a DELETE would find nothing and call that success */
static int bound(struct store *s, enum stmt n, const char *what, struct vw_err *err)
{
	if (!s->unbound)
		return 0;
	s->unbound = false;
	sqlite3_clear_bindings(s->st[n]);
	return vw_err_set(err, ENOMEM, VW_CNI_IO, "state store: %s: no memory", what);
}

/* one step of a statement that returns no rows; always leaves it reset */
static int run(struct store *s, enum stmt n, const char *what, struct vw_err *err)
{
	int r = bound(s, n, what, err);

	if (r < 0)
		return r;
	if (sqlite3_step(s->st[n]) != SQLITE_DONE)
		r = db_err(s, what, err);
	sqlite3_reset(s->st[n]);
	sqlite3_clear_bindings(s->st[n]);
	return r;
}

static void bind_text(struct store *s, enum stmt n, int pos, const char *text)
{
	s->unbound |= sqlite3_bind_text(s->st[n], pos, text, -1, SQLITE_TRANSIENT) != SQLITE_OK;
}

/* family 0 is NULL */
static void bind_ip(struct store *s, enum stmt n, int pos, const struct vw_ip *ip)
{
	char text[VW_IP_STRLEN];

	if (ip->family)
		bind_text(s, n, pos, vw_ip_str(ip, text));
}

static void bind_int(struct store *s, enum stmt n, int pos, uint64_t v)
{
	(void)sqlite3_bind_int64(s->st[n], pos, (sqlite3_int64)v);
}

static int begin(struct store *s, struct vw_err *err)
{
	return run(s, S_BEGIN, "starting a transaction", err);
}

/* COMMIT when @r is 0, else ROLLBACK; the first error wins */
static int finish(struct store *s, int r, struct vw_err *err)
{
	struct vw_err ignored;

	if (r == 0) {
		r = run(s, S_COMMIT, "committing", err);
		if (r == 0)
			return 0;
	}
	(void)run(s, S_ROLLBACK, "rolling back", &ignored);
	return r;
}

static int copy_text(sqlite3_stmt *st, int col, char *ret, size_t size)
{
	const char *t = (const char *)sqlite3_column_text(st, col);

	return vw_fmt(ret, size, "%s", t ? t : "") < 0 ? -EBADMSG : 0;
}

static int column_ip(sqlite3_stmt *st, int col, struct vw_ip *ret)
{
	const char *t = (const char *)sqlite3_column_text(st, col);

	return t && vw_ip_parse(t, ret) == 0 ? 0 : -EBADMSG;
}

/* NULL is none; anything else must be of @family */
static int column_ip_maybe(sqlite3_stmt *st, int col, uint8_t family, struct vw_ip *ret)
{
	*ret = (struct vw_ip){ 0 };
	if (sqlite3_column_type(st, col) == SQLITE_NULL)
		return 0;
	return column_ip(st, col, ret) == 0 && ret->family == family ? 0 : -EBADMSG;
}

static int column_cidr_maybe(sqlite3_stmt *st, int col, struct vw_cidr *ret)
{
	const char *t = (const char *)sqlite3_column_text(st, col);

	*ret = (struct vw_cidr){ 0 };
	return !t || vw_cidr_parse(t, ret) == 0 ? 0 : -EBADMSG;
}

static int bad_row(const char *table, struct vw_err *err)
{
	return vw_err_set(err, EBADMSG, VW_CNI_IO, "state store: a row of table '%s' does not parse", table);
}

static int cool_del(struct store *s, const struct vw_ip *ip, struct vw_err *err)
{
	char text[VW_IP_STRLEN];

	if (!ip->family)
		return 0;
	bind_text(s, S_COOL_DEL, 1, vw_ip_str(ip, text));
	return run(s, S_COOL_DEL, "ending a cool-down", err);
}

static int cool_put(struct store *s, const struct vw_ip *ip, uint64_t until_ms, struct vw_err *err)
{
	char text[VW_IP_STRLEN];

	if (!ip->family || !until_ms)
		return 0;
	bind_text(s, S_COOL_PUT, 1, vw_ip_str(ip, text));
	bind_int(s, S_COOL_PUT, 2, until_ms);
	s->cooled++;
	if (until_ms > s->cooled_until)
		s->cooled_until = until_ms;
	return run(s, S_COOL_PUT, "recording a cool-down", err);
}

int store_adopting(struct store *s, struct vw_err *err)
{
	return store_meta_put(s, "schema_min", "5", err);
}

int store_attach_put(struct store *s, const struct store_attachment *a, struct vw_err *err)
{
	char branch[STORE_TEXT_MAX], adopted[STORE_TEXT_MAX];
	int r = begin(s, err);

	if (r < 0)
		return r;
	store_branch_text(&a->branch, branch);
	store_adopted_text(&a->adopted, adopted);
	r = cool_del(s, &a->addr, err);
	if (r == 0)
		r = cool_del(s, &a->addr6, err);
	if (r == 0) {
		bind_ip(s, S_ATTACH_PUT, 8, &a->addr);
		bind_ip(s, S_ATTACH_PUT, 13, &a->addr6);
		bind_text(s, S_ATTACH_PUT, 1, a->key.container_id);
		bind_text(s, S_ATTACH_PUT, 2, a->key.ifname);
		bind_text(s, S_ATTACH_PUT, 3, a->network);
		bind_text(s, S_ATTACH_PUT, 4, a->netns);
		bind_text(s, S_ATTACH_PUT, 5, a->pod_namespace);
		bind_text(s, S_ATTACH_PUT, 6, a->pod_name);
		bind_text(s, S_ATTACH_PUT, 7, a->pod_uid);
		bind_int(s, S_ATTACH_PUT, 9, a->slot);
		bind_text(s, S_ATTACH_PUT, 10, a->host_ifname);
		bind_text(s, S_ATTACH_PUT, 11, a->eni_id);
		bind_int(s, S_ATTACH_PUT, 12, a->created_ms);
		bind_text(s, S_ATTACH_PUT, 14, branch);
		bind_text(s, S_ATTACH_PUT, 15, adopted);
		r = run(s, S_ATTACH_PUT, "recording an attachment", err);
	}
	return finish(s, r, err);
}

int store_attach_del(struct store *s, const struct store_attachment *a, uint64_t cool_until_ms, struct vw_err *err)
{
	int r = begin(s, err);

	if (r < 0)
		return r;
	bind_text(s, S_ATTACH_DEL, 1, a->key.container_id);
	bind_text(s, S_ATTACH_DEL, 2, a->key.ifname);
	r = run(s, S_ATTACH_DEL, "deleting an attachment", err);
	if (r == 0)
		r = cool_put(s, &a->addr, cool_until_ms, err);
	if (r == 0)
		r = cool_put(s, &a->addr6, cool_until_ms, err);
	return finish(s, r, err);
}

static int attach_row(sqlite3_stmt *st, struct store_attachment *a)
{
	char branch[STORE_TEXT_MAX], adopted[STORE_TEXT_MAX];

	memset(a, 0, sizeof(*a));
	if (copy_text(st, 0, a->key.container_id, sizeof(a->key.container_id)) < 0 ||
	    copy_text(st, 1, a->key.ifname, sizeof(a->key.ifname)) < 0 ||
	    copy_text(st, 2, a->network, sizeof(a->network)) < 0 ||
	    copy_text(st, 3, a->netns, sizeof(a->netns)) < 0 ||
	    copy_text(st, 4, a->pod_namespace, sizeof(a->pod_namespace)) < 0 ||
	    copy_text(st, 5, a->pod_name, sizeof(a->pod_name)) < 0 ||
	    copy_text(st, 6, a->pod_uid, sizeof(a->pod_uid)) < 0 ||
	    column_ip_maybe(st, 7, AF_INET, &a->addr) < 0 || column_ip_maybe(st, 12, AF_INET6, &a->addr6) < 0 ||
	    copy_text(st, 9, a->host_ifname, sizeof(a->host_ifname)) < 0 ||
	    copy_text(st, 10, a->eni_id, sizeof(a->eni_id)) < 0 || copy_text(st, 13, branch, sizeof(branch)) < 0 ||
	    store_branch_of_text(branch, &a->branch) < 0 || copy_text(st, 14, adopted, sizeof(adopted)) < 0 ||
	    store_adopted_of_text(adopted, &a->adopted) < 0)
		return -EBADMSG;
	if (a->branch.vlan) {
		a->branch.ip4 = a->addr;
		a->branch.ip6 = a->addr6;
		(void)VW_COPY(a->branch.eni_id, a->eni_id);
	}
	a->slot = (unsigned int)sqlite3_column_int64(st, 8);
	a->created_ms = (uint64_t)sqlite3_column_int64(st, 11);
	return 0;
}

int store_attach_each(struct store *s, int (*fn)(const struct store_attachment *a, void *arg), void *arg,
		      struct vw_err *err)
{
	sqlite3_stmt *st = s->st[S_ATTACH_EACH];
	struct store_attachment a;
	int rc, r = 0;

	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
		r = attach_row(st, &a) < 0 ? bad_row("attachment", err) : fn(&a, arg);
	if (r == 0 && rc != SQLITE_DONE)
		r = db_err(s, "reading attachments", err);
	sqlite3_reset(st);
	return r;
}

static int cool_expire(struct store *s, uint64_t now_ms, struct vw_err *err)
{
	bind_int(s, S_COOL_EXPIRE, 1, now_ms);
	return run(s, S_COOL_EXPIRE, "dropping ended cool-downs", err);
}

int store_cooling_each(struct store *s, uint64_t now_ms, int (*fn)(const struct vw_ip *ip, uint64_t until_ms, void *arg),
		       void *arg, struct vw_err *err)
{
	sqlite3_stmt *st = s->st[S_COOL_EACH];
	struct vw_ip ip;
	int rc, r;

	r = cool_expire(s, now_ms, err);
	if (r < 0)
		return r;
	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
		r = column_ip(st, 0, &ip) < 0 ? bad_row("cooling", err) :
						fn(&ip, (uint64_t)sqlite3_column_int64(st, 1), arg);
	if (r == 0 && rc != SQLITE_DONE)
		r = db_err(s, "reading cool-downs", err);
	sqlite3_reset(st);
	return r;
}

int store_eni_put(struct store *s, const struct store_eni *e, struct vw_err *err)
{
	char text[VW_CIDR_STRLEN];
	int r = begin(s, err);

	if (r < 0)
		return r;
	bind_text(s, S_ENI_PUT, 1, e->id);
	bind_text(s, S_ENI_PUT, 2, e->attachment_id);
	bind_text(s, S_ENI_PUT, 3, vw_mac_str(&e->mac, text));
	bind_int(s, S_ENI_PUT, 4, e->number);
	bind_int(s, S_ENI_PUT, 5, e->device);
	bind_int(s, S_ENI_PUT, 6, e->card);
	bind_int(s, S_ENI_PUT, 7, e->primary);
	bind_text(s, S_ENI_PUT, 8, e->subnet_id);
	bind_text(s, S_ENI_PUT, 9, vw_cidr_str(&e->subnet, text));
	bind_text(s, S_ENI_PUT, 10, vw_ip_str(&e->primary_ip, text));
	if (e->block6.ip.family)
		bind_text(s, S_ENI_PUT, 12, vw_cidr_str(&e->block6, text));
	bind_ip(s, S_ENI_PUT, 11, &e->ip6);
	r = run(s, S_ENI_PUT, "recording an ENI", err);
	if (r == 0) {
		bind_text(s, S_SLOT_CLEAR, 1, e->id);
		r = run(s, S_SLOT_CLEAR, "recording an ENI's addresses", err);
	}
	for (size_t i = 0; r == 0 && i < e->n_slots; i++) {
		bind_text(s, S_SLOT_PUT, 1, e->id);
		bind_text(s, S_SLOT_PUT, 2, vw_cidr_str(&e->slots[i], text));
		r = run(s, S_SLOT_PUT, "recording an ENI's addresses", err);
	}
	return finish(s, r, err);
}

int store_eni_del(struct store *s, const char *id, struct vw_err *err)
{
	int r = begin(s, err);

	if (r < 0)
		return r;
	bind_text(s, S_SLOT_CLEAR, 1, id);
	r = run(s, S_SLOT_CLEAR, "forgetting an ENI", err);
	if (r == 0) {
		bind_text(s, S_ENI_DEL, 1, id);
		r = run(s, S_ENI_DEL, "forgetting an ENI", err);
	}
	return finish(s, r, err);
}

static int eni_slots(struct store *s, struct store_eni *e, struct vw_err *err)
{
	sqlite3_stmt *st = s->st[S_SLOT_EACH];
	int rc, r = 0;

	bind_text(s, S_SLOT_EACH, 1, e->id);
	r = bound(s, S_SLOT_EACH, "reading an ENI's addresses", err);
	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct vw_cidr *grown = reallocarray(e->slots, e->n_slots + 1, sizeof(*grown));
		const char *t = (const char *)sqlite3_column_text(st, 0);

		if (!grown) {
			r = vw_err_set(err, ENOMEM, 0, "no memory for an ENI's addresses");
			break;
		}
		e->slots = grown;
		r = t && vw_cidr_parse(t, &e->slots[e->n_slots]) == 0 ? 0 : bad_row("eni", err);
		e->n_slots += r == 0;
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = db_err(s, "reading an ENI's addresses", err);
	sqlite3_reset(st);
	return r;
}

static int eni_row(struct store *s, sqlite3_stmt *st, struct store_eni *e, struct vw_err *err)
{
	const char *mac = (const char *)sqlite3_column_text(st, 2), *subnet = (const char *)sqlite3_column_text(st, 8);

	memset(e, 0, sizeof(*e));
	if (copy_text(st, 0, e->id, sizeof(e->id)) < 0 ||
	    copy_text(st, 1, e->attachment_id, sizeof(e->attachment_id)) < 0 ||
	    !mac || vw_mac_parse(mac, &e->mac) < 0 ||
	    copy_text(st, 7, e->subnet_id, sizeof(e->subnet_id)) < 0 ||
	    !subnet || vw_cidr_parse(subnet, &e->subnet) < 0 ||
	    column_ip(st, 9, &e->primary_ip) < 0 || column_ip_maybe(st, 10, AF_INET6, &e->ip6) < 0 ||
	    column_cidr_maybe(st, 11, &e->block6) < 0)
		return bad_row("eni", err);
	e->number = (unsigned int)sqlite3_column_int64(st, 3);
	e->device = (unsigned int)sqlite3_column_int64(st, 4);
	e->card = (unsigned int)sqlite3_column_int64(st, 5);
	e->primary = sqlite3_column_int(st, 6) != 0;
	return eni_slots(s, e, err);
}

int store_eni_each(struct store *s, int (*fn)(const struct store_eni *e, void *arg), void *arg, struct vw_err *err)
{
	sqlite3_stmt *st = s->st[S_ENI_EACH];
	int rc, r = 0;

	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_eni e;

		r = eni_row(s, st, &e, err);
		if (r == 0)
			r = fn(&e, arg);
		free(e.slots);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = db_err(s, "reading ENIs", err);
	sqlite3_reset(st);
	return r;
}

int store_intent_put(struct store *s, const struct store_intent *i, struct vw_err *err)
{
	bind_text(s, S_INTENT_PUT, 1, i->token);
	bind_text(s, S_INTENT_PUT, 2, i->kind);
	bind_text(s, S_INTENT_PUT, 3, i->subnet_id);
	bind_int(s, S_INTENT_PUT, 4, i->n_prefixes);
	bind_int(s, S_INTENT_PUT, 5, i->n_addrs);
	bind_int(s, S_INTENT_PUT, 6, i->created_unix);
	return run(s, S_INTENT_PUT, "recording an intent", err);
}

int store_intent_del(struct store *s, const char *token, struct vw_err *err)
{
	bind_text(s, S_INTENT_DEL, 1, token);
	return run(s, S_INTENT_DEL, "ending an intent", err);
}

int store_intent_each(struct store *s, int (*fn)(const struct store_intent *i, void *arg), void *arg,
		      struct vw_err *err)
{
	sqlite3_stmt *st = s->st[S_INTENT_EACH];
	int rc, r = 0;

	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_intent i = { 0 };

		if (copy_text(st, 0, i.token, sizeof(i.token)) < 0 || copy_text(st, 1, i.kind, sizeof(i.kind)) < 0 ||
		    copy_text(st, 2, i.subnet_id, sizeof(i.subnet_id)) < 0) {
			r = bad_row("intent", err);
			break;
		}
		i.n_prefixes = (unsigned int)sqlite3_column_int64(st, 3);
		i.n_addrs = (unsigned int)sqlite3_column_int64(st, 4);
		i.created_unix = (uint64_t)sqlite3_column_int64(st, 5);
		r = fn(&i, arg);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = db_err(s, "reading intents", err);
	sqlite3_reset(st);
	return r;
}

int store_meta_get(struct store *s, const char *key, struct vw_buf *ret_value, struct vw_err *err)
{
	sqlite3_stmt *st = s->st[S_META_GET];
	int rc, r = 0;

	bind_text(s, S_META_GET, 1, key);
	r = bound(s, S_META_GET, "reading a value", err);
	if (r < 0)
		return r;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		const char *t = (const char *)sqlite3_column_text(st, 0);

		vw_buf_puts(ret_value, t ? t : "");
		r = vw_buf_err(ret_value) < 0 ? vw_err_set(err, ENOMEM, 0, "no memory for a value of the store") : 1;
	} else if (rc != SQLITE_DONE) {
		r = db_err(s, "reading a value", err);
	}
	sqlite3_reset(st);
	return r;
}

int store_meta_put(struct store *s, const char *key, const char *value, struct vw_err *err)
{
	bind_text(s, S_META_PUT, 1, key);
	bind_text(s, S_META_PUT, 2, value);
	return run(s, S_META_PUT, "recording a value", err);
}

/* --- opening */

static int exec_sql(struct store *s, const char *sql, const char *what, struct vw_err *err)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_err(s, what, err);
}

static int prepare_all(struct store *s, struct vw_err *err)
{
	for (int i = 0; i < S_COUNT; i++)
		if (sqlite3_prepare_v3(s->db, stmt_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->st[i], NULL) != SQLITE_OK)
			return db_err(s, "preparing", err);
	return 0;
}

static int user_version(struct store *s, int *ret, struct vw_err *err)
{
	sqlite3_stmt *st = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW)
		r = db_err(s, "reading the schema version", err);
	else
		*ret = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return r;
}

/* a later schema that says that this one can use it */
static bool serves_us(struct store *s, int version)
{
	sqlite3_stmt *st = NULL;
	uint64_t min = 0;
	bool told = version > STORE_SCHEMA &&
		    sqlite3_prepare_v2(s->db, "SELECT value FROM meta WHERE key='schema_min'", -1, &st, NULL) == SQLITE_OK &&
		    sqlite3_step(st) == SQLITE_ROW && sqlite3_column_text(st, 0) &&
		    vw_parse_u64((const char *)sqlite3_column_text(st, 0), 1, INT32_MAX, &min) == 0;

	sqlite3_finalize(st);
	return told && min <= STORE_SCHEMA;
}

static int bring_up_to_date(struct store *s, int version, struct vw_err *err)
{
	for (size_t i = 0; i < VW_ARRAY_SIZE(migrations); i++)
		if (migrations[i].from == version)
			return exec_sql(s, migrations[i].sql, migrations[i].what, err);
	if (version == STORE_SCHEMA || serves_us(s, version))
		return 0;
	return vw_err_set(err, EBADMSG, VW_CNI_IO, "state store: schema %d, this vpcwired reads %d", version, STORE_SCHEMA);
}

static int ignore_attach(const struct store_attachment *a, void *arg) { (void)a; (void)arg; return 0; }
static int ignore_cooling(const struct vw_ip *ip, uint64_t t, void *arg) { (void)ip; (void)t; (void)arg; return 0; }
static int ignore_eni(const struct store_eni *e, void *arg) { (void)e; (void)arg; return 0; }
static int ignore_intent(const struct store_intent *i, void *arg) { (void)i; (void)arg; return 0; }

/* read every row once: a damaged file must be found now, not in the middle of an ADD */
static int verify(struct store *s, struct vw_err *err)
{
	int r = store_attach_each(s, ignore_attach, NULL, err);

	if (r == 0)
		r = store_cooling_each(s, 0, ignore_cooling, NULL, err);
	if (r == 0)
		r = store_eni_each(s, ignore_eni, NULL, err);
	if (r == 0)
		r = store_intent_each(s, ignore_intent, NULL, err);
	return r;
}

static void fold(struct store *s)
{
	/* without success it stays as long as it is, and is tried again after the next write */
	if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) == SQLITE_OK)
		s->wal_pages = 0;
}

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct store *s = arg;

	(void)db;
	(void)name;
	s->wal_pages = pages;
	if (pages >= WAL_PAGES_MAX)
		fold(s);
	return SQLITE_OK;
}

void store_tidy(struct store *s, uint64_t now_ms)
{
	struct vw_err ignored;
	bool over = now_ms >= s->cooled_until;

	/* IPv6 addresses are not given out again, so nothing else would ever drop theirs */
	if (s->cooled && (over || s->cooled >= COOLED_MAX) && cool_expire(s, now_ms, &ignored) == 0)
		s->cooled = !over;
	if (s->wal_pages >= WAL_PAGES)
		fold(s);
}

static int open_once(const char *path, struct store **ret_store, struct vw_err *err)
{
	struct store *s = calloc(1, sizeof(*s));
	int version = 0, r;

	if (!s)
		return vw_err_set(err, ENOMEM, 0, "no memory for the state store");
	if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		r = s->db ? db_err(s, "opening", err) : vw_err_set(err, ENOMEM, 0, "no memory for the state store");
		store_close(s);
		return vw_err_wrap(err, "'%s'", path);
	}
	sqlite3_busy_timeout(s->db, 2000);
	(void)sqlite3_wal_hook(s->db, on_wal, s);
	r = exec_sql(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA cache_size=-512", "setting up", err);
	if (r == 0)
		r = user_version(s, &version, err);
	if (r == 0)
		r = bring_up_to_date(s, version, err);
	if (r == 0)
		r = prepare_all(s, err);
	if (r == 0)
		r = verify(s, err);
	if (r < 0) {
		store_close(s);
		return r;
	}
	*ret_store = s;
	return 0;
}

static int move_aside(const char *path, struct vw_buf *note, struct vw_err *err)
{
	static const char *const suffix[] = { "", "-wal", "-shm" };
	char from[VW_PATH_MAX], to[VW_PATH_MAX];
	int64_t now = vw_unix_s();

	for (size_t i = 0; i < VW_ARRAY_SIZE(suffix); i++) {
		if (vw_fmt(from, sizeof(from), "%s%s", path, suffix[i]) < 0 ||
		    vw_fmt(to, sizeof(to), "%s.bad-%" PRId64 "%s", path, now, suffix[i]) < 0)
			return vw_err_set(err, ENAMETOOLONG, 0, "state store: the path '%s' is too long", path);
		if (rename(from, to) < 0 && (errno != ENOENT || i == 0))
			return vw_err_sys(err, errno, VW_CNI_IO, "moving the damaged '%s' to '%s'", from, to);
	}
	vw_buf_printf(note, "kept it as %s.bad-%" PRId64, path, now);
	return 0;
}

static int check_boot(struct store *s, const char *boot_id, struct vw_buf *note, struct vw_err *err)
{
	vw_auto_buf struct vw_buf known = VW_BUF_INIT;
	int r = store_meta_get(s, "boot_id", &known, err);

	if (r < 0)
		return r;
	if (r == 1 && !strcmp(vw_buf_str(&known), boot_id))
		return 0;
	if (r == 1) {
		vw_buf_puts(note, "the machine has booted since: attachments dropped");
		r = exec_sql(s, "BEGIN; DELETE FROM attachment; DELETE FROM cooling; DELETE FROM intent; COMMIT",
			     "dropping what did not survive the boot", err);
		if (r < 0)
			return r;
	}
	return store_meta_put(s, "boot_id", boot_id, err);
}

/* a file that lost all it had, beside the log of what it was: SQLite calls that "locked", each time. Or no file at all. */
static bool is_husk(const char *path)
{
	char log[VW_PATH_MAX];
	struct stat st;

	if (vw_fmt(log, sizeof(log), "%s-wal", path) < 0 || stat(path, &st) < 0)
		return false;
	return !S_ISREG(st.st_mode) || (st.st_size == 0 && access(log, F_OK) == 0);
}

int store_open(const char *path, const char *boot_id, struct store **ret_store, struct vw_buf *ret_note,
	       struct vw_err *err)
{
	struct store *s = NULL;
	int r = is_husk(path) ? vw_err_set(err, EBADMSG, VW_CNI_IO, "state store: '%s' is empty, or no file", path) : open_once(path, &s, err);

	if (r == -EBADMSG) {
		vw_buf_printf(ret_note, "%s; ", err->msg);
		r = move_aside(path, ret_note, err);
		if (r == 0)
			r = open_once(path, &s, err);
	}
	if (r == 0)
		r = check_boot(s, boot_id, ret_note, err);
	if (r < 0) {
		store_close(s);
		return r;
	}
	*ret_store = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	for (int i = 0; i < S_COUNT; i++)
		sqlite3_finalize(s->st[i]);
	sqlite3_close(s->db);
	free(s);
}
