# the daemon's parts as a library (all but main.c), so that tests link the same code
LIBS += daemon
daemon_SRCS := $(filter-out daemon/main.c,$(wildcard daemon/*.c))
daemon_PKGS := libuv libmicrohttpd sqlite3 libcurl libxml-2.0 libseccomp
daemon_INTERNAL := ipam br np npc netview net rpc k8s yaml json crypto base

# read by the assembler, which tells nobody
$(B)/obj/daemon/page_files.o: $(wildcard daemon/page/*)

PROGS += vpcwired
vpcwired_SRCS := $(wildcard daemon/main.c)
vpcwired_LIBS := daemon $(daemon_INTERNAL)
vpcwired_INSTALL := $(SBINDIR)
