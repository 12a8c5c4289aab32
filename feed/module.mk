# Kubernetes objects from the API server into policy_dir
LIBS += feed
feed_SRCS := $(filter-out feed/main.c,$(wildcard feed/*.c))
feed_PKGS := libcurl
PROGS += vpcwire-feed
vpcwire-feed_SRCS := feed/main.c
vpcwire-feed_LIBS := feed rpc crypto json base
vpcwire-feed_INSTALL := $(SBINDIR)
