PROGS += vpcwire
vpcwire_SRCS := $(wildcard plugins/vpcwire/*.c)
vpcwire_LIBS := pod cni rpc net json base
vpcwire_INSTALL := $(CNIBINDIR)
vpcwire_LIBS += $(if $(plugins_static),mnl) $(plugins_musl)
vpcwire_STATIC := $(plugins_static)
vpcwire_MUSL := $(plugins_musl)
