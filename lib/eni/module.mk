# An ENI's interface: found, given to another namespace, remembered, given back (vpcwire-eni, vpcwire-bridge).
LIBS += eni
eni_SRCS := $(wildcard lib/eni/*.c)
eni_PKGS :=
