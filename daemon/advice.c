/* Symptoms and remedies. A message is found by words of it, so the order is from the particular to the general. */
#include "daemon/advice.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"

#include <string.h>

static const struct advice all[] = {
	{ "no free address: EC2 throttles: ec2:", "the account's calls of this action are used up, with when it is tried next",
	  "wait; ask AWS for a higher rate; a larger warm target makes fewer, larger calls" },
	{ "no free address: a permission is missing: ec2:", "the role lacks this action", "add what `deploy/iam/policy.json` lists to the node's role" },
	{ "no free address: no free address in subnet", "the subnet is used up",
	  "another subnet, tagged `kubernetes.io/role/cni=1`, or custom networking" },
	{ "no free address: all slots are in use and no ENI can be added:", "the instance type's, `MAX_ENI`'s or the account's limit",
	  "`prefix_delegation`, a larger type, or fewer pods on the node (`max_pods`)" },
	{ "no free address: no valid AWS credentials:", "no role, or it cannot be had",
	  "attach an instance profile; the rest of the text says from where they were asked" },
	{ "EC2 cannot be reached or has a failure of its own", "the way to the endpoint is cut", "mend route, security group or VPC endpoint of the node" },
	{ "no free address: provisioning of ENIs and addresses is switched off", "`disable_provisioning`, `imds_only`",
	  "switch it on, or give the instance more ENIs by hand" },
	{ "this node is being drained and takes no new pods", "`vpcwirectl drain`", "as wanted, or `vpcwirectl drain --off`" },
	{ "as many addresses as pods may run", "`max_pods`", "as wanted, or raise it" },
	{ "EC2 has taken away the addresses of", "somebody unassigned addresses, or detached the ENI, of pods that run",
	  "delete these pods, their controllers make new ones; find out who did it (CloudTrail)" },
	{ "not valid, the running one stays in force", "a changed settings file that is refused, with file, key and reason",
	  "mend it; it is read again at once" },
	{ "another program keeps removing", "systemd-networkd or another tool fights over a rule, route or table",
	  "tell it to leave foreign ones alone (`ManageForeignRoutes=no`, `ManageForeignRoutingPolicyRules=no`)" },
	{ "a manifest is refused", "a file in `policy_dir` that is not valid, with file, path and reason",
	  "mend the file; `vpcwirectl policy status` lists all that are refused" },
	{ "vpcwire-feed does not run", "nobody brings the API server's policies, pods and so on to this node; what is there stays in force",
	  "`kubectl logs` and `describe` of the node's vpcwire pod, container `feed`; if there is to be none, remove `.vpcwire-feed.json` from `policy_dir`" },
	{ "the API server has not been heard", "vpcwire-feed asks, and is not answered, of at least one kind of objects; what is there stays in force",
	  "see the message: 401, 403: the service account's role; no answer: way, DNS or certificate of the API server" },
	{ "flow logs cannot be written", "the disk of `flow_log` is full, or the file cannot be had",
	  "make room, or name another file; what could not be told of living flows is told then" },
	{ "no metrics", "somebody else has the port", "set `metrics_address` to a free one" },
	{ "no page", "likewise", "set `introspection_address` to a free one" },
};

const struct advice *advice_of(const char *text)
{
	for (size_t i = 0; text && i < VW_ARRAY_SIZE(all); i++)
		if (strstr(text, all[i].says))
			return &all[i];
	return NULL;
}

const char *advice_todo(const char *text)
{
	const struct advice *a = advice_of(text);

	return a ? a->todo : NULL;
}

int advice_print_docs(struct vw_buf *b)
{
	vw_buf_puts(b, "| what it says | what it is | what to do |\n| --- | --- | --- |\n");
	for (size_t i = 0; i < VW_ARRAY_SIZE(all); i++)
		vw_buf_printf(b, "| `%s` | %s | %s |\n", all[i].says, all[i].is, all[i].todo);
	return vw_buf_err(b);
}
