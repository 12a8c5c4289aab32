#pragma once

#include <stddef.h>
#include <stdint.h>

/** DOC: digests, from nettle. Used for host veth names (SHA-1, aws-node's), ClientTokens and SigV4 (SHA-256). */
#define VW_SHA1_HEXLEN 41
#define VW_SHA256_LEN 32
#define VW_SHA256_HEXLEN 65

void vw_sha1_hex(const void *data, size_t len, char ret_hex[VW_SHA1_HEXLEN]);
void vw_sha256(const void *data, size_t len, uint8_t ret_digest[VW_SHA256_LEN]);
void vw_sha256_hex(const void *data, size_t len, char ret_hex[VW_SHA256_HEXLEN]);
void vw_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, uint8_t ret_mac[VW_SHA256_LEN]);
void vw_hex(const uint8_t *data, size_t len, char *ret_hex);    /* 2 * len + 1 bytes, lower case */
