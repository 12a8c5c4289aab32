/* Images in force while the world goes on: what they know of it must be theirs, or be looked up again. */
#include "lib/base/err.h"
#include "tests/unit/cm.h"
#include "tests/unit/np_case.h"

#include <string.h>

#define POD(ns, name, labels, ip) \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {namespace: " ns ", name: " name ", labels: {" labels "}}\n" \
	"status: {phase: Running, podIP: " ip ", podIPs: [{ip: " ip "}]}\n"
#define NP(ns, name, spec) \
	"---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: " ns ", name: " name "}\nspec: " spec "\n"

static struct np_case c;

static int setup(void **state)
{
	case_init(&c);
	case_local(&c, "x/a", "10.0.0.1", NULL);
	case_local(&c, "x/b", "10.0.0.2", NULL);
	return 0;
}

static int teardown(void **state)
{
	case_done(&c);
	return 0;
}

/* as the daemon does where only pods have changed */
static void follow(void)
{
	struct np_changes ch;
	struct vw_err err = { 0 };

	assert_true(np_world_changes(c.w, &ch));
	assert_false(ch.rules || ch.many);
	for (size_t i = 0; i < ch.n_pod; i++) {
		struct np_peer_change peers[NP_PEER_CHANGES];
		unsigned int blob;
		size_t n;

		for (size_t k = 0; k < c.n_local; k++)
			if (!strcmp(c.local[k].name, ch.pod[i].name) && np_image_add_subject(c.img, c.w, &c.local[k], &blob, &err) < 0)
				fail_msg("%s", err.msg);
		if (np_image_add_peer(c.img, c.w, ch.pod[i].ns, ch.pod[i].name, peers, &n, &err) < 0)
			fail_msg("%s", err.msg);
	}
}

static void compile(void)
{
	struct np_changes ch;

	case_compile(&c);
	(void)np_world_changes(c.w, &ch);
}

/* The last object of a namespace goes while a file is being replaced: the pods are bare then, of a namespace that is about to go. */
static void bare_pods_of_a_namespace_that_goes(void **state)
{
	case_take(&c, "p.yaml", NP("x", "p", "{ingress: [{}]}"));
	compile();
	assert_int_equal(np_world_save(c.w), 0);
	np_world_drop(c.w, "p.yaml");
	compile();
	np_world_forget(c.w);
	for (int i = 0; i < 3; i++) {
		case_take(&c, "pods.yaml", POD("x", "a", "l: m", "10.0.0.1") POD("x", "b", "", "10.0.0.2"));
		follow();
		assert_int_equal(np_world_save(c.w), 0);
		np_world_drop(c.w, "pods.yaml");
		follow();
		np_world_forget(c.w);
		case_expect(&c, "x/a < 10.0.0.2 TCP/80", "ALLOW");
	}
}

/* ...and others come, whose names and labels take the memory of those that have gone. */
static void bare_pods_and_new_names(void **state)
{
	char pod[] = POD("z0", "q", "kubernetes.io/metadata.name: x", "10.1.0.1");

	case_take(&c, "p.yaml", NP("y", "p", "{ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: x}}}]}]}"));
	case_local(&c, "y/s", "10.0.0.9", NULL);
	case_take(&c, "pods.yaml", POD("x", "a", "", "10.0.0.1"));
	compile();
	for (char i = '0'; i <= '9'; i++) {
		*strchr(strstr(pod, "z") + 1, i == '0' ? '0' : i - 1) = i;
		case_take(&c, "other.yaml", pod);
		follow();
		if (i % 2)
			np_world_drop(c.w, "pods.yaml");
		else
			case_take(&c, "pods.yaml", POD("x", "a", "", "10.0.0.1"));
		if (i > '0')
			follow();
		case_expect(&c, "y/s < 10.0.0.1 TCP/80", "ALLOW NetworkPolicy y/p");
		case_expect(&c, "y/s < 10.0.0.2 TCP/80", "ALLOW NetworkPolicy y/p");
		case_expect(&c, "y/s < 10.1.0.1 TCP/80", "DENY");
		case_expect(&c, "x/a < 10.1.0.1 TCP/80", "ALLOW");
	}
}

/* A trial compiles beside the image in force, and nothing of it stays. */
static void a_trial_leaves_nothing(void **state)
{
	struct np_image *fresh = NULL;
	struct vw_err err = { 0 };

	case_take(&c, "pods.yaml", POD("x", "a", "l: m", "10.0.0.1") POD("w", "d", "", "10.0.0.4"));
	compile();
	for (int i = 0; i < 3; i++) {
		assert_int_equal(np_world_save(c.w), 0);
		case_take(&c, "new.yaml", NP("x", "p", "{podSelector: {matchLabels: {l: m}}}") POD("x", "b", "l: m", "10.0.0.2"));
		assert_int_equal(np_compile(c.w, &c.conf, c.local, c.n_local, c.img, &fresh, &err), 0);
		np_image_free(fresh);
		np_world_restore(c.w);
		case_expect(&c, "x/a < 10.0.0.4 TCP/80", "ALLOW");
		case_expect(&c, "x/b < 10.0.0.4 TCP/80", "ALLOW");
	}
	np_world_drop(c.w, "pods.yaml");
	follow();
	case_take(&c, "pods.yaml", POD("x", "a", "", "10.0.0.1"));
	follow();
	case_expect(&c, "x/a < 10.0.0.4 TCP/80", "ALLOW");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bare_pods_of_a_namespace_that_goes), TEST(bare_pods_and_new_names), TEST(a_trial_leaves_nothing),
	};

	return cmocka_run_group_tests_name("np_image", tests, NULL, NULL);
}
