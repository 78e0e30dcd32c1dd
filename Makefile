# `make help` lists the targets. Each is one script under scripts/.
.DEFAULT_GOAL := help
.PHONY: help run cluster cluster-down test test-cluster lint generate bench fuzz images clean

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

test-cluster: ## The test cluster and the operator on it, for real; as root
	@tests/cluster/test
	@tests/cluster/operator-test

lint: ## Formatting, clippy, dependencies, scripts
	@scripts/lint

generate: ## Write the generated files: the CRD, docs/resource-reference.md, docs/cli.md
	@scripts/generate

bench: ## Measure, and write docs/performance.md
	@scripts/bench

fuzz: ## Fuzz every target for TIME (60) each
	@scripts/fuzz $(or $(TIME),60)

images: ## The container images, as archives under dist/images
	@scripts/images

clean: ## Remove what was built in the checkout; the tools in the cache stay
	cargo clean
