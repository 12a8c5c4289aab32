/* A ring of what was given back; see settle.h. */
#include "daemon/settle.h"

#include "lib/base/cleanup.h"

void settle_gave(struct settle *s, const struct vw_cidr *c, uint64_t now_ms)
{
	settle_got(s, c);
	s->v[s->next].cidr = *c;
	s->v[s->next].at_ms = now_ms;
	s->next = (s->next + 1) % VW_ARRAY_SIZE(s->v);
}

void settle_got(struct settle *s, const struct vw_cidr *c)
{
	for (size_t i = 0; i < VW_ARRAY_SIZE(s->v); i++)
		if (vw_cidr_eq(&s->v[i].cidr, c))
			s->v[i].cidr = (struct vw_cidr){ 0 };
}

bool settle_doubts(const struct settle *s, const struct vw_cidr *c, uint64_t asked_ms)
{
	for (size_t i = 0; i < VW_ARRAY_SIZE(s->v); i++)
		if (vw_cidr_eq(&s->v[i].cidr, c))
			return asked_ms < s->v[i].at_ms + SETTLE_MS;
	return false;
}

size_t settle_list(const struct settle *s, uint64_t now_ms, struct vw_cidr ret[SETTLE_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < VW_ARRAY_SIZE(s->v); i++)
		if (s->v[i].cidr.ip.family && now_ms < s->v[i].at_ms + SETTLE_MS)
			ret[n++] = s->v[i].cidr;
	return n;
}
