#!/bin/sh
# nchan.sh PORT FOLDER: nginx with nchan in the foreground; FOLDER gets the configuration and nginx's temporary files.
set -eu
here=$(dirname "$(readlink -f "$0")")
PATH=$PATH:/usr/sbin
sed -e "s|@PORT@|$1|g" -e "s|@DIR@|$2|g" "$here/nchan.conf" >"$2/nchan.conf"
exec nginx -p "$2" -c "$2/nchan.conf"
