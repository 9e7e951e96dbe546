#!/bin/sh
# `make compose-demo`: makes the images, runs the demo stack and checks it: demo.sh IMAGE_PROFILE
#
# Where `debian:bookworm-slim` cannot be pulled, a base of that name is made of Debian's packages. That needs root; it is said.
set -eu
cd "$(dirname "$0")/../.."

if docker compose version >/dev/null 2>&1; then
  compose="docker compose"
elif command -v docker-compose >/dev/null; then
  compose=docker-compose
else
  echo "no docker compose; fix: install it (Debian: apt-get install docker-compose)" >&2
  exit 2
fi
docker version >/dev/null 2>&1 || {
  echo "no Docker engine answers; fix: start one, or say where it is by DOCKER_HOST" >&2
  exit 2
}

base=debian:bookworm-slim
if ! docker image inspect "$base" >/dev/null 2>&1 && ! timeout 60 docker pull --quiet "$base" >/dev/null 2>&1; then
  command -v debootstrap >/dev/null || {
    echo "$base cannot be pulled; fix: a network with Docker Hub, or debootstrap to make it here" >&2
    exit 2
  }
  echo "$base cannot be pulled: making one of Debian's packages"
  made=$(mktemp -d)
  debootstrap --variant=minbase --include=ca-certificates bookworm "$made" >"$made.log" 2>&1 || {
    tail -n 5 "$made.log" >&2
    exit 2
  }
  rm -rf "$made"/var/cache/apt/archives/*.deb "$made"/var/lib/apt/lists/*
  tar -C "$made" -c . | docker import - "$base" >/dev/null
  rm -rf "$made" "$made.log"
fi

make --no-print-directory image IMAGE_PROFILE="$1" IMAGE=tidegate:dev
# Packages come from this machine's network: an engine may have none of its own.
said=$(docker build --network host --tag tidegate-demo-app:dev examples/stack/app 2>&1) || {
  echo "$said" | tail -n 20 >&2
  exit 2
}
# shellcheck disable=SC2086 # two words
python3 -B examples/stack/demo.py $compose
