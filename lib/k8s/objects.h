#pragma once

#include "lib/json/json.h"

#include <stdbool.h>
#include <stddef.h>

struct vw_err;

/**
 * DOC: Kubernetes objects in a file
 *
 * One object, a List or a typed list, or several of them one after another, as `kubectl get ... -o json`
 * prints them; in YAML, any number of documents of the same. Items of a typed list need not say their
 * kind again.
 */
#define VW_K8S_FILE_MAX_BYTES (64 * 1024 * 1024)
#define VW_K8S_PATH_MAX       64

/**
 * struct vw_k8s_object - one of them. @kind, @version ("networking.k8s.io/v1"): never NULL, @version may
 * be "".
 * @path: where it stands, as jq would name it: "" for the only object of a file, "items[3]",
 * "[1].items[3]" when it is not in the file's first document (as after `jq -s`). All borrowed.
 */
struct vw_k8s_object {
	const struct vw_json *json;
	const char *kind, *version, *path;
};

/** vw_k8s_is_manifest() - a file name that counts: *.json, *.yaml, *.yml, not hidden. */
bool vw_k8s_is_manifest(const char *name);

/**
 * vw_k8s_walk() - call @fn for every object of @text, in order, until it fails.
 * @file: its name decides how it is read (YAML for *.yaml and *.yml, else JSON), and stands in messages.
 * Return: 0; -EBADMSG, -EINVAL (no kind, a list without items), -ENOMEM, or what @fn returned.
 */
int vw_k8s_walk(const char *file, const char *text, size_t len,
		int (*fn)(void *arg, const struct vw_k8s_object *obj, struct vw_err *err), void *arg,
		struct vw_err *err);

/** vw_k8s_text() - member @key of @obj as a text, "" when it is none. */
const char *vw_k8s_text(const struct vw_json *obj, const char *key);
/** vw_k8s_is_instance() - spec.providerID of a Node ("aws:///eu-west-1a/i-0123") is that of the instance @instance_id. */
bool vw_k8s_is_instance(const char *provider_id, const char *instance_id);
/** vw_k8s_is_group() - "policy.networking.k8s.io/v1alpha2" is of group "policy.networking.k8s.io". */
bool vw_k8s_is_group(const char *version, const char *group);
