#include "daemon/drain.h"

#include "daemon/daemon.h"
#include "daemon/serve.h"
#include "daemon/store.h"
#include "lib/base/buf.h"
#include "lib/base/log.h"

#include <errno.h>
#include <string.h>

#define KEY "drain"

int drain_set(struct daemon *d, bool on, struct vw_err *err)
{
	int r = store_meta_put(d->store, KEY, on ? "1" : "0", err);

	if (r < 0)
		return r;
	if (on != d->draining)
		vw_info(on ? "the node is drained: no new pods, what none uses goes back" : "the node is drained no longer", "pods=%u", d->attach.n);
	d->draining = on;
	serve_waiters(d);
	daemon_pool_changed(d);
	return 0;
}

int drain_restore(struct daemon *d, struct vw_err *err)
{
	vw_auto_buf struct vw_buf value = VW_BUF_INIT;
	int r = store_meta_get(d->store, KEY, &value, err);

	if (r > 0)
		d->draining = !strcmp(vw_buf_str(&value), "1");
	return r < 0 ? r : 0;
}

int drain_refuse(struct vw_err *err)
{
	return vw_err_set(err, ESHUTDOWN, VW_CNI_TRY_AGAIN, "this node is being drained and takes no new pods; vpcwirectl drain --off ends it");
}
