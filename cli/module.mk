# the operator's command
PROGS += vpcwirectl
vpcwirectl_SRCS := $(wildcard cli/*.c)
vpcwirectl_LIBS := pod cni net rpc json base
vpcwirectl_PKGS := libarchive
