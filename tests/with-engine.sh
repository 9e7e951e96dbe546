#!/bin/sh
# Runs a command beside a container engine: with-engine.sh COMMAND...
#
# Where one answers, that is it. Else one is started for as long as the command takes, by whoever may (root, where there is dockerd). Where there is
# none the command runs without, and leaves out what needs one: it says so itself.
set -u

if ! docker version >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v dockerd >/dev/null; then
  echo "no container engine answers: starting one" >&2
  folder=$(mktemp -d)
  dockerd --pidfile "$folder/pid" >"$folder/log" 2>&1 &
  engine=$!
  trap 'kill $engine 2>/dev/null; wait $engine 2>/dev/null; rm -rf "$folder"' EXIT
  tries=0
  until docker version >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 60 ] || ! kill -0 $engine 2>/dev/null; then
      printf '\n*** No container engine: dockerd did not start. ***\n' >&2
      tail -n 5 "$folder/log" >&2
      break
    fi
    sleep 1
  done
fi
"$@"
