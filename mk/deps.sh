#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Make sure that everything needed to build and test is there. On Debian: ask dpkg, install what is missing with apt-get.
# Elsewhere: look for the programs and libraries themselves and say clearly which are missing. Quick when nothing is.
# With --build only what `make deb` needs (deploy/container/Dockerfile), with --cross only the other architecture's compiler and emulator.
set -eu

libraries="libbpf-dev libmnl-dev libnl-3-dev libnl-route-3-dev libnftables-dev libjansson-dev libuv1-dev libcurl4-openssl-dev libxml2-dev
libsqlite3-dev libmicrohttpd-dev libarchive-dev libseccomp-dev nettle-dev uthash-dev libyaml-dev libcmocka-dev"
# for mk/sysroot.sh, which has them for another architecture
if [ "${1:-}" = --libraries ]; then
	echo $libraries
	exit
fi
cross="gcc-aarch64-linux-gnu qemu-user"
build="gcc libc6-dev musl-dev make dpkg-dev pkg-config clang llvm bpftool linux-libc-dev $libraries"
tests="python3-yaml libclang-rt-14-dev python3 python3-pytest python3-boto3 python3-prometheus-client awscli containerd runc podman busybox-static
golang-go golang-github-masterminds-sprig-dev golang-k8s-sigs-yaml-dev python3-jsonschema
lintian debootstrap openssl containernetworking-plugins python3-grpcio python3-protobuf protobuf-compiler strace valgrind nftables iptables conntrack chromium prometheus bash iproute2 iputils-ping netcat-openbsd curl procps util-linux ca-certificates"

elsewhere()
{
	missing=
	for cmd in gcc make pkg-config clang bpftool python3 aws containerd runc ctr podman busybox strace valgrind nft ip ping nc curl chromium promtool; do
		PATH="$PATH:/usr/sbin:/sbin" command -v "$cmd" >/dev/null 2>&1 || missing="$missing $cmd"
	done
	for pc in libbpf libmnl libnl-3.0 libnl-route-3.0 libnftables jansson libuv libcurl libxml-2.0 sqlite3 libmicrohttpd libarchive libseccomp nettle \
		yaml-0.1 cmocka; do
		pkg-config --exists "$pc" 2>/dev/null || missing="$missing $pc(development-files)"
	done
	for mod in pytest boto3 grpc google.protobuf; do
		python3 -c "import $mod" 2>/dev/null || missing="$missing python3-$mod"
	done
	[ -n "$missing" ] || exit 0
	echo "vpcwire installs its needs by itself on Debian 12 only. Please install these with your package manager:" >&2
	for m in $missing; do
		echo "    $m" >&2
	done
	echo "(on Debian they are the packages: $(echo $build $tests))" >&2
	exit 1
}

[ "${1:-}" != --build ] || tests=
[ "${1:-}" != --cross ] || { build=$cross tests=; }
{ command -v dpkg-query && command -v apt-get; } >/dev/null 2>&1 || elsewhere
. /etc/os-release 2>/dev/null || ID=unknown
[ "${ID:-}" = debian ] || elsewhere

missing=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $build $tests 2>/dev/null |
	awk -v want="$(echo $build $tests)" '$2 == "installed" { have[$1] = 1 }
		END { n = split(want, w, " "); for (i = 1; i <= n; i++) if (!(w[i] in have)) printf "%s ", w[i] }')
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "deps: these Debian packages are missing; run 'sudo make deps', or: apt-get install $missing" >&2
	exit 1
fi
echo "deps: installing $missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Services that come with a tool (prometheus has promtool) are not to be started.
if [ ! -e /usr/sbin/policy-rc.d ]; then
	trap 'rm -f "$log" /usr/sbin/policy-rc.d' EXIT
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
fi
# The package lists of a new machine may be empty or old: refresh them before the first install.
if ! { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -n 30 "$log" >&2
	echo "deps: apt-get failed (its last lines are above)" >&2
	exit 1
fi
