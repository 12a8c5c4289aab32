# eBPF programs: GPL-2.0 OR BSD-2-Clause. build/gen/<name>.skel.h is made of each.
BPF_PROGS += np_pod
