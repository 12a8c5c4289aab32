# a unit test links json and base unless it says otherwise: test_<x>_LIBS
test_config_LIBS := daemon json base
test_yaml_LIBS := yaml json base
test_k8s_LIBS := k8s yaml json base
test_np_read_LIBS := npc k8s yaml json base
test_np_read_SRCS := tests/unit/np_dump.c
test_np_random_LIBS := npc k8s yaml json base
test_np_random_SRCS := tests/unit/np_case.c tests/unit/np_dump.c
test_np_diff_LIBS := npc k8s yaml json base
test_np_diff_SRCS := tests/unit/np_case.c
test_np_oom_LIBS := npc k8s yaml json base
test_np_oom_SRCS := tests/unit/np_case.c
test_np_oom_LDFLAGS := $(foreach f,malloc calloc realloc reallocarray strdup,-Wl,--wrap=$f)
test_np_compile_LIBS := npc k8s yaml json base
test_np_compile_SRCS := tests/unit/np_case.c
test_np_image_LIBS := npc k8s yaml json base
test_np_image_SRCS := tests/unit/np_case.c
test_np_world_LIBS := npc k8s yaml json base
test_np_world_SRCS := tests/unit/np_dump.c
test_ipam_planner_LIBS := ipam base
test_ipam_planner_SRCS := tests/unit/ipam_node.c
test_ipam_life_LIBS := ipam base
test_ipam_life_SRCS := tests/unit/ipam_node.c
test_ipam_demand_LIBS := ipam base
test_ipam_demand_SRCS := tests/unit/ipam_node.c
test_ipam_pool_LIBS := ipam base
test_ipam_targets_LIBS := ipam base
test_ipam_v6_LIBS := ipam base
test_store_LIBS := daemon base
test_aws_ipam_LIBS := daemon json base
test_store_LDFLAGS := -Wl,--wrap=sqlite3_bind_text
test_trim_LIBS := daemon base
test_confine_LIBS := daemon json base
test_advice_LIBS := daemon base
test_httpd_LIBS := daemon json base
test_httpd_SRCS := tests/unit/scarce.c tests/unit/loop_turn.c
test_loop_LIBS := daemon base
test_crypto_LIBS := crypto
test_rpc_LIBS := rpc json base
test_feed_state_LIBS := rpc json base
test_loop_dir_LIBS := daemon json base
test_rpc_server_LIBS := daemon rpc json base
test_rpc_server_SRCS := tests/unit/scarce.c tests/unit/loop_turn.c
test_rpc_server_LDFLAGS := -Wl,--wrap=calloc
test_net_LIBS := net base
test_net_PKGS := libmnl
test_net_kernel_LIBS := net base
test_netview_LIBS := netview net base
test_ct_LIBS := netview net base
test_nftnl_LIBS := netview net base
test_cloud_http_LIBS := daemon crypto json base
test_cloud_http_SRCS := tests/unit/scripted_http.c
test_xml_LIBS := daemon base
test_imds_LIBS := daemon crypto json base
test_imds_SRCS := tests/unit/scripted_http.c
test_creds_LIBS := daemon crypto json base
test_creds_SRCS := tests/unit/scripted_http.c
test_ec2_parse_LIBS := daemon crypto json base
test_ec2_LIBS := daemon crypto json base
test_ec2_SRCS := tests/unit/ec2_fixture.c tests/unit/scripted_http.c
test_ec2_retry_LIBS := daemon crypto json base
test_ec2_retry_SRCS := tests/unit/ec2_fixture.c tests/unit/scripted_http.c
test_hostnet_LIBS := daemon np npc netview net rpc json base
test_hostnet6_LIBS := daemon np npc netview net rpc json base
test_cni_LIBS := cni json base
test_cloud_sim_LIBS := daemon crypto json base
# it talks to the simulator that stands beside it
$(B)/tests/unit/test_cloud_sim: | $(B)/bin/vpcwire-sim
test_sim_state_LIBS := sim netview net rpc crypto json base
test_sim_acceptor_LIBS := sim netview net rpc crypto json base
test_sim_acceptor_SRCS := tests/unit/scarce.c
test_sim_sigv4_LIBS := sim netview net rpc crypto json base
test_mnl_LIBS := mnl
test_manifest_LIBS := daemon k8s yaml json base
test_place_LIBS := daemon crypto k8s yaml json base
test_sgp_LIBS := daemon k8s yaml json base
test_leak_LIBS := daemon crypto json base
test_fleet_LIBS := ipam base
test_fleet_SRCS := $(filter-out %/main.c,$(wildcard tests/bench/fleet/*.c)) daemon/backoff.c
# the whole daemon on doubles of loop, socket, kernel and cloud, which stand before the daemon's own in the link
test_model_LIBS := daemon br np npc netview net rpc crypto ipam k8s yaml json base
test_model_SRCS := $(wildcard tests/unit/model_*.c)
test_model_LDFLAGS := -Wl,--wrap=vw_mono_ms -Wl,--wrap=vw_mono_us -Wl,--wrap=vw_unix_s -Wl,--wrap=vw_log_at -Wl,--wrap=vw_link_get \
	-Wl,--wrap=vw_link_wait_mac -Wl,--wrap=getrandom -Wl,-z,muldefs \
	$(foreach f,malloc calloc realloc reallocarray strdup free opendir closedir,-Wl,--wrap=$f) \
	$(foreach w,attach_put attach_del eni_put eni_del intent_put intent_del meta_put open close,-Wl,--wrap=store_$w)
test_kill_LIBS := $(test_model_LIBS)
test_kill_SRCS := $(test_model_SRCS)
test_kill_LDFLAGS := $(test_model_LDFLAGS)
test_np_publish_LIBS := np npc k8s yaml json base
test_np_learnt_LIBS := $(test_np_publish_LIBS)
test_np_learnt_SRCS := tests/unit/np_case.c
test_flat_LIBS := $(test_model_LIBS)
test_flat_SRCS := $(test_model_SRCS)
test_flat_LDFLAGS := $(test_model_LDFLAGS)
# the table of flows; on the heap, so no kernel
test_np_ct_LIBS := np net base
test_steady_LIBS := $(test_model_LIBS)
test_steady_SRCS := $(test_model_SRCS)
test_steady_LDFLAGS := $(test_model_LDFLAGS)

# what an ADD that gets no address is told
test_told_LIBS := $(test_model_LIBS)
test_told_SRCS := $(test_model_SRCS)
test_told_LDFLAGS := $(test_model_LDFLAGS)
test_redact_LIBS := json base
test_redact_SRCS := cli/redact.c
test_html_LIBS := daemon base
test_events_LIBS := daemon rpc json base
test_flowlog_SRCS := daemon/flowlog.c daemon/flowlog_file.c
test_flowlog_LIBS := np net json base
test_flowlog_PKGS := libbpf

# make check-arm64 leaves out: what asks the kernel for netlink, namespaces and system call filters, of which qemu-user passes on a part, and
# what takes minutes as it is
not_emulated := test_confine test_ct test_hostnet test_hostnet6 test_net test_net_kernel test_netview test_nftnl \
	test_model test_kill test_fleet test_np_random test_np_oom test_steady test_flat test_np_publish
