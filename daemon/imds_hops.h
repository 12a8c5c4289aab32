#pragma once

#include <stdint.h>

struct vw_err;

/**
 * imds_hops() - how many hops an answer of the metadata service to a token request survives: 1 = it reaches this node alone, 2 = also pods,
 * which are one hop further. It is the TTL of the answer's packets (EC2 User Guide, "HttpPutResponseHopLimit"), found out by
 * refusing smaller ones (IP_MINTTL): no permission is needed. Blocks.
 * @endpoint: "http://169.254.169.254", "http://[fd00:ec2::254]"; hosts by address only.
 * Return: 1, 2 (or more); -EINVAL (the endpoint), -ETIMEDOUT (it answers nobody), -errno.
 */
int imds_hops(const char *endpoint, uint64_t deadline_ms, struct vw_err *err);
