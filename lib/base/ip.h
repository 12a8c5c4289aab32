#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * DOC: address value types
 *
 * Text exists only at the edges (JSON, XML, logs). Inside, an address is a struct vw_ip, a network a
 * struct vw_cidr, a hardware address a struct vw_mac. All are compared by value and may be copied freely; unused
 * bytes are zero, so memcmp() and hashing of whole structs work.
 */

/**
 * struct vw_ip - an IPv4 or IPv6 address.
 * @family: AF_INET, AF_INET6 or 0 (none).
 * @b:      network byte order; IPv4 uses b[0..3], the rest is zero.
 */
struct vw_ip {
	uint8_t family;
	uint8_t b[16];
};

/** struct vw_cidr - @ip with @len leading bits that count. Host bits may be set: see vw_cidr_masked(). */
struct vw_cidr {
	struct vw_ip ip;
	uint8_t len;
};

struct vw_mac {
	uint8_t b[6];
};

#define VW_IP_STRLEN 46         /* INET6_ADDRSTRLEN */
#define VW_CIDR_STRLEN 50       /* VW_IP_STRLEN + "/128" */
#define VW_MAC_STRLEN 18

/** vw_ip_parse() - strict inet_pton of either family. Return: 0, -EINVAL. */
int vw_ip_parse(const char *text, struct vw_ip *ret_ip);
/** vw_cidr_parse() - "a.b.c.d/n" or "x::y/n"; without "/n" the full length. Return: 0, -EINVAL. */
int vw_cidr_parse(const char *text, struct vw_cidr *ret_cidr);
/** vw_mac_parse() - six pairs of hex digits joined by ':'. Return: 0, -EINVAL. */
int vw_mac_parse(const char *text, struct vw_mac *ret_mac);

/** vw_ip_str(), vw_cidr_str(), vw_mac_str() - text into @buf (VW_*_STRLEN bytes), which is returned. */
const char *vw_ip_str(const struct vw_ip *ip, char buf[VW_IP_STRLEN]);
const char *vw_cidr_str(const struct vw_cidr *c, char buf[VW_CIDR_STRLEN]);
const char *vw_mac_str(const struct vw_mac *m, char buf[VW_MAC_STRLEN]);

/** vw_ip_is_any() - 0.0.0.0 or ::, or none at all. */
bool vw_ip_is_any(const struct vw_ip *ip);
bool vw_ip_eq(const struct vw_ip *a, const struct vw_ip *b);
/** vw_ip_cmp() - order by family, then by bytes. */
int vw_ip_cmp(const struct vw_ip *a, const struct vw_ip *b);
bool vw_mac_eq(const struct vw_mac *a, const struct vw_mac *b);
bool vw_mac_is_zero(const struct vw_mac *m);
bool vw_cidr_eq(const struct vw_cidr *a, const struct vw_cidr *b);

/** vw_ip4() - from host-order @v. vw_ip4_u32() - the reverse, 0 for other families. */
struct vw_ip vw_ip4(uint32_t v);
uint32_t vw_ip4_u32(const struct vw_ip *ip);
/** vw_ip_bits() - 32, 128 or 0. */
unsigned int vw_ip_bits(const struct vw_ip *ip);
/** vw_ip_add() - @ip plus @n, carrying through all bytes; wraps at the end of the family's space. */
struct vw_ip vw_ip_add(const struct vw_ip *ip, uint64_t n);

/** vw_cidr_of() - @ip with @len. */
struct vw_cidr vw_cidr_of(const struct vw_ip *ip, unsigned int len);
/** vw_cidr_host() - @ip as a /32 or /128. */
struct vw_cidr vw_cidr_host(const struct vw_ip *ip);
/** vw_cidr_masked() - @c with host bits cleared. */
struct vw_cidr vw_cidr_masked(const struct vw_cidr *c);
bool vw_cidr_is_masked(const struct vw_cidr *c);
bool vw_cidr_has(const struct vw_cidr *c, const struct vw_ip *ip);
/** vw_cidr_covers() - every address of @inner is in @outer. */
bool vw_cidr_covers(const struct vw_cidr *outer, const struct vw_cidr *inner);
/** vw_cidr_overlaps() - the two share at least one address. */
bool vw_cidr_overlaps(const struct vw_cidr *a, const struct vw_cidr *b);
