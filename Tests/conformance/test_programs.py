"""Programs of Debian, with the defaults alone or with the rules that docs/programs.md names.

`.ci/install-dependencies programs` installs them.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task
from agent.timing import wait_until
from agent.volumes import add_volume
from real_programs import layer as debian_layer

Make = Callable[..., Task]
USERS = ["nomad-80000", "nobody", "root"]
users = pytest.mark.parametrize("user", USERS)
TERMINALS = {"usr/share/terminfo": "exec2-shared", "etc/terminfo": "exec2-local"}
NO_EFFECTIVE = "CapEff:\t0000000000000000"


@pytest.fixture
def script(make: Make) -> Make:
    """Makes tasks of a shell script."""

    def task(text: str, **options: Any) -> Task:
        return make("sh", ["-c", text], **options)

    return task


def result(task: Task, seconds: float = 60) -> str:
    """What a task that succeeds has written to stdout."""
    assert task.run(seconds) == ExitResult(0), task.stderr.text
    return task.stdout.text


FILES = {
    "etc/gitconfig": "[user]\n\tname = of the host\n\temail = host@example.org\n",
    "etc/hosts": "127.0.0.1 localhost\n127.0.0.2 twice.example\n127.0.0.3 twice.example\n127.0.0.4 both.example\n::1 both.example\n",
    "etc/nsswitch.conf": "hosts: files\nprotocols: db\n",
    "etc/host.conf": "multi on\n",
    "etc/gai.conf": "precedence ::1/128 50\nprecedence ::/0 40\nprecedence ::ffff:0:0/96 100\n",
    "etc/timezone": "Asia/Seoul\n",
}


def first_certificate() -> str:
    """Of the host's CAs."""
    end = "-----END CERTIFICATE-----\n"
    return Path("/etc/ssl/certs/ca-certificates.crt").read_text().split(end)[0] + end


def make_capable(program: Path) -> None:
    """A copy of grep with file capabilities."""
    shutil.copy("/bin/grep", program)
    program.chmod(0o755)
    subprocess.run(["setcap", "cap_net_raw,cap_sys_admin+ep", program], check=True)
    assert "cap_sys_admin" in subprocess.run(["getcap", program], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def furnished(host: AgentHost, binary: Path) -> Iterator[Plugin]:
    """A plugin on a host with nginx, /etc/nginx, and files that no other host has so."""
    layer = debian_layer(host.root / "furnished")
    for name, text in FILES.items():
        (layer / name).write_text(text)
        (layer / name).chmod(0o644)
    (layer / "etc/localtime").symlink_to("/usr/share/zoneinfo/Asia/Tokyo")
    for directory, name in TERMINALS.items():
        (layer / directory).mkdir(parents=True)  # else tic writes to HOME
        source = layer.parent / name
        source.write_text(f"{name}|a terminal of {directory},\n\tcols#80,\n")
        subprocess.run(["tic", "-o", layer / directory, source], check=True)
    (layer / "usr/local/bin").mkdir(parents=True)
    make_capable(layer / "usr/local/bin/exec2-capable")
    plugin = host.launch({"unveil_by_task": True}, layer=layer)
    yield plugin
    faults = host.clean_tasks() + host.leftovers(plugin)
    plugin.end()
    host.plugins.remove(plugin)
    assert not faults + plugin.violations


@pytest.fixture
def furnished_script(host: AgentHost, furnished: Plugin) -> Make:
    def task(text: str, **options: Any) -> Task:
        return host.task(furnished, "sh", ["-c", text], bind_mounts=False, **options)

    return task


# What distributions keep outside of /usr/bin and /usr/lib


@users
def test_alternatives(script: Make, user: str) -> None:
    """awk is /etc/alternatives/awk. Seen before: No such file or directory."""
    assert os.readlink("/usr/bin/awk") == "/etc/alternatives/awk"
    assert result(script("awk 'BEGIN { print 6 * 7 }'", user=user)) == "42\n"


@users
def test_perl(script: Make, user: str) -> None:
    """Modules of /usr/share/perl and /usr/share/perl5 (Test::More and Error, which git brings)."""
    for module, directory in {"Test/More.pm": "/usr/share/perl/", "Error.pm": "/usr/share/perl5/"}.items():
        name = module.removesuffix(".pm").replace("/", "::")
        task = script(f"perl -M{name} -e 'print $INC{{\"{module}\"}}'", user=user)
        assert result(task).startswith(directory)


@users
def test_time_zone(furnished_script: Make, user: str) -> None:
    """Of /etc/localtime, by its name too; Java reads /etc/timezone."""
    assert result(furnished_script("date +%Z", user=user)) == "JST\n"
    program = "node -p 'Intl.DateTimeFormat().resolvedOptions().timeZone'"
    assert result(furnished_script(program, user=user)) == "Asia/Tokyo\n"
    task = furnished_script("keytool -printcert -file local/known.pem", user=user)
    (task.local / "known.pem").write_text(first_certificate())
    (task.local / "known.pem").chmod(0o644)
    assert " KST " in result(task)


@users
def test_names_are_looked_up_as_on_the_host(furnished_script: Make, user: str) -> None:
    """By nsswitch.conf, host.conf and gai.conf. Without them getent finds tcp, one address, and that of IPv6 first."""
    task = furnished_script(
        "getent protocols tcp; echo $?; getent -A ahostsv4 twice.example; getent -A ahosts both.example", user=user)
    lines = result(task).splitlines()
    assert lines[0] == "2"
    addresses = [line.split()[0] for line in lines[1:] if "STREAM" in line]
    assert addresses == ["127.0.0.2", "127.0.0.3", "127.0.0.4", "::1"]


@users
def test_terminfo(furnished_script: Make, user: str) -> None:
    for directory, name in TERMINALS.items():
        assert result(furnished_script(f"tput -T {name} longname", user=user)) == f"a terminal of {directory}"


# Interpreters


@users
def test_node(script: Make, user: str) -> None:
    """Seen with the host's root: OpenSSL's configuration is denied, and Node.js ends."""
    assert Path("/etc/ssl/openssl.cnf").exists()
    assert result(script("cmp /etc/ssl/openssl.cnf /usr/lib/ssl/openssl.cnf && node -e 1 && node -p 6*7", user=user)) == "42\n"


PYTHON = """
import multiprocessing, os, pty, ssl
if __name__ == '__main__':
    with multiprocessing.Pool(2) as pool:
        print(pool.map(abs, [-1, -2]), flush=True)
    status = pty.spawn(['/bin/sh', '-c', 'tty'])
    print(os.waitstatus_to_exitcode(status), ssl.create_default_context().cert_store_stats()['x509_ca'] > 10)
"""


@users
def test_python(make: Make, user: str) -> None:
    task = make("/usr/bin/python3", ["local/program.py"], user=user)
    (task.local / "program.py").write_text(PYTHON)
    (task.local / "program.py").chmod(0o644)
    assert result(task).split() == ["[1,", "2]", "/dev/pts/0", "0", "True"]


@users
def test_java(make: Make, user: str) -> None:
    """Its configuration is a symlink into /etc, and so are the host's CAs."""
    assert "trustedCertEntry" in result(make("keytool", ["-list", "-cacerts", "-storepass", "changeit"], user=user))


# Files of the host


COMMIT = "git init -q repository && cd repository && echo x > file && git add file && git {options} commit -q -m first && git log --format=%an"


@users
def test_git(furnished_script: Make, user: str) -> None:
    """Seen with the host's root: /etc/gitconfig is denied, and git commit ends."""
    commit = COMMIT.format(options="-c user.name=own -c user.email=own@example.org")
    task = furnished_script(f"{commit} && git config user.name || echo none", user=user)
    assert result(task) == "own\nnone\n"
    commit = COMMIT.format(options="")
    task = furnished_script(commit, user=user, unveil=["r:/etc/gitconfig", "r:/usr/share/git-core"])
    assert result(task) == "of the host\n"
    assert task.stderr.text == ""


@users
def test_openssl(script: Make, user: str) -> None:
    """Against the host's CAs, as one file and as a directory of links into /usr/share/ca-certificates."""
    task = script("openssl verify local/known.pem; openssl verify local/unknown.pem", user=user)
    def with_certificates(task: Task) -> Task:
        (task.local / "known.pem").write_text(first_certificate())
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=unknown", "-keyout", "/dev/null",
             "-out", task.local / "unknown.pem"], check=True, capture_output=True)
        for file in task.local.iterdir():
            file.chmod(0o644)
        return task

    assert with_certificates(task).run() == ExitResult(2)
    assert task.lines() == ["local/known.pem: OK"]
    assert "self-signed certificate" in task.stderr.text

    by_directory = "openssl verify -no-CAfile -no-CAstore -CApath /etc/ssl/certs local/known.pem"
    assert result(with_certificates(script(by_directory, user=user))) == "local/known.pem: OK\n"


@users
def test_openssl_makes_a_request(script: Make, user: str) -> None:
    """It refuses to do that without its configuration."""
    text = "openssl req -new -newkey rsa:2048 -noenc -subj /CN=x -keyout tmp/key 2> tmp/errors || cat tmp/errors"
    assert result(script(text, user=user)).startswith("-----BEGIN CERTIFICATE REQUEST-----")


# Terminals


@users
def test_script(script: Make, user: str) -> None:
    text = "script -q -e -c 'tty; exit 3' typescript > /dev/null; echo $?; grep -c /dev/pts/0 typescript"
    assert result(script(text, user=user)) == "3\n1\n"


@users
def test_tmux(script: Make, user: str) -> None:
    """A session, its screen, and a second terminal. The socket is in the task's own directory, and the shell is not nobody's."""
    text = ("exec 2>&1; export TMUX_TMPDIR=tmp TERM=screen SHELL=/bin/sh; set -e; tmux -f /dev/null new-session -d -s first 'tty; tmux wait-for -S up; cat'; "
            "tmux wait-for up; tmux new-window 'tty > second; tmux wait-for -S second; cat'; tmux wait-for second; "
            "tmux list-sessions -F '#S #{session_windows}'; tmux capture-pane -p -t first:0 | head -1; cat second; tmux kill-server")
    assert result(script(text, user=user)).splitlines() == ["first 2", "/dev/pts/0", "/dev/pts/1"]


# Servers


NGINX = """
daemon off;
pid local/nginx.pid;
error_log /dev/stderr;
events {{}}
http {{
    access_log /dev/stdout;
    include /etc/nginx/mime.types;
    client_body_temp_path tmp/body; proxy_temp_path tmp/proxy; fastcgi_temp_path tmp/fastcgi; uwsgi_temp_path tmp/uwsgi; scgi_temp_path tmp/scgi;
    server {{ listen 127.0.0.1:{port}; root local; }}
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answer(url: str) -> tuple[int, str]:
    """Status and type; none before the server listens."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, response.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        return error.code, ""
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError):
        return 0, ""


@users
def test_nginx(host: AgentHost, furnished: Plugin, user: str) -> None:
    """It opens its logs by path, as master and as worker. SIGUSR1 has both open them again."""
    # As root it looks its users up.
    rules = ["r:/etc/nginx", *(["r:/etc/passwd", "r:/etc/group"] if user == "root" else [])]
    port = free_port()
    task = host.task(furnished, "nginx", user=user, bind_mounts=False, unveil=rules)
    directory = task.directory
    task.set_config({**task.config, "args": ["-p", f"{directory}/", "-c", "local/nginx.conf"]})
    (task.local / "nginx.conf").write_text(("user root;" if user == "root" else "") + NGINX.format(port=port))
    (task.local / "page.html").write_text("<p>served")
    for file in task.local.iterdir():
        file.chmod(0o644)
    task.start()

    def request(name: str) -> tuple[int, str]:
        return answer(f"http://127.0.0.1:{port}/{name}")

    wait_until(lambda: request("page.html") == (200, "text/html"), 20, f"nginx answers: {task.stderr.text}")
    for again in ("first", "again"):
        assert request(f"{again}.html") == (404, "")
        task.stdout.wait_for(f'"GET /{again}.html HTTP/1.1" 404')
        task.stderr.wait_for(f'{again}.html" failed (2: No such file or directory)')
        task.signal("SIGUSR1")
    task.stop(signal="SIGQUIT")
    assert "Permission denied" not in task.stderr.text and "[alert]" not in task.stderr.text


GUNICORN = """
import os, time
def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        print("busy", os.getpid(), flush=True)
        time.sleep(3)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served"]
print("up", os.getpid(), flush=True)
"""


def gunicorn(make: Make, user: str, target: str) -> tuple[Task, int]:
    """Two workers, and its port."""
    port = free_port()
    arguments = ["--bind", f"127.0.0.1:{port}", "--workers", "2", "application:application"]
    task = make("gunicorn", arguments, user=user, config={"signal_to": target, "work_dir": "local"})
    (task.local / "application.py").write_text(GUNICORN)
    (task.local / "application.py").chmod(0o644)
    task.start()
    wait_until(lambda: task.stdout.text.count("up ") == 2, 30, f"both workers are up: {task.stderr.text}")
    return task, port


@users
@pytest.mark.parametrize("target", ["process", "group"])
def test_gunicorn_reload(make: Make, user: str, target: str) -> None:
    """With signals for its main process alone it answers a request that it is at, and new ones by new workers. A worker that
    gets SIGHUP too dies of it."""
    task, port = gunicorn(make, user, target)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(answer, f"http://127.0.0.1:{port}/slow")
        task.stdout.wait_for("busy ")
        task.signal("SIGHUP")
        assert slow.result() == ((200, "text/plain") if target == "process" else (0, ""))
    wait_until(lambda: task.stdout.text.count("up ") >= 4, 30, "both workers are replaced")
    assert answer(f"http://127.0.0.1:{port}/") == (200, "text/plain")
    task.stop(timeout=60, signal="SIGTERM")
    assert task.wait() == ExitResult(0)


# File capabilities


@users
def test_programs_with_file_capabilities(script: Make, host: AgentHost, volume: Path, user: str) -> None:
    """They run without them. Seen with the host's root, where they are not on a nosuid mount: EPERM at execve, since the
    bounding set has none of them."""
    unveiled = volume.parent / "unveiled"
    unveiled.mkdir()
    unveiled.chmod(0o755)
    task = script(
        f"for directory in local alloc/data /data {unveiled} /tmp/{unveiled.parent.parent.name}; do $directory/program CapEff /proc/self/status; done; "
        "grep CapEff /proc/self/status", user=user, unveil=[f"rx:{unveiled}", "rx:/tmp"])
    add_volume(task, volume, "/data")
    in_tmp = Path("/tmp") / unveiled.parent.parent.name
    in_tmp.mkdir()
    try:
        for directory in (task.local, task.directory / "alloc/data", volume, unveiled, in_tmp):
            make_capable(directory / "program")
        in_tmp.chmod(0o755)
        lines = result(task).splitlines()
    finally:
        shutil.rmtree(in_tmp)
    assert len(lines) == 6 and len(set(lines)) == 1
    assert user == "root" or lines[0] == NO_EFFECTIVE


@users
def test_commands_with_file_capabilities(furnished_script: Make, user: str) -> None:
    """Such as Debian's ping, in a directory of the default paths."""
    lines = result(furnished_script("exec2-capable CapEff /proc/self/status; grep CapEff /proc/self/status", user=user)).splitlines()
    assert len(lines) == 2 and lines[0] == lines[1]
    assert user == "root" or lines[0] == NO_EFFECTIVE
