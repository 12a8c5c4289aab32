/*
 * The page, from top to bottom. Figures, ENIs and pods are those of query "node", denied connections and events those of theirs, so that the page
 * cannot say anything else than vpcwirectl; the map asks the pool for each address, for the name of its pod.
 */
#include "daemon/page.h"

#include "daemon/daemon.h"
#include "daemon/denied.h"
#include "daemon/events.h"
#include "daemon/grow.h"
#include "daemon/hist.h"
#include "daemon/html.h"
#include "daemon/httpd.h"
#include "daemon/info.h"
#include "daemon/introspect.h"
#include "daemon/page_files.h"
#include "ipam/pool.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/json/json.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define BAR_WIDTH 160
#define SINGLES_A_ROW 16

static const char *str(const struct vw_json *o, const char *key)
{
	const char *s = vw_json_string(vw_json_get(o, key));

	return s ? s : "";
}

static long long num(const struct vw_json *o, const char *key)
{
	return (long long)vw_json_int(vw_json_get(o, key));
}

static void number_cell(struct vw_buf *b, long long n)
{
	vw_buf_printf(b, "<td class=\"n\">%lld</td>", n);
}

/* @columns: names apart by '|'; one that begins with '#' is of numbers */
static void table(struct vw_buf *b, const char *id, const char *columns)
{
	vw_buf_printf(b, "<table id=\"%s\"><thead><tr>", id);
	for (const char *c = columns; *c;) {
		size_t n = strcspn(c, "|");
		bool right = *c == '#';

		vw_buf_printf(b, "<th scope=\"col\"%s>%.*s</th>", right ? " class=\"n\"" : "", (int)n - right, c + right);
		c += n + (c[n] == '|');
	}
	vw_buf_puts(b, "</tr></thead>\n<tbody>\n");
}

static void table_end(struct vw_buf *b)
{
	vw_buf_puts(b, "</tbody></table>\n");
}

/* --- top */

static void figure(struct vw_buf *b, const char *id, long long n, const char *what)
{
	vw_buf_printf(b, "<li><b id=\"%s\">%lld</b> %s</li>\n", id, n, what);
}

static void trouble(struct vw_buf *b, const char *text)
{
	if (!*text)
		return;
	vw_buf_puts(b, "<p class=\"bad\">");
	html_text(b, text);
	vw_buf_puts(b, "</p>\n");
}

static void print_top(const struct daemon *d, struct vw_buf *b, const struct vw_json *n)
{
	const struct vw_json *p = vw_json_get(n, "pool");
	unsigned int max_enis, max_addrs;

	grow_limits(d, &max_enis, &max_addrs);
	vw_buf_printf(b, "<p id=\"state\" class=\"%s\">%s</p>\n", num(n, "cni") ? "bad" : "good", num(n, "cni") ? "needs attention" : "serves pods");
	trouble(b, str(n, "why"));
	if (strcmp(str(n, "why"), str(n, "trouble")) != 0)
		trouble(b, str(n, "trouble"));
	trouble(b, str(vw_json_get(n, "placement"), "trouble"));
	vw_buf_puts(b, "<ul class=\"figures\">\n");
	figure(b, "n-pods", num(n, "n_pods"), "pods");
	figure(b, "n-assigned", num(p, "assigned"), "addresses with pods");
	figure(b, "n-available", num(p, "available"), "free");
	figure(b, "n-cooling", num(p, "cooling"), "cooling down");
	figure(b, "n-total", num(p, "total"), "in all");
	figure(b, "n-prefixes", num(p, "prefixes"), "prefixes");
	vw_buf_printf(b, "<li><b id=\"n-enis\">%zu</b> ENIs of %u</li>\n", d->enis.n, max_enis);
	figure(b, "n-waiting", num(p, "waiting"), "ADDs wait");
	figure(b, "n-changes", num(p, "actions_under_way"), "changes at EC2 under way");
	vw_buf_puts(b, "</ul>\n");
}

/* --- the map */

static void map_cell(const struct daemon *d, struct vw_buf *b, const struct vw_ip *ip)
{
	const struct attachment *a = NULL;
	char text[VW_IP_STRLEN];
	struct ipam_addr at;
	bool known = ipam_pool_by_ip(d->pool, ip, &at);
	bool used = known && at.state == IPAM_ASSIGNED, cools = known && at.state == IPAM_COOLING;

	if (used && at.key)
		a = attach_by_text(d, at.key);
	vw_buf_printf(b, "<td%s title=\"%s ", used ? " class=\"a\"" : cools ? " class=\"c\"" : "", vw_ip_str(ip, text));
	if (a && *a->pod_name) {
		html_text(b, a->pod_namespace);
		vw_buf_putc(b, '/');
		html_text(b, a->pod_name);
	} else {
		vw_buf_puts(b, used ? "in use" : cools ? "cooling down" : "free");
	}
	vw_buf_printf(b, "\">%s</td>", used ? "#" : cools ? "~" : "&middot;");
}

static void map_prefix(const struct daemon *d, struct vw_buf *b, const struct vw_cidr *slot)
{
	struct vw_ip ip = slot->ip;
	char text[VW_CIDR_STRLEN];

	vw_buf_printf(b, "<tr><th scope=\"row\"><code>%s</code></th>", vw_cidr_str(slot, text));
	for (unsigned int i = 0; i < IPAM_PREFIX4_ADDRS; i++) {
		ip.b[3] = (uint8_t)(slot->ip.b[3] + i); /* aligned: no carry */
		map_cell(d, b, &ip);
	}
	vw_buf_puts(b, "</tr>\n");
}

static void map_singles(const struct daemon *d, struct vw_buf *b, const struct eni *e)
{
	unsigned int n = 0;

	for (size_t i = 0; i < e->row.n_slots; i++) {
		if (e->row.slots[i].len == IPAM_PREFIX4_LEN)
			continue;
		if (n++ % SINGLES_A_ROW == 0)
			vw_buf_printf(b, "%s<tr><th scope=\"row\">%s</th>", n > 1 ? "</tr>\n" : "", n > 1 ? "" : "single addresses");
		map_cell(d, b, &e->row.slots[i].ip);
	}
	vw_buf_puts(b, n ? "</tr>\n" : "");
}

static void print_eni(const struct daemon *d, struct vw_buf *b, const struct eni *e)
{
	char text[VW_CIDR_STRLEN];

	vw_buf_puts(b, "<h3 class=\"eni\">");
	html_text(b, *e->ifname ? e->ifname : "no link");
	vw_buf_puts(b, " <code>");
	html_text(b, e->row.id);
	vw_buf_printf(b, "</code> device %u card %u, %s, ", e->row.device, e->row.card, vw_ip_str(&e->row.primary_ip, text));
	html_text(b, e->row.subnet_id);
	vw_buf_printf(b, "%s%s</h3>\n<table class=\"map\"><tbody>\n", e->row.primary ? ", primary" : "", e->wired ? "" : ", <span class=\"bad\">not set up</span>");
	for (size_t i = 0; i < e->row.n_slots; i++)
		if (e->row.slots[i].len == IPAM_PREFIX4_LEN)
			map_prefix(d, b, &e->row.slots[i]);
	map_singles(d, b, e);
	if (e->row.block6.ip.family)
		vw_buf_printf(b, "<tr><th scope=\"row\"><code>%s</code></th><td class=\"gap\"></td></tr>\n", vw_cidr_str(&e->row.block6, text));
	table_end(b);
}

static void print_map(const struct daemon *d, struct vw_buf *b)
{
	vw_buf_puts(b, "<h2>Addresses</h2>\n<p>each cell an address: <code>#</code> a pod has it, <code>~</code> it cools down, <code>&middot;</code> it is "
		       "free</p>\n");
	for (size_t i = 0; i < d->enis.n; i++)
		print_eni(d, b, &d->enis.v[i]);
}

/* --- pods, denied connections */

static void print_pods(struct vw_buf *b, const struct vw_json *pods)
{
	vw_buf_printf(b, "<h2>Pods (%zu)</h2>\n", vw_json_len(pods));
	table(b, "pods", "pod|address|IPv6|in the pod|on the node|container");
	for (size_t i = 0; i < vw_json_len(pods); i++) {
		const struct vw_json *p = vw_json_at(pods, i);
		char container[16];

		(void)snprintf(container, sizeof(container), "%.12s", str(p, "container_id"));
		vw_buf_puts(b, "<tr><td>");
		html_text(b, str(p, "pod_namespace"));
		vw_buf_putc(b, '/');
		html_text(b, str(p, "pod_name"));
		vw_buf_puts(b, "</td>");
		html_cell(b, str(p, "address"));
		html_cell(b, str(p, "address6"));
		html_cell(b, str(p, "ifname"));
		html_cell(b, str(p, "host_ifname"));
		html_cell(b, container);
		vw_buf_puts(b, "</tr>\n");
	}
	table_end(b);
}

static void print_flow(struct vw_buf *b, const struct vw_json *f)
{
	char port[48];

	(void)snprintf(port, sizeof(port), vw_json_get(f, "dport") ? "%.16s %lld" : "%.16s", str(f, "proto"), num(f, "dport"));
	vw_buf_printf(b, "<tr><td class=\"n\">%lld s ago</td>", num(f, "age_ms") / 1000);
	html_cell(b, *str(f, "pod") ? str(f, "pod") : "-");
	html_cell(b, str(f, "dir"));
	vw_buf_puts(b, "<td>");
	html_text(b, str(f, "address"));
	if (*str(f, "peer")) {
		vw_buf_puts(b, " (");
		html_text(b, str(f, "peer"));
		vw_buf_putc(b, ')');
	}
	vw_buf_puts(b, "</td>");
	html_cell(b, port);
	vw_buf_puts(b, "<td>");
	html_text(b, *str(f, "policy") ? str(f, "policy") : str(f, "tier"));
	if (*str(f, "rule")) {
		vw_buf_putc(b, ' ');
		html_text(b, str(f, "rule"));
	}
	vw_buf_puts(b, "</td>");
	html_cell(b, strcmp(str(f, "verdict"), "AUDIT") ? "denied" : "audit: let through");
	number_cell(b, num(f, "count"));
	vw_buf_puts(b, "</tr>\n");
}

static void print_denied(struct daemon *d, struct vw_buf *b)
{
	vw_auto_json struct vw_json *denied = NULL;
	const struct vw_json *flows;
	struct vw_err err;

	vw_buf_printf(b, "<h2>Denied in the last %d minutes</h2>\n", DENIED_MS / 60000);
	if (denied_query(d, NULL, &denied, &err) < 0)
		return;
	flows = vw_json_get(denied, "flows");
	if (!vw_json_len(flows)) {
		vw_buf_puts(b, "<p>no connection</p>\n");
		return;
	}
	table(b, "denied", "#last|pod|direction|peer|port|policy and rule|verdict|#times");
	for (size_t i = 0; i < vw_json_len(flows); i++)
		print_flow(b, vw_json_at(flows, i));
	table_end(b);
}

/* --- how long things take */

static void bound_text(unsigned int i, char ret[16])
{
	uint64_t us = hist_bound_us(i);

	if (us < 1000)
		(void)snprintf(ret, 16, "%" PRIu64 " \xc2\xb5s", us);
	else if (us < 1000000)
		(void)snprintf(ret, 16, "%.4g ms", (double)us / 1000);
	else
		(void)snprintf(ret, 16, "%.4g s", (double)us / 1000000);
}

static void print_hist(struct vw_buf *b, const char *id, const char *title, const struct hist *h)
{
	uint64_t most = 0, count = hist_count(h);

	for (unsigned int i = 0; i <= HIST_BOUNDS; i++)
		most = h->n[i] > most ? h->n[i] : most;
	vw_buf_printf(b, "<div><h3>%s: <span id=\"%s\">%" PRIu64 "</span></h3>\n", title, id, count);
	if (count)
		vw_buf_puts(b, "<table><tbody>\n");
	for (unsigned int i = 0; i <= HIST_BOUNDS; i++) {
		char bound[16];

		if (!h->n[i])
			continue;
		bound_text(i < HIST_BOUNDS ? i : HIST_BOUNDS - 1, bound);
		vw_buf_printf(b, "<tr><td class=\"n\">%s %s</td><td class=\"n\">%" PRIu64 "</td><td><svg width=\"%d\" height=\"12\" role=\"presentation\">"
			      "<rect width=\"%" PRIu64 "\" height=\"12\"/></svg></td></tr>\n", i < HIST_BOUNDS ? "up to" : "over", bound, h->n[i], BAR_WIDTH,
			      h->n[i] * BAR_WIDTH / most);
	}
	if (count)
		table_end(b);
	vw_buf_puts(b, "</div>\n");
}

static void print_hists(const struct daemon *d, struct vw_buf *b)
{
	static const struct {
		const char *id, *title;
	} stages[METRIC_STAGES] = {
		[METRIC_ADD] = { "h-add", "ADD" }, [METRIC_ADD_WAIT] = { "h-wait", "ADD, waiting for an address" },
		[METRIC_ADD_POLICY] = { "h-policy", "ADD, policy" }, [METRIC_ADD_STORE] = { "h-store", "ADD, record" },
		[METRIC_DEL] = { "h-del", "DEL" },
	};

	vw_buf_puts(b, "<h2>How long requests take in the daemon</h2>\n<div class=\"hists\">\n");
	for (unsigned int i = 0; i < METRIC_STAGES; i++)
		print_hist(b, stages[i].id, stages[i].title, &d->metrics.took[i]);
	vw_buf_puts(b, "</div>\n");
}

/* --- what went wrong of late */

static void print_events(struct daemon *d, struct vw_buf *b)
{
	vw_auto_json struct vw_json *errors = events_errors_json(d->events);

	vw_buf_puts(b, "<h2>Last warnings and errors</h2>\n");
	for (size_t i = 0; i < vw_json_len(errors); i++) {
		const struct vw_json *e = vw_json_at(errors, i);

		if (!i)
			table(b, "events", "when|kind|what|#times|what to do");
		vw_buf_puts(b, "<tr>");
		html_cell(b, str(e, "ts"));
		html_cell(b, str(e, "kind"));
		html_cell(b, str(e, "text"));
		number_cell(b, num(e, "times"));
		html_cell(b, str(e, "todo"));
		vw_buf_puts(b, "</tr>\n");
	}
	if (vw_json_len(errors))
		table_end(b);
	else
		vw_buf_puts(b, "<p>none</p>\n");
}

/* --- the page */

static int print_page(void *daemon, struct vw_buf *b, struct vw_err *err)
{
	struct daemon *d = daemon;
	vw_auto_json struct vw_json *n = NULL;
	int r = info_query_node(d, NULL, &n, err);

	if (r < 0)
		return r;
	vw_buf_puts(b, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>vpcwire ");
	html_text(b, str(n, "instance_id"));
	vw_buf_puts(b, "</title>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<link rel=\"stylesheet\" href=\"/style.css\">\n"
		       "<script src=\"/page.js\" defer></script></head>\n<body>\n<header><h1>vpcwire <code>");
	html_text(b, str(n, "instance_id"));
	vw_buf_puts(b, "</code></h1><span>");
	html_text(b, str(n, "instance_type"));
	vw_buf_puts(b, ", ");
	html_text(b, str(n, "zone"));
	vw_buf_puts(b, ", version " VW_VERSION "</span><span id=\"tools\"></span></header>\n<main>\n");
	print_top(d, b, n);
	print_map(d, b);
	print_pods(b, vw_json_get(n, "pods"));
	print_denied(d, b);
	print_hists(d, b);
	print_events(d, b);
	vw_buf_puts(b, "</main>\n</body></html>\n");
	return vw_buf_err(b) < 0 ? vw_err_set(err, ENOMEM, 0, "no memory for the page") : 0;
}

static int print_style(void *daemon, struct vw_buf *b, struct vw_err *err)
{
	vw_buf_puts(b, page_style());
	return 0;
}

static int print_script(void *daemon, struct vw_buf *b, struct vw_err *err)
{
	vw_buf_puts(b, page_script());
	return 0;
}

#define JSON "application/json"

static const struct httpd_page pages[] = {
	{ "/", "text/html; charset=utf-8", print_page },
	{ "/style.css", "text/css; charset=utf-8", print_style },
	{ "/page.js", "text/javascript; charset=utf-8", print_script },
	{ "/v1/", JSON, introspect_commands },
	{ "/v1/enis", JSON, introspect_enis },
	{ "/v1/eni-configs", JSON, introspect_eni_configs },
	{ "/v1/pods", JSON, introspect_pods },
	{ "/v1/networkutils-env-settings", JSON, introspect_network_settings },
	{ "/v1/ipamd-env-settings", JSON, introspect_ipamd_settings },
};

void page_listen(struct daemon *d)
{
	httpd_serve(&d->page, d->loop, d->cfg->introspection_address, d->cfg->disable_introspection, pages, VW_ARRAY_SIZE(pages), d,
		    "no page: set introspection_address to a free one, or disable_introspection");
}

void page_config_changed(struct daemon *d, const struct vwired_config *old)
{
	if (strcmp(old->introspection_address, d->cfg->introspection_address) || old->disable_introspection != d->cfg->disable_introspection)
		page_listen(d);
}

void page_close(struct daemon *d)
{
	httpd_free(d->page);
	d->page = NULL;
}
