# Lets vpcwired die at any point of its life; lets any call of its fail.
PRELOADS += mortal
mortal_SRCS := tests/faults/mortal.c
PRELOADS += faulty
faulty_SRCS := tests/faults/faulty.c
# The plugin as it is, but for its libraries: nothing can be put before those of a static program.
PROGS += vpcwire-dynamic
vpcwire-dynamic_SRCS := $(wildcard plugins/vpcwire/*.c)
vpcwire-dynamic_LIBS := pod cni rpc net json base
vpcwire-dynamic_INSTALL := none
