#pragma once

struct daemon;
struct vwired_config;

/**
 * DOC: the page for people, and the Amazon VPC CNI's introspection
 *
 * At introspection_address: "/" is the node as a page that is whole without its script (ENIs, prefixes and addresses as a map, pods, denied
 * connections, how long things take, what has gone wrong); /v1/... are aws-node's paths with its JSON (introspect.h). Made from the
 * daemon's own state when it is asked for. Names of pods and policies are foreign bytes: nothing gets into the page but through html_text().
 */

/** page_listen() - serve it where the configuration says, or no longer. A port that is taken is logged and left. */
void page_listen(struct daemon *d);
/** page_config_changed() - after a reload. @old: what was in force. */
void page_config_changed(struct daemon *d, const struct vwired_config *old);
/** page_close() - before the loop ends. */
void page_close(struct daemon *d);
