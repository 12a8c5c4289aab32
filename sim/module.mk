LIBS += sim
sim_SRCS := $(filter-out sim/main.c,$(wildcard sim/*.c))
sim_PKGS := libmicrohttpd

PROGS += vpcwire-sim
vpcwire-sim_SRCS := sim/main.c
vpcwire-sim_LIBS := sim rpc netview net crypto json base
