/* Digests: nettle's, behind functions that hold no state. */
#include "lib/crypto/crypto.h"

#include <nettle/hmac.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>

_Static_assert(VW_SHA256_LEN == SHA256_DIGEST_SIZE, "digest length");

void vw_hex(const uint8_t *data, size_t len, char *ret_hex)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*ret_hex++ = digits[data[i] >> 4];
		*ret_hex++ = digits[data[i] & 15];
	}
	*ret_hex = '\0';
}

void vw_sha1_hex(const void *data, size_t len, char ret_hex[VW_SHA1_HEXLEN])
{
	uint8_t digest[SHA1_DIGEST_SIZE];
	struct sha1_ctx ctx;

	sha1_init(&ctx);
	sha1_update(&ctx, len, data);
	sha1_digest(&ctx, sizeof(digest), digest);
	vw_hex(digest, sizeof(digest), ret_hex);
}

void vw_sha256(const void *data, size_t len, uint8_t ret_digest[VW_SHA256_LEN])
{
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, len, data);
	sha256_digest(&ctx, VW_SHA256_LEN, ret_digest);
}

void vw_sha256_hex(const void *data, size_t len, char ret_hex[VW_SHA256_HEXLEN])
{
	uint8_t digest[VW_SHA256_LEN];

	vw_sha256(data, len, digest);
	vw_hex(digest, sizeof(digest), ret_hex);
}

void vw_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
		    uint8_t ret_mac[VW_SHA256_LEN])
{
	struct hmac_sha256_ctx ctx;

	hmac_sha256_set_key(&ctx, key_len, key);
	hmac_sha256_update(&ctx, len, data);
	hmac_sha256_digest(&ctx, VW_SHA256_LEN, ret_mac);
}
