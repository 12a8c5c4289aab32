/*
 * A new ENI is three calls: create (with its addresses, tags and a ClientToken), attach, and then, in a job of its own that no
 * pod waits for, delete-on-termination. After the attach the link is waited for, by its MAC, from the kernel's own events. What
 * fails after the create is taken back: an ENI that could not be attached is deleted again, so that nothing is left in the
 * account. If even that fails, the intent stays open and the next start, with the same token, finds the same ENI.
 *
 * Where a token is tried again, a refusal says nothing about the first try (a throttled call is refused before EC2 looks at
 * the token): then the ENI is looked for by its tag, and only when it is not shown, and is old enough to be, there is none.
 */
#include "daemon/grow_job.h"

#include "daemon/cloud.h"
#include "daemon/http.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/net/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LINK_WAIT_MS 30000      /* after a successful attach; EC2 hot-plugs within seconds */
#define UNDO_MS 20000
#define SHOWN_S 60              /* an ENI that was created longer ago is shown when EC2 lists by tag */

static int create_with_token(struct grow_job *j)
{
	const char *groups[EC2_MAX_GROUPS];
	struct ec2_kv tags[GROW_MAX_TAGS];
	char description[128];
	struct ec2_create what = {
		.subnet_id = j->subnet_id,
		.groups = groups,
		.n_groups = j->n_groups,
		.description = description,
		.n_addrs = j->n_addrs,
		.n_prefixes = j->n_prefixes,
		.n_prefixes6 = j->n_prefixes6,
		.tags = tags,
		.n_tags = j->n_tags,
		.token = j->token,
	};

	for (size_t i = 0; i < j->n_groups; i++)
		groups[i] = j->groups[i];
	for (size_t i = 0; i < j->n_tags; i++)
		tags[i] = (struct ec2_kv){ j->tag_text[i][0], j->tag_text[i][1] };
	/* aws-node's description, which its own cleaner and people's scripts look for */
	if (vw_fmt(description, sizeof(description), "aws-K8S-%s", j->instance_id) < 0)
		description[0] = 0;
	j->api = "CreateNetworkInterface";
	return ec2_create_eni(j->cloud->ec2, j->deadline_ms, &what, &j->eni, &j->err);
}

/* the token was used with other parameters (the configuration changed between two lives): find the ENI by its tag */
static int find_by_token(struct grow_job *j)
{
	const struct ec2_kv filter = { "tag:" TAG_INTENT, j->token };
	const struct ec2_find what = { .filters = &filter, .n_filters = 1 };
	struct ec2_enis found = { 0 };
	struct ec2_error err;

	if (ec2_describe_enis(j->cloud->ec2, j->deadline_ms, &what, &found, &err) < 0)
		return -EAGAIN;
	if (found.n != 1) {
		ec2_enis_done(&found);
		return -ENOENT;
	}
	j->eni = found.v[0];
	found.v[0].tags = NULL;         /* moved */
	found.v[0].n_tags = 0;
	ec2_enis_done(&found);
	return 0;
}

static void look_for_earlier(struct grow_job *j)
{
	int r = find_by_token(j);

	if (r == 0)
		j->r = 0;
	else
		j->left = r != -ENOENT || vw_unix_s() - (int64_t)j->intent_unix < SHOWN_S;
}

/* attached here already, by an earlier life whose request outlived it: then that is where it is */
static bool is_attached_here(struct grow_job *j)
{
	struct ec2_eni seen = { 0 };
	struct ec2_error err;
	bool here;

	if (ec2_describe_eni(j->cloud->ec2, j->deadline_ms, j->eni.id, &seen, &err) < 0)
		return false;
	here = !strcmp(seen.attachment.instance_id, j->instance_id) &&
	       (seen.attachment.status == EC2_ATTACHED || seen.attachment.status == EC2_ATTACHING);
	if (here) {
		j->device = seen.attachment.device;
		j->card = seen.attachment.card;
		(void)VW_COPY(j->new_attachment_id, seen.attachment.id);
	}
	ec2_eni_done(&seen);
	return here;
}

static int attach(struct grow_job *j)
{
	int r = -EBUSY;

	j->api = "AttachNetworkInterface";
	for (int tries = 0; tries < 3 && r < 0; tries++) {
		r = ec2_attach(j->cloud->ec2, j->deadline_ms, j->eni.id, j->device, j->card, j->new_attachment_id, &j->err);
		if (r < 0 && j->err.kind == EC2_IN_USE && is_attached_here(j))
			return 0;
		if (r == 0 || j->err.kind != EC2_DEVICE_IN_USE)
			return r;
		/* somebody else attached something here: take the next index */
		cards_take(&j->cards, j->card, j->device);
		if (cards_pick(&j->cards, &j->card, &j->device) < 0)
			return r;
	}
	return r;
}

static void take_back(struct grow_job *j)
{
	struct ec2_error err;

	if (ec2_delete_eni(j->cloud->ec2, vw_mono_ms() + UNDO_MS, j->eni.id, &err) == 0)
		j->created = false;
}

/* the gateway is made from the subnet's range; only ENIs in a subnet that no other ENI of ours is in have to ask */
static int know_subnet(struct grow_job *j)
{
	const char *id = j->subnet_id;
	const struct ec2_find what = { .ids = &id, .n_ids = 1 };
	struct ec2_subnets found = { 0 };
	int r;

	if (j->subnet.ip.family)
		return 0;
	j->api = "DescribeSubnets";
	r = ec2_describe_subnets(j->cloud->ec2, j->deadline_ms, &what, &found, &j->err);
	if (r == 0 && found.n == 1 && found.v[0].cidr4.ip.family)
		j->subnet = found.v[0].cidr4;
	else if (r == 0)
		r = (j->err = (struct ec2_error){ .kind = EC2_INVALID },
		     vw_err_set(&j->err.why, EINVAL, VW_CNI_INVALID_CONFIG, "subnet %s has no IPv4 range", id));
	ec2_subnets_done(&found);
	return r;
}

/* in slices, so that a daemon that is told to stop does not sit here */
static int wait_link(struct grow_job *j, struct vw_link *ret_link)
{
	uint64_t deadline = vw_mono_ms() + LINK_WAIT_MS;
	int r;

	do {
		uint64_t slice = vw_mono_ms() + 500;

		r = vw_link_wait_mac(-1, &j->eni.mac, slice < deadline ? slice : deadline, ret_link, &j->link_err);
	} while (r == -ETIMEDOUT && vw_deadline_left(deadline) > 0 && !http_is_cancelled(j->cloud->http));
	return r;
}

/* @created stays set when something is left that could not be deleted, or when that could not be found out */
static void abandon(struct grow_job *j)
{
	int r = find_by_token(j);

	j->created = r != -ENOENT;
	if (r == 0)
		take_back(j);
	j->err = (struct ec2_error){ .kind = EC2_ATTACH_LIMIT };
	j->r = vw_err_set(&j->err.why, ENOSPC, VW_CNI_TRY_AGAIN, "no device index of this instance is free for another ENI");
}

static void create_eni(struct grow_job *j)
{
	struct vw_link link;

	if (j->abandon) {
		abandon(j);
		return;
	}
	j->r = know_subnet(j);
	if (j->r < 0)
		return;
	j->r = create_with_token(j);
	if (j->r < 0 && (j->resumed || j->err.kind == EC2_TOKEN_REUSED))
		look_for_earlier(j);
	if (j->r < 0)
		return;
	j->created = true;
	j->r = attach(j);
	if (j->r < 0) {
		if (!j->err.unknown)
			take_back(j);
		return;
	}
	j->attached = true;
	if (wait_link(j, &link) < 0)
		return;
	j->have_link = true;
	j->link.mac = link.mac;
	j->link.ifindex = link.ifindex;
	(void)VW_COPY(j->link.ifname, link.name);
}

static void assign(struct grow_job *j)
{
	const struct ec2_assign what = {
		.eni_id = j->eni_id,
		.family = AF_INET,
		.n_addrs = j->n_addrs,
		.n_prefixes = j->n_prefixes,
		.known = j->known,
		.n_known = j->n_known,
	};

	j->api = "AssignPrivateIpAddresses";
	j->r = ec2_assign(j->cloud->ec2, j->deadline_ms, &what, &j->assigned, &j->err);
}

static void assign6(struct grow_job *j)
{
	const struct ec2_assign what = { .eni_id = j->eni_id, .family = AF_INET6, .n_prefixes = 1 };

	j->api = "AssignIpv6Addresses";
	j->r = ec2_assign(j->cloud->ec2, j->deadline_ms, &what, &j->assigned, &j->err);
}

static void delete_eni(struct grow_job *j)
{
	j->api = "DetachNetworkInterface";
	if (j->attachment_id[0])
		j->r = ec2_detach(j->cloud->ec2, j->deadline_ms, j->attachment_id, false, &j->err);
	if (j->r < 0)
		return;
	j->detached = true;
	j->api = "DeleteNetworkInterface";
	/* detaching takes seconds on EC2's side and has no event that we could wait for */
	do {
		j->r = ec2_delete_eni(j->cloud->ec2, j->deadline_ms, j->eni_id, &j->err);
	} while (j->r < 0 && j->err.kind == EC2_IN_USE && vw_deadline_left(j->deadline_ms) > 0 &&
		 http_wait(j->cloud->http, 500) == 0);
}

void grow_job_work(void *job)
{
	struct grow_job *j = job;

	switch (j->kind) {
	case GROW_CREATE_ENI:
		create_eni(j);
		break;
	case GROW_ASSIGN:
		assign(j);
		break;
	case GROW_ASSIGN6:
		assign6(j);
		break;
	case GROW_UNASSIGN:
		j->api = "UnassignPrivateIpAddresses";
		j->r = ec2_unassign(j->cloud->ec2, j->deadline_ms, j->eni_id, j->known, j->n_known, &j->err);
		break;
	case GROW_DELETE_ENI:
		delete_eni(j);
		break;
	case GROW_TIE:
		j->r = ec2_delete_on_termination(j->cloud->ec2, j->deadline_ms, j->eni_id, j->attachment_id, true, &j->err);
		break;
	}
}

void grow_job_free(struct grow_job *j)
{
	if (!j)
		return;
	ec2_eni_done(&j->eni);
	free(j->known);
	free(j);
}
