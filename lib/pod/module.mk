# What our CNI plugins do alike: inside a container's network namespace, and with a call as such.
LIBS += pod
pod_SRCS := $(wildcard lib/pod/*.c)
pod_PKGS :=
