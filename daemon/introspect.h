#pragma once

struct vw_buf;
struct vw_err;

/**
 * DOC: aws-node's introspection paths
 *
 * The same shapes as amazon-vpc-cni-k8s pkg/ipamd/introspect.go and its Go structs give in JSON: ENIInfos for /v1/enis (container ids and
 * interface names left empty, as there), a map of environment names for the two settings' paths, the name of the node's ENIConfig; /v1/pods
 * is what older versions had: "name_namespace_container" -> {IP, DeviceNumber}. Each is for httpd.h; @daemon: struct daemon.
 */
int introspect_commands(void *daemon, struct vw_buf *body, struct vw_err *err);
int introspect_enis(void *daemon, struct vw_buf *body, struct vw_err *err);
/** introspect_eni_configs() - -ENOENT: the node has none. */
int introspect_eni_configs(void *daemon, struct vw_buf *body, struct vw_err *err);
int introspect_pods(void *daemon, struct vw_buf *body, struct vw_err *err);
int introspect_network_settings(void *daemon, struct vw_buf *body, struct vw_err *err);
int introspect_ipamd_settings(void *daemon, struct vw_buf *body, struct vw_err *err);
