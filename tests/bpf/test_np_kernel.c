/*
 * What the programs ask of a kernel: nothing that Linux 5.10 has not. Each instruction and each map of the built objects is looked at,
 * as the loader gives them to a kernel that lacks what it probes for, so it needs neither root nor an old kernel.
 */
#include "netpolicy-bpf/user/np_kernel.h"
#include "np_node.skel.h"
#include "np_pod.skel.h"
#include "tests/unit/cm.h"

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#define LAST_HELPER BPF_FUNC_redirect_peer      /* of 5.10: include/uapi/linux/bpf.h, __BPF_FUNC_MAPPER */
#define LAST_MAP_TYPE BPF_MAP_TYPE_RINGBUF      /* of 5.8 */
#define MAP_FLAGS (BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG | BPF_F_MMAPABLE)
#define MODE_ATOMIC 0xc0                        /* XADD until 5.12 */
#define MODE_MEMSX 0x80                         /* 6.6 */
#define INSNS_MAX 1000000

static const char *too_new_call(const struct bpf_insn *i)
{
	if (i->src_reg == BPF_PSEUDO_CALL)
		return "a function: pruned badly before 6.2, refused beside tail calls on arm64 before 6.0";
	if (i->src_reg != 0)
		return "a function of the kernel (5.13)";
	return i->imm > LAST_HELPER ? "a helper that 5.10 has not" : NULL;
}

/* Return: what is too new about an instruction, or NULL */
static const char *too_new(const struct bpf_insn *i)
{
	const __u8 class = BPF_CLASS(i->code), op = BPF_OP(i->code);

	switch (class) {
	case BPF_JMP:
		return op == BPF_CALL ? too_new_call(i) : op > BPF_JSLE ? "a jump of 6.x" : NULL;
	case BPF_JMP32:
		return op == BPF_JA ? "a long jump (6.6)" : NULL;
	case BPF_ALU64:
	case BPF_ALU:
		if (class == BPF_ALU64 && op == BPF_END)
			return "an unconditional byte swap (6.6)";
		return (op == BPF_MOV || op == BPF_DIV || op == BPF_MOD) && i->off ? "sign extension or signed division (6.6)" : NULL;
	case BPF_LDX:
		return BPF_MODE(i->code) == MODE_MEMSX ? "a load with sign extension (6.6)" : NULL;
	case BPF_STX:
		return BPF_MODE(i->code) == MODE_ATOMIC && i->imm != BPF_ADD ? "an atomic operation other than add (5.12)" : NULL;
	default:
		return NULL;
	}
}

/* Return: how many instructions @obj has; @found: of these, too new ones, which are told. */
static int look_at_programs(struct bpf_object *obj, int *found)
{
	struct bpf_program *prog;
	int seen = 0;

	bpf_object__for_each_program(prog, obj) {
		const int fitted = np_without_exchange(prog);
		const struct bpf_insn *insn = bpf_program__insns(prog);
		const size_t n = bpf_program__insn_cnt(prog);

		assert_int_equal(fitted, 0);
		assert_true(n > 0 && n < INSNS_MAX);
		for (size_t i = 0; i < n; i++) {
			const char *what = too_new(&insn[i]);

			seen++;
			if (what) {
				print_error("%s, instruction %zu (%#x, imm %d): %s\n", bpf_program__name(prog), i, insn[i].code,
					    insn[i].imm, what);
				*found += 1;
			}
			i += insn[i].code == (BPF_LD | BPF_IMM | BPF_DW);       /* two slots */
		}
	}
	return seen;
}

static void test_instructions(void **state)
{
	struct np_pod *pod = np_pod__open();
	struct np_node *node = np_node__open();
	int found = 0;

	(void)state;
	assert_non_null(pod);
	assert_non_null(node);
	assert_true(look_at_programs(pod->obj, &found) > 1000);
	assert_true(look_at_programs(node->obj, &found) > 1000);
	np_pod__destroy(pod);
	np_node__destroy(node);
	assert_int_equal(found, 0);
}

static void look_at_maps(struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj) {
		if (bpf_map__type(map) > LAST_MAP_TYPE || bpf_map__map_flags(map) & ~(__u32)MAP_FLAGS)
			fail_msg("%s: type %d, flags %#x", bpf_map__name(map), bpf_map__type(map), bpf_map__map_flags(map));
	}
}

static void test_maps(void **state)
{
	struct np_pod *pod = np_pod__open();
	struct np_node *node = np_node__open();

	(void)state;
	assert_non_null(pod);
	assert_non_null(node);
	look_at_maps(pod->obj);
	look_at_maps(node->obj);
	np_pod__destroy(pod);
	np_node__destroy(node);
}

/* The look itself: one instruction of each kind that must not be there. */
static void test_what_is_too_new_is_seen(void **state)
{
	static const struct bpf_insn bad[] = {
		{ .code = BPF_JMP | BPF_CALL, .imm = LAST_HELPER + 1 },
		{ .code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_CALL },
		{ .code = BPF_JMP | BPF_CALL, .src_reg = 2 },
		{ .code = BPF_JMP32 | BPF_JA },
		{ .code = BPF_ALU64 | BPF_END },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .off = 8 },
		{ .code = BPF_LDX | MODE_MEMSX },
		{ .code = BPF_STX | MODE_ATOMIC, .imm = 1 },            /* BPF_FETCH */
	};
	static const struct bpf_insn good[] = {
		{ .code = BPF_JMP | BPF_CALL, .imm = LAST_HELPER },
		{ .code = BPF_STX | MODE_ATOMIC | BPF_DW, .imm = BPF_ADD },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(too_new(&bad[i]));
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_null(too_new(&good[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_instructions),
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_what_is_too_new_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
