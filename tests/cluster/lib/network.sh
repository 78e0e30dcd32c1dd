# shellcheck shell=bash
# The network namespace that holds the cluster. It has no way out.

create_network() {
  [[ -e /run/netns/$NETNS ]] || ip netns add "$NETNS"
  in_network ip link set lo up
  # A bridge without ports carries the node's address; programs find an address of their own by the default route.
  in_network ip link show node0 &>/dev/null || in_network ip link add node0 type bridge
  in_network ip address replace "$NODE_IP/32" dev node0
  in_network ip link set node0 up
  in_network ip route replace default dev node0
  in_network sysctl -qw net.ipv4.ip_forward=1
}
