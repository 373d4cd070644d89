# Everything here needs only Go and make, unless its comment says otherwise.
GO ?= go

.PHONY: e2e test-peers test race lint bench fuzz fmt generate build picture gallery pairs images e2e-containers

e2e: ## the catalogue of scenarios, then the gateway and the fakes as processes on loopback
	$(GO) run ./cmd/fedlab run
	$(GO) test -count=1 ./e2e/...

test-peers: ## real servers around the gateway, tshark over the captures, a browser over the reports; installs them: needs root and Debian
	e2e/peers/install.sh
	$(GO) test -count=1 -tags peers ./e2e/peers/... ./e2e/browser ./e2e/captures ./sim/vnet/capture

test: ## every test that needs only Go
	$(GO) vet ./...
	$(GO) test ./...

race: ## the same with the race detector
	$(GO) test -race ./...

lint: ## formatting, vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

SIZES ?= 10000,100000,1000000
bench: ## figures, each with what was counted beside it; the million of SIZES takes some minutes
	$(GO) test -run '^$$' -bench . -benchmem $$($(GO) list ./... | grep -v /e2e/load)
	$(GO) test -count=1 -v -run . ./e2e/load -whole
	$(GO) test -timeout 60m -run '^$$' -bench 'Messages|Delay' -benchtime 3s -count 5 ./e2e/load
	$(GO) test -timeout 60m -run '^$$' -bench 'Subscriptions|Sessions' -sizes $(SIZES) ./e2e/load

FUZZTIME ?= 20s
fuzz: ## every fuzz target for FUZZTIME each
	@$(GO) list ./... | while read -r p; do \
		for f in $$($(GO) test -list '^Fuzz' $$p 2>/dev/null | grep '^Fuzz'); do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done

fmt:
	gofmt -w $$(git ls-files '*.go')

generate: ## what is generated from the code: docs, schema
	$(GO) generate ./...

build: ## static binaries in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/ ./cmd/...

pairs: ## every two faults of the catalogue at once
	$(GO) run ./cmd/fedlab pairs

gallery: ## docs/gallery, from passing runs
	cd docs && $(GO) test -count=1 -run TestGallery -update .

picture: ## the README's picture, from a real run in a terminal: needs tmux
	GO=$(GO) docs/picture.sh

images: ## fedlab/gateway, fedlab/lab and fedlab/peers: needs a Docker engine, and root where no image can be pulled
	GO=$(GO) deploy/images.sh

e2e-containers: images ## the same scenarios on real kernels: needs a Docker engine
	$(GO) test -count=1 -timeout 60m -tags containers -v ./e2e/containers
