#pragma once

#include "lib/base/ip.h"
#include "lib/base/log.h"
#include "lib/rpc/rpc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_buf;
struct vw_err;

/**
 * DOC: settings
 *
 * A JSON file and environment variables; the environment wins. One table (config.c) holds every key with its environment
 * name (aws-node's where there is one), type, default, range and effect; it drives parsing, messages and docs/CONFIG.md.
 * A struct vwired_config is whole and valid or does not exist: a reload that fails leaves the caller's old one in force.
 */
enum config_random_snat { CONFIG_SNAT_PRNG, CONFIG_SNAT_HASHRANDOM, CONFIG_SNAT_NONE };

struct config_tag {
	char key[128];          /* EC2: 1..127 characters */
	char value[256];        /* EC2: 0..255 characters */
};

#define CONFIG_MAX_CIDRS 64
#define CONFIG_MAX_TAGS 24      /* EC2 allows 50 on a resource; ours and aws-node's come on top */
#define CONFIG_MAX_GROUPS 16    /* EC2: security groups per ENI */

/**
 * struct vwired_config - strings are "" when not set.
 * @run_dir, @bpf_dir: also VPCWIRE_RUN_DIR, VPCWIRE_BPF_DIR (the command line sets these).
 * @warm_ip_target, @minimum_ip_target: 0 = not set. @warm_auto: none of the four targets was given, not even its
 * default: the pool follows demand (ipam/demand.h). @max_eni: 0 = the instance type's limit. @max_pods: 0 = no cap.
 * @pod_mtu: 0 in file and environment = @eni_mtu; always set here.
 * @connmark: one bit above the low seven, which carry the ENI's number.
 * @security_groups, @subnet_id: of new ENIs; none = those of the primary ENI.
 * @imds_only: no call to EC2 at all; sets @disable_provisioning. @disable_provisioning sets @disable_leaked_eni_cleanup.
 * @subnet_discovery: @subnet_id and @custom_networking go before it. @node_name: "" = found by instance id or host name.
 * @add_wait_ms: how long an ADD waits for growth when the pool is empty.
 * @endpoint_*: "" = AWS's own.
 */
#define CONFIG_MAX_NETS 32
/** struct config_nets - ranges of either family; an address is a /32 or /128. */
struct config_nets {
	struct vw_cidr v[CONFIG_MAX_NETS];
	size_t n;
};

/** enum config_policy - in the order of its texts. STRICT: what no policy selects is denied everything. */
enum config_policy { CONFIG_POLICY_STANDARD, CONFIG_POLICY_STRICT, CONFIG_POLICY_OFF };
/** enum config_flows - what a change of policy does to flows that it denies. */
enum config_flows { CONFIG_FLOWS_REVOKE, CONFIG_FLOWS_KEEP };

/** enum config_pod_sg - how a pod's security groups are enforced: sgp.h. */
enum config_pod_sg { CONFIG_POD_SG_STRICT, CONFIG_POD_SG_STANDARD };

/** enum config_calls - what happens at a system call that is not on the daemon's list: confine.h. In the order of its texts. */
enum config_calls { CONFIG_CALLS_REFUSE, CONFIG_CALLS_KILL, CONFIG_CALLS_LOG, CONFIG_CALLS_OFF };

struct vwired_config {
	char run_dir[VW_PATH_MAX];
	char bpf_dir[VW_PATH_MAX];
	enum vw_log_level log_level;
	enum config_calls system_calls;

	bool enable_ipv4, enable_ipv6;  /* at least one */
	bool prefix_delegation;
	bool warm_auto;
	unsigned int warm_eni_target, warm_ip_target, minimum_ip_target, warm_prefix_target;
	unsigned int max_eni, max_pods;
	unsigned int ip_cooldown_s;
	bool disable_provisioning, imds_only, manage_untagged_eni, multi_nic;
	bool disable_leaked_eni_cleanup;
	unsigned int leak_check_s;
	unsigned int add_wait_ms;

	unsigned int eni_mtu, pod_mtu;
	char veth_prefix[5];
	enum vw_attach_mode attach;
	bool external_snat;
	bool drift_repair;
	struct vw_cidr exclude_snat_cidrs[CONFIG_MAX_CIDRS];
	size_t n_exclude_snat_cidrs;
	enum config_random_snat randomize_snat;
	bool node_port_support;
	bool v4_egress, v6_egress;
	bool enable_pod_eni;
	enum config_pod_sg pod_sg_mode;
	uint32_t connmark;

	char cluster_name[128];
	struct config_tag additional_eni_tags[CONFIG_MAX_TAGS];
	size_t n_additional_eni_tags;
	char security_groups[CONFIG_MAX_GROUPS][48];
	size_t n_security_groups;
	char subnet_id[48];
	bool subnet_discovery;
	unsigned int subnet_retry_s;
	bool custom_networking;
	char eni_config_annotation[320], eni_config_label[320];
	char node_name[254];            /* Kubernetes: at most 253 characters */
	char policy_dir[VW_PATH_MAX];
	enum config_policy network_policy;
	enum config_flows policy_flows;
	bool policy_audit, policy_node_ip, policy_log_allow;
	unsigned int policy_log_rate;
	char policy_log[VW_PATH_MAX], flow_log[VW_PATH_MAX];
	unsigned int flow_log_interval_s, flow_log_max_mib, flow_log_files, flow_log_sample;
	struct config_nets service_cidrs, dns_resolvers;

	char metrics_address[128];
	bool disable_metrics;
	char introspection_address[128];
	bool disable_introspection;

	char region[40];
	char endpoint_ec2[256], endpoint_imds[256], endpoint_sts[256];
};

/**
 * vwired_config_load() - read @path, then the environment.
 * @path: a missing file is an error unless it is the default (/etc/vpcwire/vpcwired.json), which may be absent.
 * Fails (EINVAL, EBADMSG, VW_CNI_INVALID_CONFIG) with one sentence: file or variable, key, value, what is wanted; an unknown
 * key names the nearest known one. *ret_cfg is written on success only; end with vwired_config_free().
 */
int vwired_config_load(const char *path, struct vwired_config **ret_cfg, struct vw_err *err);
/** vwired_config_parse() - the same from text, with @getenv_fn in the place of getenv(3); for tests and fuzzing. */
int vwired_config_parse(const char *text, size_t len, const char *what, char *(*getenv_fn)(const char *name),
			struct vwired_config **ret_cfg, struct vw_err *err);
void vwired_config_free(struct vwired_config *cfg);
/** vwired_config_print_docs() - docs/CONFIG.md, from the table. */
int vwired_config_print_docs(struct vw_buf *buf);
