/* The assembler reads the files, so they need no step of the build of their own. Paths are from the top of the repository. */
#include "daemon/page_files.h"

#define EMBED(symbol, path) \
	__asm__(".pushsection .rodata.page, \"a\"\n" #symbol ":\n\t.incbin \"" path "\"\n\t.byte 0\n\t.popsection\n"); \
	extern const char symbol[] __attribute__((visibility("hidden")))

EMBED(page_style_text, "daemon/page/style.css");
EMBED(page_script_text, "daemon/page/page.js");

const char *page_style(void)
{
	return page_style_text;
}

const char *page_script(void)
{
	return page_script_text;
}
