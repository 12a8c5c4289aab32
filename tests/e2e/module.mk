# Pods that start and stop by the real plugin, one after another, under fire from their first instant.
PROGS += podstorm
podstorm_SRCS := tests/e2e/podstorm.c tests/e2e/podstorm_net.c
podstorm_LIBS := base
podstorm_INSTALL := none
# Thousands of flows between two pods that never rest.
PROGS += polflows
polflows_SRCS := tests/e2e/polflows.c
polflows_LIBS := base
polflows_INSTALL := none
# What aws's policy agent leaves on a pod's interface.
PROGS += npagent
npagent_SRCS := tests/e2e/npagent.c
npagent_LIBS := net base
npagent_INSTALL := none
