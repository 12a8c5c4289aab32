LIBS += k8s
k8s_SRCS := $(wildcard lib/k8s/*.c)
