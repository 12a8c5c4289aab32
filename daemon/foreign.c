// SPDX-License-Identifier: Apache-2.0
/* One JSON array in the store's meta table; the figures that others work with (struct eni_table) follow from the list, see count_places(). */
#include "daemon/foreign.h"

#include "daemon/cloud.h"
#include "daemon/daemon.h"
#include "daemon/place.h"
#include "daemon/store.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <stdlib.h>
#include <string.h>

#define META_FOREIGN "foreign_enis"

void foreign_done(struct foreign *f)
{
	free(f->v);
	*f = (struct foreign){ 0 };
}

static enum place_use use_of(const struct daemon *d, const struct ec2_eni *e)
{
	const struct place_rules rules = {
		.instance_id = d->node.instance_id,
		.manage_untagged = d->cfg->manage_untagged_eni,
		.multi_nic = d->cfg->multi_nic,
	};

	return place_use(e, &rules);
}

bool foreign_shows(const struct daemon *d, const struct ec2_eni *e)
{
	return use_of(d, e) != PLACE_OURS;
}

bool foreign_is(const struct daemon *d, const char *eni_id)
{
	for (size_t i = 0; i < d->enis.foreign.n; i++)
		if (!strcmp(d->enis.foreign.v[i].id, eni_id))
			return true;
	return false;
}

/* what they take of the node's places */
static void count_places(struct daemon *d)
{
	struct eni_table *t = &d->enis;

	t->n_unmanaged = 0;
	t->trunk_mac = (struct vw_mac){ 0 };
	t->unmanaged = (struct cards){ 0 };
	for (size_t i = 0; i < t->foreign.n; i++) {
		const struct foreign_eni *f = &t->foreign.v[i];

		if (f->trunk)
			t->trunk_mac = f->mac;
		/* one that pods still use is in the pool, and counted there */
		if (eni_by_id(d, f->id))
			continue;
		/* a card that is not used has limits of its own */
		t->n_unmanaged += !f->other_card && (!f->card || d->cfg->multi_nic);
		cards_take(&t->unmanaged, f->card, f->device);
	}
}

static struct vw_json *to_json(const struct foreign *f)
{
	struct vw_json *all = vw_json_new_array();
	char mac[VW_MAC_STRLEN];
	int failed = 0;

	for (size_t i = 0; i < f->n; i++) {
		const struct foreign_eni *e = &f->v[i];
		struct vw_json *o = vw_json_new_object();

		failed |= vw_json_set_str(o, "id", e->id) | vw_json_set_str(o, "mac", vw_mac_str(&e->mac, mac)) |
			  vw_json_set_int(o, "card", e->card) | vw_json_set_int(o, "device", e->device) |
			  vw_json_set_bool(o, "trunk", e->trunk) | vw_json_set_bool(o, "other_card", e->other_card);
		failed |= vw_json_append(all, o);
	}
	return vw_json_whole(all, failed);
}

static void save(struct daemon *d)
{
	vw_auto_json struct vw_json *all = to_json(&d->enis.foreign);
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	struct vw_err err;
	int r;

	if (!all || vw_json_print(all, 0, &text) < 0)
		r = vw_err_set(&err, ENOMEM, 0, "no memory for the list");
	else
		r = store_meta_put(d->store, META_FOREIGN, vw_buf_str(&text), &err);
	if (r < 0)
		vw_warn("ENIs that are not ours could not be recorded, ignoring", "err=\"%s\"", err.msg);
}

static bool is_same(const struct foreign *a, const struct foreign *b)
{
	for (size_t i = 0; a->n == b->n && i < a->n; i++) {
		const struct foreign_eni *x = &a->v[i], *y = &b->v[i];

		if (strcmp(x->id, y->id) || !vw_mac_eq(&x->mac, &y->mac) || x->card != y->card || x->device != y->device ||
		    x->trunk != y->trunk || x->other_card != y->other_card)
			return false;
	}
	return a->n == b->n;
}

void foreign_told(struct daemon *d, const struct survey *s)
{
	struct foreign fresh = { .v = calloc(s->ec2_enis.n + 1, sizeof(*fresh.v)) };

	if (!fresh.v) {
		vw_warn("no memory for the ENIs that are not ours, going on with those that are known");
		return;
	}
	for (size_t i = 0; i < s->ec2_enis.n; i++) {
		const struct ec2_eni *e = &s->ec2_enis.v[i];
		enum place_use use = use_of(d, e);
		struct foreign_eni *f = &fresh.v[fresh.n];

		if (use == PLACE_OURS)
			continue;
		*f = (struct foreign_eni){
			.mac = e->mac, .card = e->attachment.card, .device = e->attachment.device,
			.trunk = use == PLACE_TRUNK, .other_card = use == PLACE_OTHER_CARD,
		};
		(void)VW_COPY(f->id, e->id);
		fresh.n++;
		if (!foreign_is(d, e->id))
			vw_info("an ENI is not ours to use", "eni=%s card=%u device=%u why=\"%s\"", e->id, f->card, f->device,
				place_use_str(use));
		eni_leave_alone(d, e->id);
	}
	if (is_same(&d->enis.foreign, &fresh)) {
		foreign_done(&fresh);
	} else {
		foreign_done(&d->enis.foreign);
		d->enis.foreign = fresh;
		save(d);
	}
	count_places(d);
}

/* Return: 0, -EBADMSG */
static int of_json(const struct vw_json *o, struct foreign_eni *ret)
{
	const char *id = vw_json_string(vw_json_get(o, "id")), *mac = vw_json_string(vw_json_get(o, "mac"));
	int64_t card = 0, device = 0;
	struct vw_err ignored;

	if (!id || !mac || vw_fmt(ret->id, sizeof(ret->id), "%s", id) < 0 || vw_mac_parse(mac, &ret->mac) < 0 ||
	    vw_json_get_int(o, "card", 0, UINT16_MAX, &card, &ignored) < 0 ||
	    vw_json_get_int(o, "device", 0, UINT16_MAX, &device, &ignored) < 0 ||
	    vw_json_get_bool(o, "trunk", &ret->trunk, &ignored) < 0 || vw_json_get_bool(o, "other_card", &ret->other_card, &ignored) < 0)
		return -EBADMSG;
	ret->card = (uint32_t)card;
	ret->device = (uint32_t)device;
	return 0;
}

int foreign_restore(struct daemon *d, struct vw_err *err)
{
	vw_auto_json struct vw_json *all = NULL;
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	struct foreign f = { 0 };
	int r = store_meta_get(d->store, META_FOREIGN, &text, err);

	if (r <= 0)
		return r;
	r = vw_json_parse(vw_buf_str(&text), text.len, NULL, "the recorded ENIs of others", &all, err);
	f.v = r == 0 ? calloc(vw_json_len(all) + 1, sizeof(*f.v)) : NULL;
	if (r == 0 && !f.v)
		return vw_err_set(err, ENOMEM, 0, "no memory for the recorded ENIs of others");
	for (; r == 0 && f.n < vw_json_len(all); f.n++)
		r = of_json(vw_json_at(all, f.n), &f.v[f.n]);
	if (r < 0) {
		vw_warn("the recorded ENIs of others are damaged, asking EC2");
		foreign_done(&f);
		return 0;
	}
	d->enis.foreign = f;
	count_places(d);
	return 0;
}
