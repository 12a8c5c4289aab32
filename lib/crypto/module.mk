LIBS += crypto
crypto_SRCS := $(wildcard lib/crypto/*.c)
crypto_PKGS := nettle
