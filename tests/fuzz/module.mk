# a fuzzer links json and base unless it says otherwise: fuzz_<x>_LIBS
fuzz_config_LIBS := daemon json base
fuzz_ec2_xml_LIBS := daemon crypto json base
fuzz_imds_LIBS := daemon crypto json base
fuzz_creds_LIBS := daemon crypto json base
fuzz_manifest_LIBS := daemon k8s yaml json base
fuzz_aws_ipam_LIBS := daemon json base
fuzz_yaml_LIBS := yaml json base
fuzz_np_compile_LIBS := npc k8s yaml json base
fuzz_np_world_LIBS := npc k8s yaml json base
# a fuzzer links json and base unless it says otherwise: fuzz_<x>_LIBS
fuzz_cni_LIBS := cni json base
fuzz_rpc_LIBS := rpc json base
fuzz_sim_ec2_LIBS := sim netview net rpc crypto json base
fuzz_sim_sigv4_LIBS := sim netview net rpc crypto json base
fuzz_eni_LIBS := eni cni rpc json base
fuzz_eni_SRCS := plugins/vpcwire-eni/eni_conf.c plugins/vpcwire-bridge/bridge_conf.c
fuzz_netlink_LIBS := netview net base
fuzz_np_pins_LIBS := np npc k8s yaml json net base
fuzz_np_packet_LIBS := np npc k8s yaml json net base
fuzz_np_packet_SRCS := tests/fuzz/np_host.c
fuzz_sgp_LIBS := daemon k8s yaml json base
fuzz_feed_LIBS := feed crypto json base
fuzz_redact_SRCS := cli/redact.c
