/*
 * Files of objects: all or nothing, who is in force when several say the same, what counts as a change, going back after a trial,
 * and that nothing is left behind.
 */
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "tests/unit/cm.h"
#include "tests/unit/np_dump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define POD(name, label) \
	"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"x\",\"name\":\"" name "\",\"labels\":{\"l\":\"" label "\"}}}"
#define POLICY(name, more) \
	"{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\",\"metadata\":{\"namespace\":\"x\",\"name\":\"" name "\"},\"spec\":{" \
	more "}}"
#define LIST(items) "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[" items "]}"

static struct np_world *w;

static int make_world(void **state)
{
	w = np_world_new();
	return w ? 0 : -1;
}

static int free_world(void **state)
{
	w = np_world_free(w);
	return 0;
}

static void take(const char *file, const char *text)
{
	struct vw_err err = { 0 };

	if (np_world_take(w, file, text, strlen(text), &err) < 0)
		fail_msg("%s: %s", file, err.msg);
}

static void refused(const char *file, const char *text, const char *why)
{
	struct vw_err err = { 0 };

	assert_true(np_world_take(w, file, text, strlen(text), &err) < 0);
	if (!strstr(err.msg, why))
		fail_msg("'%s', wanted '%s'", err.msg, why);
}

/* All objects in force, sorted by what they print. */
static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void in_force(const char *want)
{
	struct vw_buf out = VW_BUF_INIT;
	char *line[64];
	size_t n = 0;

	for (int k = 0; k < NP_KINDS; k++) {
		for (size_t i = 0; i < np_world_list(w, (enum np_kind)k)->n; i++) {
			struct vw_buf one = VW_BUF_INIT;
			const struct np_object *o = np_world_list(w, (enum np_kind)k)->v[i];

			assert_int_equal(o->index, i);
			assert_ptr_equal(np_world_find(w, o->kind, o->ns->s, o->name->s), o);
			np_dump(&one, o);
			vw_buf_printf(&one, " (%s%s%s)", o->file, *o->path ? " " : "", o->path);
			assert_true(n < 64);
			line[n++] = vw_buf_take(&one);
		}
	}
	qsort(line, n, sizeof(*line), by_text);
	for (size_t i = 0; i < n; i++) {
		vw_buf_printf(&out, "%s%s", i ? "; " : "", line[i]);
		free(line[i]);
	}
	if (strcmp(vw_buf_str(&out), want) != 0)
		fail_msg("'%s'\nnot '%s'", vw_buf_str(&out), want);
	vw_buf_done(&out);
}

static void notes(const char *want)
{
	struct vw_buf out = VW_BUF_INIT;

	np_dump_notes(&out, w);
	if (strcmp(vw_buf_str(&out), want) != 0)
		fail_msg("'%s'\nnot '%s'", vw_buf_str(&out), want);
	vw_buf_done(&out);
}

/* "rules x/a x/b many" */
static void changes(const char *want)
{
	struct vw_buf out = VW_BUF_INIT;
	struct np_changes c;
	bool any = np_world_changes(w, &c);

	vw_buf_puts(&out, c.rules ? "rules " : "");
	for (size_t i = 0; i < c.n_pod; i++)
		vw_buf_printf(&out, "%s/%s ", c.pod[i].ns, c.pod[i].name);
	vw_buf_puts(&out, c.many ? "many " : "");
	assert_int_equal(any, out.len > 0);
	if (strcmp(vw_buf_str(&out), want) != 0)
		fail_msg("'%s'\nnot '%s'", vw_buf_str(&out), want);
	vw_buf_done(&out);
}

static void test_all_or_nothing(void **state)
{
	take("a.json", LIST(POD("a", "1") "," POD("b", "1")));
	in_force("Pod x/a {l=1} (a.json items[0]); Pod x/b {l=1} (a.json items[1])");
	refused("a.json", LIST(POD("c", "1") "," POLICY("p", "\"ingress\":[{\"ports\":[{\"port\":80,\"endPort\":79}]}]")),
		"a.json: items[1].spec.ingress[0].ports[0].endPort: 79 is below port 80");
	in_force("Pod x/a {l=1} (a.json items[0]); Pod x/b {l=1} (a.json items[1])");
	notes("REFUSED a.json: NetworkPolicy x/p: items[1].spec.ingress[0].ports[0].endPort: 79 is below port 80\n");
	refused("a.json", "{", "a.json is not valid JSON: line 1");
}

static void test_refusal_goes(void **state)
{
	refused("a.json", LIST(POD("a", "1") "," POD("a", "2")), "a.json: items[1].metadata.name: this object stands in the file twice, first at items[0]");
	refused("b.json", POD("a", "1") POD("a", "1"), "b.json: [1].metadata.name: this object stands in the file twice, first at its start");
	notes("REFUSED a.json: : items[1].metadata.name: this object stands in the file twice, first at items[0]\n"
	      "REFUSED b.json: : [1].metadata.name: this object stands in the file twice, first at its start\n");
	take("a.json", POD("a", "1"));
	np_world_drop(w, "b.json");
	notes("");
	refused("c.json", "{\"kind\":\"List\"}", "c.json: a list of objects without 'items'");
	notes("REFUSED c.json: : : c.json: a list of objects without 'items'\n");
	np_world_drop(w, "c.json");
	np_world_drop(w, "never.json");
	in_force("Pod x/a {l=1} (a.json)");
}

/* Whatever came first, the file that sorts last is in force; what it hides comes back when it goes. */
static void test_several_files(void **state)
{
	take("b.json", POD("a", "b"));
	changes("x/a ");
	take("c.json", POD("a", "c"));
	changes("x/a ");
	take("a.json", POD("a", "a"));
	changes("");
	in_force("Pod x/a {l=c} (c.json)");
	notes("warning a.json: Pod x/a: : not in force: the same object stands in c.json, which sorts after this file\n"
	      "warning b.json: Pod x/a: : not in force: the same object stands in c.json, which sorts after this file\n");
	np_world_drop(w, "b.json");
	changes("");
	np_world_drop(w, "c.json");
	changes("x/a ");
	in_force("Pod x/a {l=a} (a.json)");
	notes("");
	take("b.json", POD("b", "b"));
	take("b.json", LIST(""));
	changes("x/b ");
	in_force("Pod x/a {l=a} (a.json)");
}

static void test_changes(void **state)
{
	const struct np_object *p, *q;
	uint64_t gen;

	take("a.json", LIST(POD("a", "1") "," POD("b", "1") "," POLICY("p", "") "," POLICY("q", "")));
	changes("rules x/a x/b ");
	gen = np_world_gen(w);
	p = np_world_find(w, NP_KIND_NETWORKPOLICY, "x", "p");
	q = np_world_find(w, NP_KIND_NETWORKPOLICY, "x", "q");
	/* the same again, in another order: nothing changed, the structures stay, their places are new */
	take("a.json", LIST(POLICY("q", "") "," POD("b", "1") "," POD("a", "1") "," POLICY("p", "")));
	changes("");
	assert_int_equal(np_world_gen(w), gen);
	assert_ptr_equal(np_world_find(w, NP_KIND_NETWORKPOLICY, "x", "p"), p);
	assert_string_equal(p->path, "items[3]");
	/* one pod */
	take("a.json", LIST(POLICY("q", "") "," POD("b", "2") "," POD("a", "1") "," POLICY("p", "")));
	changes("x/b ");
	assert_int_equal(np_world_gen(w), gen);
	/* one policy */
	take("a.json", LIST(POLICY("q", "") "," POD("b", "2") "," POD("a", "1") "," POLICY("p", "\"egress\":[{}]")));
	changes("rules ");
	assert_true(np_world_gen(w) != gen);
	assert_ptr_equal(np_world_find(w, NP_KIND_NETWORKPOLICY, "x", "q"), q);
	assert_true(((const struct np_policy *)np_world_find(w, NP_KIND_NETWORKPOLICY, "x", "p"))->isolates[NP_EGRESS]);
}

/* A node's heartbeat, endpoints of any service: nothing that a policy can tell. */
static void test_what_is_no_change(void **state)
{
#define NODE(beat, addr) \
	"{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\",\"resourceVersion\":\"" beat "\"},\"status\":{\"addresses\":[" \
	"{\"address\":\"" addr "\"}],\"conditions\":[{\"lastHeartbeatTime\":\"" beat "\"}]}}"
#define SLICE(ns, svc, addr) \
	"{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"namespace\":\"" ns "\",\"name\":\"s\",\"labels\":{" \
	"\"kubernetes.io/service-name\":\"" svc "\"}},\"endpoints\":[{\"addresses\":[\"" addr "\"]}]}"
	take("n.json", NODE("1", "10.0.0.1"));
	changes("rules ");
	take("n.json", NODE("2", "10.0.0.1"));
	changes("");
	take("n.json", NODE("2", "10.0.0.2"));
	changes("rules ");
	take("e.json", SLICE("x", "web", "10.0.0.1"));
	changes("");
	take("e.json", SLICE("x", "web", "10.0.0.2"));
	changes("");
	in_force("EndpointSlice x/s of web 10.0.0.2 (e.json); Node n {} 10.0.0.2 (n.json)");
	take("d.json", SLICE("kube-system", "kube-dns", "10.0.0.2"));
	changes("rules ");
}

static void test_many(void **state)
{
	struct vw_buf text = VW_BUF_INIT;
	struct np_changes c;

	for (int i = 0; i < NP_CHANGES_MAX; i++)
		vw_buf_printf(&text, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p%d\"}}", i);
	take("a.json", vw_buf_str(&text));
	assert_true(np_world_changes(w, &c));
	assert_int_equal(c.n_pod, NP_CHANGES_MAX);
	assert_false(c.many);
	np_world_drop(w, "a.json");
	take("b.json", POD("one", "more"));
	assert_true(np_world_changes(w, &c));
	assert_true(c.many);
	vw_buf_done(&text);
}

static void test_namespaces(void **state)
{
	const struct np_pod *pod;

	take("a.json", POD("a", "1"));
	pod = (const struct np_pod *)np_world_find(w, NP_KIND_POD, "x", "a");
	assert_null(pod->shape->space->object);
	take("n.json", "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"x\",\"labels\":{\"t\":\"1\"}}}");
	assert_non_null(pod->shape->space->object);
	take("o.json", "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"x\",\"labels\":{\"t\":\"2\"}}}");
	assert_string_equal(pod->shape->space->object->labels.v[1]->value->s, "2");
	np_world_drop(w, "o.json");
	assert_string_equal(pod->shape->space->object->labels.v[1]->value->s, "1");
	np_world_drop(w, "n.json");
	assert_null(pod->shape->space->object);
}

static void test_trial(void **state)
{
	const struct np_object *p;
	uint64_t gen;

	take("a.json", LIST(POD("a", "1") "," POLICY("p", "")));
	take("b.json", POD("b", "1"));
	refused("c.json", "{", "c.json is not valid JSON");
	changes("rules x/a x/b ");
	take("b.json", POD("b", "2"));
	gen = np_world_gen(w);
	p = np_world_find(w, NP_KIND_NETWORKPOLICY, "x", "p");
	assert_int_equal(np_world_save(w), 0);
	take("a.json", LIST(POD("a", "2") "," POLICY("p", "\"egress\":[{}]")));
	take("c.json", POD("c", "1"));
	np_world_drop(w, "b.json");
	in_force("NetworkPolicy x/p np 0 IE x{}; eg[0] accept * :* (a.json items[1]); Pod x/a {l=2} (a.json items[0]); Pod x/c {l=1} (c.json)");
	np_world_restore(w);
	np_world_restore(w);
	in_force("NetworkPolicy x/p np 0 I x{} (a.json items[1]); Pod x/a {l=1} (a.json items[0]); Pod x/b {l=2} (b.json)");
	assert_ptr_equal(np_world_find(w, NP_KIND_NETWORKPOLICY, "x", "p"), p);
	assert_int_equal(np_world_gen(w), gen);
	notes("REFUSED c.json: : : c.json is not valid JSON: line 1: string or '}' expected near end of file\n");
	changes("x/b ");
	/* and from then on as ever */
	take("a.json", LIST(POD("a", "3") "," POLICY("p", "")));
	changes("x/a ");
	assert_int_equal(np_world_save(w), 0); /* one that is forgotten */
	take("c.json", POD("c", "1"));
	np_world_forget(w);
	np_world_restore(w);
	changes("x/c ");
	assert_non_null(np_world_find(w, NP_KIND_POD, "x", "c"));
	/* what was told meanwhile is not told again one by one: all counts as changed */
	assert_int_equal(np_world_save(w), 0);
	np_world_drop(w, "c.json");
	changes("x/c ");
	take("b.json", POD("b", "9"));
	np_world_restore(w);
	changes("rules ");
	assert_non_null(np_world_find(w, NP_KIND_POD, "x", "c"));
	assert_int_equal(np_world_save(w), 0); /* one that is never restored */
	take("a.json", LIST(""));
}

/* What is told of files, and where their objects stand, is as before too. */
static void test_trial_of_places(void **state)
{
#define PLACES "Pod x/a {l=1} (a.json items[0]); Pod x/b {l=1} (a.json items[1]); Pod x/d {l=1} (z.json)"
#define NOTES "REFUSED a.json: : : a.json is not valid JSON: line 1: string or '}' expected near end of file\n" \
	"warning a.json: Pod x/d: items[2]: not in force: the same object stands in z.json, which sorts after this file\n"
	take("a.json", LIST(POD("a", "1") "," POD("b", "1") "," POD("d", "2")));
	take("z.json", POD("d", "1"));
	refused("a.json", "{", "not valid");
	for (int i = 0; i < 3; i++) {
		in_force(PLACES);
		notes(NOTES);
		assert_int_equal(np_world_save(w), 0);
		take("a.json", LIST(POD("c", "1") "," POD("a", "1") "," POD("b", "1")));
		take("a.json", LIST(POD("c", "1") "," POD("b", "1") "," POD("a", "1")));
		notes("");
		if (i == 1)
			np_world_drop(w, "a.json");
		refused("new.json", "[", "not valid");
		np_world_restore(w);
	}
	assert_int_equal(np_world_save(w), 0);
	take("a.json", LIST(POD("d", "2") "," POD("a", "1")));
	np_world_drop(w, "z.json");
	np_world_forget(w);
	in_force("Pod x/a {l=1} (a.json items[1]); Pod x/d {l=2} (a.json items[0])");
	notes("");
	assert_int_equal(np_world_save(w), 0); /* the world may go in the middle of a trial */
	take("a.json", LIST(POD("a", "1")));
}

static void test_ties(void **state)
{
#define CNP(name, tier, prio) \
	"{\"apiVersion\":\"policy.networking.k8s.io/v1alpha2\",\"kind\":\"ClusterNetworkPolicy\",\"metadata\":{\"name\":\"" name "\"},\"spec\":{" \
	"\"tier\":\"" tier "\",\"priority\":" prio ",\"subject\":{\"namespaces\":{}}}}"
	take("a.json", CNP("z", "Admin", "5") CNP("a", "Admin", "5") CNP("b", "Baseline", "5") CNP("c", "Admin", "6"));
	notes("warning a.json: ClusterNetworkPolicy z: : has the tier and priority of a: their order is the order of their names\n");
}

/* 10,000 pods come and go: no names, shapes or numbers are left. */
static void test_churn(void **state)
{
	struct vw_buf text = VW_BUF_INIT;
	struct np_changes c;
	uint32_t ids = 0;

	for (int round = 0; round < 200; round++) {
		vw_buf_reset(&text);
		for (int i = 0; i < 50; i++)
			vw_buf_printf(&text, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"n%d\",\"name\":\"p%d-%d\",\"labels\":{\"r%d\":"
				"\"v%d\"}},\"spec\":{\"containers\":[{\"ports\":[{\"name\":\"q%d\",\"containerPort\":80}]}]},\"status\":{\"podIP\":\"10.0.%d.%d\"}}",
				round % 7, round, i, round, i, round, round, i);
		take("a.json", vw_buf_str(&text));
		np_world_changes(w, &c);
		if (round == 20)
			ids = np_world_names(w)->str_ids.next;
	}
	assert_int_equal(np_world_names(w)->str_ids.next, ids);
	np_world_drop(w, "a.json");
	np_world_changes(w, &c);
	np_world_changes(w, &c);
	assert_int_equal(np_world_names(w)->str.n, 0);
	assert_int_equal(np_world_names(w)->label.n, 0);
	assert_int_equal(np_world_names(w)->space.n, 0);
	assert_int_equal(np_world_names(w)->shape.n, 0);
	vw_buf_done(&text);
}

/* Replicas are one shape; of labels and ports every difference tells. */
static void test_shapes(void **state)
{
	static const char *const same[] = { POD("a", "1"), POD("b", "1") };
	const struct np_pod *a, *b;

	take("a.json", same[0]);
	take("b.json", same[1]);
	a = (const struct np_pod *)np_world_find(w, NP_KIND_POD, "x", "a");
	b = (const struct np_pod *)np_world_find(w, NP_KIND_POD, "x", "b");
	assert_ptr_equal(a->shape, b->shape);
	take("b.json", POD("b", "2"));
	b = (const struct np_pod *)np_world_find(w, NP_KIND_POD, "x", "b");
	assert_ptr_not_equal(a->shape, b->shape);
	assert_true(a->shape->serial != b->shape->serial);
}

static void test_own_node(void **state)
{
#define NODE_OF(name, spec) "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"" name "\"}" spec "}"
	take("a.json", LIST(NODE_OF("a", ",\"spec\":{\"providerID\":\"aws:///eu-west-1a/i-01\"}") "," NODE_OF("b", "")));
	assert_string_equal(np_world_own_node(w, "i-01", "b"), "a");
	assert_string_equal(np_world_own_node(w, "i-0", "b"), "b");
	assert_string_equal(np_world_own_node(w, "", "nobody"), "nobody");
	take("a.json", LIST(NODE_OF("a", "") "," NODE_OF("b", ",\"spec\":{\"providerID\":\"aws:///eu-west-1a/i-01\"}")));
	assert_string_equal(np_world_own_node(w, "i-01", "a"), "b");
	refused("b.json", NODE_OF("c", ",\"spec\":{\"providerID\":7}"), "spec.providerID");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_world, free_world)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all_or_nothing), TEST(test_refusal_goes), TEST(test_several_files), TEST(test_changes), TEST(test_what_is_no_change),
		TEST(test_many), TEST(test_namespaces), TEST(test_trial), TEST(test_trial_of_places), TEST(test_ties), TEST(test_churn), TEST(test_shapes),
		TEST(test_own_node),
	};

	return cmocka_run_group_tests_name("np_world", tests, NULL, NULL);
}
