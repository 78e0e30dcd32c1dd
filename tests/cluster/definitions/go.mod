// Where the definitions of other projects come from, which the operator works with where they are installed.
module definitions

go 1.25.0

require (
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.4.0
)
