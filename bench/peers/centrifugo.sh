#!/bin/sh
# centrifugo.sh PORT: Centrifugo as peer.mjs built it, with one running thread of Go code, in the foreground.
set -eu
here=$(dirname "$(readlink -f "$0")")
exec "${TWINWIRE_BUILD_DIR:-$here/../../build}/peers/bin/centrifugo" --config "$here/centrifugo.config.json" \
  --http_server.port "$1"
