LIBS += cni
cni_SRCS := $(wildcard lib/cni/*.c)
cni_PKGS :=
