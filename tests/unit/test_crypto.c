/* Digests against published vectors: FIPS 180 examples, RFC 4231, and aws-node's way to name a host veth. */
#include "lib/crypto/crypto.h"
#include "tests/unit/cm.h"

#include <string.h>

static void sha(void **state)
{
	char one[VW_SHA1_HEXLEN], two[VW_SHA256_HEXLEN];

	vw_sha1_hex("abc", 3, one);
	assert_string_equal(one, "a9993e364706816aba3e25717850c26c9cd0d89d");
	vw_sha1_hex("", 0, one);
	assert_string_equal(one, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
	vw_sha256_hex("abc", 3, two);
	assert_string_equal(two, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	vw_sha256_hex("", 0, two);
	assert_string_equal(two, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void hmac(void **state)
{
	uint8_t mac[VW_SHA256_LEN], key[131];
	char text[VW_SHA256_HEXLEN];

	vw_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac); /* RFC 4231, case 2 */
	vw_hex(mac, sizeof(mac), text);
	assert_string_equal(text, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key)); /* case 6: key longer than a block */
	vw_hmac_sha256(key, sizeof(key), "Test Using Larger Than Block-Size Key - Hash Key First", 54, mac);
	vw_hex(mac, sizeof(mac), text);
	assert_string_equal(text, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(sha), cmocka_unit_test(hmac)};

	return cmocka_run_group_tests_name("crypto", tests, NULL, NULL);
}
