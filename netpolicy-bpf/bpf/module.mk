# eBPF programs: GPL-2.0 OR BSD-2-Clause. build/gen/<name>.skel.h is made of each.
BPF_PROGS += np_pod np_node
# as a light skeleton (build/gen/<name>.lskel.h), which plugins can load without libbpf
BPF_LPROGS += branch
