# shellcheck shell=bash
# Nodes and pods that kwok fakes: they have a status and an address, and run nothing.

FAKE_NODES=10

start_fake_nodes() {
  local number
  # Their addresses are this machine's, so that tests/fake-pods can answer for them.
  in_network ip route replace local "$FAKE_POD_CIDR" dev lo
  # Nodes that renew no lease are taken for dead after 40 s, and their pods for not ready.
  start kwok kwok --kubeconfig="$STATE/pki/kwok.conf" --config="$HERE/lib/kwok.yaml" --manage-all-nodes=true \
    --cidr="$FAKE_POD_CIDR" --node-ip="$NODE_IP" --node-lease-duration-seconds=40 --server-address=127.0.0.1:10247
  wait_for kwok 60 healthy http://127.0.0.1:10247/healthz
  for ((number = 1; number <= FAKE_NODES; number++)); do fake_node "node$number"; done | admin apply -f - >/dev/null
  wait_for kwok 60 admin wait --for=condition=Ready node --all --timeout=2s
}

fake_node() {
  cat <<YAML
---
apiVersion: v1
kind: Node
metadata:
  name: $1
  labels: {kubernetes.io/hostname: $1, kubernetes.io/os: linux}
YAML
}
