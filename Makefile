# SPDX-License-Identifier: Apache-2.0
#
# One non-recursive make for everything. Each folder lists its parts in a module.mk (conventions: docs/TESTING.md
# and the comments below), which this file turns into rules. Nothing is asked of pkg-config, clang or bpftool before
# a recipe needs it, so that `make deps` works on a machine that has only make.
#
#   make [all]          the programs, in build/bin
#   make check          every test (as root: the end-to-end ones make network namespaces); installs what is missing first
#   make demo           the story of one VPC, two nodes and their pods, checked step by step (as root)
#   make bench          our ADD and DEL beside other plugins' in the same run, the daemon on a full node -> build/bench.json (as root);
#                       then a fleet of 1,000 nodes on one account, simulated -> build/fleet.json, build/fleet-*.svg
#   make bench-fleet    the latter alone (NODES=, at most 5000)
#   make bench-churn    100,000 ADD + DEL on a node with 737 pods (PAIRS=): memory and time, into build/bench.json (as root)
#   make bench-curves   the curves of docs/PERFORMANCE.md alone -> build/curve-*.svg (as root; OUT=docs for the committed ones)
#   make bench-kills    the daemon killed at every point of every scene, then 10,000 times (DEATHS=) at random
#   make soak           one node under everything at once for MINUTES=30, and a balance sheet (SEED=; as root)
#   make unit|fuzz-replay|bpf|policy|sim-tests|fabric-tests|conformance|eni-tests|e2e|faults|check-layers|check-headers    one suite alone
#   make CROSS=aarch64-linux-gnu      all of it for arm64 (docs/TESTING.md, "Another architecture")
#   make check-arm64    its tests that an emulator of programs can run
#   make fuzz           coverage-guided fuzzing of each parser for FUZZ_TIME seconds (clang)
#   make manifests      the chart's schema and the plain Kubernetes manifests, from the chart (Go)
#   make install        DESTDIR=, PREFIX=
#   make image-test     the container image, built by podman from Debian's packages, and a node of a lab that runs it (as root; minutes)
#   make deb            a Debian package of what make install installs -> build/vpcwire_*.deb
#   Knobs: V=1  CC=clang  DEVELOPER=1 (-Werror)  SANITIZE=address,undefined  COVERAGE=1  BUILD=dir

VERSION   ?= 0.1.0
PREFIX    ?= /usr
SBINDIR   ?= $(PREFIX)/sbin
BINDIR    ?= $(PREFIX)/bin
CNIBINDIR ?= /opt/cni/bin
BUILD     ?= build
FUZZ_TIME ?= 60
PYTHON    ?= /usr/bin/python3
CLANG     ?= clang
GO        ?= go
BPFTOOL   ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PKGCONFIG ?= pkg-config
AR        ?= ar
ifneq ($(filter default undefined,$(origin CC)),)
CC        := gcc
endif
# Another architecture: Debian's cross compiler, its libraries from a folder of our own (mk/sysroot.sh), or from the one that SYSROOT= names. A CC of
# the environment is the machine's own compiler; CC='ccache aarch64-linux-gnu-gcc' behind make is taken.
CROSS     ?=
ifneq ($(CROSS),)
ifneq ($(origin CC),command line)
CC        := $(CROSS)-gcc
endif
AR        := $(CROSS)-ar
SYSROOT   ?= $(BUILD)-sysroot-$(CROSS)
PKGCONFIG := PKG_CONFIG_SYSROOT_DIR=$(abspath $(SYSROOT)) \
	PKG_CONFIG_LIBDIR=$(abspath $(SYSROOT))/usr/lib/$(CROSS)/pkgconfig:$(abspath $(SYSROOT))/usr/share/pkgconfig $(PKGCONFIG)
$(BUILD)-sysroot-$(CROSS)/.made: mk/sysroot.sh mk/deps.sh
	@sh mk/sysroot.sh $(CROSS) $(@D)
# an empty makefile: make makes it and starts anew, so that all below sees what is in the folder
ifeq ($(filter clean deps,$(MAKECMDGOALS)),)
-include $(filter $(BUILD)-sysroot-$(CROSS)/.made,$(SYSROOT)/.made)
endif
endif

MAKEFLAGS += --no-builtin-rules --no-builtin-variables --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all
SHELL := /bin/bash

comma := ,
empty :=
space := $(empty) $(empty)
Q     := $(if $(filter-out 0,$(V)),,@)
# $(call say,TAG,what): one short line for each step, the whole command instead with V=1
say    = $(if $(filter-out 0,$(V)),:,printf '  %-7s %s\n' '$1' '$2')

# A sanitized or instrumented build never mixes its objects with the plain one.
B := $(BUILD)$(if $(CROSS),-$(CROSS))$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))$(if $(filter-out 0,$(COVERAGE)),-coverage)

# --- flags --------------------------------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wformat=2 -Wformat-truncation=2 -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wundef -Wpointer-arith -Wvla -Wwrite-strings -Wno-unused-parameter \
	-Wno-missing-field-initializers
ifneq ($(findstring clang,$(notdir $(CC))),)
WARNINGS += -Wno-unknown-warning-option -Wno-gnu-zero-variadic-macro-arguments
else
WARNINGS += -Wlogical-op -Wduplicated-cond
endif
ifneq ($(filter-out 0,$(DEVELOPER)),)
WARNINGS += -Werror
endif
OPT      ?= -O2
BPF_CFLAGS ?=
CPPFLAGS ?=
CFLAGS   ?=
LDFLAGS  ?=
vw_cppflags := -I. -I$(B)/gen -D_GNU_SOURCE -DVW_VERSION='"$(VERSION)"' $(CPPFLAGS)
vw_cflags   := $(if $(CROSS),--sysroot=$(abspath $(SYSROOT))) -std=gnu17 $(OPT) -g -fPIE -fno-common -fstack-protector-strong $(WARNINGS) \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer) \
	$(if $(filter-out 0,$(COVERAGE)),--coverage) $(CFLAGS)
vw_ldflags  := $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(if $(filter-out 0,$(COVERAGE)),--coverage) \
	-Wl,-z,relro,-z,now $(LDFLAGS)
# Calls that style forbids are poisoned in our own code; banned.h says what to use instead.
vw_banned   := -include lib/base/banned.h

# --- what there is to build: the folders say ----------------------------------------------------------------------------

LIBS :=
PROGS :=
BPF_PROGS :=
BPF_LPROGS :=
FUZZERS :=
PRELOADS :=
include $(sort $(wildcard lib/*/module.mk lib/*/*/module.mk ipam/module.mk netpolicy-bpf/*/module.mk daemon/module.mk \
	plugins/*/module.mk cli/module.mk feed/module.mk sim/module.mk deploy/module.mk tests/*/module.mk))

PROGS       := $(foreach p,$(PROGS),$(if $(strip $($p_SRCS)),$p))
UNIT_TESTS  := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
BPF_TESTS   := $(patsubst tests/bpf/%.c,%,$(wildcard tests/bpf/test_*.c))
POLICY_TESTS := $(patsubst tests/policy/%.c,%,$(wildcard tests/policy/test_*.c))
FUZZERS     := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
BPF_SRC_DIR := netpolicy-bpf/bpf
BPF_SKELS   := $(BPF_PROGS:%=$(B)/gen/%.skel.h) $(BPF_LPROGS:%=$(B)/gen/%.lskel.h)
HEADERS     := $(sort $(shell find lib ipam netpolicy-bpf/abi netpolicy-bpf/user daemon plugins cli feed sim -name "*.h" 2>/dev/null))
BPF_HEADERS := $(sort $(filter-out %/vmlinux.h,$(wildcard netpolicy-bpf/abi/*.h $(BPF_SRC_DIR)/*.h)))

programs  := $(PROGS:%=$(B)/bin/%)
preloads  := $(PRELOADS:%=$(B)/lib/%.so)
libraries := $(LIBS:%=$(B)/lib/libvw-%.a)

.PHONY: all FORCE
all: $(programs) $(libraries) $(preloads)
FORCE:

# --- a change of compiler or flags rebuilds -----------------------------------------------------------------------------

flags_now := $(CC) $(vw_cppflags) $(vw_cflags) $(vw_banned) $(vw_ldflags)
ifeq ($(filter clean deps help,$(MAKECMDGOALS)),)
ifneq ($(file <$(B)/.flags),$(flags_now))
$(shell mkdir -p $(B))
$(file >$(B)/.flags,$(flags_now))
endif
endif
$(B)/.flags: ;

# --- rules --------------------------------------------------------------------------------------------------------------

# $(call pkg,--cflags|--libs,packages): evaluated by the recipe's shell, and loud when a package is missing
pkg = $(if $(strip $2),$$($(PKGCONFIG) $1 $(strip $2) || echo MISSING-PACKAGE--run-make-deps))
# packages of an internal library and of everything that it is linked with
pkgs_of = $(sort $($1_PKGS) $(foreach l,$($1_LIBS),$($l_PKGS)))
objs = $(patsubst %.c,$(B)/obj/%.o,$1)
# the same sources compiled for musl (lib/base/musl): for <name>_MUSL programs
musl_objs = $(patsubst %.c,$(B)/musl/%.o,$1)
both_objs = $(call objs,$1) $(call musl_objs,$1)

# $(call compile_rules,owner,sources): objects of one library or program, with its packages' flags
define compile_rules
$(call both_objs,$2): OBJ_PKGS := $($1_PKGS)
$(call both_objs,$2): OBJ_CFLAGS := $($1_CFLAGS)
$(if $(filter libbpf,$($1_PKGS)),$(call both_objs,$2): | $(BPF_SKELS))
endef

$(B)/obj/%.o: %.c $(B)/.flags
	@mkdir -p $(@D)
	@$(call say,CC,$<)
	$(Q)$(CC) $(vw_cppflags) $(vw_cflags) $(vw_banned) $(OBJ_CFLAGS) $(call pkg,--cflags,$(OBJ_PKGS)) -MMD -MP -c -o $@ $<

$(B)/musl/%.o: %.c $(B)/.flags
	@mkdir -p $(@D)
	@$(call say,CC,$< (musl))
	$(Q)$(CC) $(vw_cppflags) $(vw_cflags) $(musl_cflags) $(vw_banned) $(OBJ_CFLAGS) -MMD -MP -c -o $@ $<

# Numbers are parsed in one place; only there may strtol and its kin appear.
$(call both_objs,lib/base/parse.c): vw_banned := -DVW_MAY_STRTOL $(vw_banned)

define lib_rules
$(call compile_rules,$1,$($1_SRCS))
$(B)/lib/libvw-$1.a: $(call objs,$($1_SRCS)) Makefile
	@mkdir -p $$(@D)
	@$(call say,AR,$$@)
	$(Q)rm -f $$@ && $(AR) rcs $$@ $(call objs,$($1_SRCS))
endef
$(foreach l,$(LIBS),$(eval $(call lib_rules,$l)))

# $(call link_rules,name,output,sources): a program. The libraries stand in a group, so their order does not matter.
# <name>_STATIC: archives that take the place of all its packages; the program is then static (and still a PIE).
# <name>_MUSL: not empty when it is to be so with musl's libc.
define link_rules
$(if $(and $($1_STATIC),$($1_MUSL)),$(musl_link_rules),$(libc_link_rules))
endef
define libc_link_rules
$(call compile_rules,$1,$3)
$2: $(call objs,$3) $($1_LIBS:%=$(B)/lib/libvw-%.a) $(B)/.flags
	@mkdir -p $$(@D)
	@$(call say,LINK,$$@)
	$(Q)$(CC) $(vw_cflags) $(vw_ldflags) $($1_LDFLAGS) -o $$@ $(call objs,$3) \
		-Wl,--start-group $($1_LIBS:%=$(B)/lib/libvw-%.a) -Wl,--end-group \
		$(if $($1_STATIC),-static-pie $($1_STATIC),-Wl$(comma)--as-needed \
		$(subst $$,$$$$,$(call pkg,--libs,$(pkgs_of)))) $($1_LDLIBS)
endef
# Of its own sources and those of its libraries. The linker leaves out what nobody calls, in ours too: fewer pages to map.
musl_link_objs = $(call musl_objs,$3 $(foreach l,$($1_LIBS),$($l_SRCS)))
define musl_link_rules
$(call compile_rules,$1,$3)
$2: $(call musl_link_objs,$1,$2,$3) $(B)/.flags
	@mkdir -p $$(@D)
	@$(call say,LINK,$$@ (musl))
	$(Q)$(CC) $(vw_cflags) $(vw_ldflags) $($1_LDFLAGS) -nostdlib -static-pie -Wl,--gc-sections -o $$@ $(musl_lib)/rcrt1.o $(musl_lib)/crti.o \
		$(call musl_link_objs,$1,$2,$3) $($1_STATIC) -Wl,--start-group $(musl_lib)/libc.a -lgcc -Wl,--end-group $(musl_lib)/crtn.o
endef
$(foreach p,$(PROGS),$(eval $(call link_rules,$p,$(B)/bin/$p,$($p_SRCS))))

# What tests put before a program's libraries (LD_PRELOAD): <name>_SRCS, one file, never sanitized.
define preload_rules
$(B)/lib/$1.so: $($1_SRCS) $(B)/.flags
	@mkdir -p $$(@D)
	@$(call say,SO,$$@)
	$(Q)$(CC) $(filter --sysroot=%,$(vw_cflags)) -D_GNU_SOURCE -std=gnu17 $(OPT) -g -fPIC -shared $(WARNINGS) -o $$@ $($1_SRCS)
endef
$(foreach p,$(PRELOADS),$(eval $(call preload_rules,$p)))

# Tests: one cmocka program per test_<x>.c. They may break the rules about banned calls as little as anyone else.
$(foreach t,$(UNIT_TESTS) $(BPF_TESTS) $(POLICY_TESTS) $(FUZZERS),$(if $(filter undefined,$(origin $t_LIBS)),$(eval $t_LIBS := json base)))
$(foreach t,$(UNIT_TESTS) $(BPF_TESTS),$(eval $t_PKGS += cmocka))
$(foreach t,$(UNIT_TESTS),$(eval $(call link_rules,$t,$(B)/tests/unit/$t,tests/unit/$t.c $($t_SRCS))))
$(foreach t,$(BPF_TESTS),$(eval $(call link_rules,$t,$(B)/tests/bpf/$t,tests/bpf/$t.c $($t_SRCS))))
unit_programs := $(UNIT_TESTS:%=$(B)/tests/unit/%)
bpf_programs  := $(BPF_TESTS:%=$(B)/tests/bpf/%)
# Network policy: programs that say TAP themselves, one line for each case, family and executor.
$(foreach t,$(POLICY_TESTS),$(eval $(call link_rules,$t,$(B)/tests/policy/$t,tests/policy/$t.c $(policy_shared) $($t_SRCS))))
policy_programs := $(POLICY_TESTS:%=$(B)/tests/policy/%)

# Fuzzers are linked twice: with replay.c, which feeds them their corpus (part of check), and by `make fuzz` with libFuzzer.
$(if $(FUZZ_ENGINE),$(foreach f,$(FUZZERS),$(eval $f_LDFLAGS += -fsanitize=fuzzer)))
$(foreach f,$(FUZZERS),$(eval $(call link_rules,$f,$(B)/tests/fuzz/$f,tests/fuzz/$f.c $($f_SRCS) \
	$(if $(FUZZ_ENGINE),,tests/fuzz/replay.c))))
fuzz_programs := $(FUZZERS:%=$(B)/tests/fuzz/%)

# -mcpu=v3: 32-bit registers and jumps, Linux 5.1
# asm/types.h is the architecture's own; what is made of it is the same (tests/deploy/arm64.py)
bpf_includes = -I. $(filter --sysroot=%,$(vw_cflags)) -idirafter $(if $(CROSS),$(abspath $(SYSROOT))/usr/include/$(CROSS),/usr/include/$$(uname -m)-linux-gnu)
bpf_cc = $(CLANG) -target bpf -mcpu=v3 -O2 -g -std=gnu17 -Wall -Wextra -Wno-unused-parameter $(if $(filter-out 0,$(DEVELOPER)),-Werror) \
	$(bpf_includes) $(BPF_CFLAGS)

# BPF objects: they are GPL-2.0 OR BSD-2-Clause, unlike the rest; each file says so.
$(B)/gen/%.bpf.o: $(BPF_SRC_DIR)/%.bpf.c $(B)/.flags
	@mkdir -p $(@D)
	@$(call say,BPF,$<)
	$(Q)$(bpf_cc) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<

# the benchmark's: the same source with a packet that varies
$(B)/gen/%.bpf.o: tests/bench/%.bpf.c $(B)/.flags
	@mkdir -p $(@D)
	@$(call say,BPF,$<)
	$(Q)$(bpf_cc) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<

$(B)/gen/%.skel.h: $(B)/gen/%.bpf.o
	@$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $* > $@

$(B)/gen/%.lskel.h: $(B)/gen/%.bpf.o
	@$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton -L $< name $* > $@

# Every header compiles alone (and the ones shared with eBPF in both worlds).
all_pkgs = $(sort $(foreach l,$(LIBS) $(PROGS),$($l_PKGS)))
$(B)/headers/%.h.ok: %.h $(B)/.flags | $(BPF_SKELS)
	@mkdir -p $(@D)
	@$(call say,HEADER,$<)
	$(Q)$(CC) $(vw_cppflags) $(vw_cflags) -Werror $(call pkg,--cflags,$(all_pkgs)) -MMD -MP -MF $@.d -MT $@ \
		-fsyntax-only -x c -include $< /dev/null && touch $@
$(B)/headers-bpf/%.h.ok: %.h $(B)/.flags
	@mkdir -p $(@D)
	@$(call say,HEADER,$< (bpf))
	$(Q)$(CLANG) -target bpf -O2 -std=gnu17 -Wall -Werror $(bpf_includes) -MMD -MP -MF $@.d -MT $@ \
		-fsyntax-only -x c -include $< /dev/null && touch $@

-include $(shell [ -d $(B) ] && find $(B) -name '*.d')

# --- tests --------------------------------------------------------------------------------------------------------------

.PHONY: check check-all check-sanitized sanitized unit bpf policy fuzz-replay sim-tests fabric-tests conformance eni-tests e2e faults check-layers check-headers build-tests demo demo-run bench bench-run bench-fleet bench-kills fuzz deps
export VPCWIRE_BUILD := $(abspath $(B))
runner := $(PYTHON) mk/run-tests.py
# folders of Python tests, each a pytest run; K='expression' picks some of a folder's, as pytest -k does
PYTEST_DIRS := $(sort $(patsubst %/,%,$(dir $(wildcard tests/*/test_*.py))))

# all processors for the build, unless the caller has said how many
jobs = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

build-tests: all $(unit_programs) $(bpf_programs) $(policy_programs) $(fuzz_programs)

# deps first, on its own, so that nothing starts to compile before its headers are there
check: deps
	+@$(MAKE) $(jobs) build-tests
	+@$(MAKE) check-all
check-all: export KILL_TWICE := 1
# the longest first, which takes a lane for itself
check-all: build-tests sanitized
	@$(runner) --log-dir $(B)/test-logs pytest tests/e2e -- unit $(unit_programs) -- bpf $(bpf_programs) -- \
		policy $(policy_programs) -- fuzz $(fuzz_programs) -- layers -- headers $(HEADERS) \
		$(foreach d,$(filter-out tests/e2e,$(PYTEST_DIRS)),-- pytest $d) $(sanitized_suite)

# The CNI plugins alone with sanitizers, everything behind them without: the rows of the conformance checklist on which a container
# runtime depends, in check too. A build that is sanitized as a whole has them anyway.
SANITIZED_WITH := address,undefined
sanitized_dir  := $(B)/sanitized
sanitized_suite = $(if $(SANITIZE),,-- sanitized $(sanitized_dir) tests/conformance -m runtime)
plugins := $(foreach p,$(PROGS),$(if $(filter $(CNIBINDIR),$($p_INSTALL)),$p))
.PHONY: plugins
plugins: $(plugins:%=$(B)/bin/%)
sanitized: all
ifeq ($(SANITIZE),)
	+@$(MAKE) SANITIZE=$(SANITIZED_WITH) plugins
	@rm -rf $(sanitized_dir)/bin && mkdir -p $(sanitized_dir)/bin
	@ln -f $(programs) $(sanitized_dir)/bin/
	@ln -f $(plugins:%=$(BUILD)-$(subst $(comma),-,$(SANITIZED_WITH))/bin/%) $(sanitized_dir)/bin/
	@ln -sfn ../lib $(sanitized_dir)/lib
endif
check-sanitized: sanitized
	@$(runner) --log-dir $(B)/test-logs $(wordlist 2,99,$(sanitized_suite)) $(if $(K),-k '$(K)')
unit: $(unit_programs)
	@$(runner) --log-dir $(B)/test-logs unit $^
bpf: $(bpf_programs)
	@$(runner) --log-dir $(B)/test-logs bpf $^
policy: $(policy_programs)
	@$(runner) --log-dir $(B)/test-logs policy $^
fuzz-replay: $(fuzz_programs)
	@$(runner) --log-dir $(B)/test-logs fuzz $^
e2e: all
	@$(runner) --log-dir $(B)/test-logs pytest tests/e2e $(if $(K),-k '$(K)')
# needs debootstrap and a Debian mirror; some GB in /var/tmp while it runs
.PHONY: image-test
image-test: all
	@VPCWIRE_IMAGE_TEST=1 $(runner) --log-dir $(B)/test-logs pytest tests/e2e/test_image.py
faults: all
	@$(runner) --log-dir $(B)/test-logs pytest tests/faults $(if $(K),-k '$(K)')
sim-tests: all
	@$(runner) --log-dir $(B)/test-logs pytest tests/sim $(if $(K),-k '$(K)')
fabric-tests: all
	@$(runner) --log-dir $(B)/test-logs pytest tests/fabric $(if $(K),-k '$(K)')
conformance: all
	@$(runner) --log-dir $(B)/test-logs pytest tests/conformance $(if $(K),-k '$(K)')
eni-tests: all
	@$(runner) --log-dir $(B)/test-logs pytest tests/eni $(if $(K),-k '$(K)')
check-layers:
	@$(PYTHON) mk/check-layers.py
check-headers: $(HEADERS:%=$(B)/headers/%.ok) $(BPF_HEADERS:%=$(B)/headers-bpf/%.ok)
	@echo "check-headers: ok ($(words $^) headers)"

demo: deps
	+@$(MAKE) $(jobs) all
	+@$(MAKE) demo-run
demo-run:
	@$(PYTHON) tests/demo/run.py
bench: deps
	+@$(MAKE) $(jobs) all
	+@$(MAKE) bench-run
bench-run:
	@$(PYTHON) tests/bench/run.py --out $(B)/bench.json
	@$(MAKE) bench-curves
	@$(MAKE) bench-fleet
	+@$(MAKE) bench-kills
.PHONY: bench-churn
bench-churn: all
	@$(PYTHON) tests/bench/run.py --out $(B)/bench.json --only churn --pairs $(or $(PAIRS),100000)
bench-fleet: $(B)/bin/fleet
	@$(PYTHON) tests/bench/fleet/plot.py --fleet $(B)/bin/fleet --out $(B) --nodes $(or $(NODES),1000)

.PHONY: bench-curves
bench-curves: all
	@$(PYTHON) tests/bench/curves.py --out $(or $(OUT),$(B))

.PHONY: soak
soak: all
	@exec $(PYTHON) tests/soak/run.py --minutes $(or $(MINUTES),30) --seed $(or $(SEED),1)

# no processor's speed is measured: it is as long as it takes until so many deaths have been audited
bench-kills: $(B)/tests/unit/test_kill $(B)/tests/unit/test_model
	@KILL_TWICE=all $(B)/tests/unit/test_kill
	@MODEL_DEATHS=$(or $(DEATHS),10000) $(B)/tests/unit/test_model

fuzz:
	+@$(MAKE) BUILD=$(BUILD)-fuzz CC=clang SANITIZE=address,undefined FUZZ_ENGINE=1 CFLAGS='$(CFLAGS) -fsanitize=fuzzer-no-link' fuzz-run
.PHONY: fuzz-run
fuzz-run: $(fuzz_programs)
	@for f in $^; do n=$${f##*/fuzz_}; mkdir -p $(B)/corpus/$$n; echo "== $$n for $(FUZZ_TIME) s"; \
		$$f -max_total_time=$(FUZZ_TIME) -max_len=65536 -timeout=10 -print_final_stats=1 $(B)/corpus/$$n \
			$$(ls -d tests/fuzz/corpus/$$n 2>/dev/null) || exit 1; done

# What is generated and committed; unit/test_config and unit/test_advice fail when it is out of date.
.PHONY: docs
docs: $(B)/bin/vpcwired
	$(Q)$< --print-config-docs > docs/CONFIG.md
	$(Q)$< --print-symptoms > $(B)/symptoms.md
	$(Q)sed -i -e '/^| what it says |/,/^$$/{/^| what it says |/r $(B)/symptoms.md' -e '/^|/d' -e '}' docs/OPERATIONS.md

# The chart (deploy/helm) is the source, the plain manifests are what it makes of its default values; tests/deploy fails when they are out of
# date. Go and the libraries that helm itself renders with are Debian's.
$(B)/chart-render: mk/chart/render.go
	@mkdir -p $(@D)
	@$(call say,GO,$<)
	$(Q)GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS= GOCACHE=$(abspath $(B))/go-cache CGO_ENABLED=0 $(GO) build -o $@ $<
.PHONY: chart-render manifests
chart-render: $(B)/chart-render
manifests: $(B)/chart-render
	$(Q)$(PYTHON) mk/chart/schema.py > deploy/helm/vpcwire/values.schema.json
	$(Q){ cat mk/chart/head.yaml && $< deploy/helm/vpcwire; } > $(B)/vpcwire.yaml
	$(Q)mv $(B)/vpcwire.yaml deploy/kubernetes/vpcwire.yaml

deps:
	@sh mk/deps.sh

# What can be tried of it without such a machine: mk/sysroot.sh's libraries, and an emulator of programs (qemu-user). Not a part of check. Left out
# are what takes minutes where nothing is emulated.
.PHONY: check-arm64 check-cross deps-cross
EMULATOR ?= qemu-$(firstword $(subst -, ,$(CROSS))) -L $(abspath $(SYSROOT))
deps-cross: deps
	@sh mk/deps.sh --cross
check-arm64: deps-cross
	+@$(MAKE) $(jobs) all
	+@$(MAKE) $(jobs) CROSS=aarch64-linux-gnu build-tests
	+@$(MAKE) CROSS=aarch64-linux-gnu check-cross
check-cross: export VPCWIRE_EMULATOR := $(EMULATOR)
# test_cloud_sim starts the simulator, which is the machine's own
check-cross: export VPCWIRE_BUILD := $(abspath $(BUILD))
check-cross: export VPCWIRE_CROSS := $(abspath $(B))
check-cross: build-tests
	@$(runner) --log-dir $(B)/test-logs unit $(filter-out $(not_emulated:%=$(B)/tests/unit/%),$(unit_programs)) -- fuzz $(fuzz_programs) -- \
		pytest tests/deploy/arm64.py

# --- install, clean -----------------------------------------------------------------------------------------------------

# A program's folder may say <name>_INSTALL := directory; the default is BINDIR. Programs only for tests say "none".
.PHONY: install clean
install: all
	$(foreach p,$(PROGS),$(if $(filter none,$($p_INSTALL)),,@install -v -D -m 0755 $(B)/bin/$p \
		'$(DESTDIR)$(or $($p_INSTALL),$(BINDIR))/$p'$(newline)))
	$(foreach f,$(INSTALL_FILES),@install -v -D -m 0644 -t '$(DESTDIR)$(lastword $(subst :, ,$f))' $(firstword $(subst :, ,$f))$(newline))
define newline


endef

# build/vpcwire_VERSION_ARCH.deb
.PHONY: deb
ifneq ($(and $(CROSS),$(filter deb,$(MAKECMDGOALS))),)
$(error make deb packages for the machine that it runs on: build the package of $(CROSS) on one of that kind)
endif
deb: all
	@sh deploy/debian/build $(VERSION) $(B)

clean:
	rm -rf $(BUILD) $(BUILD)-*
