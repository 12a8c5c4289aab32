#pragma once

#include "lib/base/ip.h"
#include "lib/rpc/rpc.h"

#include <stddef.h>

struct vw_buf;
struct vw_err;

/**
 * DOC: aws-node's checkpoint, ipam.json
 *
 * {"version":"vpc-cni-ipam/1","allocations":[{"networkName","containerID","ifName","ipv4" or "ipv6","allocationTimestamp",
 * "metadata":{"k8sPodNamespace","k8sPodName","interfacesCount"}}]}. Source: amazon-vpc-cni-k8s, pkg/ipamd/datastore/data_store.go (v1.23).
 */
#define AWS_IPAM_PATH "/var/run/aws-node/ipam.json"
#define AWS_IPAM_NETWORK "aws-cni"      /* networkName: the name in its conflist */

/** struct aws_alloc - who has @addr, of one family: aws-node has no dual stack. @key.ifname: "eth0" also where releases before 1.8 did not know it. */
struct aws_alloc {
	struct vw_attach_key key;
	char pod_namespace[VW_ID_MAX], pod_name[VW_ID_MAX];
	struct vw_ip addr;
};

/**
 * aws_ipam_parse() - all or nothing. @ret: freed by the caller. Return: 0; -EBADMSG: not such a file, another version, or one address or
 * container twice; -EOPNOTSUPP: a pod with addresses of both families or with several interfaces; the message names it.
 */
int aws_ipam_parse(const char *text, size_t len, struct aws_alloc **ret, size_t *ret_n, struct vw_err *err);
/** aws_ipam_print() - the same file from @allocs. @now_ns: the timestamp of all of them, ns since 1970. */
int aws_ipam_print(const struct aws_alloc *allocs, size_t n, uint64_t now_ns, struct vw_buf *buf, struct vw_err *err);
