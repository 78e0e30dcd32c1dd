# shellcheck shell=bash
# Taking a cluster away, whatever state it is in: every step looks for what there is and is content with nothing.

remove_cluster() {
  local name
  [[ -d $STATE ]] || mkdir -p "$STATE"
  # The state goes too, so nobody needs time to say goodbye. The kubelet first: it would start pods again.
  for name in kubelet kwok kube-proxy coredns kube-scheduler kube-controller-manager kube-apiserver; do stop "$name" KILL; done
  kill_cgroups
  stop containerd KILL
  stop etcd KILL
  kill_shims
  unmount_state
  remove_traces_elsewhere
  [[ ! -e /run/netns/$NETNS ]] || ip netns delete "$NETNS"
  rm -rf --one-file-system "$STATE"
}

# Ends the processes of the pods and removes the pods' cgroups.
kill_cgroups() {
  local folder pid tries=0
  local -a pids
  while read -r folder; do
    [[ -d $folder ]] || continue
    while true; do
      # The kubelet's work may end, and remove, a group meanwhile.
      mapfile -t pids < <(find "$folder" -name cgroup.procs -exec cat {} + 2>/dev/null)
      ((${#pids[@]} > 0)) || break
      ((++tries < 200)) || fail "processes in $folder can't be ended: ${pids[*]}"
      for pid in "${pids[@]}"; do kill -s KILL "$pid" 2>/dev/null || continue; done
      sleep 0.05
    done
    find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || [[ ! -d $folder ]] || fail "$folder can't be removed"
  done < <(cgroup_folders)
}

# containerd's shims outlive it. Ours are what runs the shim's program in our network namespace.
kill_shims() {
  local pid shims=0
  [[ -e /run/netns/$NETNS ]] || return 0
  for pid in $(ip netns pids "$NETNS"); do
    [[ $(readlink "/proc/$pid/exe") == "$CACHE"/containerd-*/bin/containerd-shim-runc-v2 ]] || continue
    kill -s KILL "$pid" 2>/dev/null || continue
    shims=$((shims + 1))
  done
  ((shims == 0)) || sleep 0.2
}

unmount_state() {
  local target
  while read -r target; do umount --lazy "$target"; done < <(mounts_of_state)
}

# The deepest first.
mounts_of_state() { findmnt --raw --noheadings --output TARGET | { grep -F "$STATE/" || [[ $? == 1 ]]; } | sort -r; }

# What lies outside the state: sockets that need a short path, and what CNI and the kubelet keep in places that can't be set.
remove_traces_elsewhere() {
  local file
  rm -rf "/run/$NETNS"
  rm -f /var/lib/cni/results/"$NETNS"-*
  # The kubelet's place for this socket can't be set. Another one that listens there is left alone.
  if ! grep -qF /var/lib/kubelet/device-plugins/kubelet.sock /proc/net/unix; then rm -f /var/lib/kubelet/device-plugins/kubelet.sock; fi
  for file in /var/log/containers/*; do
    if [[ $(readlink "$file") == "$STATE"/* ]]; then rm -f "$file"; fi
  done
}
