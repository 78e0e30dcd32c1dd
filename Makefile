# `make help` lists the targets. Each runs one script.
.DEFAULT_GOAL := help
.PHONY: help run cluster cluster-down test test-cluster ci lint book generate manifests bench bench-scale \
	reliability fuzz siege images sbom test-images clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Run the mirror in front of a Prometheus with generated data; ONCE=1, LISTEN=0.0.0.0, HOURS=6
	@scripts/run

cluster: ## Start a real Kubernetes with the operator, a Prometheus and a mirror; as root
	@scripts/cluster

cluster-down: ## Remove that cluster
	@scripts/cluster down

test: ## Tests of every crate, on real stores, and `make run`
	@scripts/test

test-cluster: ## Tests on a real Kubernetes; as root
	@scripts/test-cluster

ci: ## Everything that must hold before a change is merged; as root
	@scripts/ci

lint: ## Check formatting, clippy, dependencies, scripts
	@scripts/lint

book: ## Build the pages of docs/ as a website, in target/book
	@scripts/book

generate: ## Write the generated files: the CRD, dist/, pages and schemas
	@scripts/generate

bench: ## Run the benchmarks, and write docs/performance.md
	@scripts/bench

bench-scale: ## Measure the operator with N resources (1000), and write docs/performance.md; as root
	@tests/cluster/bench-scale $(N)

reliability: ## Inject every fault at every position, and write docs/reliability.md; as root
	@tests/cluster/fault-test --full

fuzz: ## Fuzz every target for TIME (60) each
	@scripts/fuzz $(or $(TIME),60)

siege: ## Attack the release build in 512 MiB, and write docs/reliability.md; as root
	@scripts/siege --variations 6 --report docs/reliability.md

images: ## Build the container images, as archives in dist/images
	@scripts/images

sbom: ## Write an SBOM for each image to dist/sbom
	@scripts/sbom

test-images: ## Build the images twice, in two places, and compare digests and sizes
	@tests/images-test

manifests: ## Write dist/install.yaml, dist/crds.yaml and dist/images.txt from the charts
	@scripts/manifests

clean: ## Remove build artifacts in the checkout; cached tools stay
	cargo clean
