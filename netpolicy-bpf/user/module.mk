LIBS += np
np_SRCS := $(wildcard netpolicy-bpf/user/*.c)
np_PKGS := libbpf
