# objects and compiler: pure code, neither kernel nor libbpf
LIBS += npc
npc_SRCS := $(wildcard $(addprefix netpolicy-bpf/user/,np_table.c np_names.c np_world*.c np_read*.c np_match.c np_image*.c np_compile*.c \
	np_explain*.c np_diff*.c))

# branch ENIs: without libbpf (of which only headers are used), so that plugins can be static
LIBS += br
br_SRCS := $(wildcard netpolicy-bpf/user/br_*.c)
br_PKGS := libbpf
# what a light skeleton includes calls strncpy: it comes before that is banned
$(B)/obj/netpolicy-bpf/user/br_loader.o $(B)/musl/netpolicy-bpf/user/br_loader.o: vw_banned := -include errno.h -include bpf/skel_internal.h $(vw_banned)

# another number of pins than np_abi.h has, for the upgrade's test
$(B)/obj/netpolicy-bpf/user/np_pins.o: vw_cppflags += $(if $(NP_ABI),-DNP_ABI=$(NP_ABI))

# all else: the loader and what writes maps
LIBS += np
np_SRCS := $(filter-out $(npc_SRCS) $(br_SRCS),$(wildcard netpolicy-bpf/user/*.c))
np_PKGS := libbpf
