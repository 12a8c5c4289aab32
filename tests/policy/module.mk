# all programs of tests/policy share what is not a program
policy_shared := $(filter-out tests/policy/test_%,$(wildcard tests/policy/*.c))
$(foreach t,$(patsubst tests/policy/%.c,%,$(wildcard tests/policy/test_*.c)),$(eval $t_LIBS := np npc k8s yaml json netview net base) \
	$(eval $t_PKGS := libbpf))
