# shellcheck shell=bash
# The cluster's programs: started in its network namespace, known by a record, ended by that record.
#
# A record ($STATE/run/NAME.pid) holds the pid and the moment the process was started. Pids are used again, the pair
# is not: nothing is ever ended because of its name, or because it was given a pid that was once ours.

say() { echo "cluster: $*" >&2; }
fail() { say "$*"; exit 1; }

log_of() { echo "$STATE/logs/$1.log"; }

# Names the component that failed and shows the end of what it said.
component_failed() {
  say "$1 $2. The end of $(log_of "$1"):"
  tail -n 25 "$(log_of "$1")" >&2
  if [[ -s $STATE/run/$1.check ]]; then
    say "the check that failed said:"
    tail -n 5 "$STATE/run/$1.check" >&2
  fi
  exit 1
}

# When a process was started, in clock ticks since boot; fails if there is none or it has ended (a zombie).
started_at() {
  local stat
  local -a fields
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  # The second field is the program's name in brackets, which may hold anything: count from behind it.
  read -ra fields <<<"${stat##*) }"
  [[ ${fields[0]} != Z ]] && echo "${fields[19]}"
}

# The pid of a component that is running.
pid_of() {
  local pid started
  { read -r pid started <"$STATE/run/$1.pid"; } 2>/dev/null || return 1
  [[ $(started_at "$pid") == "$started" ]] && echo "$pid"
}

# start NAME COMMAND…: runs the command in the cluster's network, unless it already runs there with these arguments.
start() {
  local name=$1 record=$STATE/run/$1.pid pid
  shift
  if pid=$(pid_of "$name"); then
    if [[ "$*" == "$(<"$STATE/run/$name.command")" && /proc/$pid/ns/net -ef /run/netns/$NETNS ]]; then return; fi
    say "$name runs with other arguments or in a network that is gone: starting it again"
    stop "$name" TERM
  fi
  say "starting $name"
  rm -f "$record"
  echo "$*" >"$STATE/run/$name.command"
  # The child writes its own record before it becomes the program, so it never runs unrecorded, even if we are killed.
  # shellcheck disable=SC2016
  setsid bash -c '
    read -ra stat <"/proc/$$/stat"
    echo "$$ ${stat[21]}" >"$1"
    exec nsenter --net="$2" -- "${@:3}"
  ' start "$record" "/run/netns/$NETNS" "$@" </dev/null >>"$(log_of "$name")" 2>&1 {LOCK_FD}>&- &
  until [[ -s $record ]]; do
    kill -0 $! 2>/dev/null || [[ -s $record ]] || component_failed "$name" "could not be started"
    sleep 0.02
  done
}

# stop NAME SIGNAL: ends a component; after ten seconds without mercy.
stop() {
  local name=$1 pid waited=0
  pid=$(pid_of "$name") || return 0
  kill -s "$2" "$pid" 2>/dev/null || return 0
  while pid_of "$name" >/dev/null; do
    ((++waited < 100)) || kill -s KILL "$pid" 2>/dev/null || return 0
    sleep 0.1
  done
}

# wait_for NAME SECONDS COMMAND…: until the command succeeds. If it does not, the component is to blame.
wait_for() {
  local name=$1 limit=$2 deadline=$((SECONDS + $2))
  shift 2
  until "$@" >"$STATE/run/$name.check" 2>&1; do
    pid_of "$name" >/dev/null || component_failed "$name" "ended by itself"
    ((SECONDS < deadline)) || component_failed "$name" "was not ready within $limit s"
    sleep 0.2
  done
}

# Runs a command in the cluster's network.
in_network() { nsenter --net="/run/netns/$NETNS" -- "$@"; }

# kubectl as the cluster's administrator.
admin() { in_network kubectl --kubeconfig="$STATE/pki/admin.conf" "$@"; }

# Whether a health endpoint inside answers 200.
healthy() { in_network curl --silent --show-error --fail --insecure --max-time 5 "$1"; }
