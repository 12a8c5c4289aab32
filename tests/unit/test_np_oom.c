/*
 * Every allocation of ours fails once: reading a file changes nothing then, compiling gives no image and leaves the one in force as it
 * was, and nothing leaks (make SANITIZE=address). What jansson and libyaml allocate is theirs.
 */
#include "lib/base/err.h"
#include "netpolicy-bpf/user/np_diff.h"
#include "tests/unit/cm.h"
#include "tests/unit/np_case.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static long fail_at; /* the how manieth fails; 0 = none */

static int fails(void)
{
	return fail_at > 0 && --fail_at == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return fails() ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

static const char pods[] =
	"apiVersion: v1\nkind: Namespace\nmetadata: {name: x, labels: {ns: x}}\n---\n"
	"apiVersion: v1\nkind: Node\nmetadata: {name: n1}\nstatus: {addresses: [{address: 10.9.0.1}]}\n---\n"
	"apiVersion: v1\nkind: Service\nmetadata: {namespace: kube-system, name: kube-dns}\nspec: {clusterIP: 172.20.0.10, selector: {a: b}}\n---\n"
	"apiVersion: v1\nkind: Pod\nmetadata: {namespace: x, name: a, labels: {pod: a}}\nspec: {containers: [{ports: [{name: web, containerPort: 80}]}]}\n"
	"status: {podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}\n---\n"
	"apiVersion: v1\nkind: Pod\nmetadata: {namespace: y, name: b, labels: {pod: b}}\nspec: {containers: [{ports: [{name: web, containerPort: 81}]}]}\n"
	"status: {podIP: 10.0.0.2}\n";
static const char policies[] =
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: x, name: p}\nspec: {ingress: [{from: [{podSelector: {matchExpressions: "
	"[{key: pod, operator: In, values: [a, b]}]}}, {namespaceSelector: {matchLabels: {ns: x}}}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}], "
	"ports: [{port: web}, {port: 1, endPort: 9}]}], egress: [{ports: [{port: web}]}]}\n---\n"
	"apiVersion: networking.k8s.aws/v1alpha1\nkind: ApplicationNetworkPolicy\nmetadata: {namespace: x, name: app}\nspec: {egress: [{to: [{domainNames: [a.io, "
	"'*.b.io']}]}]}\n---\n"
	"apiVersion: networking.k8s.aws/v1alpha1\nkind: PolicyEndpoint\nmetadata: {namespace: x, name: e}\nspec: {policyRef: {namespace: x, name: r}, "
	"podSelectorEndpoints: [{namespace: x, name: a}], ingress: [{cidr: 10.0.0.77, ports: [{port: 5}]}, {cidr: 10.0.0.3}]}\n---\n"
	"apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: c}\nspec: {tier: Admin, priority: 1, subject: {namespaces: {}}, "
	"ingress: [{action: Pass, from: [{galaxies: {}}]}], egress: [{action: Deny, to: [{nodes: {}}, {networks: [8.0.0.0/8]}]}]}\n";
static const char pods_later[] =
	"apiVersion: v1\nkind: Pod\nmetadata: {namespace: y, name: more, labels: {pod: b}}\nspec: {containers: [{ports: [{name: web, containerPort: 81}]}]}\n"
	"status: {podIP: 10.0.0.8}\n";

static struct np_case c;

static size_t count(void)
{
	size_t n = 0;

	for (int k = 0; k < NP_KINDS; k++)
		n += np_world_list(c.w, (enum np_kind)k)->n;
	return n;
}

/* @fn: 0 = done, -ENOMEM. With its 1st, 2nd, ... allocation failing, until it gets through. */
static void each_fails(int (*fn)(struct vw_err *err), bool may_get_through)
{
	bool through = false;

	for (long at = 1; !through; at++) {
		struct vw_err err = { 0 };
		int r;

		fail_at = at;
		r = fn(&err);
		through = fail_at > 0;
		fail_at = 0;
		if (r == 0)
			assert_true(through || may_get_through);
		else
			assert_true(r == -ENOMEM && err.msg[0]);
		assert_true(at < 100000);
	}
}

static int take_policies(struct vw_err *err)
{
	size_t before = count();
	struct np_note const *notes;
	size_t n;
	int r = np_world_take(c.w, "p.yaml", policies, sizeof(policies) - 1, err);

	assert_int_equal(count(), r < 0 ? before : before + 4);
	notes = np_world_notes(c.w, &n);
	assert_true(n == 0 || notes[0].file);
	np_world_drop(c.w, "p.yaml");
	assert_int_equal(count(), before);
	return r;
}

static int take_pods(struct vw_err *err)
{
	size_t before = count();
	int r = np_world_take(c.w, "pods.yaml", pods, sizeof(pods) - 1, err);

	assert_int_equal(count(), r < 0 ? before : before + 5);
	np_world_drop(c.w, "pods.yaml");
	return r;
}

static int save_and_restore(struct vw_err *err)
{
	size_t before = count();
	int r = np_world_save(c.w);

	if (r == 0) {
		long left = fail_at;

		fail_at = 0;
		case_take(&c, "p.yaml", policies);
		np_world_drop(c.w, "pods.yaml");
		fail_at = left;
		np_world_restore(c.w);
	}
	assert_int_equal(count(), before);
	return r < 0 ? vw_err_set(err, -r, 0, "save") : 0;
}

static int compile(struct vw_err *err)
{
	struct np_image *img = NULL;
	int r = np_compile(c.w, &c.conf, c.local, c.n_local, c.img, &img, err);

	assert_int_equal(r < 0, img == NULL);
	np_image_free(img);
	return r;
}

static int add_peer(struct vw_err *err)
{
	struct np_peer_change ch[NP_PEER_CHANGES];
	size_t n_peer = c.img->n_peer, n = 0;
	int r = np_image_add_peer(c.img, c.w, "y", "more", ch, &n, err);

	assert_int_equal(c.img->n_peer, r < 0 ? n_peer : n_peer + n);
	return r;
}

static int add_subject(struct vw_err *err)
{
	unsigned int blob;
	struct np_local l = { .slot = 9, .ns = "x", .name = "other" };
	size_t n = c.img->n_subject;
	int r = np_image_add_subject(c.img, c.w, &l, &blob, err);

	/* it may be that a pod of this kind was never seen: that is said, and is no failure of memory */
	if (r == -EAGAIN)
		r = 0;
	else
		assert_int_equal(c.img->n_subject, r < 0 ? n : n + 1);
	np_image_drop_subject(c.img, 9);
	return r;
}

static int explain(struct vw_err *err)
{
	const struct np_explain_query q = { .slot = 1, .dir = NP_EGRESS, .peer = { AF_INET, { 10, 0, 0, 2 } }, .proto = 6, .port = 81 };
	struct np_explain e;
	int r = np_explain(c.img, c.w, &q, &e, err);

	if (r == 0) {
		assert_true(e.agree);
		np_explain_done(&e);
	}
	return r;
}

static struct np_image *other;

static int diff(struct vw_err *err)
{
	struct np_diff d;
	int r = np_diff(c.img, other, 100, &d, err);

	if (r == 0) {
		assert_true(d.n_change > 0);
		np_diff_done(&d);
	}
	return r;
}

static void test_world(void **state)
{
	each_fails(take_pods, true);
	case_take(&c, "pods.yaml", pods);
	each_fails(take_policies, true);
	each_fails(save_and_restore, false);
}

static void test_image(void **state)
{
	struct vw_err err;

	case_take(&c, "pods.yaml", pods);
	case_take(&c, "p.yaml", policies);
	case_local(&c, "x/a", "10.0.0.1", "fd00::1");
	case_local(&c, "x/new", "10.0.0.9", NULL);
	case_local(&c, "z/alone", "10.0.0.10", NULL);
	case_compile(&c);
	each_fails(compile, false);
	each_fails(explain, false);
	each_fails(add_subject, true);
	case_take(&c, "more.yaml", pods_later);
	each_fails(add_peer, false);
	case_take(&c, "p.yaml", "");
	assert_int_equal(np_compile(c.w, &c.conf, c.local, c.n_local, c.img, &other, &err), 0);
	each_fails(diff, false);
	other = np_image_free(other);
}

static int setup(void **state)
{
	case_init(&c);
	return 0;
}

static int teardown(void **state)
{
	fail_at = 0;
	case_done(&c);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_world, setup, teardown),
		cmocka_unit_test_setup_teardown(test_image, setup, teardown),
	};

	return cmocka_run_group_tests_name("np_oom", tests, NULL, NULL);
}
