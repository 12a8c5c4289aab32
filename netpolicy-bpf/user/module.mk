# objects and compiler: pure code, neither kernel nor libbpf
LIBS += npc
npc_SRCS := $(wildcard $(addprefix netpolicy-bpf/user/,np_table.c np_names.c np_world*.c np_read*.c np_match.c np_image*.c np_compile*.c \
	np_explain*.c np_diff*.c))

# all else: the loader and what writes maps
LIBS += np
np_SRCS := $(filter-out $(npc_SRCS),$(wildcard netpolicy-bpf/user/*.c))
np_PKGS := libbpf
