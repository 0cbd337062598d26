"""Debian's programs, each with work of its own to do, and the rules that it needs for that beyond the defaults.

Each is a shell script, so that it is the same as a task of a job and under `nomad-driver-exec2 run`. A server is started in
it, is asked something by a client, and ends.
"""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass, field
from pathlib import Path

from agent.messages import REPOSITORY
from agent.volumes import make_node

# Servers that are only unpacked, since their packages would start them.
DEBIAN = REPOSITORY / ".build" / "debian"

DYNAMIC, NOBODY, ROOT = "nomad-80000", "nobody", "root"
EVERYBODY = (DYNAMIC, NOBODY, ROOT)

# Waits until a command succeeds, as that of a client does once its server listens.
UP = """
up() { for i in $(seq 600); do "$@" >/dev/null 2>&1 && return; sleep 0.05; done; echo "not up: $*" >&2; exit 1; }
set -eu
"""


@dataclass(frozen=True)
class Program:
    """One of Debian's programs."""

    # As in the table of docs/programs.md.
    name: str
    script: str
    # What the script writes to stdout.
    prints: str
    # What the defaults lack, by the user: rules, and task options that are true.
    needs: dict[str, list[str]] = field(default_factory=dict)
    # Task options of another kind than rules.
    options: dict[str, list[str]] = field(default_factory=dict)
    users: tuple[str, ...] = EVERYBODY
    # It ends for one thing before it asks for the next: `--suggest` takes `--retry`.
    retries: bool = False

    @property
    def text(self) -> str:
        return UP + self.script


def environment() -> dict[str, str]:
    """Ports that are free."""
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        return {"PORT": str(first.getsockname()[1]), "OTHER": str(second.getsockname()[1])}


def on_debian(*words: str | Path) -> list[str]:
    """The command on a host that has what is unpacked as well."""
    mounts = " && ".join(f"mount -t overlay overlay -o lowerdir={DEBIAN}{path}:{path} {path}" for path in ("/etc", "/usr"))
    return ["unshare", "-m", "sh", "-ec", mounts + ' && exec "$@"', "sh", *map(str, words)]


def layer(path: Path) -> Path:
    """For a plugin's view of such a host: a new directory with it, and the devices that a plugin and its tasks use."""
    assert (DEBIAN / ".unpacked/redis-tools").exists(), f"{DEBIAN} lacks servers: '.ci/install-dependencies programs' unpacks them"
    shutil.copytree(DEBIAN, path, symlinks=True, ignore=shutil.ignore_patterns(".unpacked"))
    (path / "dev").mkdir()
    for name, minor in {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}.items():
        make_node(path / "dev" / name, 1, minor)
    return path


def label(value: object) -> str:
    """Of a test's parameters."""
    return value.name if isinstance(value, Program) else str(value)


def of_all(rules: list[str]) -> dict[str, list[str]]:
    return {user: rules for user in EVERYBODY}


CERTIFICATE = """
openssl req -x509 -newkey rsa:2048 -noenc -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout local/key -out local/certificate 2> /dev/null
openssl s_server -quiet -www -accept 127.0.0.1:$PORT -key local/key -cert local/certificate > /dev/null & server=$!
up curl -sk https://127.0.0.1:$PORT/
"""

PROGRAMS = [
    Program("PostgreSQL", """
PATH=/usr/lib/postgresql/15/bin:$PATH
initdb -D local/data -A trust -U owner -N > /dev/null
postgres -D local/data -h 127.0.0.1 -k '' -p $PORT 2> local/log & server=$!
query() { psql -At -h 127.0.0.1 -p $PORT -U owner -d postgres -c "$1"; }
up query 'select 1'
query 'create table numbers as select * from generate_series(1, 100) as number; select sum(number) from numbers'
query "select to_char(timestamptz '2026-07-01 12:00 UTC' at time zone 'Europe/Berlin', 'HH24:MI')"
kill -INT $server; wait $server
""", "SELECT 100\n5050\n14:00\n",
        needs=of_all(["r:/usr/share/postgresql"]), options=of_all(["user_files"]), users=(DYNAMIC, NOBODY),  # root is refused
        retries=True),  # initdb first ends for want of its user
    Program("ripgrep", """
mkdir local/logs
for name in a b c; do printf '%s\\n' ok error "error of $name" > local/logs/$name; done
rg --threads 4 --count error local/logs | sort
rg --no-filename --only-matching 'of [bc]' local/logs | sort
""", "local/logs/a:2\nlocal/logs/b:2\nlocal/logs/c:2\nof b\nof c\n"),
    Program("Redis", """
serve() { redis-server --bind 127.0.0.1 --port $PORT --dir "$PWD/local" --appendonly yes > local/log & up redis-cli -p $PORT ping; }
serve
redis-cli -p $PORT set answer 42
redis-cli -p $PORT eval 'return redis.call("incr", "answer")' 0
redis-cli -p $PORT save
redis-cli -p $PORT shutdown; wait
serve
redis-cli -p $PORT get answer
redis-cli -p $PORT shutdown; wait
""", "OK\n43\nOK\n43\n"),
    Program("memcached", """
memcached -l 127.0.0.1 -p $PORT ${ACCOUNT:-} & server=$!
ask() { exec 3<> /dev/tcp/127.0.0.1/$PORT; printf 'set answer 0 0 2\\r\\n42\\r\\nget answer\\r\\nquit\\r\\n' >&3; tr -d '\\r' <&3; }
up ask
ask
kill $server; wait $server || true
""".replace("${ACCOUNT:-}", '$([ $(id -u) != 0 ] || echo -u root)'), "STORED\nVALUE answer 0 2\n42\nEND\n",
        options={ROOT: ["user_files"]}),
    Program("HAProxy", """
echo served > local/page
python3 -m http.server --bind 127.0.0.1 --directory local $OTHER 2> /dev/null & behind=$!
cat > local/haproxy.cfg << END
defaults
    mode http
    timeout connect 10s
    timeout client 10s
    timeout server 10s
frontend all
    bind 127.0.0.1:$PORT
    default_backend pages
backend pages
    server first 127.0.0.1:$OTHER
    http-response set-header x-by haproxy
END
haproxy -W -f local/haproxy.cfg 2> local/log & server=$!
up curl -sf http://127.0.0.1:$PORT/page
curl -s -i http://127.0.0.1:$PORT/page | tr -d '\\r' | grep -E 'x-by|served'
kill $server $behind; wait || true
""", "x-by: haproxy\nserved\n"),
    Program("etcd", """
etcd --data-dir local/etcd --listen-client-urls http://127.0.0.1:$PORT --advertise-client-urls http://127.0.0.1:$PORT \
    --listen-peer-urls http://127.0.0.1:$OTHER --initial-advertise-peer-urls http://127.0.0.1:$OTHER \
    --initial-cluster default=http://127.0.0.1:$OTHER 2> local/log & server=$!
up curl -sf -d '{"key": "YW5zd2Vy", "value": "NDI="}' http://127.0.0.1:$PORT/v3/kv/put
curl -s -d '{"key": "YW5zd2Vy"}' http://127.0.0.1:$PORT/v3/kv/range | grep -o '"value":"[^"]*"'
kill $server; wait || true
""", '"value":"NDI="\n'),
    Program("PHP", """
echo '<?php echo 6 * 7, " ", $_GET["name"], " ", date_default_timezone_get(), "\\n";' > local/index.php
php8.2 -S 127.0.0.1:$PORT -t local 2> local/log & server=$!
up curl -sf http://127.0.0.1:$PORT/
curl -s "http://127.0.0.1:$PORT/?name=php"
kill $server; wait || true
""", "42 php UTC\n"),
    Program("Ruby", """
cat > local/server.rb << 'END'
require "json"; require "net/http"; require "socket"; require "openssl"; require "set"
server = TCPServer.new("127.0.0.1", ENV["PORT"].to_i)
Thread.new do
    while client = server.accept
        client.gets
        body = JSON.generate({"answer" => 42})
        client.write "HTTP/1.1 200 OK\\r\\nContent-Length: #{body.size}\\r\\nConnection: close\\r\\n\\r\\n#{body}"
        client.close
    end
end
puts JSON.parse(Net::HTTP.get(URI("http://localhost:#{ENV["PORT"]}/")))["answer"]
END
ruby local/server.rb
""", "42\n"),
    Program("sqlite3", """
sqlite3 local/data 'pragma journal_mode = wal; create table numbers (number); insert into numbers values (40), (2)'
sqlite3 local/data 'begin immediate; insert into numbers values (1)' '.shell ls local' '.shell sqlite3 local/data "select sum(number) from numbers"' commit
sqlite3 local/data 'select sum(number) from numbers'
""", "wal\ndata\ndata-shm\ndata-wal\n42\n43\n"),
    Program("openssl s_client", CERTIFICATE + """
echo | openssl s_client -connect localhost:$PORT -CAfile local/certificate -verify_return_error -verify_hostname localhost 2> /dev/null |
    grep -E -o 'Verif(y return code|ication): .*' | sort -u
kill $server; wait || true
""", "Verification: OK\nVerify return code: 0 (ok)\n"),
    Program("curl", CERTIFICATE + """
curl -sf --cacert local/certificate --write-out '%{remote_ip} %{http_code}' --output /dev/null https://localhost:$PORT/
kill $server; wait || true
""", "127.0.0.1 200"),
    Program("venv and pip", """
cat > local/wheel.py << 'END'
import zipfile
with zipfile.ZipFile("local/answer-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("answer.py", "def main(): print(42)")
    wheel.writestr("answer-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: answer\\nVersion: 1.0\\n")
    wheel.writestr("answer-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("answer-1.0.dist-info/entry_points.txt", "[console_scripts]\\nanswer = answer:main\\n")
    wheel.writestr("answer-1.0.dist-info/RECORD", "")
END
/usr/bin/python3 local/wheel.py
HOME=$PWD/local /usr/bin/python3 -m venv local/own
local/own/bin/pip install -q --no-index --no-cache-dir --disable-pip-version-check local/answer-1.0-py3-none-any.whl
local/own/bin/answer
""", "42\n", needs=of_all(["r:/usr/share/python-wheels"]), users=(DYNAMIC, ROOT)),
    Program("Go's tools", """
mkdir local/module; cd local/module
printf 'module answer\\ngo 1.19\\n' > go.mod
printf 'package main\\nimport "fmt"\\nfunc main() { fmt.Println(6 * 7) }\\n' > main.go
GOCACHE=$PWD/../cache GOFLAGS=-mod=mod CGO_ENABLED=0 go build -o answer . && ./answer
""", "42\n", needs=of_all(["r:/usr/share/go-1.19"])),
    Program("Java", """
cat > local/Answer.java << 'END'
import com.sun.net.httpserver.*; import java.net.*; import java.net.http.*; import java.util.concurrent.Executors;
public class Answer {
    public static void main(String[] words) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        server.createContext("/", exchange -> { exchange.sendResponseHeaders(200, 2); exchange.getResponseBody().write("42".getBytes()); exchange.close(); });
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.start();
        URI uri = URI.create("http://localhost:" + server.getAddress().getPort() + "/");
        System.out.println(HttpClient.newHttpClient().send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString()).body());
        System.exit(0);
    }
}
END
java local/Answer.java
""", "42\n"),
    Program("strace", """
strace -f -o local/calls -e trace=openat sh -c 'cat /etc/hosts > /dev/null'
grep -c '"/etc/hosts"' local/calls
""", "1\n"),
    Program("gdb", """
printf 'int answer(void) { return 42; }\\nint main(void) { return answer() - 42; }\\n' > local/answer.c
cc -g -o local/answer local/answer.c
gdb -q -batch -ex 'break answer' -ex run -ex bt -ex 'p 6*7' local/answer 2> local/errors | grep -E '^#0|^\\$1'
sleep 300 & child=$!
gdb -q -batch -p $child -ex 'p 6*7' 2> local/errors | grep '^\\$1'
kill $child
""", "#0  answer () at local/answer.c:1\n$1 = 42\n$1 = 42\n"),
]
