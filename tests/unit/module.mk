# a unit test links json and base unless it says otherwise: test_<x>_LIBS
test_store_LIBS := daemon base
test_crypto_LIBS := crypto
test_rpc_LIBS := rpc json base
test_net_LIBS := net base
test_net_PKGS := libmnl
test_net_kernel_LIBS := net base
test_netview_LIBS := netview net base
