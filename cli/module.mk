# the operator's command
PROGS += vpcwirectl
vpcwirectl_SRCS := $(wildcard cli/*.c)
vpcwirectl_LIBS := rpc json base
