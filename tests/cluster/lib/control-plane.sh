# shellcheck shell=bash
# etcd, kube-apiserver, kube-controller-manager, kube-scheduler.

# By default they make 20 to 50 requests a second, and a thousand new Deployments take many minutes.
UNTHROTTLED=(--kube-api-qps=1000 --kube-api-burst=2000)

start_control_plane() {
  # Losing the data on a power cut is fine here, waiting for the disk is not.
  start etcd etcd --data-dir="$STATE/etcd" --unsafe-no-fsync --log-level=warn
  start_apiserver
  start_controller_manager
  start kube-scheduler kube-scheduler --kubeconfig="$STATE/pki/kube-scheduler.conf" --leader-elect=false \
    --bind-address=127.0.0.1 "${UNTHROTTLED[@]}"
  wait_for kube-controller-manager 120 healthy https://127.0.0.1:10257/healthz
  wait_for kube-scheduler 120 healthy https://127.0.0.1:10259/healthz
  wait_for kube-controller-manager 60 admin get serviceaccount default
}

# Who read and wrote what, without the contents: tests count an operator's requests. With CLUSTER_AUDIT_USER only that user's are
# written down, where thousands of others would cost time that is measured.
audit_policy() {
  cat <<YAML
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
${CLUSTER_AUDIT_USER:+  users: ["$CLUSTER_AUDIT_USER"]}
${CLUSTER_AUDIT_USER:+- level: None}
YAML
}

start_apiserver() {
  local pki=$STATE/pki
  audit_policy >"$STATE/config/audit-policy.yaml"
  wait_for etcd 60 healthy http://127.0.0.1:2379/health
  start kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 \
    --bind-address="$NODE_IP" --advertise-address="$NODE_IP" --secure-port=6443 \
    --tls-cert-file="$pki/kube-apiserver.crt" --tls-private-key-file="$pki/kube-apiserver.key" \
    --client-ca-file="$pki/ca.crt" --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
    --service-account-issuer="https://kubernetes.default.svc.$CLUSTER_DOMAIN" \
    --service-cluster-ip-range="$SERVICE_CIDR" --allow-privileged=true \
    --kubelet-client-certificate="$pki/apiserver-kubelet-client.crt" \
    --kubelet-client-key="$pki/apiserver-kubelet-client.key" --kubelet-preferred-address-types=InternalIP \
    --audit-policy-file="$STATE/config/audit-policy.yaml" --audit-log-path="$STATE/logs/audit.log" \
    --audit-log-maxsize=2000 --audit-log-maxbackup=1
  wait_for kube-apiserver 180 admin get --raw /readyz
}

start_controller_manager() {
  local pki=$STATE/pki
  start kube-controller-manager kube-controller-manager --kubeconfig="$pki/kube-controller-manager.conf" \
    --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
    --use-service-account-credentials=true --leader-elect=false --bind-address=127.0.0.1 "${UNTHROTTLED[@]}" \
    --concurrent-deployment-syncs=20 --concurrent-replicaset-syncs=20 --concurrent-endpoint-syncs=20
}
