# Lets vpcwired die at any point of its life.
PRELOADS += mortal
mortal_SRCS := tests/faults/mortal.c
