#pragma once

struct store_adopted;
struct store_branch;

/*
 * What an attachment has beside its addresses, as the text of one column of the store: words with a space between, "" = it has none.
 * The text is the caller's, of STORE_TEXT_MAX bytes; reading it cuts it into words. Return: 0, -EBADMSG.
 */
#define STORE_TEXT_MAX 128

/** "<vlan> <mac> <gateway, or -> <trunk's index> <mode>" */
void store_branch_text(const struct store_branch *b, char ret[STORE_TEXT_MAX]);
int store_branch_of_text(char *text, struct store_branch *ret);
/** "<index> <mac> <mtu>" */
void store_adopted_text(const struct store_adopted *a, char ret[STORE_TEXT_MAX]);
int store_adopted_of_text(char *text, struct store_adopted *ret);
