# shellcheck shell=bash disable=SC2034 # the files beside this read what is set here
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
    ipv4) NODE_ADDRESSES=(198.18.0.1) POD_RANGES=(198.18.1.0/24) SERVICE_RANGES=(198.19.0.0/16) ;;
    ipv6) NODE_ADDRESSES=(fd00:18::1) POD_RANGES=(fd00:18:1::/64) SERVICE_RANGES=(fd00:19::/112) ;;
    dual)
      NODE_ADDRESSES=(198.18.0.1 fd00:18::1)
      POD_RANGES=(198.18.1.0/24 fd00:18:1::/64)
      SERVICE_RANGES=(198.19.0.0/16 fd00:19::/112)
      ;;
    *) fail "CLUSTER_IP_FAMILY is 'ipv4', 'ipv6' or 'dual', not '$family'" ;;
  esac
  echo "$family" >"$record"
  NODE_IP=${NODE_ADDRESSES[0]}
  # As a URL has it.
  NODE_HOST=$NODE_IP
  SERVICE_API_IP=198.19.0.1
  if [[ $NODE_IP == *:* ]]; then
    NODE_HOST=[$NODE_IP]
    SERVICE_API_IP=fd00:19::1
  fi
  POD_CIDR=$(comma "${POD_RANGES[@]}")
  SERVICE_CIDR=$(comma "${SERVICE_RANGES[@]}")
}

comma() { local IFS=,; echo "$*"; }
