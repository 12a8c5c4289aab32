test_np_pod_LIBS := np net base
test_np_pod_PKGS := libbpf
test_np_loader_LIBS := np net base
test_np_loader_PKGS := libbpf
# the policies' programs, on the rig that writes their tables
test_np_policy_SRCS := tests/bpf/np_rig.c
test_np_dns_SRCS := tests/bpf/np_rig.c
test_np_dns_LIBS := np net base
test_np_dns_PKGS := libbpf
test_np_fuzz_SRCS := tests/bpf/np_rig.c
test_np_fuzz_LIBS := np net base
test_np_fuzz_PKGS := libbpf
test_np_services_SRCS := tests/bpf/np_rig.c
test_np_services_LIBS := np net base
test_np_services_PKGS := libbpf
test_np_flows_SRCS := tests/bpf/np_rig.c
test_np_flows_LIBS := np net base
test_np_flows_PKGS := libbpf
test_np_policy_LIBS := np net base
test_np_policy_PKGS := libbpf
# the whole way from objects to packets, while policies change
test_np_flood_LIBS := np npc net k8s yaml json base
test_np_flood_PKGS := libbpf
test_branch_LIBS := br net base
test_branch_PKGS := libbpf
# no kernel: what the built object asks of one
test_np_kernel_LIBS := np net base
test_np_kernel_PKGS := libbpf
test_np_crowd_SRCS := tests/bpf/np_rig.c
test_np_crowd_LIBS := np net base
test_np_crowd_PKGS := libbpf
test_np_at_node_SRCS := tests/bpf/np_rig.c
test_np_at_node_LIBS := np net base
test_np_at_node_PKGS := libbpf
