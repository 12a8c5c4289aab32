/*
 * Placement without I/O. Where a subnet is named (subnet_id, an ENIConfig) it is that one; else, with
 * discovery, those of the node's VPC and zone by aws-node's tags, the one with most free addresses first;
 * else the primary ENI's.
 */
#include "daemon/place.h"

#include "daemon/cloud.h"
#include "daemon/config.h"
#include "daemon/manifest.h"
#include "daemon/node.h"
#include "daemon/store.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum place_use place_use(const struct ec2_eni *e, const struct place_rules *rules)
{
	const char *no_manage = ec2_eni_tag(e, TAG_NO_MANAGE), *owner = ec2_eni_tag(e, TAG_INSTANCE);

	if (e->attachment.device == 0 && e->attachment.card == 0)
		return PLACE_OURS;
	if (!strcmp(e->type, "trunk"))
		return PLACE_TRUNK;
	if (!strncmp(e->type, "efa", 3))
		return PLACE_EFA;
	if (e->type[0] && strcmp(e->type, "interface"))
		return PLACE_OTHER_TYPE;
	if (e->attachment.card && !rules->multi_nic)
		return PLACE_OTHER_CARD;
	if (no_manage && !strcmp(no_manage, "true"))
		return PLACE_NO_MANAGE;
	if (owner && strcmp(owner, rules->instance_id))
		return PLACE_OTHER_NODE;
	return owner || rules->manage_untagged ? PLACE_OURS : PLACE_UNTAGGED;
}

const char *place_use_str(enum place_use u)
{
	switch (u) {
	case PLACE_OURS:
		return "ours";
	case PLACE_NO_MANAGE:
		return "tagged " TAG_NO_MANAGE "=true";
	case PLACE_OTHER_NODE:
		return "tagged as another instance's";
	case PLACE_UNTAGGED:
		return "not tagged, and manage_untagged_eni is off";
	case PLACE_TRUNK:
		return "a trunk";
	case PLACE_EFA:
		return "an Elastic Fabric Adapter";
	case PLACE_OTHER_CARD:
		return "on another network card, and multi_nic is off";
	case PLACE_OTHER_TYPE:
		break;
	}
	return "of a type that is not for pods";
}

/* --- subnets */

const struct ec2_subnet *place_known(const struct place *p, const char *id)
{
	for (size_t i = 0; i < p->known.n; i++)
		if (!strcmp(p->known.v[i].id, id))
			return &p->known.v[i];
	return NULL;
}

static bool is_gone(const struct place *p, const char *id)
{
	for (size_t i = 0; i < p->n_gone; i++)
		if (!strcmp(p->gone[i], id))
			return true;
	return false;
}

static void add(struct place *p, const char *id)
{
	const struct ec2_subnet *s = place_known(p, id);
	struct place_subnet *n = &p->v[p->n];

	if (!*id || p->n == PLACE_MAX_SUBNETS || is_gone(p, id) || vw_fmt(n->id, sizeof(n->id), "%s", id) < 0)
		return;
	n->cidr = s ? s->cidr4 : (struct vw_cidr){0};
	n->free4 = s ? s->free4 : UINT32_MAX;
	p->n++;
}

/* one that somebody named, as opposed to found */
static void add_named(struct place *p, const char *id, const char *by)
{
	if (p->asked && !place_known(p, id))
		vw_err_set(&p->why, ENOENT, VW_CNI_INVALID_CONFIG,
			   "%.200s: subnet %.47s does not exist in the VPC and zone of this node", by, id);
	else if (is_gone(p, id))
		vw_err_set(&p->why, ENOENT, VW_CNI_INVALID_CONFIG,
			   "%.200s: subnet %.47s does not exist any more", by, id);
	else
		add(p, id);
}

static bool is_of_cluster(const struct ec2_subnet *s, const char *cluster)
{
	if (!s->n_clusters)
		return true;
	for (size_t i = 0; i < s->n_clusters && i < EC2_SUBNET_CLUSTERS; i++)
		if (!strcmp(s->clusters[i], cluster))
			return true;
	return false;
}

static bool may_use(const struct ec2_subnet *s, const struct vwired_config *cfg, const struct node *node)
{
	if (s->cni_excluded || s->cidr4.ip.family != AF_INET || strcmp(s->az, node->zone))
		return false;
	return !strcmp(s->id, node->subnet_id) || (s->cni_tag && is_of_cluster(s, cfg->cluster_name));
}

static int by_free(const void *va, const void *vb)
{
	const struct place_subnet *a = va, *b = vb;

	if (a->free4 != b->free4)
		return a->free4 > b->free4 ? -1 : 1;
	return strcmp(a->id, b->id);
}

static void discover(struct place *p, const struct vwired_config *cfg, const struct node *node)
{
	for (size_t i = 0; i < p->known.n; i++)
		if (may_use(&p->known.v[i], cfg, node))
			add(p, p->known.v[i].id);
	qsort(p->v, p->n, sizeof(p->v[0]), by_free);
	if (!p->n)
		vw_err_set(&p->why, ENOENT, VW_CNI_INVALID_CONFIG,
			   "no subnet for new ENIs: %.47s is tagged kubernetes.io/role/cni=0, and no other "
			   "one in the zone =1",
			   node->subnet_id);
}

static void take_groups(struct place *p, const void *list, size_t n, size_t stride)
{
	for (size_t i = 0; i < n && p->n_groups < EC2_MAX_GROUPS; i++)
		if (vw_fmt(p->groups[p->n_groups], EC2_ID_LEN, "%s", (const char *)list + i * stride) >= 0)
			p->n_groups++;
}

static void by_eniconfig(struct place *p, const struct manifests *m)
{
	const struct manifest_eniconfig *c = manifests_eniconfig(m, &p->why);
	char by[MANIFEST_NAME_MAX + 16];

	if (!c)
		return;
	(void)!vw_fmt(by, sizeof(by), "ENIConfig %s", c->name);
	add_named(p, c->subnet, by);
	take_groups(p, c->groups, c->n_groups, sizeof(c->groups[0]));
}

void place_choose(struct place *p, const struct vwired_config *cfg, const struct node *node,
		  const struct manifests *m)
{
	p->n = p->n_groups = 0;
	p->why = (struct vw_err){0};
	if (cfg->custom_networking)
		by_eniconfig(p, m);
	else if (cfg->subnet_id[0])
		add_named(p, cfg->subnet_id, "subnet_id");
	else if (cfg->subnet_discovery && p->asked)
		discover(p, cfg, node);
	else
		add(p, node->subnet_id);
	if (!p->n_groups)
		take_groups(p, cfg->security_groups, cfg->n_security_groups, sizeof(cfg->security_groups[0]));
	if (!p->n_groups)
		take_groups(p, node->groups, node->n_groups, sizeof(node->groups[0]));
}

bool place_serves_pods(const struct place *p, const struct vwired_config *cfg, const struct store_eni *eni)
{
	const struct ec2_subnet *s = place_known(p, eni->subnet_id);

	if (cfg->custom_networking)
		return !eni->primary;
	return !(cfg->subnet_discovery && !cfg->subnet_id[0] && s && s->cni_excluded);
}

void place_know(struct place *p, struct ec2_subnets *take)
{
	ec2_subnets_done(&p->known);
	p->known = *take;
	p->asked = true;
	*take = (struct ec2_subnets){0};
}

void place_took(struct place *p, const char *id, unsigned int n)
{
	for (size_t i = 0; i < p->known.n; i++)
		if (!strcmp(p->known.v[i].id, id))
			p->known.v[i].free4 -= n < p->known.v[i].free4 ? n : p->known.v[i].free4;
	/* the order stays as it is until the next choice: jumping to and fro would spread a node over subnets
	 */
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->v[i].id, id) && p->v[i].free4 != UINT32_MAX)
			p->v[i].free4 -= n < p->v[i].free4 ? n : p->v[i].free4;
}

void place_gone(struct place *p, const char *id)
{
	if (is_gone(p, id) || strlen(id) >= EC2_ID_LEN)
		return;
	if (p->n_gone == PLACE_MAX_GONE) {
		memmove(p->gone[0], p->gone[1], sizeof(p->gone) - sizeof(p->gone[0]));
		p->n_gone--;
	}
	memset(p->gone[p->n_gone], 0, EC2_ID_LEN);
	memcpy(p->gone[p->n_gone++], id, strlen(id));
}

void place_done(struct place *p)
{
	ec2_subnets_done(&p->known);
}
