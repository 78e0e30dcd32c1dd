# shellcheck shell=bash
# Sourced by the scripts that run several checks: named stages, each with its time.

summary=()

# stage NAME COMMAND…: runs one check and reports how long it took.
stage() {
  local name=$1 started=$SECONDS
  shift
  say "=== $name"
  "$@" || { say "=== $name: FAILED after $((SECONDS - started)) s"; exit 1; }
  summary+=("$(printf '%5d s  %s' $((SECONDS - started)) "$name")")
  say "=== $name: passed in $((SECONDS - started)) s"
}

# The stages that passed, with their times.
stages_passed() {
  say "=== all passed"
  printf '%s\n' "${summary[@]}" >&2
}
