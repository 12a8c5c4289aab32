# a unit test links json and base unless it says otherwise: test_<x>_LIBS
test_store_LIBS := daemon base
test_crypto_LIBS := crypto
test_rpc_LIBS := rpc json base
