LIBS += base
base_SRCS := $(wildcard lib/base/*.c)
base_PKGS :=
