#!/bin/sh
# Runs nginx in the foreground for the console, without privileges and with everything it writes under $TMPDIR. Works
# with Debian's nginx and in the official image.
#
#   LISTEN_ADDRESS  address to listen on (default 0.0.0.0)
#   LISTEN_PORT     port (default 8080)
#   STATIC_ROOT     the built console, frontend/dist (default /usr/share/nginx/html)
#   TMPDIR          writable directory (default /tmp)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
: "${LISTEN_ADDRESS:=0.0.0.0}" "${LISTEN_PORT:=8080}" "${STATIC_ROOT:=/usr/share/nginx/html}" "${TMPDIR:=/tmp}"
template=${TEMPLATE:-$here/default.conf.template}

fail() { echo "start.sh: $1" >&2; exit 2; }
command -v nginx >/dev/null 2>&1 || { [ -x /usr/sbin/nginx ] && PATH=$PATH:/usr/sbin; } || fail "nginx is not installed"
[ -f "$STATIC_ROOT/index.html" ] || fail "$STATIC_ROOT has no index.html; build the console (npm run build) or set STATIC_ROOT"
case "$LISTEN_ADDRESS$LISTEN_PORT$STATIC_ROOT" in *[!A-Za-z0-9./:_+@%-]*) fail "LISTEN_ADDRESS, LISTEN_PORT or STATIC_ROOT holds a character that nginx would misread" ;; esac
mime=/etc/nginx/mime.types
[ -f "$mime" ] || fail "$mime is missing"

work=$(mktemp -d "$TMPDIR/nginx.XXXXXX") || fail "cannot write to $TMPDIR; set TMPDIR"
sed -e "s|\${LISTEN_ADDRESS}|$LISTEN_ADDRESS|g" -e "s|\${LISTEN_PORT}|$LISTEN_PORT|g" -e "s|\${STATIC_ROOT}|$STATIC_ROOT|g" "$template" >"$work/site.conf"

# As root, as on a developer's machine without isolation, the workers still give up their privileges; not where nobody
# but root may read the console, as in a clone in root's home.
user=
if [ "$(id -u)" = 0 ]; then
  user="user root;"
  for name in nginx www-data; do
    if id "$name" >/dev/null 2>&1 && runuser -u "$name" -- test -r "$STATIC_ROOT/index.html"; then
      user="user $name;"; chmod 755 "$work"; break
    fi
  done
fi

cat >"$work/nginx.conf" <<CONF
daemon off;
$user
worker_processes 1;
pid $work/pid;
error_log stderr warn;
events { worker_connections 2048; }
http {
    include $mime;
    default_type application/octet-stream;
    client_body_temp_path $work/body;
    proxy_temp_path $work/proxy;
    fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi;
    scgi_temp_path $work/scgi;
    access_log off;
    server_tokens off;
    sendfile on;
    tcp_nopush on;
    # Longer than the ingress keeps an idle connection, so that it is the ingress that closes.
    keepalive_timeout 120s;
    keepalive_requests 1000000;
    client_max_body_size 64k;
    gzip on;
    gzip_vary on;
    gzip_min_length 1024;
    gzip_types text/css application/javascript text/javascript application/json image/svg+xml;
    include $work/site.conf;
}
CONF

nginx -e stderr -c "$work/nginx.conf" -p "$work" &
nginx=$!
# SIGTERM is nginx's fast shutdown, which breaks off answers; SIGQUIT finishes them first.
trap 'kill -QUIT "$nginx" 2>/dev/null' TERM INT
status=0
wait "$nginx" || status=$?
# `wait` also returns when a signal arrives; nginx is then still finishing.
while kill -0 "$nginx" 2>/dev/null; do status=0; wait "$nginx" || status=$?; done
rm -rf "$work"
exit "$status"
