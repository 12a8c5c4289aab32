/* vpcwirectl explain pod: what the node holds for a pod, each part beside the kernel's. */
#include "cli/cli.h"

#include "cli/inside.h"
#include "lib/json/json.h"

#include <stdio.h>

static void print_policies(const char *direction, const struct vw_json *policies)
{
	for (size_t i = 0; i < vw_json_len(policies); i++) {
		const struct vw_json *p = vw_json_at(policies, i);

		printf("  %s is judged by %s %s (%s, %s)\n", direction, cli_str(p, "kind"), cli_str(p, "policy"), cli_str(p, "tier"),
		       cli_str(p, "file"));
	}
}

static void print_interface(const struct vw_json *x)
{
	const struct vw_json *eni = vw_json_get(x, "eni"), *policy = vw_json_get(x, "policy");

	printf("%s/%s %s, container %s\n", cli_str(x, "pod_namespace"), cli_str(x, "pod_name"), cli_str(x, "ifname"), cli_str(x, "container_id"));
	printf("  address  %s%s%s", cli_or_dash(cli_str(x, "address")), *cli_str(x, "prefix") ? " of prefix " : "", cli_str(x, "prefix"));
	printf("%s%s\n", *cli_str(x, "address6") ? ", " : "", cli_str(x, "address6"));
	printf("  ENI      %s %s, number %lld, table %lld, %s\n", cli_str(eni, "id"), cli_or_dash(cli_str(eni, "ifname")), cli_int(eni, "number"),
	       cli_int(eni, "table"), cli_or_dash(cli_str(eni, "subnet_id")));
	printf("  veth     %s (index %lld, slot %lld)\n", cli_str(x, "host_ifname"), cli_int(x, "host_ifindex"), cli_int(x, "slot"));
	printf("  policy   %s\n", cli_or_dash(cli_str(policy, "mode")));
	print_policies("egress", vw_json_get(policy, "egress"));
	print_policies("ingress", vw_json_get(policy, "ingress"));
	cli_print_checks(vw_json_get(x, "checks"), "DIFFERS");
}

enum cli_exit cli_explain_pod(const struct cli *c, int argc, char **argv)
{
	struct vw_json *args = vw_json_new_object();
	vw_auto_json struct vw_json *s = NULL;
	const struct vw_json *interfaces;
	enum cli_exit r;
	unsigned int bad = 0;

	if (argc != 2 || vw_json_set_str(args, "pod", argv[1]) < 0) {
		vw_json_free(args);
		return cli_usage("explain pod wants one pod, NAMESPACE/NAME or an address of it");
	}
	r = cli_query(c, "pod", args, &s);
	if (r != CLI_OK)
		return r;
	if (look_inside(c, &s) < 0) {
		fputs("vpcwirectl: out of memory\n", stderr);
		return CLI_FAILED;
	}
	interfaces = vw_json_get(s, "interfaces");
	for (size_t i = 0; i < vw_json_len(interfaces); i++) {
		bad += cli_checks_bad(vw_json_get(vw_json_at(interfaces, i), "checks"));
		if (!c->json)
			print_interface(vw_json_at(interfaces, i));
	}
	if (c->json)
		r = cli_print_json(s);
	else
		printf("%s\n", bad ? "the kernel and the books differ" : "the kernel has what it should");
	return r == CLI_OK && bad ? CLI_FINDINGS : r;
}
