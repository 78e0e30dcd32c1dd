# Sourced by the other scripts: paths, messages, and installing programs.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Programs built from source are kept here, outside the checkout, in a directory per version.
tools_cache=${PROMETHEUS_MIRROR_TOOLS:-$HOME/.cache/prometheus-mirror}

say() { printf '%s\n' "$*" >&2; }
fail() { say "$(basename "$0"): $*"; exit 1; }

# The directory that cargo builds into, as cargo itself reports it.
target_directory() {
  cargo metadata --format-version 1 --no-deps --offline --manifest-path "$root/Cargo.toml" |
    sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}

# The development builds of every program and example: what tests and generators run. The examples
# are among them because they may use what only tests depend on: so cargo chooses the same features
# for every dependency as it does for the tests, and compiles none of them once more.
build_programs() {
  cargo build --quiet --locked --workspace --exclude prometheus-mirror-fuzz --all-features --bins \
    --examples --manifest-path "$root/Cargo.toml"
}

# Prints the compiler's flags for the programs of the images, one a line.
flags_of_images() {
  local glibc
  # Static, so that the image needs nothing else.
  printf '%s\n' -C target-feature=+crt-static
  # What has to be put right in a program because it may lie anywhere in memory is listed in it, and
  # read whenever it starts. Packed, the list has kilobytes instead of megabytes. The C library
  # understands it from 2.36 on.
  glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null || true)
  if [ -n "$glibc" ] &&
    printf '%s\n' 'glibc 2.36' "$glibc" | sort --check=quiet --version-sort; then
    printf '%s\n' -C link-arg=-Wl,-z,pack-relative-relocs
  fi
}

# build_release PROFILE WORK FLAG…: compiles what the flags name, the same on every machine, as
# images and archives have it. WORK is a directory for the time of the build. Prints the directory
# with the programs.
build_release() {
  local profile=$1 work=$2 host target place flags
  local cargo_home=${CARGO_HOME:-$HOME/.cargo}
  shift 2
  host=$(rustc -vV | sed -n 's/^host: //p')
  target=$(target_directory)
  cargo_tool cargo-auditable 0.7.7
  # Panics and C assertions contain source paths: they are mapped to paths that are the same on
  # every machine.
  # With --target, so that the flags do not apply to build scripts.
  mapfile -t flags < <(flags_of_images)
  for place in "$root=/source" "$target=/target" "$cargo_home=/cargo"; do
    flags+=("--remap-path-prefix=$place")
  done
  # Only for the compiler and build scripts, not for cargo, which connects to the registry.
  cc -shared -fPIC -O1 -o "$work/same-numbers.so" "$root/scripts/same-numbers.c"
  CFLAGS="-ffile-prefix-map=$cargo_home=/cargo" \
    CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}") \
    cargo auditable build --config "env.LD_PRELOAD='$work/same-numbers.so'" --locked \
    --profile "$profile" --target "$host" "$@" >&2
  echo "$target/$host/$profile"
}

# as_root COMMAND…: runs it as root, with sudo if needed.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "root is needed for: $*"
  fi
}

# need PROGRAM=PACKAGE…: makes sure that the programs are on the PATH, and installs the Debian
# packages of those that aren't.
need() {
  local pair missing=() packages=()
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null && continue
    missing+=("${pair%%=*}")
    packages+=("${pair#*=}")
  done
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || fail "not on the PATH, please install: ${missing[*]}"
  say "Installing missing packages: ${packages[*]}"
  install_packages "${packages[@]}"
  for pair in "${missing[@]}"; do
    hash -r
    command -v "$pair" >/dev/null || fail "$pair is still not on the PATH"
  done
}

# Installs Debian packages without starting the servers in them, now or at the next boot.
install_packages() (
  policy=/usr/sbin/policy-rc.d
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$log"; as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
  fi
  install() {
    as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y --no-install-recommends "$@" >"$log" 2>&1
  }
  # If the package lists are missing or outdated, the first attempt fails.
  if ! install "$@"; then
    as_root apt-get update >&2 || fail "apt-get update failed"
    install "$@" || { cat "$log" >&2; fail "apt-get install $* failed"; }
  fi
  if [ -d /run/systemd/system ]; then
    for package in "$@"; do
      if [ -n "$(systemctl list-unit-files --no-legend "$package.service")" ]; then
        as_root systemctl disable --quiet "$package.service"
      fi
    done
  fi
)

# cargo_tool NAME VERSION FLAG…: installs a program from crates.io into the cache, once per version,
# and puts it on the PATH. The flags are for `cargo install`.
cargo_tool() {
  local folder=$tools_cache/$1-$2
  if [ ! -x "$folder/bin/$1" ]; then
    say "Building $1 $2 (minutes, the first time only)"
    # Not into the caller's target directory: the tool must leave nothing there.
    env -u CARGO_TARGET_DIR cargo install --quiet --locked --version "$2" --root "$folder" "$1" \
      "${@:3}" ||
      fail "$1 $2 could not be built"
  fi
  PATH=$folder/bin:$PATH
}

# python_tool NAME: installs the Python packages that tests/tools/NAME/requirements.txt pins into
# the cache, once per list, and prints the directory with their programs. The list pins dependencies
# too, so that every installation is the same.
python_tool() {
  local list=$root/tests/tools/$1/requirements.txt folder
  folder=$tools_cache/$1-$(sha256sum "$list" | cut -c1-12)
  if [ ! -e "$folder/complete" ]; then
    need python3=python3-venv
    say "Installing $1"
    rm -rf "$folder"
    { python3 -m venv "$folder" &&
      "$folder/bin/pip" install --quiet --no-deps --requirement "$list"; } >&2 ||
      fail "$1 could not be installed from $list"
    touch "$folder/complete"
  fi
  printf '%s\n' "$folder/bin"
}
