# shellcheck shell=bash
# Certificates and kubeconfigs. Made once per cluster, all or nothing.

create_pki() {
  [[ -d $STATE/pki ]] && return
  say "making certificates"
  rm -rf "$STATE/pki.new"
  mkdir "$STATE/pki.new"
  (
    cd "$STATE/pki.new" || exit
    create_key sa
    openssl pkey -in sa.key -pubout -out sa.pub
    create_key ca
    openssl req -x509 -new -key ca.key -out ca.crt -days 3650 -subj /CN=kubernetes-ca
    server_certificate kube-apiserver "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,\
DNS:kubernetes.default.svc.$CLUSTER_DOMAIN,IP:127.0.0.1,IP:$NODE_IP,IP:$SERVICE_API_IP"
    server_certificate kubelet-server "DNS:$NODE_NAME,IP:$NODE_IP"
    # The names are the ones that Kubernetes' built-in roles are bound to.
    client admin /O=system:masters/CN=admin
    client apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
    client kube-controller-manager /CN=system:kube-controller-manager
    client kube-scheduler /CN=system:kube-scheduler
    client kube-proxy /CN=system:kube-proxy
    client kubelet "/O=system:nodes/CN=system:node:$NODE_NAME"
    client coredns /CN=system:coredns
    client kwok /O=system:masters/CN=kwok
  ) >"$STATE/logs/pki.log" 2>&1 &
  # Waiting for it, instead of writing `( … ) || …`, as that would let the commands after a failed one go on.
  wait $! || component_failed pki "could not make the certificates"
  mv "$STATE/pki.new" "$STATE/pki"
}

create_key() { (umask 077 && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"); }

# sign NAME SUBJECT EXTENSIONS
sign() {
  create_key "$1"
  openssl req -new -key "$1.key" -out "$1.csr" -subj "$2"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -out "$1.crt" -days 3650 -extfile <(echo "$3")
  rm "$1.csr"
}

server_certificate() { sign "$1" "/CN=$1" "subjectAltName=$2"; }

# A client certificate and the kubeconfig that uses it.
client() {
  sign "$1" "$2" extendedKeyUsage=clientAuth
  cat >"$1.conf" <<YAML
apiVersion: v1
kind: Config
clusters:
- {name: test, cluster: {server: "https://$NODE_HOST:6443", certificate-authority: "$STATE/pki/ca.crt"}}
users:
- {name: $1, user: {client-certificate: "$STATE/pki/$1.crt", client-key: "$STATE/pki/$1.key"}}
contexts:
- {name: test, context: {cluster: test, user: $1}}
current-context: test
YAML
}
