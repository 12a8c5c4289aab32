PROGS += vpcwire-eni
vpcwire-eni_SRCS := $(wildcard plugins/vpcwire-eni/*.c)
vpcwire-eni_LIBS := eni br pod cni rpc net json base
vpcwire-eni_INSTALL := $(CNIBINDIR)
vpcwire-eni_LIBS += $(if $(plugins_static),mnl) $(plugins_musl)
vpcwire-eni_STATIC := $(plugins_static)
vpcwire-eni_MUSL := $(plugins_musl)
