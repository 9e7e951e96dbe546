#!/bin/sh
# Builds the image of a binary that is compiled here: build.sh PROFILE TAG FOLDER
#
# Neither network nor a base image is needed. What goes into the image is gathered in FOLDER, which is made anew.
set -eu
profile=$1
tag=$2
folder=$3
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

fail() {
  echo "$1; fix: $2" >&2
  exit 1
}
command -v docker >/dev/null || fail "no \`docker\` to build an image with" "install Docker, or Podman with its docker command"
said=$(docker version 2>&1 >/dev/null) || fail "no container engine answers: $said" "start one, or say where it is by DOCKER_HOST"
command -v python3 >/dev/null || fail "no python3 to pack the image with" "install it"

for certificates in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
  [ -s "$certificates" ] && break
done
[ -s "$certificates" ] || fail "no certificates of authorities on this machine" "install ca-certificates, or name their file by SSL_CERT_FILE"

# Without git the image says no revision, and its files have the oldest time.
revision=$(git rev-parse HEAD 2>/dev/null || true)
[ -z "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || revision=$revision-dirty
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

rm -rf "$folder"
mkdir -p "$folder/context"
"$here/compile.sh" "$profile" "$folder/tidegate"
# Told to nobody before: crates that know the word would be compiled anew for each commit.
SOURCE_DATE_EPOCH=$time python3 -B "$here/pack.py" "$folder/tidegate" "$certificates" "$folder/context/image.tar"
sed -n '/^FROM scratch/,$p' "$here/Dockerfile" | sed 's|^COPY --from=build /image/ /$|ADD image.tar /|' >"$folder/context/Dockerfile"
# All of it is one archive, so that there is nothing to keep from the last time.
said=$(docker build --no-cache --tag "$tag" --build-arg "VERSION=$version" --build-arg "REVISION=$revision" "$folder/context" 2>&1) || {
  echo "$said" >&2
  exit 1
}
docker image inspect --format "$tag: {{.Size}} bytes, {{.Id}}" "$tag"
