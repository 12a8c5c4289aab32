# Runs and times CNI plugins for the benchmark and the demo.
PROGS += cnispawn
cnispawn_SRCS := tests/bench/cnispawn.c
cnispawn_INSTALL := none
