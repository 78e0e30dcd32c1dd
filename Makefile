# `make help` lists the targets. Each is one script under scripts/.
.DEFAULT_GOAL := help
.PHONY: help run cluster cluster-down test test-cluster lint generate manifests bench bench-scale reliability fuzz siege images sbom test-images clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## The mirror in front of a Prometheus with made-up data; ONCE=1, LISTEN=0.0.0.0, HOURS=6
	@scripts/run

cluster: ## A real Kubernetes with the operator, a Prometheus and a mirror in it; as root
	@scripts/cluster

cluster-down: ## Remove that cluster
	@scripts/cluster down

test: ## Everything that must hold before a change is merged
	@scripts/test

test-cluster: ## What of it needs a cluster, one after the other, with released images; as root
	@tests/cluster/test
	@tests/cluster/crd-test
	@tests/cluster/operator-test
	@tests/cluster/namespaced-test
	@tests/cluster/fault-test
	@tests/cluster/helm-test
	@tests/cluster/dropin-test
	@tests/cluster/gitops-test
	@tests/charts-test
	@tests/monitoring-test

lint: ## Formatting, clippy, dependencies, scripts
	@scripts/lint

generate: ## Write the generated files: the CRD, dist/, pages and schemas
	@scripts/generate

bench: ## Measure, and write docs/performance.md
	@scripts/bench

bench-scale: ## Measure the operator with a thousand resources, and write its part of docs/performance.md; as root
	@tests/cluster/bench-scale

reliability: ## Every fault at every position, and write docs/reliability.md; as root
	@tests/cluster/fault-test --full

fuzz: ## Fuzz every target for TIME (60) each
	@scripts/fuzz $(or $(TIME),60)

siege: ## Attack the released mirror in 512 MiB, and write its part of docs/reliability.md; as root
	@scripts/siege --variations 6 --report docs/reliability.md

images: ## The container images, as archives under dist/images
	@scripts/images

sbom: ## A bill of materials for each image, under dist/sbom
	@scripts/sbom

test-images: ## Build them twice, in two places: the same digests, and small
	@tests/images-test

manifests: ## Write dist/install.yaml and dist/crds.yaml from the chart
	@scripts/manifests

clean: ## Remove what was built in the checkout; the tools in the cache stay
	cargo clean
