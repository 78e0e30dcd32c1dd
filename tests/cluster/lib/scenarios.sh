# shellcheck shell=bash
# Sourced by the scripts that try something on a test cluster: how they claim and refute, wait, load images, ask mirrors, and go
# through their scenarios. The one that sources it has set CLUSTER_NAME, and may define
#
#   describe    what to print beside a claim that does not hold
#   prepare     what to do when the cluster is up, before the first scenario
set -o errtrace

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=$(cd "$here/../.." && pwd)
state=${PROMETHEUS_MIRROR_TOOLS:-$HOME/.cache/prometheus-mirror}/clusters/$CLUSTER_NAME
audit_log=$state/logs/audit.log
images=${IMAGES:-$root/dist/images}
system=prometheus-mirror-system
operator=system:serviceaccount:$system:prometheus-mirror-operator
work=$(mktemp -d)

describe() { :; }
prepare() { :; }

claim() { echo "ok: $*"; }
# Ends the script: what failed has been told here, and need not be told again by its line.
refute() { trap - ERR; echo "FAILED: $*" >&2; describe >&2; exit 1; }
trap 'echo "FAILED: ${BASH_SOURCE[0]##*/}, line $LINENO: $BASH_COMMAND" >&2' ERR

cluster() { "$here/cluster" "$@"; }
kubectl() { cluster exec kubectl "$@"; }
demo() { kubectl -n demo "$@"; }
quietly() { "$@" >"$work/quiet.log" 2>&1 || refute "$*: $(cat "$work/quiet.log")"; }

# eventually SECONDS COMMAND…: prints nothing; $took is how long it took.
eventually() {
  local limit=$1 started=$SECONDS output
  shift
  until output=$("$@" 2>&1); do
    ((SECONDS - started < limit)) || refute "not within $limit s: $*: $output"
    sleep 0.3
  done
  # shellcheck disable=SC2034 # for the scenarios
  took=$((SECONDS - started))
}

# The images of a Prometheus, and of the mirror and the operator: those in $IMAGES, or new ones compiled as $PROFILE says.
load_images() {
  local archive
  quietly cluster load "$("$here/images/build" prometheus)"
  if [[ -z ${IMAGES:-} ]]; then "$root/scripts/images" --profile "${PROFILE:-release}" >&2; fi
  for archive in "$images"/prometheus-mirror{,-operator}.tar; do quietly cluster load "$archive"; done
}

start_prometheus() {
  quietly kubectl apply -f "$here/manifests/prometheus.yaml"
  quietly kubectl -n monitoring rollout status deploy/prometheus --timeout=120s
}

# restricted_namespace NAME: it is there, empty or not, and admits only pods of the restricted Pod Security Standard.
restricted_namespace() {
  kubectl create namespace "$1" --dry-run=client -o yaml | quietly kubectl apply -f -
  quietly kubectl label --overwrite namespace "$1" pod-security.kubernetes.io/enforce=restricted
}

# The URL of a Service in namespace demo.
address() { demo get service "$1" -o 'jsonpath=http://{.spec.clusterIP}:{.spec.ports[0].port}'; }

# The answer of the mirror at a URL to a connection test, headers included.
ask() {
  cluster exec curl -sS -i --max-time 5 "$1/api/connection" -H 'Content-Type: application/json' \
    -d '{"_type": "TestConnectionRequest", "connectionDetails": {}}'
}
connects() { [[ $(ask "$1") == *'"status":"OK"'* ]]; }

# Writes that the operator made since line $1 of the audit log, leases aside.
writes_since() {
  tail -n "+$(($1 + 1))" "$audit_log" | grep -F "\"username\":\"$operator\"" |
    grep -E '"verb":"(create|update|patch|delete)"' | grep -v '"resource":"leases"' || [[ $? == 1 ]]
}
audit_lines() { wc -l <"$audit_log"; }

# run_scenarios [--keep] [NAME…]: brings the cluster up, goes through $scenarios, or only the named, and takes it down unless it is kept.
run_scenarios() {
  local scenario
  trap 'cluster down; rm -rf "$work"' EXIT
  if [[ ${1:-} == --keep ]]; then
    shift
    trap 'rm -rf "$work"' EXIT
  fi
  if (($# > 0)); then scenarios=("$@"); fi
  cluster up
  prepare
  for scenario in "${scenarios[@]}"; do
    echo "== ${scenario//_/ } ($SECONDS s)"
    "$scenario"
  done
}
