PROGS += vpcwire
vpcwire_SRCS := $(wildcard plugins/vpcwire/*.c)
vpcwire_LIBS := pod cni rpc net json base
vpcwire_INSTALL := $(CNIBINDIR)
vpcwire_LIBS += $(if $(plugins_static),mnl)
vpcwire_STATIC := $(plugins_static)
