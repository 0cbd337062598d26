#!/bin/bash
# Runs a web server in the sandbox, without Nomad. 'make run' builds the driver and calls this.
# The exit status is 0 only if every step succeeds.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
driver=$root/.build/release/nomad-driver-exec2
python=/usr/bin/python3

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

step() { printf '\n== %s\n' "$*"; }

show() {
    printf '$'
    printf ' %q' "$@"
    printf '\n'
}

[ -x "$driver" ] || fail "$driver is missing: 'make' builds it"
for needed in "$python" curl /etc/mime.types; do
    command -v "$needed" >/dev/null || [ -e "$needed" ] || fail "$needed is missing: 'make run' installs it"
done
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "the driver needs to be root, and there is no sudo"
    exec sudo -- "$0" "$@"
fi

# Every user must be able to read the site. The checkout may be in a home directory that others cannot enter.
site=$(mktemp -d /var/tmp/exec2-example.XXXXXX)
log=$(mktemp)
server=
cleanup() {
    if [ -n "$server" ]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$site" "$log"
}
trap cleanup EXIT
chmod 755 "$site"
echo '<h1>Hello from the sandbox</h1>' >"$site/index.html"
echo 'not really a book' >"$site/book.epub"
ln -s /etc/passwd "$site/passwd"

step "The server starts in the sandbox; it may read the site and /etc/mime.types"
sandbox=("$driver" run --unveil "r:$site" --unveil r:/etc/mime.types)
# Port 0: the kernel chooses a free port, and the server prints it.
command=("$python" -u -m http.server 0 --bind 127.0.0.1 --directory "$site")
show "${sandbox[@]}" -- "${command[@]}"
"${sandbox[@]}" -- "${command[@]}" >"$log" 2>&1 &
server=$!
port=
for _ in $(seq 300); do
    port=$(sed -n 's/^Serving HTTP on .* port \([0-9]*\).*/\1/p' "$log")
    [ -z "$port" ] || break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
cat "$log"
[ -n "$port" ] || fail "the server has not started"
url=http://127.0.0.1:$port

# Without a proxy: the server is on this machine.
fetch() { curl --noproxy '*' --silent --max-time 60 "$@"; }

step "Its page comes over HTTP"
show curl "$url/"
page=$(fetch --fail "$url/") || fail "the page could not be fetched"
echo "$page"
[ "$page" = '<h1>Hello from the sandbox</h1>' ] || fail "this is not the page"

step "It knows the type of an .epub file, which only /etc/mime.types tells"
show curl --head "$url/book.epub"
kind=$(fetch --head --fail --output /dev/null --write-out '%{content_type}' "$url/book.epub")
echo "Content-Type: $kind"
[ "$kind" = application/epub+zip ] || fail "this is not the type"

step "/etc/passwd is denied to the server: a link to it leads nowhere"
show curl "$url/passwd"
status=$(fetch --output /dev/null --write-out '%{http_code}' "$url/passwd")
echo "HTTP status $status"
[ "$status" = 404 ] || fail "the server has read /etc/passwd"

step "/etc/passwd is denied in the same sandbox even to root"
show "${sandbox[@]}" --user root cat /etc/passwd
if output=$("${sandbox[@]}" --user root cat /etc/passwd 2>&1); then
    fail "cat has read /etc/passwd"
fi
echo "$output"
[[ $output == *"Permission denied"* ]] || fail "it failed for another reason"

step "The server is stopped with SIGTERM"
kill -TERM "$server"
status=0
wait "$server" || status=$?
server=
echo "exit status $status (128 + 15: ended by signal 15, SIGTERM)"
[ "$status" -eq 143 ] || fail "this is not the exit status of a program that SIGTERM has ended"

printf '\nAll is as told.\n'
