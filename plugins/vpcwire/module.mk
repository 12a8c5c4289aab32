PROGS += vpcwire
vpcwire_SRCS := $(wildcard plugins/vpcwire/*.c)
vpcwire_LIBS := cni rpc net json base
