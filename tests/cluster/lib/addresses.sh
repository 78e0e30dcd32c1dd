# shellcheck shell=bash
# The addresses of a cluster, of the IP family that it was first brought up with.

# 198.18.0.0/15 is reserved for tests of networks, and fd00::/8 is for local use: no real host has
# such an address here. Lists begin with the preferred family.
choose_addresses() {
  local record=$STATE/ip-family family known=
  [[ ! -f $record ]] || known=$(<"$record")
  family=${CLUSTER_IP_FAMILY:-${known:-ipv4}}
  if [[ -n $known && $known != "$family" ]]; then
    fail "cluster '$CLUSTER_NAME' has the IP family $known: take it down first, or set" \
      "CLUSTER_NAME to another name"
  fi
  case $family in
    ipv4) node_addresses=(198.18.0.1) pod_ranges=(198.18.1.0/24) service_ranges=(198.19.0.0/16) ;;
    ipv6) node_addresses=(fd00:18::1) pod_ranges=(fd00:18:1::/64) service_ranges=(fd00:19::/112) ;;
    dual)
      node_addresses=(198.18.0.1 fd00:18::1)
      pod_ranges=(198.18.1.0/24 fd00:18:1::/64)
      service_ranges=(198.19.0.0/16 fd00:19::/112)
      ;;
    *) fail "CLUSTER_IP_FAMILY is 'ipv4', 'ipv6' or 'dual', not '$family'" ;;
  esac
  echo "$family" >"$record"
  NODE_IP=${node_addresses[0]}
  # As a URL has it.
  NODE_HOST=$NODE_IP
  SERVICE_API_IP=198.19.0.1
  if [[ $NODE_IP == *:* ]]; then
    NODE_HOST=[$NODE_IP]
    SERVICE_API_IP=fd00:19::1
  fi
  POD_CIDR=$(comma "${pod_ranges[@]}")
  SERVICE_CIDR=$(comma "${service_ranges[@]}")
}

comma() { local IFS=,; echo "$*"; }
