# shellcheck shell=bash
# The node on which pods really run: containerd with runc, CoreDNS, kube-proxy, kubelet.

# The folder of a program that the tools' path holds.
folder_of() { dirname "$(command -v "$1")"; }

# The API of containerd.
containerd_client() { ctr --address "$STATE/containerd.sock" --namespace k8s.io "$@"; }

start_node() {
  start_containerd
  start_coredns
  start kube-proxy kube-proxy --kubeconfig="$STATE/pki/kube-proxy.conf" --cluster-cidr="$POD_CIDR" \
    --hostname-override="$NODE_NAME" --proxy-mode=iptables --bind-address="$NODE_IP" --metrics-bind-address=127.0.0.1:10249 \
    --healthz-bind-address=127.0.0.1:10256 --conntrack-max-per-core=0
  start_kubelet
  wait_for coredns 60 healthy http://127.0.0.1:8181/ready
  wait_for kube-proxy 60 healthy http://127.0.0.1:10256/healthz
}

# Files of a container lie on overlayfs where that works; not so if the state itself lies on one, as in a container.
snapshotter() {
  local try=$STATE/overlay-try answer=native
  mkdir -p "$try"/{lower,upper,work,merged}
  if mount -t overlay overlay -o "lowerdir=$try/lower,upperdir=$try/upper,workdir=$try/work" "$try/merged" 2>/dev/null; then
    umount "$try/merged"
    answer=overlayfs
  fi
  rm -rf "$try"
  echo "$answer"
}

start_containerd() {
  local pause plugins
  pause=$("$HERE/images/build" pause)
  plugins=$(cni_plugins)
  local range ranges=() routes=()
  for range in "${POD_RANGES[@]}"; do
    ranges+=("[{\"subnet\": \"$range\"}]")
    case $range in
      *:*) routes+=('{"dst": "::/0"}') ;;
      *) routes+=('{"dst": "0.0.0.0/0"}') ;;
    esac
  done
  mkdir -p "$STATE/cni"
  cat >"$STATE/cni/10-pods.conflist" <<JSON
{"cniVersion": "1.0.0", "name": "$NETNS", "plugins": [
  {"type": "bridge", "bridge": "pods0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [$(comma "${ranges[@]}")], "routes": [$(comma "${routes[@]}")], "dataDir": "$STATE/addresses"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
JSON
  # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc may not lower the score, and would end.
  cat >"$STATE/config/containerd.toml" <<TOML
version = 3
root = "$STATE/containerd"
state = "$STATE/containerd-run"
[grpc]
  address = "$STATE/containerd.sock"
[plugins.'io.containerd.internal.v1.opt']
  path = "$STATE/opt"
[plugins.'io.containerd.shim.v1.manager']
  socket_dir = "/run/$NETNS" # the path of a socket must be short
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "$(snapshotter)"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "localhost/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["$plugins"]
  conf_dir = "$STATE/cni"
  use_internal_loopback = true # the plugin for it would leave files outside the state
[plugins.'io.containerd.cri.v1.runtime'.containerd]
  default_runtime_name = "runc"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = false
  BinaryName = "$(folder_of runc)/runc"
  Root = "$STATE/runc"
TOML
  start containerd containerd --config "$STATE/config/containerd.toml"
  wait_for containerd 60 containerd_client version
  import_image "$pause"
}

# CoreDNS as a process on the node: pods ask the node's address, `clusterDNS` of the kubelet.
start_coredns() {
  admin apply -f "$HERE/lib/coredns-rights.yaml" >/dev/null
  # The last block: names outside the cluster don't exist, which is said at once instead of after a time-out.
  cat >"$STATE/config/Corefile" <<COREFILE
$CLUSTER_DOMAIN:53 in-addr.arpa:53 ip6.arpa:53 {
  bind $NODE_IP
  errors
  ready 127.0.0.1:8181
  kubernetes $CLUSTER_DOMAIN in-addr.arpa ip6.arpa {
    kubeconfig $STATE/pki/coredns.conf test
    ttl 1
  }
}
.:53 {
  bind $NODE_IP
  errors
  template ANY ANY {
    rcode NXDOMAIN
  }
}
COREFILE
  start coredns coredns -conf "$STATE/config/Corefile"
}

start_kubelet() {
  mkdir -p "$STATE/kubelet/volume-plugins"
  create_cgroups
  cat >"$STATE/config/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: "$NODE_IP"
healthzBindAddress: 127.0.0.1
healthzPort: 10248
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: "$STATE/pki/ca.crt"}, webhook: {enabled: true}}
authorization: {mode: Webhook}
tlsCertFile: $STATE/pki/kubelet-server.crt
tlsPrivateKeyFile: $STATE/pki/kubelet-server.key
containerRuntimeEndpoint: unix://$STATE/containerd.sock
clusterDNS: ["$NODE_IP"]
clusterDomain: $CLUSTER_DOMAIN
resolvConf: ""
podLogsDir: $STATE/pod-logs
volumePluginDir: $STATE/kubelet/volume-plugins
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
enforceNodeAllocatable: []
# A machine for tests may lack all of these: cgroup v2, no swap, a file system that counts per folder, space for images.
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
evictionHard: {memory.available: 100Mi}
imageGCHighThresholdPercent: 100
YAML
  start kubelet kubelet --config="$STATE/config/kubelet.yaml" --kubeconfig="$STATE/pki/kubelet.conf" \
    --root-dir="$STATE/kubelet" --cert-dir="$STATE/kubelet/pki" --node-ip="$(comma "${NODE_ADDRESSES[@]}")" --hostname-override="$NODE_NAME"
  wait_for kubelet 60 healthy http://127.0.0.1:10248/healthz
  wait_for kubelet 120 admin wait --for=condition=Ready "node/$NODE_NAME" --timeout=2s
}

# The cluster's folder in each hierarchy of cgroups: one with version 2, one per controller with version 1.
cgroup_folders() { findmnt --raw --noheadings --types cgroup,cgroup2 --output TARGET | sed "s|\$|/$CGROUP|"; }

create_cgroups() {
  local folder
  # Its own cgroup root keeps the pods of two clusters, and of a kubelet that was there before, apart.
  while read -r folder; do mkdir -p "$folder"; done < <(cgroup_folders)
}
