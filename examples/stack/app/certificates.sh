#!/bin/sh
# Writes a Secret with a certificate of its own for HOST into FOLDER, unless there is one: certificates.sh HOST FOLDER
set -eu
host=$1
folder=$2
secret=$folder/$(echo "$host" | tr . -).yaml
[ -e "$secret" ] && exit
cd "$(mktemp -d)"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 -keyout key -out certificate \
  -subj "/CN=$host" -addext "subjectAltName=DNS:$host" 2>/dev/null
cat >secret <<EOF
apiVersion: v1
kind: Secret
metadata: {name: $(echo "$host" | tr . -), namespace: shop}
type: kubernetes.io/tls
data:
  tls.crt: $(base64 -w 0 certificate)
  tls.key: $(base64 -w 0 key)
EOF
# Tidegate reads it as another user, and nobody else has the volume.
chmod 644 secret
cp secret "$folder/.new" && mv "$folder/.new" "$secret"
