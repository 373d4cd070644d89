#!/usr/bin/env bash
# Builds the images of deploy/Dockerfile: fedlab/gateway, fedlab/lab, fedlab/peers. Where debian:bookworm-slim can be neither found
# nor pulled, it is made from Debian's packages, from the mirror that this machine's apt uses.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "images: $*" >&2; }

command -v docker > /dev/null || { say "there is no docker command: install Docker Engine (Debian: docker.io)"; exit 2; }
docker info > /dev/null 2>&1 || { say "the Docker engine does not answer: $(docker info 2>&1 | tail -1)"; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

base=debian:bookworm-slim
if ! docker image inspect "$base" > /dev/null 2>&1 && ! docker pull --quiet "$base" > /dev/null 2>&1; then
  say "$base cannot be pulled: making it from Debian's packages"
  [ "$(id -u)" = 0 ] || { say "that needs root"; exit 2; }
  command -v debootstrap > /dev/null || { apt-get update -qq && apt-get install -y -qq debootstrap > /dev/null; }
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
  [ -n "$mirror" ] || { say "this machine's apt knows no mirror of Debian bookworm"; exit 2; }
  debootstrap --variant=minbase --include=ca-certificates bookworm "$work/root" "$mirror" > "$work/log" 2>&1 || { tail "$work/log" >&2; exit 1; }
  rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/*
  tar -C "$work/root" -c . | docker import - "$base" > /dev/null
  rm -rf "$work/root"
fi

mkdir "$work/context"
CGO_ENABLED=0 "${GO:-go}" build -trimpath -ldflags '-s -w' -o "$work/context/" ./cmd/fedgate ./cmd/fedlab
for image in gateway lab peers; do
  say "$image"
  # Debian's packages are installed over the machine's own network: its mirror need not be reachable from a bridge.
  docker build --quiet --network host --file deploy/Dockerfile --target "$image" --tag "fedlab/$image" "$work/context" > /dev/null
done
docker image ls --filter 'reference=fedlab/*' --format '{{.Repository}}  {{.Size}}' >&2
