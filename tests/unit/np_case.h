#pragma once

/*
 * A small cluster for tests of the compiler: objects as YAML, pods of this node, questions as text. Every answer is asked for twice,
 * of the objects and of the tables, and a test fails where the two differ.
 */

#include "netpolicy-bpf/user/np_explain.h"

#define CASE_LOCALS 64

struct np_case {
	struct np_world *w;
	struct np_image *img;
	struct np_compile_conf conf;
	struct np_local local[CASE_LOCALS];
	size_t n_local;
	char node[64];
	struct vw_ip node_ip[4], resolver[4];
	struct vw_cidr service[4];
	const char *name[4];    /* that DNS gives the peer */
	size_t n_name;
	bool node_local;
};

void case_init(struct np_case *c);
void case_done(struct np_case *c);
/** case_take() - fails the test when the text is refused. */
void case_take(struct np_case *c, const char *file, const char *yaml);
/** case_local() - a pod of this node: "ns/name" with up to two addresses (NULL: none). Return: its slot. */
unsigned int case_local(struct np_case *c, const char *pod, const char *ip, const char *ip2);
/** case_compile() - anew, beside what was before. */
void case_compile(struct np_case *c);
/** case_fails() - compiling must fail with @why in the sentence. */
void case_fails(struct np_case *c, int eno, const char *why);
/**
 * case_asks() - "x/a > 10.0.0.2 TCP/80" (egress), "x/a < 10.0.0.2 ICMP" (ingress): who decides, as
 * "ALLOW NetworkPolicy x/p spec.ingress[0]", "DENY NetworkPolicy x/p,x/q", "ALLOW". Static text.
 */
const char *case_asks(struct np_case *c, const char *question);
/** case_expect() - the test fails when the answer does not begin with @want. */
void case_expect(struct np_case *c, const char *question, const char *want);
/** case_check_image() - what must hold of every image. */
void case_check_image(const struct np_image *img);
