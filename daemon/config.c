/*
 * Settings: one table drives the file, the environment, the messages and docs/CONFIG.md.
 *
 * Every setting has a text form (an environment variable is nothing else), so each kind has one parser from text; values in
 * the file are turned into that text first. What a kind cannot express (the cross-checks) stands in finish().
 */
#include "daemon/config.h"

#include "daemon/httpd.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_PATH "/etc/vpcwire/vpcwired.json"
#define FILE_MAX (1024 * 1024)

enum kind { K_BOOL, K_UINT, K_HEX, K_TEXT, K_CHOICE, K_CIDRS, K_NETS, K_TAGS, K_GROUPS };

/**
 * struct setting - one row.
 * @env: environment name; aws-node's where it has one. @env2: a second spelling, or NULL.
 * @def: default, in text form. @min, @max: of numbers. @choices: of K_CHOICE, NULL-terminated, value = position.
 */
struct setting {
	const char *key, *env, *env2;
	enum kind kind;
	size_t offset, size;
	const char *def;
	uint64_t min, max;
	const char *const *choices;
	const char *effect;
};

static const char *const log_levels[] = { "error", "warn", "info", "debug", NULL };        /* enum vw_log_level */
static const char *const attach_modes[] = { "clsact", "tcx", NULL };                      /* enum vw_attach_mode */
static const char *const random_modes[] = { "prng", "hashrandom", "none", NULL };         /* enum config_random_snat */

static const char *const pod_sg_modes[] = { "strict", "standard", NULL };                  /* enum config_pod_sg */
static const char *const policy_modes[] = { "standard", "strict", "off", NULL };           /* enum config_policy */
static const char *const call_modes[] = { "refuse", "kill", "log", "off", NULL };          /* enum config_calls */
static const char *const flow_modes[] = { "revoke", "keep", NULL };                       /* enum config_flows */

#define AT(member) offsetof(struct vwired_config, member), sizeof(((struct vwired_config *)0)->member)

static const struct setting settings[] = {
	{ "run_dir", "VPCWIRE_RUN_DIR", NULL, K_TEXT, AT(run_dir), "/run/vpcwire", 0, 0, NULL,
	  "Socket, lock, state store, and copies of the manifests in force. On a tmpfs: containers do not survive a boot. Changes with a restart only." },
	{ "bpf_dir", "VPCWIRE_BPF_DIR", NULL, K_TEXT, AT(bpf_dir), "/sys/fs/bpf/vpcwire", 0, 0, NULL,
	  "Where programs and maps are pinned; must be on a bpffs. Changes with a restart only." },
	{ "log_level", "AWS_VPC_K8S_CNI_LOGLEVEL", NULL, K_CHOICE, AT(log_level), "info", 0, 0, log_levels,
	  "What is logged on stderr: error, warn, info, debug." },
	{ "system_calls", "VPCWIRE_SYSTEM_CALLS", NULL, K_CHOICE, AT(system_calls), "refuse", 0, 0, call_modes,
	  "A system call that vpcwired has no use for: refuse lets it fail as if the kernel did not have it, kill ends the daemon (pods stay), log "
	  "lets it through; all three leave a line in the kernel's log. off: no filter. Changes with a restart only." },
	{ "enable_ipv4", "ENABLE_IPv4", NULL, K_BOOL, AT(enable_ipv4), "true", 0, 0, NULL,
	  "Pods get an IPv4 address. Changes with a restart only." },
	{ "enable_ipv6", "ENABLE_IPv6", NULL, K_BOOL, AT(enable_ipv6), "false", 0, 0, NULL,
	  "Pods get an IPv6 address from a /80 prefix of their ENI; with enable_ipv4 they get both (dual stack). Subnets need an "
	  "IPv6 range. Changes with a restart only." },
	{ "prefix_delegation", "ENABLE_PREFIX_DELEGATION", NULL, K_BOOL, AT(prefix_delegation), "false", 0, 0, NULL,
	  "Ask for /28 prefixes (16 addresses a slot) instead of single secondary addresses. Needs a Nitro or bare-metal "
	  "instance; on others single addresses are used." },
	{ "warm_eni_target", "WARM_ENI_TARGET", NULL, K_UINT, AT(warm_eni_target), "1", 0, 64, NULL,
	  "Keep this many ENIs' worth of free addresses. Single-address mode, when neither warm_ip_target nor "
	  "minimum_ip_target is set. When none of the four targets is given, the pool follows the arrival of pods by itself." },
	{ "warm_ip_target", "WARM_IP_TARGET", NULL, K_UINT, AT(warm_ip_target), "0", 0, 4096, NULL,
	  "Keep this many free addresses; overrides warm_eni_target and warm_prefix_target. 0 = not set; pods are served on "
	  "demand all the same." },
	{ "minimum_ip_target", "MINIMUM_IP_TARGET", NULL, K_UINT, AT(minimum_ip_target), "0", 0, 4096, NULL,
	  "Hold at least this many addresses in all. 0 = not set." },
	{ "warm_prefix_target", "WARM_PREFIX_TARGET", NULL, K_UINT, AT(warm_prefix_target), "1", 0, 256, NULL,
	  "Keep this many /28s' worth of free addresses. Prefix mode, when neither warm_ip_target nor minimum_ip_target is set." },
	{ "max_eni", "MAX_ENI", NULL, K_UINT, AT(max_eni), "0", 0, 64, NULL,
	  "Never more ENIs than this on the node, those of others included. 0 = the instance type's limit." },
	{ "max_pods", "MAX_PODS", NULL, K_UINT, AT(max_pods), "0", 0, 4096, NULL,
	  "Pods that may run on the node; more addresses than they can use are not taken. 0 = no cap." },
	{ "ip_cooldown_s", "IP_COOLDOWN_PERIOD", NULL, K_UINT, AT(ip_cooldown_s), "30", 0, 86400, NULL,
	  "A freed address is not given out again for this many seconds, also across a restart." },
	{ "disable_provisioning", "DISABLE_NETWORK_RESOURCE_PROVISIONING", NULL, K_BOOL, AT(disable_provisioning), "false", 0, 0,
	  NULL, "Change nothing at EC2: serve the ENIs and addresses that are found." },
	{ "imds_only", "ENABLE_IMDS_ONLY_MODE", NULL, K_BOOL, AT(imds_only), "false", 0, 0, NULL,
	  "No call to EC2 at all: serve what instance metadata shows as attached. Implies disable_provisioning." },
	{ "manage_untagged_eni", "MANAGE_UNTAGGED_ENI", NULL, K_BOOL, AT(manage_untagged_eni), "true", 0, 0, NULL,
	  "False: secondary ENIs without the tag node.k8s.amazonaws.com/instance_id are left alone. Those tagged "
	  "node.k8s.amazonaws.com/no_manage=true always are." },
	{ "multi_nic", "ENABLE_MULTI_NIC", NULL, K_BOOL, AT(multi_nic), "false", 0, 0, NULL,
	  "Use all network cards of the instance: ENIs on each serve pods. False: card 0 only, others are left alone." },
	{ "disable_leaked_eni_cleanup", "DISABLE_LEAKED_ENI_CLEANUP", NULL, K_BOOL, AT(disable_leaked_eni_cleanup), "false", 0, 0,
	  NULL, "Do not look for detached ENIs that dead nodes left behind." },
	{ "leak_check_s", "VPCWIRE_LEAK_CHECK_S", NULL, K_UINT, AT(leak_check_s), "3600", 1, 86400, NULL,
	  "How often one node of the cluster looks for them, in seconds." },
	{ "add_wait_ms", "VPCWIRE_ADD_WAIT_MS", NULL, K_UINT, AT(add_wait_ms), "20000", 0, 110000, NULL,
	  "How long an ADD that finds the pool empty waits for the growth that it triggers, in milliseconds. kubelet gives up "
	  "after 120 s." },
	{ "eni_mtu", "AWS_VPC_ENI_MTU", NULL, K_UINT, AT(eni_mtu), "9001", 576, 9001, NULL, "MTU of ENIs." },
	{ "pod_mtu", "POD_MTU", NULL, K_UINT, AT(pod_mtu), "0", 0, 9001, NULL,
	  "MTU of pods' interfaces, 576 to 9001 and at most eni_mtu. 0 = eni_mtu." },
	{ "veth_prefix", "AWS_VPC_K8S_CNI_VETHPREFIX", NULL, K_TEXT, AT(veth_prefix), "eni", 0, 0, NULL,
	  "Start of host interface names, 1 to 4 characters; not eth, vlan or lo." },
	{ "attach", "VPCWIRE_ATTACH", NULL, K_CHOICE, AT(attach), "clsact", 0, 0, attach_modes,
	  "How eBPF programs are attached to a pod's host interface." },
	{ "external_snat", "AWS_VPC_K8S_CNI_EXTERNALSNAT", NULL, K_BOOL, AT(external_snat), "false", 0, 0, NULL,
	  "True: traffic that leaves the VPC keeps the pod's address (a NAT gateway translates it)." },
	{ "exclude_snat_cidrs", "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", NULL, K_CIDRS, AT(exclude_snat_cidrs), "", 0, 0, NULL,
	  "Ranges outside the VPC that are reached with the pod's own address (peered networks, on-premises). A list; in the "
	  "environment joined by commas." },
	{ "randomize_snat", "AWS_VPC_K8S_CNI_RANDOMIZESNAT", NULL, K_CHOICE, AT(randomize_snat), "prng", 0, 0, random_modes,
	  "Source ports of translated traffic: prng (fully random), hashrandom, none." },
	{ "node_port_support", "AWS_VPC_CNI_NODE_PORT_SUPPORT", NULL, K_BOOL, AT(node_port_support), "true", 0, 0, NULL,
	  "Replies to connections that came in by the primary ENI (node ports) leave by it." },
	{ "drift_repair", "VPCWIRE_DRIFT_REPAIR", NULL, K_BOOL, AT(drift_repair), "true", 0, 0, NULL,
	  "Rules, routes, nftables, programs and sysctls of ours that others remove or change are put back at once. False: with the next "
	  "start." },
	{ "v4_egress", "ENABLE_V4_EGRESS", NULL, K_BOOL, AT(v4_egress), "true", 0, 0, NULL,
	  "Where pods have IPv6 alone: they reach IPv4 hosts under the node's address." },
	{ "v6_egress", "ENABLE_V6_EGRESS", NULL, K_BOOL, AT(v6_egress), "false", 0, 0, NULL,
	  "Where pods have IPv4 alone: they reach IPv6 hosts under the node's IPv6 address, if it has one." },
	{ "enable_pod_eni", "ENABLE_POD_ENI", NULL, K_BOOL, AT(enable_pod_eni), "false", 0, 0, NULL,
	  "Pods whose manifest in policy_dir has the annotation vpc.amazonaws.com/pod-eni are wired to that branch ENI, with its "
	  "security groups." },
	{ "pod_security_group_enforcing_mode", "POD_SECURITY_GROUP_ENFORCING_MODE", NULL, K_CHOICE, AT(pod_sg_mode), "strict", 0, 0,
	  pod_sg_modes,
	  "strict: all traffic of such pods goes by their branch ENI. standard: on one node pods and node meet directly, and what leaves the "
	  "VPC does so by the primary ENI. For new pods." },
	{ "connmark", "AWS_VPC_K8S_CNI_CONNMARK", NULL, K_HEX, AT(connmark), "0x80", 0x80, 0x80000000, NULL,
	  "Mark of traffic that leaves by the primary ENI: one bit, above the low seven, which carry the ENI's number." },
	{ "cluster_name", "CLUSTER_NAME", NULL, K_TEXT, AT(cluster_name), "", 0, 0, NULL,
	  "Written on new ENIs as tag cluster.k8s.amazonaws.com/name." },
	{ "additional_eni_tags", "ADDITIONAL_ENI_TAGS", NULL, K_TAGS, AT(additional_eni_tags), "{}", 0, 0, NULL,
	  "More tags for new ENIs: an object of strings (JSON text in the environment). Keys with k8s.amazonaws.com are refused." },
	{ "security_groups", "VPCWIRE_SECURITY_GROUPS", NULL, K_GROUPS, AT(security_groups), "", 0, 0, NULL,
	  "Security groups of new ENIs: a list; in the environment joined by commas. None = those of the primary ENI." },
	{ "subnet_id", "VPCWIRE_SUBNET_ID", NULL, K_TEXT, AT(subnet_id), "", 0, 0, NULL,
	  "Subnet of new ENIs, in the node's VPC and zone. None = subnet_discovery." },
	{ "subnet_discovery", "ENABLE_SUBNET_DISCOVERY", NULL, K_BOOL, AT(subnet_discovery), "true", 0, 0, NULL,
	  "New ENIs go to the subnet of the node's VPC and zone with the most free addresses: the primary ENI's, and those "
	  "tagged kubernetes.io/role/cni=1; never one tagged 0, whose ENIs serve no pods either. False = the primary ENI's." },
	{ "subnet_retry_s", "VPCWIRE_SUBNET_RETRY_S", NULL, K_UINT, AT(subnet_retry_s), "120", 1, 86400, NULL,
	  "A subnet that had no free prefix or address is asked again after this many seconds." },
	{ "custom_networking", "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", NULL, K_BOOL, AT(custom_networking), "false", 0, 0, NULL,
	  "New ENIs take subnet and security groups from the ENIConfig that the Node object names; the primary ENI serves no "
	  "pods. Both objects are read from policy_dir." },
	{ "eni_config_annotation", "ENI_CONFIG_ANNOTATION_DEF", NULL, K_TEXT, AT(eni_config_annotation),
	  "k8s.amazonaws.com/eniConfig", 0, 0, NULL, "The node's annotation that names its ENIConfig; goes before the label." },
	{ "eni_config_label", "ENI_CONFIG_LABEL_DEF", NULL, K_TEXT, AT(eni_config_label), "k8s.amazonaws.com/eniConfig", 0, 0, NULL,
	  "The node's label that names its ENIConfig. With neither, ENIConfig `default` is used." },
	{ "node_name", "MY_NODE_NAME", NULL, K_TEXT, AT(node_name), "", 0, 0, NULL,
	  "Name of this node's Node object. None = the one whose providerID ends in the instance id, else the host name." },
	{ "policy_dir", "VPCWIRE_POLICY_DIR", NULL, K_TEXT, AT(policy_dir), "/etc/vpcwire/policy.d", 0, 0, NULL,
	  "Kubernetes objects as *.json, *.yaml or *.yml: an object, a List, or several one after another. Watched." },
	{ "network_policy", "NETWORK_POLICY_ENFORCING_MODE", NULL, K_CHOICE, AT(network_policy), "standard", 0, 0, policy_modes,
	  "standard: pods that no policy selects may do everything. strict: they may do nothing. off: no pod is judged." },
	{ "policy_flows", "VPCWIRE_POLICY_FLOWS", NULL, K_CHOICE, AT(policy_flows), "revoke", 0, 0, flow_modes,
	  "What becomes of established connections that a changed policy denies: revoke cuts them, keep leaves them alone." },
	{ "policy_audit", "VPCWIRE_POLICY_AUDIT", NULL, K_BOOL, AT(policy_audit), "false", 0, 0, NULL,
	  "Log what policy denies and let it through." },
	{ "policy_node_ip", "VPCWIRE_POLICY_NODE_IP", NULL, K_BOOL, AT(policy_node_ip), "false", 0, 0, NULL,
	  "As the Amazon VPC CNI does: whatever comes from an address of this node may enter, also what was only translated to "
	  "it (node ports). False: only what the node itself sends, such as probes of kubelet." },
	{ "policy_log", "VPCWIRE_POLICY_LOG", NULL, K_TEXT, AT(policy_log), "", 0, 0, NULL,
	  "Verdicts as JSON lines: every denied connection, within policy_log_rate. None = policy.jsonl in run_dir. At 16 MiB it is "
	  "renamed to *.1. Changes with a restart only." },
	{ "policy_log_allow", "VPCWIRE_POLICY_LOG_ALLOW", NULL, K_BOOL, AT(policy_log_allow), "false", 0, 0, NULL,
	  "Log allowed connections too." },
	{ "policy_log_rate", "VPCWIRE_POLICY_LOG_RATE", NULL, K_UINT, AT(policy_log_rate), "100", 1, 4096, NULL,
	  "Verdicts a second that are logged for each pod; twice as many at once. How many were left out stands in the next line." },
	{ "flow_log", "VPCWIRE_FLOW_LOG", NULL, K_TEXT, AT(flow_log), "", 0, 0, NULL,
	  "Flow logs of pods, as JSON lines with the fields of VPC flow logs and the pod, policy and rule: an absolute path. None = off. Needs "
	  "network_policy, whose flow table has the figures." },
	{ "flow_log_interval_s", "VPCWIRE_FLOW_LOG_INTERVAL_S", NULL, K_UINT, AT(flow_log_interval_s), "60", 1, 60, NULL,
	  "Seconds that a record is about, at most." },
	{ "flow_log_max_mib", "VPCWIRE_FLOW_LOG_MAX_MIB", NULL, K_UINT, AT(flow_log_max_mib), "64", 1, 65536, NULL,
	  "Size at which the file of flow_log is renamed to *.1." },
	{ "flow_log_files", "VPCWIRE_FLOW_LOG_FILES", NULL, K_UINT, AT(flow_log_files), "4", 1, 100, NULL,
	  "So many former files are kept." },
	{ "flow_log_sample", "VPCWIRE_FLOW_LOG_SAMPLE", NULL, K_UINT, AT(flow_log_sample), "1", 1, 65536, NULL,
	  "One of so many flows is logged, always whole. 1 = all." },
	{ "service_cidrs", "VPCWIRE_SERVICE_CIDRS", NULL, K_NETS, AT(service_cidrs), "", 0, 0, NULL,
	  "Ranges of services' addresses: egress to them is judged by the pod that kube-proxy chose. Services in policy_dir are "
	  "known without. A list; in the environment joined by commas." },
	{ "dns_resolvers", "VPCWIRE_DNS_RESOLVERS", NULL, K_NETS, AT(dns_resolvers), "", 0, 0, NULL,
	  "Addresses whose DNS answers are believed when a policy names domains, besides the service kube-system/kube-dns and "
	  "its pods. A list." },
	{ "metrics_address", "VPCWIRE_METRICS_ADDRESS", NULL, K_TEXT, AT(metrics_address), "127.0.0.1:61678", 0, 0, NULL,
	  "Where Prometheus reads /metrics: an address and a port, or unix:/path. None = nowhere." },
	{ "disable_metrics", "DISABLE_METRICS", NULL, K_BOOL, AT(disable_metrics), "false", 0, 0, NULL,
	  "Serve no metrics." },
	{ "introspection_address", "INTROSPECTION_BIND_ADDRESS", NULL, K_TEXT, AT(introspection_address), "127.0.0.1:61679", 0, 0, NULL,
	  "Where the node's page is, and aws-node's introspection paths: an address and a port, or unix:/path. None = nowhere." },
	{ "disable_introspection", "DISABLE_INTROSPECTION", NULL, K_BOOL, AT(disable_introspection), "false", 0, 0, NULL,
	  "Serve no page." },
	{ "region", "AWS_REGION", "AWS_DEFAULT_REGION", K_TEXT, AT(region), "", 0, 0, NULL,
	  "Region of the EC2 endpoint. None = what instance metadata says. Changes with a restart only." },
	{ "endpoint_ec2", "AWS_ENDPOINT_URL_EC2", "AWS_EC2_ENDPOINT", K_TEXT, AT(endpoint_ec2), "", 0, 0, NULL,
	  "EC2's address. None = AWS's for the region. Changes with a restart only." },
	{ "endpoint_imds", "AWS_EC2_METADATA_SERVICE_ENDPOINT", NULL, K_TEXT, AT(endpoint_imds), "", 0, 0, NULL,
	  "Address of instance metadata. None = http://169.254.169.254. Changes with a restart only." },
	{ "endpoint_sts", "AWS_ENDPOINT_URL_STS", NULL, K_TEXT, AT(endpoint_sts), "", 0, 0, NULL,
	  "STS's address, for web identity. None = AWS's for the region. Changes with a restart only." },
};

#define N_SETTINGS VW_ARRAY_SIZE(settings)

/* --- messages */

static int bad(const struct setting *s, const char *where, const char *value, struct vw_err *err)
{
	switch (s->kind) {
	case K_BOOL:
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "%s: %s is '%.64s', wanted true or false", where, s->key, value);
	case K_UINT:
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "%s: %s is '%.64s', wanted a whole number from %llu to %llu", where,
				  s->key, value, (unsigned long long)s->min, (unsigned long long)s->max);
	case K_HEX:
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "%s: %s is '%.64s', wanted one bit from 0x%llx to 0x%llx", where,
				  s->key, value, (unsigned long long)s->min, (unsigned long long)s->max);
	case K_CHOICE: {
		vw_auto_buf struct vw_buf list = VW_BUF_INIT;

		for (size_t i = 0; s->choices[i]; i++)
			vw_buf_printf(&list, "%s%s", i ? ", " : "", s->choices[i]);
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "%s: %s is '%.64s', wanted one of: %s", where, s->key, value,
				  vw_buf_str(&list));
	}
	case K_TEXT:
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "%s: %s is longer than %zu characters", where, s->key, s->size - 1);
	case K_CIDRS:
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "%s: %s has '%.64s', wanted at most %d IPv4 ranges like 192.168.0.0/16 without host bits", where, s->key,
				  value, CONFIG_MAX_CIDRS);
	case K_NETS:
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "%s: %s has '%.64s', wanted at most %d ranges or addresses like 10.100.0.0/16 or fd00::a, without host bits",
				  where, s->key, value, CONFIG_MAX_NETS);
	case K_TAGS:
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "%s: %s has '%.64s', wanted an object of at most %d strings whose keys do not contain k8s.amazonaws.com",
				  where, s->key, value, CONFIG_MAX_TAGS);
	case K_GROUPS:
		break;
	}
	return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "%s: %s has '%.64s', wanted at most %d ids like sg-0123abcd", where, s->key,
			  value, CONFIG_MAX_GROUPS);
}

/* --- one value */

static int add_cidr(struct vwired_config *c, const char *text)
{
	struct vw_cidr cidr;

	if (c->n_exclude_snat_cidrs == CONFIG_MAX_CIDRS || vw_cidr_parse(text, &cidr) < 0 || cidr.ip.family != AF_INET ||
	    !vw_cidr_is_masked(&cidr))
		return -EINVAL;
	c->exclude_snat_cidrs[c->n_exclude_snat_cidrs++] = cidr;
	return 0;
}

static int add_group(struct vwired_config *c, const char *text)
{
	if (c->n_security_groups == CONFIG_MAX_GROUPS || strncmp(text, "sg-", 3) ||
	    vw_fmt(c->security_groups[c->n_security_groups], sizeof(c->security_groups[0]), "%s", text) < 0)
		return -EINVAL;
	c->n_security_groups++;
	return 0;
}

static int add_net(struct config_nets *nets, const char *text)
{
	struct vw_cidr cidr;

	if (nets->n == CONFIG_MAX_NETS || vw_cidr_parse(text, &cidr) < 0 || !vw_cidr_is_masked(&cidr))
		return -EINVAL;
	nets->v[nets->n++] = cidr;
	return 0;
}

static int add_item(struct vwired_config *c, const struct setting *s, const char *text)
{
	switch (s->kind) {
	case K_CIDRS:
		return add_cidr(c, text);
	case K_NETS:
		return add_net((struct config_nets *)((char *)c + s->offset), text);
	default:
		return add_group(c, text);
	}
}

static void clear_list(struct vwired_config *c, const struct setting *s)
{
	if (s->kind == K_CIDRS)
		c->n_exclude_snat_cidrs = 0;
	else if (s->kind == K_NETS)
		((struct config_nets *)((char *)c + s->offset))->n = 0;
	else
		c->n_security_groups = 0;
}

/* "a, b,c"; blanks around items are allowed, as aws-node allows them */
static int set_list(struct vwired_config *c, const struct setting *s, const char *text, const char *where, struct vw_err *err)
{
	while (*text) {
		size_t n = strcspn(text, ",");
		const char *from = text + strspn(text, " ");
		char item[128];
		size_t len = (size_t)(text + n - (from < text + n ? from : text + n));

		while (len && from[len - 1] == ' ')
			len--;
		if (len && (vw_fmt(item, sizeof(item), "%.*s", (int)len, from) < 0 || add_item(c, s, item) < 0))
			return bad(s, where, text, err);
		text += n + (text[n] == ',');
	}
	return 0;
}

static int set_tags(struct vwired_config *c, const struct setting *s, const struct vw_json *obj, const char *where,
		    struct vw_err *err)
{
	const struct vw_json *v;
	void *iter = NULL;

	if (vw_json_type(obj) != VW_JSON_OBJECT)
		return bad(s, where, "something else", err);
	c->n_additional_eni_tags = 0;
	for (const char *k; (k = vw_json_each(obj, &iter, &v));) {
		const char *value = vw_json_string(v);
		struct config_tag *t = &c->additional_eni_tags[c->n_additional_eni_tags];

		if (c->n_additional_eni_tags == CONFIG_MAX_TAGS || !value || !*k || strstr(k, "k8s.amazonaws.com") ||
		    vw_fmt(t->key, sizeof(t->key), "%s", k) < 0 || vw_fmt(t->value, sizeof(t->value), "%s", value) < 0)
			return bad(s, where, k, err);
		c->n_additional_eni_tags++;
	}
	return 0;
}

static int set_number(void *field, const struct setting *s, const char *text)
{
	uint64_t v;
	unsigned int u;

	if (s->kind == K_HEX) {
		if (vw_parse_hex(text, s->max, &v) < 0 || v < s->min || (v & (v - 1)))
			return -EINVAL;
	} else if (vw_parse_u64(text, s->min, s->max, &v) < 0) {
		/* aws-node takes -1 for "no limit" here */
		if (strcmp(s->key, "max_eni") || strcmp(text, "-1"))
			return -EINVAL;
		v = 0;
	}
	u = (unsigned int)v;
	memcpy(field, &u, sizeof(u));
	return 0;
}

static int set_choice(void *field, const struct setting *s, const char *text)
{
	for (unsigned int i = 0; s->choices[i]; i++)
		if (!strcasecmp(s->choices[i], text)) {
			memcpy(field, &i, sizeof(i));   /* enums are unsigned int, see the assertions below */
			return 0;
		}
	return -EINVAL;
}

_Static_assert(sizeof(enum vw_log_level) == sizeof(unsigned int), "set_choice() writes an unsigned int");
_Static_assert(sizeof(enum vw_attach_mode) == sizeof(unsigned int), "set_choice() writes an unsigned int");
_Static_assert(sizeof(enum config_policy) == sizeof(unsigned int), "set_choice() writes an unsigned int");
_Static_assert(sizeof(enum config_flows) == sizeof(unsigned int), "set_choice() writes an unsigned int");

static int set_text(struct vwired_config *c, const struct setting *s, const char *text, const char *where, struct vw_err *err)
{
	void *field = (char *)c + s->offset;
	vw_auto_json struct vw_json *obj = NULL;
	int r = 0;

	switch (s->kind) {
	case K_BOOL:
		r = vw_parse_bool(text, field);
		break;
	case K_UINT:
	case K_HEX:
		r = set_number(field, s, text);
		break;
	case K_TEXT:
		r = vw_fmt(field, s->size, "%s", text) < 0 ? -EINVAL : 0;
		break;
	case K_CHOICE:
		r = set_choice(field, s, text);
		break;
	case K_CIDRS:
	case K_NETS:
	case K_GROUPS:
		clear_list(c, s);
		return set_list(c, s, text, where, err);
	case K_TAGS:
		if (vw_json_parse(text, strlen(text), NULL, s->key, &obj, err) < 0)
			return vw_err_wrap(err, "%s", where);
		return set_tags(c, s, obj, where, err);
	}
	return r < 0 ? bad(s, where, text, err) : 0;
}

static int set_array(struct vwired_config *c, const struct setting *s, const struct vw_json *arr, const char *where,
		     struct vw_err *err)
{
	clear_list(c, s);
	for (size_t i = 0; i < vw_json_len(arr); i++) {
		const char *text = vw_json_string(vw_json_at(arr, i));

		if (!text || add_item(c, s, text) < 0)
			return bad(s, where, text ? text : "something that is not a string", err);
	}
	return 0;
}

static int set_json(struct vwired_config *c, const struct setting *s, const struct vw_json *v, const char *where,
		    struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	const char *str = vw_json_string(v);

	if (vw_json_is_null(v))
		return 0;
	if (str)
		return set_text(c, s, str, where, err);
	if (s->kind == K_TAGS)
		return set_tags(c, s, v, where, err);
	if (vw_json_type(v) == VW_JSON_ARRAY && (s->kind == K_CIDRS || s->kind == K_NETS || s->kind == K_GROUPS))
		return set_array(c, s, v, where, err);
	if (vw_json_print(v, 0, &text) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for the configuration");
	/* a number or boolean; anything else does not parse as what is wanted and is shown as it stands */
	if (s->kind == K_TEXT || s->kind == K_CHOICE || s->kind == K_HEX)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "%s: %s is %.64s, wanted a string", where, s->key,
				  vw_buf_str(&text));
	return set_text(c, s, vw_buf_str(&text), where, err);
}

/* --- the whole */

/* a warm target that somebody wrote down, be it the default's value, ends the mode that needs none */
static void given(struct vwired_config *c, const struct setting *s)
{
	static const size_t targets[] = {
		offsetof(struct vwired_config, warm_eni_target),
		offsetof(struct vwired_config, warm_ip_target),
		offsetof(struct vwired_config, minimum_ip_target),
		offsetof(struct vwired_config, warm_prefix_target),
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(targets); i++)
		if (s->offset == targets[i])
			c->warm_auto = false;
}

static size_t common_prefix(const char *a, const char *b)
{
	size_t n = 0;

	while (a[n] && a[n] == b[n])
		n++;
	return n;
}

/* letters in common, in order: small texts, so the plain quadratic table of the edit distance will do */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[64];
	size_t nb = strlen(b);

	if (nb >= VW_ARRAY_SIZE(row) || strlen(a) >= VW_ARRAY_SIZE(row))
		return 64;
	for (size_t j = 0; j <= nb; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; a[i - 1]; i++) {
		unsigned int diagonal = row[0];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned int best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[nb];
}

static const char *nearest_key(const char *key)
{
	const char *best = settings[0].key;
	unsigned int best_distance = 64;

	for (size_t i = 0; i < N_SETTINGS; i++) {
		unsigned int n = distance(key, settings[i].key);

		if (n < best_distance ||
		    (n == best_distance && common_prefix(key, settings[i].key) > common_prefix(key, best))) {
			best = settings[i].key;
			best_distance = n;
		}
	}
	return best;
}

static const struct setting *setting_by_key(const char *key)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (!strcasecmp(settings[i].key, key))
			return &settings[i];
	return NULL;
}

static int take_file(struct vwired_config *c, const char *text, size_t len, const char *what, struct vw_err *err)
{
	vw_auto_json struct vw_json *obj = NULL;
	const struct vw_json *v;
	void *iter = NULL;
	int r = vw_json_parse(text, len, NULL, what, &obj, err);

	if (r < 0)
		return r;
	if (vw_json_type(obj) != VW_JSON_OBJECT)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "%s: wanted one JSON object", what);
	for (const char *k; r == 0 && (k = vw_json_each(obj, &iter, &v));) {
		const struct setting *s = setting_by_key(k);

		if (!s)
			return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "%s: unknown key '%.64s'; did you mean '%s'?", what, k,
					  nearest_key(k));
		r = set_json(c, s, v, what, err);
		if (!vw_json_is_null(v))
			given(c, s);
	}
	return r;
}

static int take_env(struct vwired_config *c, char *(*getenv_fn)(const char *name), struct vw_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < N_SETTINGS; i++) {
		const struct setting *s = &settings[i];
		const char *name = s->env, *value = getenv_fn(name);

		if ((!value || !*value) && s->env2) {
			name = s->env2;
			value = getenv_fn(name);
		}
		if (value && *value) {
			r = set_text(c, s, value, name, err);
			given(c, s);
		}
	}
	return r;
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static int check_listen(const char *key, const char *value, struct vw_err *err)
{
	return httpd_check_address(value, err) < 0 ? vw_err_wrap(err, "%s", key) : 0;
}

static int check_endpoint(const char *key, const char *url, struct vw_err *err)
{
	if (!*url || !strncasecmp(url, "http://", 7) || !strncasecmp(url, "https://", 8))
		return 0;
	return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "%s is '%.100s', wanted http://HOST[:PORT] or https://...",
			  key, url);
}

/* Wishes that exclude each other. "0 = not set" keeps a setting out of it. */
static int check_together(const struct vwired_config *c, struct vw_err *err)
{
	const char *both = NULL;

	if (c->max_pods && c->warm_ip_target > c->max_pods)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "warm_ip_target is %u, more than max_pods (%u) can use",
				  c->warm_ip_target, c->max_pods);
	if (c->max_pods && c->minimum_ip_target > c->max_pods)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "minimum_ip_target is %u, more than max_pods (%u) can use",
				  c->minimum_ip_target, c->max_pods);
	if (c->max_pods && c->prefix_delegation && c->warm_prefix_target > (c->max_pods + 15) / 16 && c->warm_prefix_target > 1)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "warm_prefix_target is %u, more than max_pods (%u) can use",
				  c->warm_prefix_target, c->max_pods);
	if (c->max_eni && c->warm_eni_target > c->max_eni)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "warm_eni_target is %u, more than max_eni (%u) allows",
				  c->warm_eni_target, c->max_eni);
	if (c->custom_networking && c->max_eni == 1)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "max_eni is 1, but with custom_networking the primary ENI serves no pods: wanted 2 or more");
	if (c->custom_networking && !c->enable_ipv4)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "custom_networking needs enable_ipv4: IPv6 alone comes from the primary ENI, which then serves no pods");
	if (c->custom_networking && c->subnet_id[0])
		both = "subnet_id";
	else if (c->custom_networking && c->n_security_groups)
		both = "security_groups";
	if (both)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "%s is set, but with custom_networking it comes from the "
				  "ENIConfig: wanted one of the two", both);
	if (c->subnet_id[0] && strncmp(c->subnet_id, "subnet-", 7))
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "subnet_id is '%s', wanted an id like subnet-0123abcd",
				  c->subnet_id);
	return 0;
}

static int finish(struct vwired_config *c, struct vw_err *err)
{
	static const char *const reserved[] = { "eth", "vlan", "lo" };

	if (!c->enable_ipv4 && !c->enable_ipv6)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "enable_ipv4 and enable_ipv6 are both false: pods would get no address");
	if (c->pod_mtu == 0)
		c->pod_mtu = c->eni_mtu;
	if (c->enable_ipv6 && c->pod_mtu < 1280)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "pod_mtu is %u, IPv6 (enable_ipv6) needs 1280 (RFC 8200)",
				  c->pod_mtu);
	if (c->pod_mtu < 576 || c->pod_mtu > c->eni_mtu)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "pod_mtu is %u, wanted 576 to eni_mtu (%u)", c->pod_mtu, c->eni_mtu);
	for (size_t i = 0; i < VW_ARRAY_SIZE(reserved); i++)
		if (!strcmp(c->veth_prefix, reserved[i]))
			return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "veth_prefix '%s' is the start of other interfaces' names",
					  c->veth_prefix);
	/* it stands in interface names and in nftables' text */
	if (!c->veth_prefix[0] || c->veth_prefix[strspn(c->veth_prefix, LETTERS "0123456789_-")])
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "veth_prefix '%s' is no start of an interface name", c->veth_prefix);
	if (c->run_dir[0] != '/' || c->bpf_dir[0] != '/' || c->policy_dir[0] != '/')
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "run_dir '%.64s', bpf_dir '%.64s' and policy_dir '%.64s' must be absolute paths", c->run_dir, c->bpf_dir,
				  c->policy_dir);
	if (c->policy_log[0] && c->policy_log[0] != '/')
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "policy_log '%.64s' must be an absolute path", c->policy_log);
	if (c->flow_log[0] && c->flow_log[0] != '/')
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "flow_log '%.64s' must be an absolute path", c->flow_log);
	if (c->flow_log[0] && c->network_policy == CONFIG_POLICY_OFF)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "flow_log needs network_policy, which is off");
	if (check_endpoint("endpoint_ec2", c->endpoint_ec2, err) < 0 ||
	    check_listen("metrics_address", c->metrics_address, err) < 0 ||
	    check_listen("introspection_address", c->introspection_address, err) < 0 ||
	    check_endpoint("endpoint_imds", c->endpoint_imds, err) < 0 ||
	    check_endpoint("endpoint_sts", c->endpoint_sts, err) < 0)
		return -EINVAL;
	c->disable_provisioning |= c->imds_only;
	c->disable_leaked_eni_cleanup |= c->disable_provisioning;
	return check_together(c, err);
}

int vwired_config_parse(const char *text, size_t len, const char *what, char *(*getenv_fn)(const char *name),
			struct vwired_config **ret_cfg, struct vw_err *err)
{
	struct vwired_config *c = calloc(1, sizeof(*c));
	int r = 0;

	if (!c)
		return vw_err_set(err, ENOMEM, 0, "no memory for the configuration");
	for (size_t i = 0; r == 0 && i < N_SETTINGS; i++)
		r = set_text(c, &settings[i], settings[i].def, "default", err);
	c->warm_auto = true;
	if (r == 0 && len)
		r = take_file(c, text, len, what, err);
	if (r == 0)
		r = take_env(c, getenv_fn, err);
	if (r == 0 && (r = finish(c, err)) < 0)
		vw_err_wrap(err, "%s", what);
	if (r < 0) {
		vwired_config_free(c);
		return r;
	}
	*ret_cfg = c;
	return 0;
}

int vwired_config_load(const char *path, struct vwired_config **ret_cfg, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	int r = vw_read_file(path, FILE_MAX, &text, err);

	if (r == -ENOENT && !strcmp(path, DEFAULT_PATH))
		vw_buf_reset(&text);
	else if (r < 0)
		return r;
	else if (!text.len)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "'%s' is empty, wanted a JSON object; {} means all defaults", path);
	return vwired_config_parse(vw_buf_str(&text), text.len, path, getenv, ret_cfg, err);
}

void vwired_config_free(struct vwired_config *cfg)
{
	free(cfg);
}

/* --- docs */

static void print_range(const struct setting *s, struct vw_buf *b)
{
	switch (s->kind) {
	case K_BOOL:
		vw_buf_puts(b, "true, false");
		break;
	case K_UINT:
		vw_buf_printf(b, "%llu to %llu", (unsigned long long)s->min, (unsigned long long)s->max);
		break;
	case K_HEX:
		vw_buf_printf(b, "one bit, 0x%llx to 0x%llx", (unsigned long long)s->min, (unsigned long long)s->max);
		break;
	case K_CHOICE:
		for (size_t i = 0; s->choices[i]; i++)
			vw_buf_printf(b, "%s%s", i ? ", " : "", s->choices[i]);
		break;
	case K_TEXT:
		vw_buf_printf(b, "up to %zu characters", s->size - 1);
		break;
	case K_CIDRS:
		vw_buf_printf(b, "up to %d IPv4 ranges", CONFIG_MAX_CIDRS);
		break;
	case K_NETS:
		vw_buf_printf(b, "up to %d ranges", CONFIG_MAX_NETS);
		break;
	case K_TAGS:
		vw_buf_printf(b, "up to %d", CONFIG_MAX_TAGS);
		break;
	case K_GROUPS:
		vw_buf_printf(b, "up to %d ids", CONFIG_MAX_GROUPS);
		break;
	}
}

int vwired_config_print_docs(struct vw_buf *b)
{
	vw_buf_puts(b, "# Settings of vpcwired\n\n"
		       "<!-- made by `vpcwired --print-config-docs` (make docs) from the table in daemon/config.c; do not edit -->\n\n"
		       "A JSON object in `" DEFAULT_PATH "` (`--config FILE`), and environment variables, which win over the file.\n"
		       "A changed file, or SIGHUP, is taken in at once; one that is not valid is refused with a message and the running\n"
		       "configuration stays in force (INFO shows why, as `config.refused`). Numbers and booleans may also be written as strings. `vpcwired --check` reads the\n"
		       "file and says what is wrong with it.\n\n"
		       "[IPAM.md](IPAM.md) tells how the warm targets work and where they differ from the Amazon VPC CNI's, [OPERATIONS.md](OPERATIONS.md#credentials)\n"
		       "where credentials come from.\n\n"
		       "| key | environment | default | values | effect |\n| --- | --- | --- | --- | --- |\n");
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = &settings[i];

		vw_buf_printf(b, "| `%s` | `%s`%s%s%s | %s%s%s | ", s->key, s->env, s->env2 ? ", `" : "", s->env2 ? s->env2 : "",
			      s->env2 ? "`" : "", *s->def ? "`" : "none", s->def, *s->def ? "`" : "");
		print_range(s, b);
		vw_buf_printf(b, " | %s |\n", s->effect);
	}
	return vw_buf_err(b);
}
