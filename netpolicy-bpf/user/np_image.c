/* Images: walking them, as the eBPF programs do, and laying blobs out for the arena. */
#include "netpolicy-bpf/user/np_compile.h"

#include <netinet/in.h>
#include <string.h>

const struct np_cidr *np_image_find_cidr(const struct np_image *img, const struct vw_cidr *cidr)
{
	const struct np_build *b = img->priv;
	uint32_t at = np_region_of(b, &cidr->ip);

	while (b->region[at].at == NP_NONE || b->region[at].cidr.len > cidr->len)
		at = b->region[at].up;
	return &img->cidr[b->region[at].at];
}

void np_blob_relocate(const struct np_image_blob *b, uint32_t at, struct np_line *dst)
{
	struct np_blob *head = (struct np_blob *)dst;
	uint32_t matrix = ((const struct np_blob *)b->line)->dir[0].mtx;

	memcpy(dst, b->line, b->n_lines * sizeof(*dst));
	for (int d = 0; d < NP_DIRS; d++) {
		head->dir[d].row += at;
		head->dir[d].col += at;
		head->dir[d].mtx += at;
	}
	/* matrices are the last lines; what is behind their last cells is 0, which is no chain */
	for (uint32_t i = matrix; i < b->n_lines; i++)
		for (int k = 0; k < NP_LINE_WORDS; k++)
			if (NP_VERDICT_ACTION(dst[i].w[k]) == NP_CHAIN)
				dst[i].w[k] = NP_VERDICT(NP_CHAIN, NP_VERDICT_ARG(dst[i].w[k]) + at);
}

static uint16_t port_class(const struct np_image *img, uint8_t proto, uint16_t port)
{
	switch (proto) {
	case IPPROTO_TCP:
		return img->port[NP_PORT_TCP][port];
	case IPPROTO_UDP:
		return img->port[NP_PORT_UDP][port];
	case IPPROTO_SCTP:
		return img->port[NP_PORT_SCTP][port];
	default:
		return 0;
	}
}

static uint16_t peer_class(const struct np_image *img, const struct vw_ip *ip)
{
	const struct np_peer *p = np_image_find_peer(img, ip);
	struct vw_cidr host = vw_cidr_host(ip);

	return p ? p->cls : np_image_find_cidr(img, &host)->cls;
}

uint32_t np_image_judge(const struct np_image *img, const struct np_query *q, uint16_t *ret_cls,
			uint16_t *ret_port_cls)
{
	const struct np_line *line = img->blob[q->blob].line;
	const struct np_blob_dir *d = &((const struct np_blob *)line)->dir[q->dir];
	uint16_t cls = peer_class(img, &q->peer), port_cls = port_class(img, q->proto, q->port);
	uint32_t row = line[d->row].h[cls], col = line[d->col].h[port_cls],
		 verdict = line[d->mtx].w[row * d->ncol + col];
	const struct np_chain *c;

	if (ret_cls)
		*ret_cls = cls;
	if (ret_port_cls)
		*ret_port_cls = port_cls;
	if (q->dir == NP_INGRESS && q->node_local)
		return NP_VERDICT(NP_ALLOW, 0);
	if (NP_VERDICT_ACTION(verdict) != NP_CHAIN)
		return verdict;
	for (c = (const struct np_chain *)(line + NP_VERDICT_ARG(verdict));
	     c->names && !(c->names & q->names);)
		c++;
	return c->verdict;
}
