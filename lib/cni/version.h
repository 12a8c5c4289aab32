#pragma once

#include <stddef.h>

struct vw_json;

/** enum vw_cni_version - every version of the CNI specification that was released, in order. */
enum vw_cni_version {
	VW_CNI_0_1_0, VW_CNI_0_2_0, VW_CNI_0_3_0, VW_CNI_0_3_1, VW_CNI_0_4_0, VW_CNI_1_0_0, VW_CNI_1_1_0,
	VW_CNI_VERSIONS,        /* how many */
};
#define VW_CNI_NEWEST VW_CNI_1_1_0

/** vw_cni_version_parse() - exact text, as libcni compares; "" is 0.1.0. Return: 0, -EINVAL. */
int vw_cni_version_parse(const char *text, enum vw_cni_version *ret_version);
const char *vw_cni_version_str(enum vw_cni_version version);
/** vw_cni_versions_json() - array of all of them; the caller owns it. NULL when out of memory. */
struct vw_json *vw_cni_versions_json(void);
