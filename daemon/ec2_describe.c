/*
 * Reads. Lists are followed over all pages; a list that is longer than the caller allows is a failure,
 * because acting on a part of it (say, deleting what is not in it) would be wrong.
 */
#include "daemon/ec2_priv.h"
#include "lib/base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PAGES 100
#define MAX_ITEMS 2000
#define PAGE "1000" /* the most that EC2 allows */
#define IDS_PER_CALL 100

/**
 * struct list - a paged read in progress.
 * @item_size: bytes of an element of @v; @parse: reads one item into a zeroed element.
 */
struct list {
	const char *set;
	size_t item_size;
	void (*parse)(struct xml_in *in, const struct xml_node *item, void *ret);
	char *v;
	size_t n, max;
	size_t page_start; /* where the present page began: a page that is read again replaces itself */
	void (*item_done)(void *item);
	char next[1024];
};

static void list_drop_page(struct list *l)
{
	while (l->n > l->page_start) {
		l->n--;
		if (l->item_done)
			l->item_done(l->v + l->n * l->item_size);
	}
}

static void list_done(struct list *l)
{
	l->page_start = 0;
	list_drop_page(l);
	free(l->v);
	l->v = NULL;
}

static void parse_page(struct xml_in *in, const struct xml_node *root, void *ret)
{
	struct list *l = ret;
	const struct xml_node *set = xml_child(root, l->set), *i;
	size_t count = 0;
	char *v;

	list_drop_page(l);
	if (!set) {
		(void)xml_fail(in, root, "<%s> is missing", l->set);
		return;
	}
	for (i = xml_child(set, "item"); i; i = xml_next(i))
		count++;
	if (count > l->max - l->n) {
		(void)xml_fail(in, root, "<%s> holds more than the %zu entries expected", l->set, l->max);
		return;
	}
	v = realloc(l->v, (l->n + count + 1) * l->item_size);
	if (!v) {
		(void)xml_fail(in, root, "out of memory");
		return;
	}
	l->v = v;
	for (i = xml_child(set, "item"); i && in->r == 0; i = xml_next(i)) {
		memset(l->v + l->n * l->item_size, 0, l->item_size);
		l->parse(in, i, l->v + l->n * l->item_size);
		l->n++; /* also a half-read one, so that it is freed */
	}
	l->next[0] = 0;
	(void)xml_str(in, root, "nextToken", XML_MAY, l->next, sizeof(l->next));
}

/* All pages of one query. With @ids the answer comes whole: ids and page sizes exclude each other. */
static int read_pages(struct ec2 *e, uint64_t deadline_ms, enum ec2_action action, const char *id_param,
		      const char *const *ids, size_t n_ids, const struct ec2_find *what, struct list *l,
		      struct ec2_error *err)
{
	for (unsigned int page = 0; page < MAX_PAGES; page++) {
		vw_auto_query struct ec2_query q = { .action = action, .repeat = true };
		int r;

		for (size_t i = 0; i < n_ids; i++)
			ec2_param_nth(&q, id_param, i, "", ids[i]);
		for (size_t i = 0; i < what->n_filters; i++)
			ec2_param_filter(&q, i, what->filters[i].key, what->filters[i].value);
		if (!n_ids)
			ec2_param(&q, "MaxResults", PAGE);
		if (page)
			ec2_param(&q, "NextToken", l->next);
		l->page_start = l->n;
		r = ec2_send(e, deadline_ms, &q, parse_page, l, err);
		if (r < 0 || !l->next[0])
			return r;
	}
	*err = (struct ec2_error){ 0 };
	return ec2_error_fill(err, EC2_PROTOCOL, action, "the list has no end");
}

static int read_list(struct ec2 *e, uint64_t deadline_ms, enum ec2_action action, const char *id_param,
		     const struct ec2_find *what, struct list *l, struct ec2_error *err)
{
	size_t done = 0;
	int r;

	l->max = what->max ? what->max : MAX_ITEMS;
	do {
		size_t n = what->n_ids - done;

		if (n > IDS_PER_CALL)
			n = IDS_PER_CALL;
		/* without ids there is no array to be somewhere in */
		r = read_pages(e, deadline_ms, action, id_param, n ? what->ids + done : NULL, n, what, l, err);
		done += n;
	} while (r == 0 && done < what->n_ids);
	if (r < 0)
		list_done(l);
	return r;
}

static void parse_eni_item(struct xml_in *in, const struct xml_node *item, void *ret)
{
	ec2_parse_eni(in, item, ret);
}

static void eni_item_done(void *item)
{
	ec2_eni_done(item);
}

int ec2_describe_enis(struct ec2 *e, uint64_t deadline_ms, const struct ec2_find *what, struct ec2_enis *ret,
		      struct ec2_error *err)
{
	struct list l = {
		.set = "networkInterfaceSet",
		.item_size = sizeof(struct ec2_eni),
		.parse = parse_eni_item,
		.item_done = eni_item_done,
	};
	int r;

	r = read_list(e, deadline_ms, EC2_DESCRIBE_NETWORK_INTERFACES, "NetworkInterfaceId", what, &l, err);
	if (r == 0)
		*ret = (struct ec2_enis){ (struct ec2_eni *)(void *)l.v, l.n };
	return r;
}

static void parse_nothing(struct xml_in *in, const struct xml_node *item, void *ret)
{
	(void)in;
	(void)item;
	(void)ret;
}

int ec2_count_enis(struct ec2 *e, uint64_t deadline_ms, const struct ec2_find *what, size_t *ret_n,
		   struct ec2_error *err)
{
	struct list l = { .set = "networkInterfaceSet", .item_size = 1, .parse = parse_nothing };
	struct ec2_find many = *what;
	int r;

	many.max = SIZE_MAX / 2;        /* a byte each */
	r = read_list(e, deadline_ms, EC2_DESCRIBE_NETWORK_INTERFACES, "NetworkInterfaceId", &many, &l, err);
	if (r < 0)
		return r;
	*ret_n = l.n;
	list_done(&l);
	return 0;
}

int ec2_describe_eni(struct ec2 *e, uint64_t deadline_ms, const char *eni_id, struct ec2_eni *ret_eni,
		     struct ec2_error *err)
{
	const struct ec2_find find = { .ids = &eni_id, .n_ids = 1 };
	struct ec2_enis l = { 0 };
	int r;

	r = ec2_describe_enis(e, deadline_ms, &find, &l, err);
	if (r < 0)
		return r;
	if (l.n == 1 && !strcmp(l.v[0].id, eni_id)) {
		*ret_eni = l.v[0];
		free(l.v);
		return 0;
	}
	ec2_enis_done(&l);
	*err = (struct ec2_error){ 0 };
	return ec2_error_fill(err, EC2_PROTOCOL, EC2_DESCRIBE_NETWORK_INTERFACES,
			      "the answer is about another interface");
}

int ec2_describe_own_enis(struct ec2 *e, uint64_t deadline_ms, struct ec2_enis *ret, struct ec2_error *err)
{
	const struct ec2_kv filter = { "attachment.instance-id", ec2_instance_id(e) };
	const struct ec2_find find = { .filters = &filter, .n_filters = 1 };

	return ec2_describe_enis(e, deadline_ms, &find, ret, err);
}

static void parse_subnet_item(struct xml_in *in, const struct xml_node *item, void *ret)
{
	ec2_parse_subnet(in, item, ret);
}

int ec2_describe_subnets(struct ec2 *e, uint64_t deadline_ms, const struct ec2_find *what,
			 struct ec2_subnets *ret, struct ec2_error *err)
{
	struct list l = {
		.set = "subnetSet",
		.item_size = sizeof(struct ec2_subnet),
		.parse = parse_subnet_item,
	};
	int r;

	r = read_list(e, deadline_ms, EC2_DESCRIBE_SUBNETS, "SubnetId", what, &l, err);
	if (r == 0)
		*ret = (struct ec2_subnets){ (struct ec2_subnet *)(void *)l.v, l.n };
	return r;
}

/* The one item that an answer to a question about one id must hold. */
static int read_one(struct ec2 *e, uint64_t deadline_ms, enum ec2_action action, const char *id_param,
		    const char *id, struct list *l, void *ret, struct ec2_error *err)
{
	const struct ec2_find find = { .ids = &id, .n_ids = 1, .max = 1 };
	int r;

	r = read_list(e, deadline_ms, action, id_param, &find, l, err);
	if (r < 0)
		return r;
	if (l->n == 1) {
		memcpy(ret, l->v, l->item_size);
	} else {
		char why[100];

		(void)snprintf(why, sizeof(why), "there is no '%.60s'", id);
		*err = (struct ec2_error){ 0 };
		r = ec2_error_fill(err, EC2_NOT_FOUND, action, why);
	}
	list_done(l);
	return r;
}

static void parse_limits_item(struct xml_in *in, const struct xml_node *item, void *ret)
{
	ec2_parse_limits(in, item, ret);
}

int ec2_describe_limits(struct ec2 *e, uint64_t deadline_ms, const char *instance_type,
			struct ec2_limits *ret, struct ec2_error *err)
{
	struct list l = {
		.set = "instanceTypeSet",
		.item_size = sizeof(struct ec2_limits),
		.parse = parse_limits_item,
	};

	return read_one(e, deadline_ms, EC2_DESCRIBE_INSTANCE_TYPES, "InstanceType", instance_type, &l, ret,
			err);
}

static void parse_vpc_item(struct xml_in *in, const struct xml_node *item, void *ret)
{
	ec2_parse_vpc(in, item, ret);
}

int ec2_describe_vpc(struct ec2 *e, uint64_t deadline_ms, const char *vpc_id, struct ec2_vpc *ret,
		     struct ec2_error *err)
{
	struct list l = {
		.set = "vpcSet",
		.item_size = sizeof(struct ec2_vpc),
		.parse = parse_vpc_item,
	};

	return read_one(e, deadline_ms, EC2_DESCRIBE_VPCS, "VpcId", vpc_id, &l, ret, err);
}
