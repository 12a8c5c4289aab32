LIBS += json
json_SRCS := $(wildcard lib/json/*.c)
json_PKGS := jansson
