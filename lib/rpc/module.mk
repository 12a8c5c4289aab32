LIBS += rpc
rpc_SRCS := $(wildcard lib/rpc/*.c)
rpc_PKGS :=
