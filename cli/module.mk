# the operator's command
PROGS += vpcwirectl
vpcwirectl_SRCS := $(wildcard cli/*.c)
vpcwirectl_LIBS := net rpc json base
vpcwirectl_PKGS := libarchive
