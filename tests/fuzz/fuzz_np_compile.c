/*
 * Whatever objects are taken (as in fuzz_np_world: the first byte says JSON or YAML), compiling them ends in tables that say what the
 * objects say, or in a sentence; and so it does a second time, beside the first, and after a pod more.
 */
#include "lib/base/err.h"
#include "netpolicy-bpf/user/np_diff.h"
#include "netpolicy-bpf/user/np_explain.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char cluster[] =
	"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"x\",\"name\":\"a\",\"labels\":{\"a\":\"b\",\"k\":\"v\"}},\"spec\":{\"containers\":[{"
	"\"ports\":[{\"name\":\"web\",\"containerPort\":80}]}]},\"status\":{\"podIPs\":[{\"ip\":\"10.0.0.1\"},{\"ip\":\"fd00::1\"}]}}"
	"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"y\",\"name\":\"b\",\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":[{"
	"\"ports\":[{\"name\":\"http\",\"containerPort\":81,\"protocol\":\"UDP\"}]}]},\"status\":{\"podIP\":\"10.0.0.7\"}}";
static const char one_more[] = "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"y\",\"name\":\"more\",\"labels\":{\"a\":\"c\"}},\"spec\":{"
			       "\"containers\":[{\"ports\":[{\"name\":\"web\",\"containerPort\":82}]}]},\"status\":{\"podIP\":\"10.0.0.9\"}}";
static const struct np_local local[] = { { 1, "x", "a", { AF_INET, { 10, 0, 0, 1 } }, { AF_INET6, { 0xfd, 0, [15] = 1 } } },
					 { 2, "x", "b", { AF_INET, { 10, 0, 0, 2 } }, { 0 } },
					 { 3, "", "", { AF_INET, { 10, 0, 0, 3 } }, { 0 } } };

static void must(bool yes)
{
	if (!yes)
		abort();
}

static void ask(const struct np_image *img, const struct np_world *w)
{
	static const struct vw_ip ips[] = { { AF_INET, { 10, 0, 0, 1 } }, { AF_INET, { 10, 0, 0, 7 } }, { AF_INET, { 10, 0, 0, 9 } },
					    { AF_INET, { 10, 9, 9, 9 } }, { AF_INET, { 8, 8, 8, 8 } }, { AF_INET6, { 0xfd, 0, [15] = 1 } } };
	static const uint16_t ports[] = { 53, 80, 81, 82, 443 };
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP };
	static const char *const names[] = { "www.example.com" };
	struct vw_err err = { 0 };

	for (unsigned int i = 0; i < 6 * 5 * 4 * 2 * 3; i++) {
		struct np_explain_query q = { .slot = 1 + i % 3, .dir = (enum np_dir)(i / 3 % 2), .proto = protos[i / 6 % 4], .port = ports[i / 24 % 5],
					      .peer = ips[i / 120 % 6], .name = names, .n_name = i % 2 };
		struct np_explain e;

		if (q.proto == IPPROTO_ICMP)
			q.port = 0;
		must(np_explain(img, w, &q, &e, &err) == 0);
		must(e.agree);
		np_explain_done(&e);
	}
}

static struct np_image *compile(const struct np_world *w, const struct np_image *prev)
{
	const struct np_compile_conf conf = { .node_name = "n" };
	struct np_image *img = NULL;
	struct vw_err err = { 0 };

	if (np_compile(w, &conf, local, 3, prev, &img, &err) < 0) {
		must(err.msg[0] && !img);
		return NULL;
	}
	ask(img, w);
	return img;
}

static void add_pod(struct np_image *img, struct np_world *w)
{
	struct np_peer_change change[NP_PEER_CHANGES];
	struct vw_err err = { 0 };
	size_t n;
	int r;

	must(np_world_take(w, "zz.json", one_more, sizeof(one_more) - 1, &err) == 0);
	r = np_image_add_peer(img, w, "y", "more", change, &n, &err);
	must(r == 0 || r == -EAGAIN);
	if (r == 0)
		ask(img, w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct np_world *w = np_world_new();
	struct np_image *before = NULL, *img = NULL;
	struct vw_err err = { 0 };
	struct np_diff d;

	must(w && np_world_take(w, "a.json", cluster, sizeof(cluster) - 1, &err) == 0);
	before = compile(w, NULL);
	must(before != NULL);
	if (size && np_world_take(w, data[0] == 'y' ? "m.yaml" : "m.json", (const char *)data + 1, size - 1, &err) == 0)
		img = compile(w, before);
	if (img) {
		must(np_diff(before, img, 100, &d, &err) == 0);
		np_diff_done(&d);
		add_pod(img, w);
	}
	np_image_free(before);
	np_image_free(img);
	np_world_free(w);
	return 0;
}
