# a program of tests/policy links json and base unless it says otherwise; all share what is not a program
policy_shared := $(filter-out tests/policy/test_% tests/policy/bpf_%,$(wildcard tests/policy/*.c))
