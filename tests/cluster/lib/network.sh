# shellcheck shell=bash
# The network namespace that holds the cluster. It has no way out.

create_network() {
  [[ -e /run/netns/$NETNS ]] || ip netns add "$NETNS"
  in_network ip link set lo up
  # A bridge without ports carries the node's address; programs find an address of their own by the default route.
  in_network ip link show node0 &>/dev/null || in_network ip link add node0 type bridge
  in_network sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  in_network ip link set node0 up
  local address
  for address in "${NODE_ADDRESSES[@]}"; do
    case $address in
      *:*)
        # Nobody else can have it: it is used at once.
        in_network ip -6 address replace "$address/128" dev node0 nodad
        in_network ip -6 route replace default dev node0
        ;;
      *)
        in_network ip address replace "$address/32" dev node0
        in_network ip route replace default dev node0
        ;;
    esac
  done
}
