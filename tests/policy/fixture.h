#pragma once

#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;
struct vw_json;

/**
 * DOC: fixtures
 *
 * A fixture is a cluster, what happens to it in steps, and after each step who may reach whom: tests/policy/README.md has the
 * format. This is its reader: it knows Kubernetes objects only as texts to be added, replaced, relabelled and removed, and
 * nothing of what they mean.
 *
 * Sequence: fx_open(), for each case fx_start(), fx_step() for each step in order, in between fx_objects(), fx_ends() and the
 * expectations; fx_stop(), fx_close(). Texts and objects are owned by the file or the run.
 */
#define FX_ENDS 64
#define FX_NAME 128
#define FX_ON 32

struct fx_file;
struct fx_run;

/** fx_open() - @path: borrowed until fx_close(). fx_parse() - the same from a text. */
int fx_open(const char *path, struct fx_file **ret, struct vw_err *err);
int fx_parse(const char *text, struct fx_file **ret, struct vw_err *err);
void fx_close(struct fx_file *f);
const char *fx_suite(const struct fx_file *f);
size_t fx_n_cases(const struct fx_file *f);
const char *fx_case_name(const struct fx_file *f, size_t i);
/** fx_has_family() - 0 = IPv4, 1 = IPv6: the case is of that family too. */
bool fx_has_family(const struct fx_file *f, size_t i, int family);
size_t fx_n_steps(const struct fx_file *f, size_t i);

int fx_start(const struct fx_file *f, size_t i, struct fx_run **ret, struct vw_err *err);
void fx_stop(struct fx_run *r);
bool fx_strict(const struct fx_run *r);

/** struct fx_refusal - an object that must be refused, all alone, at that JSON path. */
struct fx_refusal {
	const struct vw_json *obj;
	const char *at;
};
#define FX_REFUSALS 16

/** fx_step() - do what step @i says, and look up its ends and expectations. -EINVAL: the fixture is wrong. */
int fx_step(struct fx_run *r, size_t i, struct vw_err *err);
/** fx_objects() - the cluster now. The array is valid until the next step. */
const struct vw_json *const *fx_objects(const struct fx_run *r, size_t *ret_n);
size_t fx_refusals(const struct fx_run *r, const struct fx_refusal **ret);

enum fx_kind {
	FX_ABSENT,      /* not there at this step */
	FX_POD,         /* "ns/name": judged at its end */
	FX_NODE,        /* "node/name", or a pod in the host's network: packets that the node's own kernel sends */
	FX_SNAT,        /* "snat/name": forwarded packets that left their real source behind: the node's address */
	FX_OUTSIDE,     /* "out/name", or a pod that is over: an address that is nobody's */
};

/** struct fx_port - ICMP and other protocols without ports have port 0. */
struct fx_port {
	uint8_t proto;
	uint16_t port;
};

/**
 * struct fx_end - a column and row of the tables. @ip: IPv4, IPv6; family 0 = none. @node: where a pod is, or which node.
 * @vip: addresses of the pod's own service, which takes at fx_service_port() what goes to one of @served.
 */
struct fx_end {
	char name[FX_NAME];
	enum fx_kind kind;
	char node[FX_NAME];
	struct vw_ip ip[2];
	struct vw_ip vip[2];
	struct fx_port served[FX_ON];
	size_t n_served;
	const char *names[8];           /* by which DNS has shown it */
	size_t n_names;
};
const struct fx_end *fx_ends(const struct fx_run *r, size_t *ret_n);

/** struct fx_expect - for each of @on: row[source][destination] is '.', 'X' or, not asked, '-'. */
struct fx_expect {
	struct fx_port on[FX_ON];
	size_t n_on;
	const char *row[FX_ENDS];
};
size_t fx_n_expects(const struct fx_run *r);
const struct fx_expect *fx_expect(const struct fx_run *r, size_t i);

/** fx_port_parse() - "80/TCP", "ICMP", "47" (a protocol's number). Return: 0, -EINVAL. */
int fx_port_parse(const char *text, struct fx_port *ret);
/** fx_service_port() - at which port a pod's own service takes what goes to @port. */
uint16_t fx_service_port(uint16_t port);
