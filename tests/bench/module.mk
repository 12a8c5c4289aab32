# Runs and times CNI plugins for the benchmark and the demo.
PROGS += cnispawn
cnispawn_SRCS := tests/bench/cnispawn.c
cnispawn_INSTALL := none
# Sends packets as fast as a node forwards them.
PROGS += blast
blast_SRCS := tests/bench/blast.c
blast_LIBS := base
blast_INSTALL := none
# A fleet of nodes on one account in virtual time; no I/O. Of the daemon it takes the backoff alone.
PROGS += fleet
fleet_SRCS := $(wildcard tests/bench/fleet/*.c) daemon/backoff.c
fleet_LIBS := ipam base
fleet_INSTALL := none
# What a packet costs in the policy programs, beside an empty one.
BPF_PROGS += np_bench
PROGS += policy_bench
policy_bench_SRCS := tests/bench/policy_bench.c
policy_bench_LIBS := net base
policy_bench_PKGS := libbpf
policy_bench_INSTALL := none
# The pool and the store of ipam/ and daemon/, timed without a daemon.
PROGS += ipambench
ipambench_SRCS := tests/bench/ipam/ipambench.c daemon/store.c daemon/store_text.c
ipambench_LIBS := ipam base
ipambench_PKGS := sqlite3
ipambench_INSTALL := none
# Pods for a daemon by RPC alone.
PROGS += rpcload
rpcload_SRCS := tests/bench/ipam/rpcload.c
rpcload_LIBS := rpc json base
rpcload_INSTALL := none
# What compiling policies takes; no kernel.
PROGS += npcompile
npcompile_SRCS := tests/bench/npcompile.c
npcompile_LIBS := npc k8s yaml json base
npcompile_INSTALL := none
# Counts what vpcwired allocates for a request.
PRELOADS += allocs
allocs_SRCS := tests/bench/allocs.c
# Throughput and latency between two places.
PROGS += netload
netload_SRCS := tests/bench/netload.c
netload_LIBS := base
netload_INSTALL := none
# The kernel's part of ADD and DEL alone, linked as the plugin is.
PROGS += floor
floor_SRCS := tests/bench/floor.c plugins/vpcwire/wire.c
floor_LIBS := pod cni rpc net json base
floor_LIBS += $(if $(plugins_static),mnl) $(plugins_musl)
floor_STATIC := $(plugins_static)
floor_MUSL := $(plugins_musl)
floor_INSTALL := none
# What flow logs take of a worker; no kernel.
PROGS += flowlogbench
flowlogbench_SRCS := tests/bench/flowlogbench.c daemon/flowlog.c daemon/flowlog_file.c
flowlogbench_LIBS := np net json base
flowlogbench_PKGS := libbpf
flowlogbench_INSTALL := none
