#!/bin/sh
# Starts a binary of the server in a folder of its own, and checks that it serves the page, stores
# an account, is backed up, and stops in order: `deploy/smoke.sh PATH/OF/server`.
set -eu
binary=$(realpath "$1")
folder=$(mktemp -d)
cd "$folder"
"$binary" --version
"$binary" --listen 127.0.0.1:0 > out 2> err &
server=$!
trap 'kill $server 2> /dev/null || true; rm -rf "$folder"' EXIT
for _ in $(seq 300); do
    [ -s out ] && break
    sleep 0.1
done
address=$(sed -n '1s,.*http://\(.*\),\1,p' out)
address=127.0.0.1:${address##*:}
"$binary" healthcheck --listen "$address"
"$binary" user list > /dev/null
curl -fsS "http://$address/" | grep -q '<html'
curl -fsS "http://$address/metrics" | grep '^chat_build_info'
curl -fsS -F username=smoke -F 'password=a test of the release' "http://$address/api/register" > /dev/null
"$binary" backup backup.db
"$binary" check-backup backup.db | grep -q '1 account'
kill "$server"
wait "$server"
echo "$binary works"
