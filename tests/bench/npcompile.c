/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What compiling policies takes: a cluster of --pods pods in --spaces namespaces, --rules rules, --locals pods on this node with half as many
 * effective policies. Rows on stdout: name, median and worst of --rounds, microseconds. No kernel, no I/O in what is measured.
 */
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "netpolicy-bpf/user/np_image.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_ROUNDS 1000

static unsigned int n_pods = 10000, n_spaces = 100, n_rules = 1000, n_locals = 100, n_rounds = 15;
static bool each_alone; /* every pod has a label of its own, as pods of StatefulSets do */
static const char *only;  /* measure nothing else */
static struct np_world *w;
static struct np_image *img;
static struct np_local *local;
static char (*names)[2][16];
static const struct np_compile_conf conf = { .node_name = "n0" };

static void die(const char *what, const struct vw_err *err)
{
	fprintf(stderr, "npcompile: %s: %s\n", what, err->msg);
	exit(1);
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* of this thread: the machine may be busy with others */
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void put_pod(struct vw_buf *b, unsigned int i)
{
	vw_buf_printf(b, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"ns-%u\",\"name\":\"pod-%u\",\"labels\":{\"app\":\"app-%u\",\"tier\":"
		      "\"%s\",\"pod-template-hash\":\"h%u\"", i % n_spaces, i, i / n_spaces % 5, i % 3 ? "front" : "back", i % n_spaces * 5 + i / n_spaces % 5);
	if (each_alone)
		vw_buf_printf(b, ",\"statefulset.kubernetes.io/pod-name\":\"pod-%u\"", i);
	vw_buf_printf(b, "}},\"spec\":{\"nodeName\":\"n%u\",\"containers\":[{\"ports\":[{\"name\":\"web\",\"containerPort\":%u}]}]},\"status\":{\"phase\":\"Running\","
		      "\"podIPs\":[{\"ip\":\"10.%u.%u.%u\"}]}}\n", i / 100, 8000 + i % 4, 1 + i / 65536, i / 256 % 256, i % 256);
}

/* Four rules a policy: pods of the namespace, of others, a block, named ports. */
static void put_policy(struct vw_buf *b, unsigned int i, unsigned int change)
{
	unsigned int space = i % (n_locals / 2 < n_spaces ? (n_locals + 1) / 2 : n_spaces); /* where local pods are */

	vw_buf_printf(b, "{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\",\"metadata\":{\"namespace\":\"ns-%u\",\"name\":\"p-%u\"},\"spec\":{"
		      "\"podSelector\":{\"matchLabels\":{\"app\":\"app-0\"}},\"policyTypes\":[\"Ingress\",\"Egress\"],\"ingress\":["
		      "{\"from\":[{\"podSelector\":{\"matchLabels\":{\"tier\":\"front\"}}}],\"ports\":[{\"port\":%u},{\"port\":\"web\"}]},"
		      "{\"from\":[{\"namespaceSelector\":{\"matchLabels\":{\"kubernetes.io/metadata.name\":\"ns-%u\"}},\"podSelector\":{\"matchExpressions\":[{"
		      "\"key\":\"app\",\"operator\":\"In\",\"values\":[\"app-1\",\"app-2\"]}]}}],\"ports\":[{\"port\":%u,\"endPort\":%u}]}],\"egress\":["
		      "{\"to\":[{\"ipBlock\":{\"cidr\":\"172.%u.0.0/16\",\"except\":[\"172.%u.%u.0/24\"]}}]},"
		      "{\"to\":[{\"podSelector\":{}}],\"ports\":[{\"port\":\"web\"},{\"protocol\":\"UDP\",\"port\":53}]}]}}\n", space, i, 1000 + i % 50 + change, (space + 1) % n_spaces, 2000 + i % 40, 2100 + i % 40, 16 + i % 16, 16 + i % 16, i % 256);
}

static void take(const char *file, struct vw_buf *b)
{
	struct vw_err err;

	if (np_world_take(w, file, vw_buf_str(b), b->len, &err) < 0)
		die("take", &err);
	vw_buf_reset(b);
}

static void build_world(void)
{
	struct vw_buf b = VW_BUF_INIT;

	w = np_world_new();
	for (unsigned int i = 0; i < n_pods; i++)
		put_pod(&b, i);
	take("pods.json", &b);
	for (unsigned int i = 0; i < n_rules / 4; i++)
		put_policy(&b, i, 0);
	take("policies.json", &b);
	local = calloc(n_locals, sizeof(*local));
	names = calloc(n_locals, sizeof(*names));
	for (unsigned int i = 0; local && names && i < n_locals; i++) {
		/* two of each: n_locals / 2 namespaces, an app each */
		unsigned int pod = i / 2 + (i % 2) * n_spaces * 5;
		char ip[32];

		if (pod >= n_pods)
			pod = i % n_pods;
		(void)!vw_fmt(names[i][0], 16, "ns-%u", pod % n_spaces);
		(void)!vw_fmt(names[i][1], 16, "pod-%u", pod);
		(void)!vw_fmt(ip, sizeof(ip), "10.%u.%u.%u", 1 + pod / 65536, pod / 256 % 256, pod % 256);
		local[i] = (struct np_local){ .slot = i + 1, .ns = names[i][0], .name = names[i][1] };
		(void)vw_ip_parse(ip, &local[i].ip4);
	}
	vw_buf_done(&b);
}

/* --- what is measured: each does it once and says how long it took */

static double compile_anew(unsigned int round)
{
	struct np_image *fresh;
	struct vw_err err;
	double t = now_us();

	if (np_compile(w, &conf, local, n_locals, img, &fresh, &err) < 0)
		die("compile", &err);
	t = now_us() - t;
	np_image_free(img);
	img = fresh;
	return t;
}

static double free_image(unsigned int round)
{
	double t;

	(void)compile_anew(round);
	t = now_us();
	img = np_image_free(img);
	t = now_us() - t;
	(void)compile_anew(round);
	return t;
}

static double change_policy(unsigned int round)
{
	struct vw_buf b = VW_BUF_INIT;
	struct np_changes ch;
	struct vw_err err;
	double t;

	for (unsigned int i = 0; i < n_rules / 4; i++)
		put_policy(&b, i, i == 0 ? round + 1 : 0);
	t = now_us();
	if (np_world_take(w, "policies.json", vw_buf_str(&b), b.len, &err) < 0)
		die("take", &err);
	t = now_us() - t;
	np_world_changes(w, &ch);
	vw_buf_done(&b);
	(void)compile_anew(round);
	return t;
}

static double take_pod(unsigned int round)
{
	struct vw_buf b = VW_BUF_INIT;
	struct np_changes ch;
	struct vw_err err;
	double t;

	np_world_changes(w, &ch);
	put_pod(&b, n_pods + round);
	t = now_us();
	if (np_world_take(w, "pod.json", vw_buf_str(&b), b.len, &err) < 0)
		die("take", &err);
	t = now_us() - t;
	vw_buf_done(&b);
	return t;
}

static double add_peer(unsigned int round)
{
	struct np_peer_change change[NP_PEER_CHANGES];
	char ns[32], name[32];
	struct vw_err err;
	size_t n;
	double t;

	(void)take_pod(round);
	(void)!vw_fmt(ns, sizeof(ns), "ns-%u", (n_pods + round) % n_spaces);
	(void)!vw_fmt(name, sizeof(name), "pod-%u", n_pods + round);
	t = now_us();
	if (np_image_add_peer(img, w, ns, name, change, &n, &err) < 0)
		die("add_peer", &err);
	return now_us() - t;
}

static double add_subject(unsigned int round)
{
	unsigned int blob, at = round % n_locals;
	struct vw_err err;
	double t;

	np_image_drop_subject(img, local[at].slot);
	t = now_us();
	if (np_image_add_subject(img, w, &local[at], &blob, &err) < 0)
		die("add_subject", &err);
	return now_us() - t;
}

static double dump(unsigned int round)
{
	struct np_world *other = np_world_new();
	struct vw_buf b = VW_BUF_INIT;
	struct vw_err err;
	double t;

	for (unsigned int i = 0; i < n_pods; i++)
		put_pod(&b, i);
	t = now_us();
	if (!other || np_world_take(other, "pods.json", vw_buf_str(&b), b.len, &err) < 0)
		die("take", &err);
	t = now_us() - t;
	np_world_free(other);
	vw_buf_done(&b);
	return t;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void measure(const char *name, double (*fn)(unsigned int round), unsigned int rounds)
{
	double t[MAX_ROUNDS];

	if (only && strcmp(only, name) != 0)
		return;
	for (unsigned int i = 0; i < rounds; i++)
		t[i] = fn(i);
	qsort(t, rounds, sizeof(*t), by_value);
	printf("{\"name\": \"%s\", \"unit\": \"us\", \"median\": %.1f, \"worst\": %.1f}\n", name, t[rounds / 2], t[rounds - 1]);
	fflush(stdout);
}

static void options(int argc, char **argv)
{
	static const struct option longs[] = { { "pods", 1, NULL, 'p' }, { "spaces", 1, NULL, 's' }, { "rules", 1, NULL, 'r' }, { "locals", 1, NULL, 'l' },
					       { "rounds", 1, NULL, 'n' }, { "each-alone", 0, NULL, 'a' },
					       { "only", 1, NULL, 'o' }, { 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		uint64_t v = 0;

		if (c == 'a') {
			each_alone = true;
			continue;
		}
		if (c == 'o') {
			only = optarg;
			continue;
		}
		if (c == '?' || vw_parse_u64(optarg, 1, c == 'n' ? MAX_ROUNDS : 1000000, &v) < 0)
			exit(2);
		*(c == 'p' ? &n_pods : c == 's' ? &n_spaces : c == 'r' ? &n_rules : c == 'l' ? &n_locals : &n_rounds) = (unsigned int)v;
	}
}

int main(int argc, char **argv)
{
	options(argc, argv);
	build_world();
	if (!w || !local || !names)
		return 1;
	(void)compile_anew(0);
	measure("compile", compile_anew, n_rounds);
	fprintf(stderr, "%u pods, %u rules: %zu peers, %u classes, %u port classes, %u rules, %u blobs for %zu pods\n", n_pods, n_rules, img->n_peer,
		img->n_class, img->n_port_class, img->n_rule - 1, img->n_blob, img->n_subject);
	measure("free an image", free_image, n_rounds);
	measure("read a changed file of policies", change_policy, n_rounds);
	measure("read a file with one pod", take_pod, n_rounds);
	measure("one more peer", add_peer, n_rounds);
	measure("one more local pod", add_subject, n_rounds);
	measure("read all pods", dump, 3);
	np_image_free(img);
	np_world_free(w);
	free(local);
	free(names);
	return 0;
}
