/* Placement: whose ENIs are ours, which subnets are chosen in which order, which ENIs serve no pods. */
#include "daemon/place.h"

#include "daemon/cloud.h"
#include "daemon/config.h"
#include "daemon/manifest.h"
#include "daemon/node.h"
#include "daemon/store.h"
#include "lib/base/parse.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void test_use(void **state)
{
	static const struct {
		uint32_t card, device;
		const char *type;
		const char *owner, *no_manage;
		bool manage_untagged;
		enum place_use want;
	} rows[] = {
		{ 0, 0, "interface", "i-2", "true", false, PLACE_OURS },        /* the primary always is */
		{ 0, 1, "interface", NULL, NULL, true, PLACE_OURS },
		{ 0, 1, "interface", NULL, NULL, false, PLACE_UNTAGGED },
		{ 0, 1, "interface", "i-1", NULL, false, PLACE_OURS },
		{ 0, 1, "interface", "i-2", NULL, true, PLACE_OTHER_NODE },
		{ 0, 1, "interface", "i-1", "true", true, PLACE_NO_MANAGE },
		{ 0, 1, "interface", NULL, "false", true, PLACE_OURS },
		{ 0, 1, "", NULL, NULL, true, PLACE_OURS },
		{ 0, 2, "trunk", "i-1", NULL, true, PLACE_TRUNK },
		{ 0, 2, "efa-only", NULL, NULL, true, PLACE_EFA },
		{ 1, 1, "efa", NULL, NULL, true, PLACE_EFA },
		{ 1, 0, "interface", NULL, "true", true, PLACE_NO_MANAGE },     /* device 0 of another card is no primary */
		{ 0, 3, "branch", NULL, NULL, true, PLACE_OTHER_TYPE },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char owner_key[] = TAG_INSTANCE, no_key[] = TAG_NO_MANAGE, value[2][16] = { { 0 } };
		struct ec2_tag tags[2];
		struct ec2_eni e = { .tags = tags };

		e.attachment.card = rows[i].card;
		e.attachment.device = rows[i].device;
		assert_true(VW_COPY(e.type, rows[i].type) >= 0);
		if (rows[i].owner) {
			assert_true(VW_COPY(value[0], rows[i].owner) >= 0);
			tags[e.n_tags++] = (struct ec2_tag){ owner_key, value[0] };
		}
		if (rows[i].no_manage) {
			assert_true(VW_COPY(value[1], rows[i].no_manage) >= 0);
			tags[e.n_tags++] = (struct ec2_tag){ no_key, value[1] };
		}
		const struct place_rules rules = { "i-1", rows[i].manage_untagged, true }, one = { "i-1", rows[i].manage_untagged, false };

		if (place_use(&e, &rules) != rows[i].want)
			fail_msg("row %zu: %s", i, place_use_str(place_use(&e, &rules)));
		if (e.attachment.card && rows[i].want != PLACE_EFA)
			assert_int_equal(place_use(&e, &one), PLACE_OTHER_CARD);
	}
}

struct world {
	struct place p;
	struct vwired_config *cfg;
	struct node node;
	struct manifests m;
};

static char *no_env(const char *name)
{
	(void)name;
	return NULL;
}

static void world(struct world *w, const char *config)
{
	struct vw_err err;

	*w = (struct world){ .node = { .subnet_id = "subnet-p", .zone = "za", .n_groups = 1, .groups = { "sg-node" } } };
	if (vwired_config_parse(config, strlen(config), "c", no_env, &w->cfg, &err) < 0)
		fail_msg("%s", err.msg);
}

static void done(struct world *w)
{
	vwired_config_free(w->cfg);
	place_done(&w->p);
	manifests_done(&w->m);
}

static void know(struct world *w, const struct ec2_subnet *v, size_t n)
{
	struct ec2_subnets l = { calloc(n, sizeof(*v)), n };

	assert_non_null(l.v);
	memcpy(l.v, v, n * sizeof(*v));
	for (size_t i = 0; i < n; i++)
		if (!l.v[i].cidr4.ip.family)
			assert_int_equal(vw_cidr_parse("10.0.0.0/24", &l.v[i].cidr4), 0);
	place_know(&w->p, &l);
	assert_null(l.v);
}

static void chosen(struct world *w, const char *const *want, size_t n)
{
	place_choose(&w->p, w->cfg, &w->node, &w->m);
	assert_int_equal(w->p.n, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(w->p.v[i].id, want[i]);
	assert_int_equal(w->p.why.eno != 0, n == 0);
}
#define CHOSEN(w, ...) chosen(w, (const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static const struct ec2_subnet subnets[] = {
	{ .id = "subnet-p", .az = "za", .free4 = 50 },
	{ .id = "subnet-few", .az = "za", .free4 = 10, .cni_tag = true },
	{ .id = "subnet-many", .az = "za", .free4 = 900, .cni_tag = true },
	{ .id = "subnet-untagged", .az = "za", .free4 = 4000 },
	{ .id = "subnet-out", .az = "za", .free4 = 4000, .cni_excluded = true },
	{ .id = "subnet-zone", .az = "zb", .free4 = 4000, .cni_tag = true },
	{ .id = "subnet-mine", .az = "za", .free4 = 800, .cni_tag = true, .n_clusters = 2, .clusters = { "other", "mine" } },
	{ .id = "subnet-theirs", .az = "za", .free4 = 800, .cni_tag = true, .n_clusters = 1, .clusters = { "other" } },
};
#define N_SUBNETS (sizeof(subnets) / sizeof(subnets[0]))

static void test_discovery(void **state)
{
	struct world w;

	world(&w, "{\"cluster_name\": \"mine\"}");
	CHOSEN(&w, "subnet-p");         /* not asked yet: there is one that we know */
	know(&w, subnets, N_SUBNETS);
	CHOSEN(&w, "subnet-many", "subnet-mine", "subnet-p", "subnet-few");
	assert_string_equal(w.p.groups[0], "sg-node");
	/* figures follow what was taken; the order stays until the next choice */
	place_took(&w.p, "subnet-many", 895);
	assert_int_equal(w.p.v[0].free4, 5);
	CHOSEN(&w, "subnet-mine", "subnet-p", "subnet-few", "subnet-many");
	place_took(&w.p, "subnet-many", 100);
	assert_int_equal(w.p.v[3].free4, 0);
	place_gone(&w.p, "subnet-mine");
	CHOSEN(&w, "subnet-p", "subnet-few", "subnet-many");
	done(&w);
	world(&w, "{\"subnet_discovery\": false}");
	know(&w, subnets, N_SUBNETS);
	CHOSEN(&w, "subnet-p");
	done(&w);
}

static void test_excluded_primary(void **state)
{
	const struct ec2_subnet out[] = { { .id = "subnet-p", .az = "za", .free4 = 50, .cni_excluded = true } };
	const struct store_eni primary = { .primary = true, .subnet_id = "subnet-p" }, other = { .subnet_id = "subnet-x" };
	struct world w;

	world(&w, "{}");
	assert_true(place_serves_pods(&w.p, w.cfg, &primary));
	know(&w, out, 1);
	chosen(&w, NULL, 0);
	assert_non_null(strstr(w.p.why.msg, "subnet-p is tagged kubernetes.io/role/cni=0"));
	assert_false(place_serves_pods(&w.p, w.cfg, &primary));
	assert_true(place_serves_pods(&w.p, w.cfg, &other));
	done(&w);
}

static void test_named(void **state)
{
	struct world w;

	world(&w, "{\"subnet_id\": \"subnet-few\", \"security_groups\": [\"sg-cfg\"]}");
	CHOSEN(&w, "subnet-few");
	assert_int_equal(w.p.v[0].free4, UINT32_MAX);
	know(&w, subnets, N_SUBNETS);
	CHOSEN(&w, "subnet-few");
	assert_int_equal(w.p.v[0].free4, 10);
	assert_int_equal(w.p.n_groups, 1);
	assert_string_equal(w.p.groups[0], "sg-cfg");
	place_gone(&w.p, "subnet-few");
	chosen(&w, NULL, 0);
	assert_non_null(strstr(w.p.why.msg, "subnet_id: subnet subnet-few does not exist any more"));
	done(&w);
	world(&w, "{\"subnet_id\": \"subnet-nowhere\"}");
	know(&w, subnets, N_SUBNETS);
	chosen(&w, NULL, 0);
	assert_non_null(strstr(w.p.why.msg, "subnet_id: subnet subnet-nowhere does not exist in the VPC and zone"));
	done(&w);
}

static void test_custom_networking(void **state)
{
	static const char objects[] =
		"{\"apiVersion\":\"crd.k8s.amazonaws.com/v1alpha1\",\"kind\":\"ENIConfig\",\"metadata\":{\"name\":\"default\"},"
		"\"spec\":{\"subnet\":\"subnet-untagged\",\"securityGroups\":[\"sg-pods\"]}}";
	const struct manifest_want want = { "", "i-1", "h", "a", "l" };
	const struct store_eni primary = { .primary = true, .subnet_id = "subnet-p" }, other = { .subnet_id = "subnet-x" };
	struct vw_err err;
	struct world w;

	world(&w, "{\"custom_networking\": true}");
	know(&w, subnets, N_SUBNETS);
	chosen(&w, NULL, 0);
	assert_non_null(strstr(w.p.why.msg, "ENIConfig"));
	assert_int_equal(manifests_take(&w.m, &want, objects, strlen(objects), "f", &err), 0);
	CHOSEN(&w, "subnet-untagged");  /* named, so tags do not matter */
	assert_int_equal(w.p.n_groups, 1);
	assert_string_equal(w.p.groups[0], "sg-pods");
	assert_false(place_serves_pods(&w.p, w.cfg, &primary));
	assert_true(place_serves_pods(&w.p, w.cfg, &other));
	done(&w);
}

static void test_cards(void **state)
{
	struct cards c = { .n = 2, .enis = { 3, 2 } };
	static const uint32_t want[][2] = { { 0, 1 }, { 0, 2 }, { 1, 0 }, { 1, 1 } };
	uint32_t card = 9, device = 9;

	assert_int_equal(cards_total(&c), 5);
	cards_take(&c, 0, 0);           /* the primary ENI */
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_int_equal(cards_pick(&c, &card, &device), 0);
		assert_int_equal(card, want[i][0]);
		assert_int_equal(device, want[i][1]);
		cards_take(&c, card, device);
	}
	assert_int_equal(cards_pick(&c, &card, &device), -ENOSPC);
	/* somebody's at a high index fills the card as well as any other */
	c = (struct cards){ .n = 1, .enis = { 2 } };
	cards_take(&c, 0, 0);
	cards_take(&c, 0, 40);
	cards_take(&c, 0, 64);          /* outside: ignored */
	cards_take(&c, EC2_MAX_CARDS, 0);
	assert_int_equal(cards_pick(&c, &card, &device), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_use), cmocka_unit_test(test_cards), cmocka_unit_test(test_discovery), cmocka_unit_test(test_excluded_primary),
		cmocka_unit_test(test_named), cmocka_unit_test(test_custom_networking),
	};

	return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}
