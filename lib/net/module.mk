LIBS += net
net_SRCS := $(wildcard lib/net/*.c)
net_PKGS := libmnl libnl-3.0 libnl-route-3.0 libnftables
