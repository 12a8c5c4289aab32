#pragma once

#include "daemon/attach.h"

/* What attach.c and attach_restore.c share; nobody else includes this. */

/** attach_new() - in no place yet. Return: NULL when out of memory or when the key is too long for the pool. */
struct attachment *attach_new(const struct store_attachment *row);
/** attach_booked() - @row with only those addresses that pool and /80s keep books on. */
struct store_attachment attach_booked(const struct store_attachment *row);
/** attach_table_add() - owned by the table from here on. Return: 0, -ENOMEM. attach_table_del() - the caller's again. */
int attach_table_add(struct daemon *d, struct attachment *a, struct vw_err *err);
void attach_table_del(struct daemon *d, struct attachment *a);
/** attach_slot_clear() - nothing that comes from the slot gets through. What fails is logged. */
void attach_slot_clear(struct daemon *d, unsigned int slot);
