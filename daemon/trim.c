/* Giving memory back; see trim.h. */
#include "daemon/trim.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Of a segment that was never writable no page can differ from the file, relocations included: they are done in writable
 * segments, of which RELRO makes some read-only afterwards. So these pages may be dropped, and only these.
 */
static int drop(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	/* the program itself has no name here; the vdso has no file */
	if (info->dlpi_name[0] && info->dlpi_name[0] != '/')
		return 0;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + h->p_vaddr, end = start + h->p_memsz;

		if (h->p_type != PT_LOAD || (h->p_flags & PF_W))
			continue;
		start &= ~(page - 1);
		end = (end + page - 1) & ~(page - 1);
		/* it only costs memory when it fails */
		(void)madvise((void *)start, end - start, MADV_DONTNEED);
	}
	return 0;
}

void trim_memory(void)
{
	(void)malloc_trim(0);
	(void)dl_iterate_phdr(drop, NULL);
}

void trim_init_process(void)
{
	(void)mallopt(M_ARENA_MAX, 1);
}
