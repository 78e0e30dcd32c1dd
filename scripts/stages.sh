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

# side_by_side COUNT COMMAND…: so many at a time, for commands that mostly wait. Each is a program
# or a function without arguments. What one prints is shown in one piece when it has ended.
side_by_side() {
  local count=$1 command pid code failed=0 running=0 output
  local -A names started
  shift
  output=$(mktemp -d)
  for command in "$@" ''; do
    while ((running > 0)) && [[ $running -ge $count || -z $command ]]; do
      code=0
      wait -n -p pid "${!names[@]}" || code=$?
      running=$((running - 1))
      cat "$output/$pid" >&2
      rm "$output/$pid"
      summary+=("$(printf '%5d s    %s' $((SECONDS - started[$pid])) "${names[$pid]}")")
      if ((code == 0)); then
        say "=== ${names[$pid]}: passed in $((SECONDS - started[$pid])) s"
      else
        say "=== ${names[$pid]}: FAILED after $((SECONDS - started[$pid])) s"
        failed=1
      fi
      unset "names[$pid]"
    done
    [[ -n $command ]] || continue
    say "=== $command: started"
    ( "$command" >"$output/$BASHPID" 2>&1 </dev/null ) &
    pid=$!
    names[$pid]=$command
    started[$pid]=$SECONDS
    running=$((running + 1))
  done
  rmdir "$output"
  return "$failed"
}

# The stages that passed, with their times.
stages_passed() {
  say "=== all passed"
  printf '%s\n' "${summary[@]}" >&2
}
