#pragma once

#include "lib/base/ip.h"

#include <stddef.h>
#include <stdint.h>

struct http;
struct vw_buf;
struct vw_err;

/**
 * DOC: instance metadata, version 2
 *
 * A session token is fetched with the first read, kept for its life (six hours) and replaced once when the
 * service answers 401. 404 means "not there" and is no error. 5xx and lost connections are tried three times.
 * Everything blocks up to a deadline (vw_mono_ms scale) and may be called from several threads; the token is
 * behind a mutex. What IMDS says lags EC2 by seconds: never remove anything on its word alone.
 */
struct imds;

#define IMDS_ID_LEN 64                  /* also the longest line of a list: an IPv6 block has 43 characters */
#define IMDS_MAX_MACS 128               /* network interfaces of an instance; 15 on most large types, 60 and more on those with several cards */
#define IMDS_MAX_ADDRS 64               /* per interface: at most 50 addresses, or 49 prefixes */
#define IMDS_MAX_CIDRS 32
#define IMDS_MAX_GROUPS 16

/**
 * struct imds_identity - who this instance is.
 * @domain: services/domain, "amazonaws.com" when absent. @primary_mac: the MAC of device 0.
 */
struct imds_identity {
	char instance_id[IMDS_ID_LEN];
	char instance_type[IMDS_ID_LEN];
	char az[IMDS_ID_LEN];
	char region[IMDS_ID_LEN];
	char domain[64];
	struct vw_mac primary_mac;
	struct vw_ip local_ipv4;        /* family 0 on an IPv6-only instance */
};

/**
 * struct imds_eni - one interface as IMDS shows it. Lists hold IPv4 before IPv6 only where a name says
 * neither.
 * @card: 0 when absent, as on types with one card. @ipv4: the primary first.
 */
struct imds_eni {
	char id[IMDS_ID_LEN];
	char subnet_id[IMDS_ID_LEN];
	char vpc_id[IMDS_ID_LEN];
	char owner_id[IMDS_ID_LEN];
	struct vw_mac mac;
	uint32_t device;
	uint32_t card;
	struct vw_cidr subnet4;         /* family 0: none */
	struct vw_cidr subnet6[IMDS_MAX_CIDRS];
	size_t n_subnet6;
	struct vw_cidr vpc4[IMDS_MAX_CIDRS];
	size_t n_vpc4;
	struct vw_cidr vpc6[IMDS_MAX_CIDRS];
	size_t n_vpc6;
	struct vw_ip ipv4[IMDS_MAX_ADDRS];
	size_t n_ipv4;
	struct vw_ip ipv6[IMDS_MAX_ADDRS];
	size_t n_ipv6;
	struct vw_cidr prefix4[IMDS_MAX_ADDRS];
	size_t n_prefix4;
	struct vw_cidr prefix6[IMDS_MAX_ADDRS];
	size_t n_prefix6;
	char groups[IMDS_MAX_GROUPS][IMDS_ID_LEN];
	size_t n_groups;
};

#define IMDS_DEFAULT_ENDPOINT "http://169.254.169.254"

/**
 * imds_new() - no I/O yet.
 * @endpoint: copied; NULL or "" = AWS's. The caller takes it from AWS_EC2_METADATA_SERVICE_ENDPOINT. A
 *            trailing '/' is accepted.
 * @http: borrowed, must outlive the imds.
 */
int imds_new(const char *endpoint, struct http *http, struct imds **ret_imds, struct vw_err *err);
void imds_free(struct imds *m);

/**
 * imds_get() - read one path under /latest/ ("meta-data/instance-id") into @ret (reset first, at most 64
 * KiB).
 * Return: 1 = found, 0 = absent (404), -errno.
 */
int imds_get(struct imds *m, const char *path, uint64_t deadline_ms, struct vw_buf *ret, struct vw_err *err);
int imds_identity(struct imds *m, uint64_t deadline_ms, struct imds_identity *ret_id, struct vw_err *err);
/** imds_macs() - MACs of the attached interfaces. @ret_macs: IMDS_MAX_MACS entries. Return: 0, -errno. */
int imds_macs(struct imds *m, uint64_t deadline_ms, struct vw_mac *ret_macs, size_t *ret_n,
	      struct vw_err *err);
/**
 * imds_eni() - all that IMDS knows about one interface; about twelve reads on one connection.
 * Return: 1 = found, 0 = no such MAC (or it went away in between), -errno.
 */
int imds_eni(struct imds *m, const struct vw_mac *mac, uint64_t deadline_ms, struct imds_eni *ret_eni,
	     struct vw_err *err);

/**
 * imds_vpc_ranges() - the VPC's IPv4 ranges, as the interface @mac tells them, in one read.
 * @ret: IMDS_MAX_CIDRS entries. Return: 0 (also with none), -errno.
 */
int imds_vpc_ranges(struct imds *m, const struct vw_mac *mac, uint64_t deadline_ms, struct vw_cidr *ret, size_t *ret_n, struct vw_err *err);

/* Parsers of single answers, for tests and fuzzing. @what names the path in messages. Return: 0, -EBADMSG. */
int imds_parse_macs(const char *text, struct vw_mac *ret_macs, size_t *ret_n, struct vw_err *err);
int imds_parse_ips(const char *text, const char *what, int family, struct vw_ip *ret, size_t max,
		   size_t *ret_n, struct vw_err *err);
int imds_parse_cidrs(const char *text, const char *what, int family, struct vw_cidr *ret, size_t max,
		     size_t *ret_n, struct vw_err *err);
