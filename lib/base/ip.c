/* Address value types: text at the edge, bytes inside. Unused bytes stay zero: whole structs compare. */
#include "lib/base/ip.h"

#include "lib/base/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int vw_ip_parse(const char *text, struct vw_ip *ret_ip)
{
	struct vw_ip ip = {0};

	ip.family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(ip.family, text, ip.b) != 1)
		return -EINVAL;
	*ret_ip = ip;
	return 0;
}

int vw_cidr_parse(const char *text, struct vw_cidr *ret_cidr)
{
	const char *slash = strchr(text, '/');
	char addr[VW_IP_STRLEN];
	struct vw_cidr c = {0};
	uint64_t len;
	size_t n = slash ? (size_t)(slash - text) : strlen(text);

	if (n >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, text, n);
	addr[n] = '\0';
	if (vw_ip_parse(addr, &c.ip) < 0)
		return -EINVAL;
	len = vw_ip_bits(&c.ip);
	/* "/024" would be a second spelling of "/24"; Go's ParseCIDR refuses it too. */
	if (slash && ((slash[1] == '0' && slash[2]) || vw_parse_u64(slash + 1, 0, len, &len) < 0))
		return -EINVAL;
	c.len = (uint8_t)len;
	*ret_cidr = c;
	return 0;
}

static int hex_nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int vw_mac_parse(const char *text, struct vw_mac *ret_mac)
{
	struct vw_mac m;

	if (strlen(text) != VW_MAC_STRLEN - 1)
		return -EINVAL;
	for (unsigned int i = 0; i < 6; i++) {
		int hi = hex_nibble(text[3 * i]), lo = hex_nibble(text[3 * i + 1]);

		if (hi < 0 || lo < 0 || (i < 5 && text[3 * i + 2] != ':'))
			return -EINVAL;
		m.b[i] = (uint8_t)(hi << 4 | lo);
	}
	*ret_mac = m;
	return 0;
}

const char *vw_ip_str(const struct vw_ip *ip, char buf[VW_IP_STRLEN])
{
	if (!ip->family || !inet_ntop(ip->family, ip->b, buf, VW_IP_STRLEN))
		buf[0] = '\0';
	return buf;
}

const char *vw_cidr_str(const struct vw_cidr *c, char buf[VW_CIDR_STRLEN])
{
	char ip[VW_IP_STRLEN];

	if (!c->ip.family)
		buf[0] = '\0';
	else
		snprintf(buf, VW_CIDR_STRLEN, "%s/%u", vw_ip_str(&c->ip, ip), c->len);
	return buf;
}

const char *vw_mac_str(const struct vw_mac *m, char buf[VW_MAC_STRLEN])
{
	snprintf(buf, VW_MAC_STRLEN, "%02x:%02x:%02x:%02x:%02x:%02x", m->b[0], m->b[1], m->b[2], m->b[3],
		 m->b[4], m->b[5]);
	return buf;
}

bool vw_ip_is_any(const struct vw_ip *ip)
{
	static const uint8_t zero[sizeof(ip->b)];

	return !memcmp(ip->b, zero, sizeof(zero));
}

bool vw_ip_eq(const struct vw_ip *a, const struct vw_ip *b)
{
	return !memcmp(a, b, sizeof(*a));
}

int vw_ip_cmp(const struct vw_ip *a, const struct vw_ip *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, sizeof(a->b));
}

bool vw_mac_eq(const struct vw_mac *a, const struct vw_mac *b)
{
	return !memcmp(a, b, sizeof(*a));
}

bool vw_mac_is_zero(const struct vw_mac *m)
{
	static const struct vw_mac zero;

	return vw_mac_eq(m, &zero);
}

bool vw_cidr_eq(const struct vw_cidr *a, const struct vw_cidr *b)
{
	return a->len == b->len && vw_ip_eq(&a->ip, &b->ip);
}

struct vw_ip vw_ip4(uint32_t v)
{
	struct vw_ip ip = {.family = AF_INET};

	v = htonl(v);
	memcpy(ip.b, &v, sizeof(v));
	return ip;
}

uint32_t vw_ip4_u32(const struct vw_ip *ip)
{
	uint32_t v;

	if (ip->family != AF_INET)
		return 0;
	memcpy(&v, ip->b, sizeof(v));
	return ntohl(v);
}

unsigned int vw_ip_bits(const struct vw_ip *ip)
{
	switch (ip->family) {
	case AF_INET:
		return 32;
	case AF_INET6:
		return 128;
	default:
		return 0;
	}
}

struct vw_ip vw_ip_add(const struct vw_ip *ip, uint64_t n)
{
	struct vw_ip sum = *ip;
	uint64_t carry = 0;

	for (unsigned int i = vw_ip_bits(ip) / 8; i-- > 0;) {
		carry += sum.b[i] + (n & 0xff);
		sum.b[i] = (uint8_t)carry;
		carry >>= 8;
		n >>= 8;
	}
	return sum;
}

struct vw_cidr vw_cidr_of(const struct vw_ip *ip, unsigned int len)
{
	struct vw_cidr c = {.ip = *ip, .len = (uint8_t)len};

	return c;
}

struct vw_cidr vw_cidr_host(const struct vw_ip *ip)
{
	return vw_cidr_of(ip, vw_ip_bits(ip));
}

struct vw_cidr vw_cidr_masked(const struct vw_cidr *c)
{
	struct vw_cidr m = *c;

	for (unsigned int i = 0; i < sizeof(m.ip.b); i++) {
		unsigned int keep = c->len > 8 * i ? c->len - 8 * i : 0;

		if (keep < 8)
			m.ip.b[i] &= (uint8_t)(0xff00 >> keep);
	}
	return m;
}

bool vw_cidr_is_masked(const struct vw_cidr *c)
{
	struct vw_cidr m = vw_cidr_masked(c);

	return vw_cidr_eq(&m, c);
}

bool vw_cidr_has(const struct vw_cidr *c, const struct vw_ip *ip)
{
	struct vw_cidr net = vw_cidr_masked(c), of = vw_cidr_of(ip, c->len);

	of = vw_cidr_masked(&of);
	return vw_cidr_eq(&net, &of);
}

bool vw_cidr_covers(const struct vw_cidr *outer, const struct vw_cidr *inner)
{
	return inner->len >= outer->len && vw_cidr_has(outer, &inner->ip);
}

bool vw_cidr_overlaps(const struct vw_cidr *a, const struct vw_cidr *b)
{
	return vw_cidr_covers(a, b) || vw_cidr_covers(b, a);
}
