#pragma once

#include "daemon/ec2.h"
#include "lib/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct vw_err;

/**
 * DOC: Kubernetes objects from a folder
 *
 * manifests_read() takes ENIConfigs (crd.k8s.amazonaws.com/v1alpha1) and this node's Node from every *.json,
 * *.yaml and *.yml of a folder: an object, a List, or objects one after another, as kubectl prints them.
 * Other kinds are passed over. Either all of it is taken or nothing, so that a bad file leaves the caller's
 * last good state in force.
 */
#define MANIFEST_NAME_MAX 254 /* Kubernetes: 253 characters */

struct manifest_eniconfig {
	char name[MANIFEST_NAME_MAX];
	char subnet[EC2_ID_LEN];
	char groups[EC2_MAX_GROUPS][EC2_ID_LEN];
	size_t n_groups;
	char file[256]; /* where it stands, for messages */
};

/**
 * struct manifest_want - which Node is ours and what of it counts. Borrowed texts.
 * @node_name: "" = the Node whose providerID ends in @instance_id, else the one named @host_name.
 * @annotation, @label: the keys that name an ENIConfig.
 */
struct manifest_want {
	const char *node_name, *instance_id, *host_name;
	const char *annotation, *label;
};

/**
 * struct manifests - what was read.
 * @fit: how well the node found fits what was wanted; 0 = none was found. @node_config: the ENIConfig that it
 * names, "" = none; @node_from: where it does so, "annotation k8s.amazonaws.com/eniConfig".
 */
struct manifests {
	struct manifest_eniconfig *v;
	size_t n;
	unsigned int fit;
	char node_name[MANIFEST_NAME_MAX];
	char node_config[MANIFEST_NAME_MAX];
	char node_from[352];
};

/** manifests_take() - add the objects of one text. @file: names it in messages. */
int manifests_take(struct manifests *m, const struct manifest_want *want, const char *text, size_t len,
		   const char *file, struct vw_err *err);
/** manifests_read() - all of @dir, in order of name. Return: 0; -ENOENT when there is no such folder; -errno.
 */
int manifests_read(const char *dir, const struct manifest_want *want, struct manifests *ret,
		   struct vw_err *err);
void manifests_done(struct manifests *m);

/**
 * manifests_eniconfig() - the ENIConfig for this node: the one it names, else "default".
 * Return: NULL with @err filled (which one is missing and who asks for it).
 */
const struct manifest_eniconfig *manifests_eniconfig(const struct manifests *m, struct vw_err *err);
