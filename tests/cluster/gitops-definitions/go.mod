// Where the definitions of Argo CD and Flux come from.
module definitions

go 1.26.0

require (
	github.com/argoproj/argo-cd/v3 v3.1.0
	github.com/fluxcd/helm-controller v1.4.0
	github.com/fluxcd/kustomize-controller v1.7.3
	github.com/fluxcd/source-controller v1.8.5
)
