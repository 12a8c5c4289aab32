/*
 * The daemon's cloud side against `vpcwire-sim serve`, over real HTTP: every typed call, every source of
 * credentials, and what goes wrong on purpose. The simulator checks signatures, tokens and parameters as EC2
 * does, and was written by itself, so each side is the other's test. One simulator per test; it ends with us.
 */
#include "daemon/creds.h"
#include "daemon/ec2.h"
#include "daemon/http.h"
#include "daemon/imds.h"
#include "daemon/xml.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define INSTANCE "i-0000000000000001"
#define SUBNET_A "subnet-00000a"
#define SUBNET_FULL "subnet-00000f"
#define SG "sg-00000001"

extern char **environ;

static const char config[] =
	"{\"region\":\"eu-north-1\",\"vpcs\":[{\"id\":\"vpc-00000001\",\"cidr\":\"10.0.0.0/"
	"16\",\"cidrs\":[\"100.64.0.0/16\"],"
	"\"ipv6_cidrs\":[\"2001:db8:1::/56\"]}],"
	"\"subnets\":[{\"id\":\"" SUBNET_A
	"\",\"cidr\":\"10.0.0.0/20\",\"az\":\"a\",\"ipv6\":\"2001:db8:1:1::/64\","
	"\"tags\":{\"kubernetes.io/role/cni\":\"1\"}},"
	"{\"id\":\"" SUBNET_FULL "\",\"cidr\":\"10.0.16.0/24\",\"az\":\"a\",\"fragment\":true}],"
	"\"security_groups\":[{\"id\":\"" SG "\",\"name\":\"nodes\"}],"
	"\"roles\":[{\"name\":\"node\",\"lifetime_s\":3600},{\"name\":\"pod\"},{\"name\":\"weak\",\"deny\":["
	"\"CreateNetworkInterface\"]}],"
	"\"credentials\":[{\"access_key\":\"AKIASTRONG\",\"secret_key\":\"abc\"},"
	"{\"access_key\":\"AKIAWEAK\",\"secret_key\":\"abc\",\"role\":\"weak\"}],"
	"\"container_credentials\":{\"token\":\"container-token\",\"role\":\"pod\"},"
	"\"web_identity_tokens\":[{\"token\":\"web.token\",\"role\":\"pod\"}],"
	"\"instances\":[{\"id\":\"" INSTANCE
	"\",\"name\":\"node1\",\"type\":\"m5.large\",\"subnet\":\"" SUBNET_A "\",\"role\":\"node\","
	"\"security_groups\":[\"" SG "\"]}]}";

struct fixture {
	char dir[64], control[96], ec2_url[128], sts_url[128], creds_url[128], imds_url[128];
	pid_t pid;
	int control_fd;
	struct http *http;
	struct imds *imds;
	struct creds *creds;
	struct ec2 *ec2;
};

/* ---- the simulator ---- */

/* One line from @fd, with a limit on the time that it may take. */
static void read_line(int fd, struct vw_buf *line)
{
	uint64_t deadline = vw_mono_ms() + 20000;
	char c = 0;

	vw_buf_reset(line);
	while (c != '\n') {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		assert_true(poll(&p, 1, vw_deadline_left(deadline)) == 1);
		assert_int_equal(read(fd, &c, 1), 1);
		vw_buf_putc(line, c);
	}
}

static struct vw_json *parse_line(const struct vw_buf *line)
{
	struct vw_json *j = NULL;
	struct vw_err err = { 0 };

	if (vw_json_parse(vw_buf_str(line), line->len, NULL, "the simulator's line", &j, &err) < 0)
		fail_msg("%s: %s", err.msg, vw_buf_str(line));
	return j;
}

static void take_url(const struct vw_json *j, const char *key, char *ret, size_t size)
{
	const char *url = NULL;
	struct vw_err err;

	assert_int_equal(vw_json_get_str(j, key, &url, &err), 1);
	assert_true(vw_fmt(ret, size, "%s", url) > 0);
}

static void spawn_sim(struct fixture *f, const char *config_path)
{
	const char *build = getenv("VPCWIRE_BUILD");
	char path[512];
	char serve[] = "serve", tied[] = "--tied", config_opt[] = "--config", control_opt[] = "--control";
	char config_arg[128];
	char *argv[] = { path, serve, tied, config_opt, config_arg, control_opt, f->control, NULL };
	vw_auto_buf struct vw_buf line = VW_BUF_INIT;
	vw_auto_json struct vw_json *ready = NULL;
	posix_spawn_file_actions_t actions;
	int out[2];

	assert_true(vw_fmt(path, sizeof(path), "%s/bin/vpcwire-sim", build ? build : "build") > 0);
	assert_true(vw_fmt(config_arg, sizeof(config_arg), "%s", config_path) > 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO), 0);
	assert_int_equal(posix_spawn(&f->pid, path, &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	close(out[1]);
	read_line(out[0], &line);
	close(out[0]);
	ready = parse_line(&line);
	take_url(ready, "ec2", f->ec2_url, sizeof(f->ec2_url));
	take_url(ready, "sts", f->sts_url, sizeof(f->sts_url));
	take_url(ready, "credentials", f->creds_url, sizeof(f->creds_url));
	take_url(vw_json_get(ready, "imds"), "node1", f->imds_url, sizeof(f->imds_url));
}

static int setup(void **state)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const struct http_options opt = { .timeout_ms = 3000 };
	struct fixture *f = calloc(1, sizeof(*f));
	char path[96];
	struct vw_err err = { 0 };

	assert_non_null(f);
	assert_true(vw_fmt(f->dir, sizeof(f->dir), "/tmp/vpcwire-test-cloud-XXXXXX") > 0);
	assert_non_null(mkdtemp(f->dir));
	assert_true(vw_fmt(path, sizeof(path), "%s/config.json", f->dir) > 0);
	assert_true(vw_fmt(f->control, sizeof(f->control), "%s/control", f->dir) > 0);
	assert_int_equal(vw_replace_file(path, config, strlen(config), 0600, &err), 0);
	spawn_sim(f, path);
	f->control_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(vw_fmt(a.sun_path, sizeof(a.sun_path), "%s", f->control) > 0);
	assert_int_equal(connect(f->control_fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(http_new(&opt, &f->http, &err), 0);
	assert_int_equal(imds_new(f->imds_url, f->http, &f->imds, &err), 0);
	*state = f;
	return 0;
}

static void remove_in(const char *dir, const char *name)
{
	char path[160];

	assert_true(vw_fmt(path, sizeof(path), "%s/%s", dir, name) > 0);
	(void)unlink(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int status = 0;

	ec2_free(f->ec2);
	creds_free(f->creds);
	imds_free(f->imds);
	http_free(f->http);
	close(f->control_fd);
	assert_int_equal(kill(f->pid, SIGTERM), 0);
	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	remove_in(f->dir, "config.json");
	remove_in(f->dir, "token");
	remove_in(f->dir, "control");
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* A command on the control socket, as JSON text; the reply is the caller's. */
static struct vw_json *ctl(struct fixture *f, const char *command)
{
	vw_auto_buf struct vw_buf line = VW_BUF_INIT;
	struct vw_json *reply;
	struct vw_err err;
	bool ok = false;

	vw_buf_printf(&line, "%s\n", command);
	assert_int_equal(send(f->control_fd, line.data, line.len, MSG_NOSIGNAL), line.len);
	read_line(f->control_fd, &line);
	reply = parse_line(&line);
	assert_int_equal(vw_json_get_bool(reply, "ok", &ok, &err), 1);
	if (!ok)
		fail_msg("%s: %s", command, vw_buf_str(&line));
	return reply;
}

static void order(struct fixture *f, const char *command)
{
	vw_json_free(ctl(f, command));
}

/* How often the simulator has been called with @action. */
static int64_t calls(struct fixture *f, const char *action)
{
	vw_auto_json struct vw_json *reply = ctl(f, "{\"cmd\":\"counters\"}");
	struct vw_err err;
	int64_t n = 0;

	assert_true(vw_json_get_int(vw_json_get(vw_json_get(reply, "counters"), action), "calls", 0, 1 << 20,
				    &n, &err) >= 0);
	return n;
}

/* ---- what is tested ---- */

static uint64_t soon(void)
{
	return vw_mono_ms() + 20000;
}

static void use_creds(struct fixture *f, const struct creds_options *opt)
{
	const struct ec2_options eo = {
		.endpoint = f->ec2_url,
		.region = "eu-north-1",
		.instance_id = INSTANCE,
		.change = { .burst = 1000, .per_s = 1000 },
		.read = { .burst = 1000, .per_s = 1000 },
	};
	struct vw_err err = { 0 };

	ec2_free(f->ec2);
	creds_free(f->creds);
	f->ec2 = NULL;
	f->creds = NULL;
	assert_int_equal(creds_new(opt, f->http, f->imds, &f->creds, &err), 0);
	assert_int_equal(ec2_new(&eo, f->http, f->creds, &f->ec2, &err), 0);
}

static void use_role(struct fixture *f)
{
	const struct creds_options opt = { 0 };

	use_creds(f, &opt);
}

static void good(int r, const struct ec2_error *err)
{
	if (r < 0)
		fail_msg("%s (%s, HTTP %d)", err->why.msg, ec2_fail_name(err->kind), err->http_status);
}

static void create(struct fixture *f, const char *token, unsigned int n_prefixes, struct ec2_eni *ret)
{
	static const char *const groups[] = { SG };
	static const struct ec2_kv tags[] = {
		{ "node.k8s.amazonaws.com/instance_id", INSTANCE },
		{ "with blanks & signs", "a=b+c/\xc3\xa9" },
	};
	const struct ec2_create what = {
		.subnet_id = SUBNET_A,
		.groups = groups,
		.n_groups = 1,
		.description = "aws-K8S-" INSTANCE,
		.n_prefixes = n_prefixes,
		.tags = tags,
		.n_tags = 2,
		.token = token,
	};
	struct ec2_error err;

	good(ec2_create_eni(f->ec2, soon(), &what, ret, &err), &err);
}

/* Spares the processor between two looks at a condition; nothing depends on its length. */
static void look_again_later(void)
{
	(void)poll(NULL, 0, 20);
}

/* Detaching takes the simulator a moment, as it does EC2. */
static void delete_when_detached(struct fixture *f, const char *eni_id)
{
	uint64_t deadline = soon();
	struct ec2_error err;

	while (ec2_delete_eni(f->ec2, deadline, eni_id, &err) < 0) {
		assert_int_equal(err.kind, EC2_IN_USE);
		assert_true(vw_mono_ms() < deadline);
		look_again_later();
	}
}

/* An interface from its creation to its end, with every change in between. */
static void test_life_of_an_eni(void **state)
{
	struct fixture *f = *state;
	static const struct ec2_kv more = { "createdAt", "2026-11-23T20:00:00Z" };
	struct ec2_eni eni = { 0 }, again = { 0 };
	struct ec2_assign want = { .family = AF_INET, .n_addrs = 3 };
	struct ec2_assigned addrs, prefixes;
	char attachment[EC2_ID_LEN];
	struct ec2_enis own = { 0 };
	struct ec2_error err;

	use_role(f);
	create(f, "token-life", 2, &eni);
	assert_int_equal(eni.n_prefix4, 2);
	assert_int_equal(eni.prefix4[0].len, 28);
	assert_string_equal(eni.subnet_id, SUBNET_A);
	assert_string_equal(eni.vpc_id, "vpc-00000001");
	assert_string_equal(eni.groups[0], SG);
	assert_string_equal(ec2_eni_tag(&eni, "with blanks & signs"), "a=b+c/\xc3\xa9");
	create(f, "token-life", 2, &again); /* the same ClientToken: the same interface */
	assert_string_equal(again.id, eni.id);
	ec2_eni_done(&again);

	good(ec2_attach(f->ec2, soon(), eni.id, 1, 0, attachment, &err), &err);
	good(ec2_delete_on_termination(f->ec2, soon(), eni.id, attachment, true, &err), &err);
	good(ec2_create_tags(f->ec2, soon(), eni.id, &more, 1, &err), &err);
	want.eni_id = eni.id;
	good(ec2_assign(f->ec2, soon(), &want, &addrs, &err), &err);
	assert_int_equal(addrs.n, 3);
	want.n_addrs = 0;
	want.n_prefixes = 1;
	good(ec2_assign(f->ec2, soon(), &want, &prefixes, &err), &err);
	assert_int_equal(prefixes.n, 1);
	good(ec2_describe_eni(f->ec2, soon(), eni.id, &again, &err), &err);
	assert_int_equal(again.n_addr4, 3);
	assert_int_equal(again.n_prefix4, 3);
	assert_string_equal(again.attachment.id, attachment);
	assert_string_equal(again.attachment.instance_id, INSTANCE);
	assert_int_equal(again.attachment.device, 1);
	assert_true(again.attachment.delete_on_termination);
	assert_string_equal(ec2_eni_tag(&again, "createdAt"), "2026-11-23T20:00:00Z");
	ec2_eni_done(&again);
	good(ec2_describe_own_enis(f->ec2, soon(), &own, &err), &err);
	assert_int_equal(own.n, 2);
	ec2_enis_done(&own);

	good(ec2_unassign(f->ec2, soon(), eni.id, addrs.v, addrs.n, &err), &err);
	good(ec2_unassign(f->ec2, soon(), eni.id, addrs.v, addrs.n, &err), &err); /* gone already */
	good(ec2_unassign(f->ec2, soon(), eni.id, prefixes.v, prefixes.n, &err), &err);
	assert_int_equal(ec2_delete_eni(f->ec2, soon(), eni.id, &err), -EBUSY);
	assert_int_equal(err.kind, EC2_IN_USE);
	good(ec2_detach(f->ec2, soon(), attachment, true, &err), &err);
	good(ec2_detach(f->ec2, soon(), attachment, true, &err), &err);
	delete_when_detached(f, eni.id);
	good(ec2_delete_eni(f->ec2, soon(), eni.id, &err), &err);
	assert_int_equal(ec2_describe_eni(f->ec2, soon(), eni.id, &again, &err), -ENOENT);
	assert_int_equal(err.kind, EC2_NOT_FOUND);
	ec2_eni_done(&eni);
}

static void test_ipv6(void **state)
{
	struct fixture *f = *state;
	struct ec2_eni eni = { 0 }, now = { 0 };
	struct ec2_assign want = { .family = AF_INET6, .n_addrs = 2 };
	struct ec2_assigned addrs, prefixes;
	struct ec2_error err;

	use_role(f);
	create(f, "token-six", 0, &eni);
	want.eni_id = eni.id;
	good(ec2_assign(f->ec2, soon(), &want, &addrs, &err), &err);
	assert_int_equal(addrs.n, 2);
	assert_int_equal(addrs.v[0].len, 128);
	want.n_addrs = 0;
	want.n_prefixes = 1;
	good(ec2_assign(f->ec2, soon(), &want, &prefixes, &err), &err);
	assert_int_equal(prefixes.v[0].len, 80);
	good(ec2_describe_eni(f->ec2, soon(), eni.id, &now, &err), &err);
	assert_int_equal(now.n_addr6, 2);
	assert_int_equal(now.n_prefix6, 1);
	ec2_eni_done(&now);
	good(ec2_unassign(f->ec2, soon(), eni.id, addrs.v, 1, &err), &err);
	good(ec2_unassign(f->ec2, soon(), eni.id, prefixes.v, 1, &err), &err);
	good(ec2_describe_eni(f->ec2, soon(), eni.id, &now, &err), &err);
	assert_int_equal(now.n_addr6, 1);
	assert_int_equal(now.n_prefix6, 0);
	ec2_eni_done(&now);
	ec2_eni_done(&eni);
}

static void test_reads(void **state)
{
	struct fixture *f = *state;
	static const char *const ids[] = { SUBNET_A };
	static const struct ec2_kv in_vpc = { "vpc-id", "vpc-00000001" };
	const struct ec2_find by_id = { .ids = ids, .n_ids = 1 },
			      by_vpc = { .filters = &in_vpc, .n_filters = 1 };
	struct ec2_subnets subnets = { 0 };
	struct ec2_limits limits;
	struct ec2_vpc vpc;
	struct ec2_error err;
	char s[VW_CIDR_STRLEN];

	use_role(f);
	good(ec2_describe_limits(f->ec2, soon(), "m5.large", &limits, &err), &err);
	assert_int_equal(limits.max_enis, 3);
	assert_int_equal(limits.ipv4_per_eni, 10);
	assert_true(limits.nitro);
	good(ec2_describe_limits(f->ec2, soon(), "p4d.24xlarge", &limits, &err), &err);
	assert_int_equal(limits.n_cards, 4);
	assert_int_equal(limits.card_enis[3], 15);
	assert_true(ec2_describe_limits(f->ec2, soon(), "m5.none", &limits, &err) < 0);
	good(ec2_describe_subnets(f->ec2, soon(), &by_id, &subnets, &err), &err);
	assert_int_equal(subnets.n, 1);
	assert_true(subnets.v[0].cni_tag);
	assert_string_equal(vw_cidr_str(&subnets.v[0].cidr4, s), "10.0.0.0/20");
	assert_string_equal(vw_cidr_str(&subnets.v[0].cidr6, s), "2001:db8:1:1::/64");
	assert_in_range(subnets.v[0].free4, 4000, 4091);
	ec2_subnets_done(&subnets);
	good(ec2_describe_subnets(f->ec2, soon(), &by_vpc, &subnets, &err), &err);
	assert_int_equal(subnets.n, 2);
	ec2_subnets_done(&subnets);
	good(ec2_describe_vpc(f->ec2, soon(), "vpc-00000001", &vpc, &err), &err);
	assert_int_equal(vpc.n_cidrs, 3);
	assert_string_equal(vw_cidr_str(&vpc.cidrs[1], s), "100.64.0.0/16");
}

static void test_pages(void **state)
{
	struct fixture *f = *state;
	static const char *const groups[] = { SG };
	static const struct ec2_kv tag = { "tag-key", "bulk" }, mark = { "bulk", "1" };
	const struct ec2_find find = { .filters = &tag, .n_filters = 1 };
	struct ec2_enis l = { 0 };
	struct ec2_error err;

	use_role(f);
	for (unsigned int i = 0; i < 1005; i++) {
		char token[32];
		struct ec2_create what = {
			.subnet_id = SUBNET_A,
			.groups = groups,
			.n_groups = 1,
			.tags = &mark,
			.n_tags = 1,
			.token = token,
		};
		struct ec2_eni eni = { 0 };

		assert_true(vw_fmt(token, sizeof(token), "bulk-%u", i) > 0);
		good(ec2_create_eni(f->ec2, soon(), &what, &eni, &err), &err);
		ec2_eni_done(&eni);
	}
	good(ec2_describe_enis(f->ec2, soon(), &find, &l, &err), &err);
	assert_int_equal(l.n, 1005);
	assert_int_equal(calls(f, "DescribeNetworkInterfaces"), 2);
	for (size_t i = 1; i < l.n; i++)
		assert_string_not_equal(l.v[i].id, l.v[i - 1].id);
	ec2_enis_done(&l);
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	const struct creds_options weak = { .access_key_id = "AKIAWEAK", .secret_access_key = "abc" };
	const struct creds_options wrong = { .access_key_id = "AKIAWEAK", .secret_access_key = "abd" };
	static const char *const groups[] = { SG };
	struct ec2_create what = {
		.subnet_id = SUBNET_FULL, .groups = groups, .n_groups = 1, .n_prefixes = 1, .token = "t-1"
	};
	struct ec2_assign want = { .family = AF_INET, .n_addrs = 20 };
	struct ec2_assigned got;
	struct ec2_eni eni = { 0 };
	char id[EC2_ID_LEN];
	struct ec2_error err;

	use_role(f);
	assert_true(ec2_create_eni(f->ec2, soon(), &what, &eni, &err) < 0);
	assert_int_equal(err.kind, EC2_SUBNET_NO_PREFIX);
	create(f, "t-2", 0, &eni);
	want.eni_id = eni.id;
	good(ec2_attach(f->ec2, soon(), eni.id, 1, 0, id, &err), &err);
	assert_int_equal(ec2_assign(f->ec2, soon(), &want, &got, &err), -ENOSPC);
	assert_int_equal(err.kind, EC2_ENI_IP_LIMIT);
	ec2_eni_done(&eni);
	what = (struct ec2_create){
		.subnet_id = SUBNET_A, .groups = groups, .n_groups = 1, .token = "t-2", .n_addrs = 1
	};
	assert_true(ec2_create_eni(f->ec2, soon(), &what, &eni, &err) < 0);
	assert_int_equal(err.kind, EC2_TOKEN_REUSED);
	what.subnet_id = "subnet-0bad";
	what.token = "t-3";
	assert_true(ec2_create_eni(f->ec2, soon(), &what, &eni, &err) < 0);
	assert_int_equal(err.kind, EC2_NOT_FOUND);

	use_creds(f, &weak);
	what.subnet_id = SUBNET_A;
	assert_true(ec2_create_eni(f->ec2, soon(), &what, &eni, &err) < 0);
	assert_int_equal(err.kind, EC2_UNAUTHORIZED);
	assert_non_null(strstr(err.why.msg, "grant ec2:CreateNetworkInterface to the role"));
	use_creds(f, &wrong);
	assert_true(ec2_create_eni(f->ec2, soon(), &what, &eni, &err) < 0);
	assert_int_equal(err.kind, EC2_UNAUTHORIZED);
}

/* The third interface of an instance that may have three in all, and a device that is taken. */
static void test_attach_limits(void **state)
{
	struct fixture *f = *state;
	struct ec2_eni eni[3] = { 0 };
	char id[EC2_ID_LEN];
	struct ec2_error err;

	use_role(f);
	for (unsigned int i = 0; i < 3; i++) {
		char token[8];

		assert_true(vw_fmt(token, sizeof(token), "a-%u", i) > 0);
		create(f, token, 0, &eni[i]);
	}
	good(ec2_attach(f->ec2, soon(), eni[0].id, 1, 0, id, &err), &err);
	assert_true(ec2_attach(f->ec2, soon(), eni[1].id, 1, 0, id, &err) < 0);
	assert_int_equal(err.kind, EC2_DEVICE_IN_USE);
	good(ec2_attach(f->ec2, soon(), eni[1].id, 2, 0, id, &err), &err);
	assert_true(ec2_attach(f->ec2, soon(), eni[2].id, 3, 0, id, &err) < 0);
	assert_int_equal(err.kind, EC2_ATTACH_LIMIT);
	good(ec2_attach(f->ec2, soon(), eni[0].id, 1, 0, id, &err), &err); /* it is there already */
	for (unsigned int i = 0; i < 3; i++)
		ec2_eni_done(&eni[i]);
}

/* The next call of each of these is carried out, and its answer lost in the way of @kind. */
static void lose_answers(struct fixture *f, const char *kind, bool all)
{
	static const char *const actions[] = { "AttachNetworkInterface",   "CreateNetworkInterface",
					       "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses",
					       "DetachNetworkInterface",   "DeleteNetworkInterface" };
	char command[160];

	for (size_t k = 0; k < (all ? VW_ARRAY_SIZE(actions) : 1); k++) {
		assert_true(vw_fmt(command, sizeof(command),
				   "{\"cmd\":\"fault\",\"action\":\"%s\",\"kind\":%s,\"times\":1}",
				   actions[k], kind) > 0);
		order(f, command);
	}
	order(f, "{\"cmd\":\"reset-counters\"}");
}

/* Nothing is done twice, nothing is forgotten. */
static void lead_a_life(struct fixture *f, const char *token, int64_t creates)
{
	struct ec2_eni eni = { 0 }, now = { 0 };
	struct ec2_assign want = { .family = AF_INET, .n_addrs = 2 };
	struct ec2_assigned got;
	char id[EC2_ID_LEN];
	struct ec2_error err;

	create(f, token, 1, &eni);
	assert_int_equal(calls(f, "CreateNetworkInterface"), creates);
	good(ec2_attach(f->ec2, soon(), eni.id, 1, 0, id, &err), &err);
	assert_int_equal(calls(f, "AttachNetworkInterface"), 1);
	want.eni_id = eni.id;
	good(ec2_assign(f->ec2, soon(), &want, &got, &err), &err);
	assert_int_equal(got.n, 2);
	assert_int_equal(calls(f, "AssignPrivateIpAddresses"), 1);
	good(ec2_unassign(f->ec2, soon(), eni.id, got.v, got.n, &err), &err);
	good(ec2_describe_eni(f->ec2, soon(), eni.id, &now, &err), &err);
	assert_int_equal(now.n_addr4, 0);
	assert_string_equal(now.attachment.id, id);
	ec2_eni_done(&now);
	good(ec2_detach(f->ec2, soon(), id, false, &err), &err);
	delete_when_detached(f, eni.id);
	assert_true(ec2_describe_eni(f->ec2, soon(), eni.id, &now, &err) < 0);
	assert_int_equal(err.kind, EC2_NOT_FOUND);
	ec2_eni_done(&eni);
}

static void test_lost_answers(void **state)
{
	struct fixture *f = *state;

	use_role(f);
	lose_answers(f, "\"close\"", true);
	lead_a_life(f, "lost-1", 2);
	lose_answers(f, "\"truncate\",\"bytes\":120", true);
	lead_a_life(f, "lost-2", 2);
	lose_answers(f, "\"hang\"", false); /* one is enough: each costs the HTTP client's whole patience */
	lead_a_life(f, "lost-3", 1);
}

static void test_throttling(void **state)
{
	struct fixture *f = *state;
	uint64_t deadline = soon();
	struct ec2_enis l = { 0 };
	struct ec2_error err;

	use_role(f);
	order(f,
	      "{\"cmd\":\"bucket\",\"action\":\"DescribeNetworkInterfaces\",\"size\":2,\"refill_per_s\":5}");
	for (unsigned int i = 0; i < 6; i++) {
		good(ec2_describe_own_enis(f->ec2, soon(), &l, &err), &err);
		assert_int_equal(l.n, 1);
		ec2_enis_done(&l);
	}
	/* a bucket that never fills: EC2's word is what is left when the time is up, unless that is in the middle of a try */
	order(f,
	      "{\"cmd\":\"bucket\",\"action\":\"DescribeNetworkInterfaces\",\"size\":1,\"refill_per_s\":0}");
	do {
		assert_true(vw_mono_ms() < deadline);
		if (ec2_describe_own_enis(f->ec2, vw_mono_ms() + 400, &l, &err) == 0)
			ec2_enis_done(&l);
	} while (err.kind != EC2_THROTTLED);
	assert_string_equal(err.code, "RequestLimitExceeded");
	assert_int_equal(err.http_status, 503);
}

static void test_failures_that_pass(void **state)
{
	struct fixture *f = *state;
	struct ec2_enis l = { 0 };
	struct ec2_error err;

	use_role(f);
	order(f, "{\"cmd\":\"fault\",\"action\":\"DescribeNetworkInterfaces\",\"code\":\"InternalError\","
		 "\"times\":1}");
	order(f,
	      "{\"cmd\":\"fault\",\"action\":\"DescribeNetworkInterfaces\",\"kind\":\"body\",\"status\":502,"
	      "\"message\":\"<html>Bad Gateway</html>\",\"times\":1}");
	order(f, "{\"cmd\":\"fault\",\"action\":\"IMDS\",\"kind\":\"body\",\"status\":503,\"times\":1}");
	good(ec2_describe_own_enis(f->ec2, soon(), &l, &err), &err);
	assert_int_equal(l.n, 1);
	ec2_enis_done(&l);
}

/* Credentials from each source sign a request that the simulator accepts. */
static void expect_good(struct fixture *f)
{
	struct ec2_enis l = { 0 };
	struct ec2_error err;

	good(ec2_describe_own_enis(f->ec2, soon(), &l, &err), &err);
	ec2_enis_done(&l);
}

static void test_sources(void **state)
{
	struct fixture *f = *state;
	const struct creds_options env = { .access_key_id = "AKIASTRONG", .secret_access_key = "abc" };
	struct creds_options web = { .role_arn = "arn:aws:iam::123456789012:role/pod",
				     .sts_endpoint = f->sts_url };
	struct creds_options container = { .container_full_uri = f->creds_url,
					   .container_token = "container-token" };
	struct creds_options bad = { .container_full_uri = f->creds_url, .container_token = "wrong" };
	struct ec2_enis l = { 0 };
	struct ec2_error err;
	struct vw_err e;
	char path[96];

	assert_true(vw_fmt(path, sizeof(path), "%s/token", f->dir) > 0);
	assert_int_equal(vw_replace_file(path, "web.token\n", 10, 0600, &e), 0);
	web.web_identity_token_file = path;

	use_creds(f, &env);
	expect_good(f);
	assert_int_equal(creds_refresh_due_s(f->creds), 0);
	use_creds(f, &web);
	expect_good(f);
	assert_true(creds_refresh_due_s(f->creds) > vw_unix_s());
	use_creds(f, &container);
	expect_good(f);
	use_role(f);
	expect_good(f);

	use_creds(f, &bad);
	assert_true(ec2_describe_own_enis(f->ec2, soon(), &l, &err) < 0);
	assert_int_equal(err.kind, EC2_NO_CREDS);
	assert_int_equal(vw_replace_file(path, "other.token", 11, 0600, &e), 0);
	use_creds(f, &web);
	assert_true(ec2_describe_own_enis(f->ec2, soon(), &l, &err) < 0);
	assert_int_equal(err.kind, EC2_NO_CREDS);
	assert_non_null(strstr(err.why.msg, "web identity"));
	assert_null(strstr(err.why.msg, "other.token"));
}

static void test_expiry(void **state)
{
	struct fixture *f = *state;
	const struct creds_options env = { .access_key_id = "AKIASTRONG", .secret_access_key = "abc" };
	struct vw_err e;

	use_role(f);
	expect_good(f);
	order(f, "{\"cmd\":\"expire-credentials\",\"role\":\"node\"}");
	expect_good(f); /* refused once, fetched anew, accepted */
	assert_int_equal(creds_refresh(f->creds, soon(), &e), 0);
	expect_good(f);
	/* the source fails while the set is good: work goes on */
	order(f, "{\"cmd\":\"fault\",\"action\":\"IMDS\",\"kind\":\"body\",\"status\":500,\"times\":0}");
	assert_true(creds_refresh(f->creds, soon(), &e) < 0);
	assert_true(creds_have_valid(f->creds));
	expect_good(f);
	order(f, "{\"cmd\":\"clear-faults\"}");
	use_creds(f, &env);
	expect_good(f);
}

static void test_clock_skew(void **state)
{
	struct fixture *f = *state;
	const struct creds_options env = { .access_key_id = "AKIASTRONG", .secret_access_key = "abc" };
	int64_t skew;

	use_creds(f, &env);
	order(f, "{\"cmd\":\"clock\",\"offset_s\":7200}");
	expect_good(f);
	skew = ec2_clock_skew_s(f->ec2);
	assert_in_range(skew, 7200 - 30, 7200 + 30);
	order(f, "{\"cmd\":\"reset-counters\"}");
	expect_good(f);
	assert_int_equal(calls(f, "DescribeNetworkInterfaces"), 1); /* signed right at once */
	order(f, "{\"cmd\":\"clock\",\"offset_s\":0}");
	expect_good(f);
	assert_int_equal(ec2_clock_skew_s(f->ec2), 0);
}

static void test_metadata(void **state)
{
	struct fixture *f = *state;
	struct vw_mac macs[IMDS_MAX_MACS];
	struct imds_identity id;
	struct ec2_eni eni = { 0 };
	struct imds_eni seen;
	char attachment[EC2_ID_LEN], s[VW_CIDR_STRLEN];
	struct ec2_error err;
	struct vw_err e = { 0 };
	uint64_t deadline = soon();
	size_t n;

	assert_int_equal(imds_identity(f->imds, soon(), &id, &e), 0);
	assert_string_equal(id.instance_id, INSTANCE);
	assert_string_equal(id.instance_type, "m5.large");
	assert_string_equal(id.az, "eu-north-1a");
	assert_string_equal(id.region, "eu-north-1");
	use_role(f);
	order(f, "{\"cmd\":\"imds-lag\",\"ms\":0}");
	order(f, "{\"cmd\":\"delays\",\"attach_ms\":0}");
	create(f, "t-imds", 2, &eni);
	good(ec2_attach(f->ec2, soon(), eni.id, 1, 0, attachment, &err), &err);
	/* metadata follows EC2 at its own pace */
	for (;;) {
		assert_int_equal(imds_macs(f->imds, deadline, macs, &n, &e), 0);
		if (n == 2)
			break;
		assert_true(vw_mono_ms() < deadline);
		look_again_later();
	}
	assert_int_equal(imds_eni(f->imds, &eni.mac, soon(), &seen, &e), 1);
	assert_string_equal(seen.id, eni.id);
	assert_int_equal(seen.device, 1);
	assert_string_equal(seen.subnet_id, SUBNET_A);
	assert_string_equal(seen.vpc_id, "vpc-00000001");
	assert_string_equal(vw_cidr_str(&seen.subnet4, s), "10.0.0.0/20");
	assert_int_equal(seen.n_vpc4, 2);
	assert_int_equal(seen.n_prefix4, 2);
	assert_int_equal(seen.n_ipv4, 1);
	assert_true(vw_ip_eq(&seen.ipv4[0], &eni.primary4));
	assert_string_equal(seen.groups[0], SG);
	assert_int_equal(imds_eni(f->imds, &id.primary_mac, soon(), &seen, &e), 1);
	assert_int_equal(seen.device, 0);
	seen.mac.b[5] ^= 0xff;
	assert_int_equal(imds_eni(f->imds, &seen.mac, soon(), &seen, &e), 0);
	ec2_eni_done(&eni);
}

#define SIM_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(test_life_of_an_eni), SIM_TEST(test_ipv6),       SIM_TEST(test_reads),
		SIM_TEST(test_pages),          SIM_TEST(test_refusals),   SIM_TEST(test_attach_limits),
		SIM_TEST(test_lost_answers),   SIM_TEST(test_throttling), SIM_TEST(test_failures_that_pass),
		SIM_TEST(test_sources),        SIM_TEST(test_expiry),     SIM_TEST(test_clock_skew),
		SIM_TEST(test_metadata),
	};

	if (http_init_process() < 0)
		return 1;
	xml_init_process();
	return cmocka_run_group_tests_name("cloud_sim", tests, NULL, NULL);
}
