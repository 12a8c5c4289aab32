# lib/net: route netlink over libmnl, namespaces, sysctls (plugins, daemon, sim).
# lib/net/view: dumps, monitor and nftables over libnl and libnftables (daemon, sim): kept apart so that plugins do not link them.
LIBS += net netview
net_SRCS := $(wildcard lib/net/*.c)
net_PKGS := libmnl
netview_SRCS := $(wildcard lib/net/view/*.c)
netview_PKGS := libnl-route-3.0 libnl-3.0 libnftables
# lib/net/mnl: what lib/net needs of libmnl, for programs that are linked statically (never beside libmnl itself).
LIBS += mnl
mnl_SRCS := $(wildcard lib/net/mnl/*.c)
mnl_PKGS := libmnl
