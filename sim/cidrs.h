/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "sim/model.h"

/* struct sim_cidrs and struct sim_tags as growing arrays. All zero = empty. Return: 0, -ENOMEM. */
int sim_cidrs_add(struct sim_cidrs *s, const struct vw_cidr *c);
/** sim_cidrs_del() - keeps the order of the rest. Return: true if @c was there. */
bool sim_cidrs_del(struct sim_cidrs *s, const struct vw_cidr *c);
bool sim_cidrs_has(const struct sim_cidrs *s, const struct vw_cidr *c);
/** sim_cidrs_holds() - @ip is one of the addresses or inside one of the networks. */
bool sim_cidrs_holds(const struct sim_cidrs *s, const struct vw_ip *ip);
void sim_cidrs_done(struct sim_cidrs *s);

/** sim_tags_set() - add or overwrite. Return: 0, -ENOMEM, -ENAMETOOLONG. */
int sim_tags_set(struct sim_tags *t, const char *key, const char *value);
/** sim_tags_unset() - @value NULL: whatever it is. Return: true if there was such a tag. */
bool sim_tags_unset(struct sim_tags *t, const char *key, const char *value);
const char *sim_tags_get(const struct sim_tags *t, const char *key);
/** sim_tags_set_all() - every tag of @from. */
int sim_tags_set_all(struct sim_tags *t, const struct sim_tags *from);
void sim_tags_done(struct sim_tags *t);
