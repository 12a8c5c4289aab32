# decisions only: no I/O, no clock, no cloud (docs/ARCHITECTURE.md)
LIBS += ipam
ipam_SRCS := $(wildcard ipam/*.c)
ipam_PKGS :=
