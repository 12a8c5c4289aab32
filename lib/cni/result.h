#pragma once

#include "lib/base/ip.h"
#include "lib/cni/version.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_buf;
struct vw_err;
struct vw_json;

/** struct vw_cni_iface - texts are borrowed, NULL or "" = left out. @mtu: 0 = left out. */
struct vw_cni_iface {
	const char *name, *mac, *sandbox, *socket_path, *pci_id;
	unsigned int mtu;
};

/** struct vw_cni_ip - @address keeps its host bits. @gateway: family 0 = none. @iface: index, -1 = of none. */
struct vw_cni_ip {
	struct vw_cidr address;
	struct vw_ip gateway;
	int iface;
};

enum vw_cni_route_has { VW_CNI_ROUTE_TABLE = 1 << 0, VW_CNI_ROUTE_SCOPE = 1 << 1 };

/** struct vw_cni_route - @has: a table or scope of 0 is not the same as none. The other numbers: 0 = left out. */
struct vw_cni_route {
	struct vw_cidr dst;
	struct vw_ip gw;
	unsigned int has;
	uint32_t mtu, advmss, priority, table, scope;
};

/**
 * struct vw_cni_result - what an ADD hands on, in the shape of 1.1.0; printing brings it down to older versions.
 * Texts and @dns are borrowed and must outlive it. Start with VW_CNI_RESULT_INIT, end with vw_cni_result_done().
 */
struct vw_cni_result {
	struct vw_cni_iface *ifaces;
	struct vw_cni_ip *ips;
	struct vw_cni_route *routes;
	size_t n_ifaces, n_ips, n_routes;
	const struct vw_json *dns;
};

#define VW_CNI_RESULT_INIT { 0 }
#define vw_auto_cni_result __attribute__((cleanup(vw_cni_result_done)))

void vw_cni_result_done(struct vw_cni_result *r);
/** vw_cni_result_add_*() - append a copy. Return: its index, -ENOMEM. */
int vw_cni_result_add_iface(struct vw_cni_result *r, const struct vw_cni_iface *iface);
int vw_cni_result_add_ip(struct vw_cni_result *r, const struct vw_cni_ip *ip);
int vw_cni_result_add_route(struct vw_cni_result *r, const struct vw_cni_route *route);

/**
 * vw_cni_result_parse() - a prevResult of any version.
 * @j:       borrowed, must outlive the result. @version: the configuration's, used where @j names none.
 * @ret:     filled on success only.
 * Fails with VW_CNI_INVALID_CONFIG: wrong types, addresses that are none, an index that points nowhere.
 */
int vw_cni_result_parse(const struct vw_json *j, enum vw_cni_version version, struct vw_cni_result *ret,
			struct vw_err *err);
/** vw_cni_result_parse_of() - the same for the result of another plugin; @what names it in messages instead of "prevResult". */
int vw_cni_result_parse_of(const char *what, const struct vw_json *j, enum vw_cni_version version, struct vw_cni_result *ret,
			   struct vw_err *err);

/**
 * vw_cni_result_print() - append as JSON in the shape of @version.
 * What a version has no field for is left out. 0.1.0 and 0.2.0 hold one IPv4 and one IPv6 address and fail
 * (VW_CNI_INVALID_CONFIG) when there is none at all, as libcni's converter does.
 */
int vw_cni_result_print(const struct vw_cni_result *r, enum vw_cni_version version, struct vw_buf *buf,
			struct vw_err *err);
