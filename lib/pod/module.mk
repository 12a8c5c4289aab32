# What our CNI plugins do alike: inside a container's network namespace, and with a call as such.
LIBS += pod
pod_SRCS := $(wildcard lib/pod/*.c)
pod_PKGS :=

# Static where the compiler can: without the dynamic linker an exec costs 0.46 ms and not 0.66, on every ADD and DEL; and with musl's libc
# where there is one, 0.07 (lib/base/musl). A sanitized or instrumented build is always dynamic.
ifeq ($(SANITIZE)$(filter-out 0,$(COVERAGE)),)
ifneq ($(and $(wildcard $(SYSROOT)/usr/lib/*/libjansson.a),$(wildcard $(SYSROOT)/usr/lib/*/libc.a)),)
plugins_static := -l:libjansson.a
plugins_musl := $(if $(wildcard $(musl_lib)/rcrt1.o),musl)
endif
endif
