# shellcheck shell=bash
# Images for the node.

# import_image ARCHIVE: a docker or OCI archive, unless containerd has had exactly this one.
import_image() {
  local sum
  sum=$STATE/imported/$(sha256sum <"$1" | cut -c1-32)
  [[ -e $sum ]] && return
  say "importing $(basename "$1")"
  containerd_client images import "$1" >"$(log_of import)" 2>&1 || component_failed import "of $1 into containerd failed"
  mkdir -p "$STATE/imported"
  touch "$sum"
}

# load_image ARCHIVE|NAME: from a file, or from the docker, podman or buildah of this machine.
load_image() {
  local image=${1:-} archive
  (($# == 1)) || usage
  require_up
  PATH=$(<"$STATE/tool-path"):$PATH
  if [[ $(<"$STATE/profile") == control-plane ]]; then
    say "pods don't run in the control-plane profile: there is nothing to load $image into"
    return
  fi
  pid_of containerd >/dev/null || fail "containerd is not running: $0 up"
  if [[ -f $image ]]; then
    import_image "$image"
  else
    archive=$(mktemp --suffix=.tar)
    trap 'rm -f "$archive"' EXIT
    rm "$archive" # buildah wants to make it
    export_image "$image" "$archive" ||
      fail "'$image' is neither a file nor an image of this machine's docker, podman or buildah"
    import_image "$archive"
  fi
  say "the node has $image"
}

# export_image NAME ARCHIVE
export_image() {
  local engine
  for engine in docker podman; do
    if command -v "$engine" >/dev/null && "$engine" image inspect "$1" &>/dev/null; then
      "$engine" save -o "$2" "$1" >&2
      return
    fi
  done
  command -v buildah >/dev/null && buildah inspect --type image "$1" &>/dev/null &&
    buildah push --quiet "$1" "docker-archive:$2:$1" >&2
}
