# The testbed's commands. "make demo" and "make test" install what they need
# and this machine lacks (scripts/setup.sh says what and where).

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X github.com/epic-swf/testbed/swf.Version=$(VERSION)
PROGRAMS := testbed swf-mcp agent-manager swf-agent
FUZZTIME ?= 10m

.PHONY: build demo test brokers lint fuzz clean help
.DEFAULT_GOAL := build

build: ## static, stripped programs in bin/
	scripts/setup.sh build
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/ $(PROGRAMS:%=./cmd/%)

demo: ## an MCP client starts agents, runs a workflow and stops them, for real
	scripts/setup.sh demo
	$(MAKE) --no-print-directory build
	scripts/setup.sh demo bin/testbed demo

test: ## every test, with the race detector
	scripts/setup.sh test
	scripts/setup.sh test go run ./scripts/gotest -timeout 40m ./...

brokers: ## install the real brokers that the tests use, ActiveMQ Classic and Artemis
	scripts/setup.sh brokers

.PHONY: bench

bench: build ## every cost beside its floor and its rivals, in one table: docs/performance.md (under 10 minutes)
	scripts/setup.sh test
	scripts/setup.sh test go test ./test/bench -count=1 -timeout 20m -v -run TestTable -args -report $(CURDIR)/docs/performance.md

.PHONY: scale

SIZES ?= 1000,5000

scale: ## thousands of managers on one broker and one monitor, and what sets the limit: docs/scale.md (SIZES=1000,5000)
	scripts/setup.sh test
	scripts/setup.sh test go test ./test/scale -count=1 -timeout 30m -v -run TestScale -args -sizes $(SIZES) -report $(CURDIR)/docs/scale.md

lint: ## gofmt, go vet, staticcheck, and shellcheck where there is one
	scripts/setup.sh build
	@unformatted=$$(find . -name '*.go' -not -path './.cache/*' -exec "$$(go env GOROOT)/bin/gofmt" -l {} +); \
	if [ -n "$$unformatted" ]; then \
		echo "error: not formatted:" $$unformatted >&2; \
		echo "hint: gofmt -w" $$unformatted >&2; \
		exit 1; \
	fi
	go vet ./...
	go tool staticcheck ./...
	@if command -v shellcheck >/dev/null 2>&1; then shellcheck scripts/*.sh .ci/run; fi

.PHONY: security

security: ## every attack, over every transport; the list goes to docs/security-tests.md
	scripts/setup.sh test
	scripts/setup.sh test go run ./scripts/gotest -attacks docs/security-tests.md -timeout 15m

fuzz: ## every fuzz target for FUZZTIME (10m) each
	scripts/setup.sh build
	scripts/fuzz.sh $(FUZZTIME)

.PHONY: faults faults-long

faults: ## every promise against every fault, over three brokers; the counts go to docs/reliability.md
	scripts/setup.sh test
	scripts/setup.sh test go test ./test/faults -count=1 -timeout 30m -args -whole -sites 12 -report $(CURDIR)/docs/reliability.md
	@cat docs/reliability.md

.PHONY: docs

docs: ## docs/tools.md and docs/config.md, from the code
	scripts/setup.sh build
	go test ./test/docs -count=1 -run Reference -args -update

OVER ?= embedded

faults-long: ## 10,000 commands under 200 random faults of each kind (SEED=n, OVER=classic)
	scripts/setup.sh test
	scripts/setup.sh test go test ./test/faults -count=1 -timeout 3h -v -run Stream -args -long -over $(OVER) -seed $(or $(SEED),0) -report $(CURDIR)/docs/reliability-long.md

.PHONY: snapshot package

snapshot: ## this machine's archive, deb, rpm and MCP bundle in dist/
	scripts/setup.sh package
	scripts/package.sh here

package: ## the same for linux and darwin, amd64 and arm64, and checked
	scripts/setup.sh package
	scripts/package.sh all
	scripts/setup.sh package go run ./scripts/gotest -tags packages -timeout 15m ./test/packages

clean: ## what was built and installed here (bin/, dist/ and .cache/)
	rm -rf bin dist .cache

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' Makefile
