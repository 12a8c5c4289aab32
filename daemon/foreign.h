// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/ec2.h"
#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct daemon;
struct survey;
struct vw_err;

/**
 * DOC: ENIs on this instance that are not ours to use
 *
 * Trunks, EFA interfaces, what is tagged as others' or as nobody's to manage: place_use() tells them by tags and types, which only EC2 knows.
 * Metadata shows them like any other. So what EC2 said of them is kept, over surveys that it does not answer and in the store over restarts,
 * until it says something else; without that, an outage of EC2 would give pods the addresses of others.
 */

/** struct foreign_eni - @trunk: carries branch ENIs. @other_card: on a card that is not used, and so counted against no limit of ours. */
struct foreign_eni {
	char id[EC2_ID_LEN];
	struct vw_mac mac;
	uint32_t card, device;
	bool trunk, other_card;
};

/** struct foreign - @v: owned. */
struct foreign {
	struct foreign_eni *v;
	size_t n;
};

/** foreign_told() - EC2 has answered: what it shows that is not ours is known from now on, and nothing else is; ENIs of ours among it are left alone. */
void foreign_told(struct daemon *d, const struct survey *s);
/** foreign_shows() - @e, as EC2 shows it, is not ours, by the settings of now. */
bool foreign_shows(const struct daemon *d, const struct ec2_eni *e);
/** foreign_is() - EC2 said that @eni_id is not ours. */
bool foreign_is(const struct daemon *d, const char *eni_id);
/** foreign_restore() - what the store has of it; after the ENIs. A damaged record is no failure: EC2 is asked soon. Return: 0, -errno. */
int foreign_restore(struct daemon *d, struct vw_err *err);
void foreign_done(struct foreign *f);
