# shellcheck shell=bash
# What must be on the machine first: a few Debian packages, and the tools that ../tools/build makes.

# Where CNI plugins are: Debian's place, or the one that Kubernetes' own documentation uses.
cni_plugins() {
  local folder
  for folder in /usr/lib/cni /opt/cni/bin; do
    if [[ -x $folder/bridge && -x $folder/portmap ]]; then echo "$folder"; return; fi
  done
  return 1
}

# The packages whose programs are missing, by profile.
missing_packages() {
  local command package
  while read -r command package; do
    command -v "$command" >/dev/null || echo "$package"
  done <<<"ip iproute2
openssl openssl
curl curl
iptables iptables"
  [[ $1 == node ]] || return 0
  while read -r command package; do
    command -v "$command" >/dev/null || echo "$package"
  done <<<"conntrack conntrack
gcc gcc
pkg-config pkg-config
buildah buildah"
  cni_plugins >/dev/null || echo containernetworking-plugins
  [[ -e /usr/include/seccomp.h ]] || echo libseccomp-dev
}

install_packages() {
  local -a packages
  mapfile -t packages < <(missing_packages "$1")
  ((${#packages[@]} > 0)) || return 0
  command -v apt-get >/dev/null || fail "these are missing, under Debian's package names: ${packages[*]}"
  say "installing ${packages[*]}"
  apt_install "${packages[@]}" && return
  say "trying again with a new list of packages"
  apt-get update >&2
  apt_install "${packages[@]}" || fail "apt-get could not install ${packages[*]}"
}

apt_install() { DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" </dev/null >&2; }

# Sets TOOL_PATH to the folders of the profile's tools, and PATH accordingly.
provide_tools() {
  local -a tools=(etcd kubernetes)
  case $1 in
    node) tools+=(containerd runc coredns) ;;
    control-plane) tools+=(kwok) ;;
  esac
  TOOL_PATH=$("$HERE/../tools/build" "${tools[@]}" | paste -sd:)
  PATH=$TOOL_PATH:$PATH
}
