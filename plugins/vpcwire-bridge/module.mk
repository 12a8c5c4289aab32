PROGS += vpcwire-bridge
vpcwire-bridge_SRCS := $(wildcard plugins/vpcwire-bridge/*.c)
vpcwire-bridge_LIBS := eni pod cni rpc net json base
vpcwire-bridge_INSTALL := $(CNIBINDIR)
vpcwire-bridge_LIBS += $(if $(plugins_static),mnl) $(plugins_musl)
vpcwire-bridge_STATIC := $(plugins_static)
vpcwire-bridge_MUSL := $(plugins_musl)
