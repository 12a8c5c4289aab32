LIBS += base
base_SRCS := $(wildcard lib/base/*.c)
base_PKGS :=

# lib/base/musl: what programs need that are linked with musl's libc: what Debian's archives, which are compiled for glibc, call and musl has not.
LIBS += musl
musl_SRCS := $(wildcard lib/base/musl/*.c)
musl_PKGS :=
# Debian's package musl-dev. Kernel's and libraries' headers stand beside glibc's: they come last, so that musl's are taken where it has any.
musl_triple := $(if $(CROSS),$(CROSS:-gnu=-musl),$(shell uname -m)-linux-musl)
musl_lib    := $(if $(CROSS),$(abspath $(SYSROOT)))/usr/lib/$(musl_triple)
musl_root   := $(if $(CROSS),$(abspath $(SYSROOT)))/usr/include
musl_cflags  = -nostdinc -isystem $(musl_root)/$(musl_triple) -isystem $$($(CC) -print-file-name=include) \
	-idirafter $(musl_root) -idirafter $(musl_root)/$(musl_triple:-musl=-gnu) -ffunction-sections -fdata-sections
