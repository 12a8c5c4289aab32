#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: mk/sysroot.sh TRIPLE DIR: what is needed to build for another architecture (libraries with headers, and what they need), unpacked from
# Debian's packages of that architecture into DIR. Nothing of the machine is touched: apt has a state of its own in DIR.apt, with the
# machine's sources and keys. Made anew as a whole, or not at all: DIR takes its name by rename.
set -eu
triple=$1 dir=$2
case $triple in
aarch64-linux-gnu) arch=arm64 ;;
*) echo "sysroot: CROSS=$triple is not known here, wanted aarch64-linux-gnu (the system call filter and Debian have no other)" >&2; exit 1 ;;
esac
for tool in apt-get dpkg-deb; do
	command -v $tool >/dev/null 2>&1 || { echo "sysroot: no $tool: make one yourself and name it, SYSROOT=folder" >&2; exit 1; }
done
state=$dir.apt new=$dir.new log=$dir.apt/log
packages="libc6-dev musl-dev linux-libc-dev $(sh mk/deps.sh --libraries)"

rm -rf "$new" "$state"
mkdir -p "$new" "$state/lists/partial" "$state/cache/archives/partial"
: >"$state/status"      # nothing is installed, so that all that is needed is fetched
: >"$log"
state=$(cd "$state" && pwd)
# the machine's hooks are for the machine's packages
cat >"$state/apt.conf" <<EOF
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT { Architecture "$arch"; Architectures { "$arch"; }; Sandbox::User "$(id -un)"; Keep-Downloaded-Packages "1"; };
Acquire::Languages "none";
Dir { State "$state"; State::lists "$state/lists"; State::status "$state/status"; Cache "$state/cache"; Log "$state"; };
EOF
export APT_CONFIG="$state/apt.conf"
quietly()
{
	"$@" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; echo "sysroot: $1 failed (its last lines are above)" >&2; exit 1; }
}
echo "sysroot: fetching Debian's packages for $arch"
quietly apt-get -q update
quietly apt-get -q install -y --no-install-recommends --download-only $packages
for deb in "$state"/cache/archives/*.deb; do
	quietly dpkg-deb -x "$deb" "$new"
done
# links between packages are absolute here and there, and would lead out of the folder
find "$new" -type l -lname '/*' | while read -r link; do
	ln -sfn "$(realpath -m --relative-to="$(dirname "$link")" "$new$(readlink "$link")")" "$link"
done
touch "$new/.made"
rm -rf "$dir" "$state"
mv "$new" "$dir"
