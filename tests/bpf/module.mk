test_np_pod_LIBS := np net base
test_np_pod_PKGS := libbpf
test_np_loader_LIBS := np net base
test_np_loader_PKGS := libbpf
