LIBS += yaml
yaml_SRCS := $(wildcard lib/yaml/*.c)
yaml_PKGS := yaml-0.1
