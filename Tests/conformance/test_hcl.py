"""Options in HCL, decoded as the agent does: each spelling that works, and for each one that does not the text that the
operator reads."""

from __future__ import annotations

import resource
from typing import Any, Callable

import grpc
import msgpack
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, hcl

Launch = Callable[..., Plugin]

BOOLS = [("true", True), ("false", False), ('"true"', True), ("null", None)]
PORTS = [("[]", []), ("[80]", [80]), ('["80", 81.0]', [80, 81]), ("null", None)]


def texts(word: str) -> list[tuple[str, Any]]:
    """Spellings of a list of strings."""
    return [(f'["{word}"]', [word]), (f'[\n"{word}", # more\n]', [word]), ("[]", []), ("null", None)]


def numbers(number: int) -> list[tuple[str, Any]]:
    return [(f"{number}", number), (f'"{number}"', number), (f"{number}.0", number), ("null", None)]


# Option → (the text after =, the value that the plugin gets).
TASK: dict[str, list[tuple[str, Any]]] = {
    "command": [('"sh"', "sh"), ('"${SHELL_PATH}"', "/bin/sh"), ('"/bin/${NAME}"', "/bin/sh")],
    "args": [*texts("-e"), ('["-c", "exit 0", 5, true]', ["-c", "exit 0", "5", "true"]),
             ("[<<-EOT\n    -e\n  EOT\n]", ["-e\n"])],
    "unveil": [*texts("r:/etc/os-release"), ('["r?:/nonexistent"]', ["r?:/nonexistent"])],
    "oom_score_adj": numbers(7),
    "private_tmp": BOOLS,
    "user_files": BOOLS,
    "shm_size": [('"64m"', "64m"), ("67108864", "67108864"), ("null", None)],
    "work_dir": [('"local"', "local"), ("null", None)],
    "signal_to": [('"process"', "process"), ('"group"', "group"), ("null", None)],
    "cap_add": texts("net_raw"),
    "cap_drop": texts("all"),
    "pids_limit": numbers(0),
    "oom_group": BOOLS,
    "tcp_bind": PORTS,
    "tcp_connect": PORTS,
    "udp_bind": PORTS,
    "udp_connect": PORTS,
    "syscalls": texts("bpf"),
}
PLUGIN: dict[str, list[tuple[str, Any]]] = {
    "unveil_defaults": BOOLS,
    "unveil_paths": [*texts("r:/etc/os-release"), ('["r?:/nonexistent"]', ["r?:/nonexistent"])],
    "unveil_by_task": BOOLS,
    "executor_path": [('"/usr/libexec/executor"', "/usr/libexec/executor"), ("null", None)],
    "orphan_grace": numbers(60),
    "standby_executor": BOOLS,
    "state_dir": [('"/run/another"', "/run/another")],
    "allow_caps": texts("net_raw"),
    "landlock_min_abi": numbers(1),
    "abstract_sockets": BOOLS,
    "pathname_sockets": BOOLS,
    "log_denials": BOOLS,
    "denial_events": BOOLS,
    "quiet_paths": texts("/etc/passwd"),
    "memory_swap": BOOLS,
    "seccomp": BOOLS,
    "allow_syscalls": texts("bpf"),
    "allow_ulimits": texts("nofile"),
    "denied_host_uids": [('"0-999,65534"', "0-999,65534"), ("5", "5"), ("null", None)],
    "denied_host_gids": [('"0-999,65534"', "0-999,65534"), ("5", "5"), ("null", None)],
    "dynamic_user_min": numbers(80000),
    "dynamic_user_max": numbers(89999),
}
# For an option with a default, null means the default.
PLUGIN_DEFAULTS = {
    "unveil_defaults": True, "unveil_paths": [], "unveil_by_task": False, "orphan_grace": 30, "standby_executor": True,
    "allow_caps": [], "landlock_min_abi": 1, "abstract_sockets": False, "pathname_sockets": False,
    "log_denials": False, "denial_events": False, "quiet_paths": [], "memory_swap": False, "seccomp": True,
    "allow_syscalls": [], "allow_ulimits": [], "dynamic_user_min": 80000, "dynamic_user_max": 89999,
}
# Seen before: none of them worked; the error was "map of string required".
ULIMIT = [
    'ulimit = { nofile = "20:30" }', 'ulimit {\n nofile = "20:30"\n}', 'ulimit = [{ nofile = "20:30" }]',
    'ulimit = { "nofile" : "20:30" }', 'ulimit = { NOFILE = "20:${HARD}" }', 'ulimit = { nofile = "20:30", cpu = null }',
    'ulimit = [{ nofile = "20:30" }, { core = "0" }]', 'ulimit {\n core = 0\n}\nulimit {\n nofile = "20:30"\n}',
    'ulimit = { core = 0, nofile = "20:30" }', 'ulimit {\n nofile = "20:30"\n core = "0"\n}',
]
NO_ULIMIT = ["", "ulimit = {}", "ulimit {}", "ulimit = []", "ulimit = [{}]", "ulimit = null", "ulimit = { nofile = null }"]


def block(text: str) -> Any:
    """The values of a config block."""
    return hcl.read(f"config {{\n{text}\n}}\n")["config"][0]


def cases(options: dict[str, list[tuple[str, Any]]]) -> list[Any]:
    found = []
    for option, spellings in options.items():
        for text, value in spellings:
            minimum = {"tcp_bind": 4, "tcp_connect": 4, "udp_bind": 10, "udp_connect": 10}.get(option, 1)
            marks = [pytest.mark.landlock(minimum=minimum)] if minimum > 1 and value is not None else []
            # The kernel's file belongs to the memory controller.
            marks += [pytest.mark.controllers] if option == "oom_group" and value else []
            found.append(pytest.param(option, text, value, marks=marks, id=f"{option} = {text}"))
    return found


@pytest.fixture(scope="module")
def permissive(host: AgentHost, binary: Any) -> Any:
    """A plugin that allows jobs every option."""
    plugin = host.launch({"unveil_by_task": True, "allow_caps": ["net_raw"], "allow_syscalls": ["bpf"]})
    yield plugin
    faults = host.clean_tasks() + host.leftovers(plugin)
    plugin.end()
    host.plugins.remove(plugin)
    assert not faults + plugin.violations, "\n".join(faults + plugin.violations)


def task_of(host: AgentHost, plugin: Plugin, text: str) -> Task:
    task = host.task(plugin, None, env={"SHELL_PATH": "/bin/sh", "NAME": "sh", "HARD": "30"})
    task.set_block(block(text))
    return task


def test_no_option_is_missing_here(permissive: Plugin) -> None:
    assert set(TASK) | {"ulimit"} == permissive.task_options()
    assert set(PLUGIN) == permissive.plugin_options()


@pytest.mark.parametrize("option, text, value", cases(TASK))
def test_task_option(host: AgentHost, permissive: Plugin, option: str, text: str, value: Any) -> None:
    command = "" if option == "command" else 'command = "true"\n'
    task = task_of(host, permissive, f"{command}{option} = {text}")
    assert msgpack.unpackb(task.request.task.msgpack_driver_config)[option] == value
    # Without arguments the shell reads its stdin, which is empty.
    assert task.run() == ExitResult(0), task.stderr.text


@pytest.mark.parametrize("option, text, value", cases(PLUGIN))
def test_plugin_option(permissive: Plugin, option: str, text: str, value: Any) -> None:
    packed = hcl.packed(permissive.config_spec, block(f"{option} = {text}"))
    assert msgpack.unpackb(packed)[option] == (PLUGIN_DEFAULTS.get(option) if value is None else value)
    permissive.set_config(packed, with_driver=False)


def limits(task: Task) -> dict[str, str]:
    assert task.run() == ExitResult(0), task.stderr.text
    return {word: task.line(word) for word in (f"limit{resource.RLIMIT_NOFILE}", f"limit{resource.RLIMIT_CORE}")}


@pytest.mark.parametrize("text", ULIMIT)
def test_ulimit(host: AgentHost, permissive: Plugin, text: str) -> None:
    found = limits(task_of(host, permissive, f'command = "{host.program("confined")}"\nargs = ["limits="]\n{text}'))
    core = "0 0" if "core" in text else " ".join(map(str, resource.getrlimit(resource.RLIMIT_CORE)))
    assert found == {f"limit{resource.RLIMIT_NOFILE}": "20 30", f"limit{resource.RLIMIT_CORE}": core}


@pytest.mark.parametrize("text", NO_ULIMIT)
def test_no_ulimit(host: AgentHost, permissive: Plugin, text: str) -> None:
    found = limits(task_of(host, permissive, f'command = "{host.program("confined")}"\nargs = ["limits="]\n{text}'))
    assert found == {f"limit{kind}": " ".join(map(str, resource.getrlimit(kind)))
                     for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)}


def refusal_of_task(task: Task) -> str:
    """The text that the operator reads about a failed start."""
    try:
        task.start()
    except hcl.FailedValidation as error:
        return str(error)
    except grpc.RpcError as error:
        return error.details() or ""
    raise AssertionError("the task was started")


def refusal_of_config(plugin: Plugin, text: str) -> str:
    try:
        plugin.set_config(hcl.packed(plugin.config_spec, block(text)), with_driver=False)
    except hcl.FailedValidation as error:
        return str(error)
    except grpc.RpcError as error:
        return error.details() or ""
    raise AssertionError("the plugin accepted it")



def unlike(option: str, wanted: str) -> str:
    """The agent's sentence about a value that does not fit the schema."""
    return f'failed to parse config: Incorrect attribute value type: Inappropriate value for attribute "{option}": {wanted}.'


MISSING = 'Missing required argument: The argument "command" is required, but no definition was found.'
COMMAND = 'must be an absolute path, for example ${NOMAD_TASK_DIR}/server, or a bare name to be found in PATH'
MODES = 'must be modes:path, modes being any of r (read), w (write), x (execute) and c (create)'
CAPABILITY = "must be the name of a Linux capability, such as net_bind_service, or all"
PORT = "must be a port: a whole number from 0 to 65535, where 0 is a port of the kernel's choice"
SIZE = "must be a number of bytes, or a number and k, m or g (1024, 1024² or 1024³ bytes), from 1m to 16384g"
MAP = "must be a map of strings, or a block"
PAIR = "the name must be text, the value text or a whole number"
LIMIT = "must be soft:hard, or one value for both; a value is a whole number, unlimited, or -1 for the same"
MARK = ("the ? of a rule whose path may be missing must stand between the modes and the colon, once, for example "
        "r?:/etc/mime.types")
TARGET = "must be group (the main process and its process group) or process (the main process alone)"
# The text in HCL → the text that the operator reads, or its beginning.
WRONG_TASK = {
    "": f"failed to parse config: {MISSING}",
    'comand = "sh"': f'failed to parse config: {MISSING}; Invalid label: No argument or block type is named "comand". '
                     'Did you mean "command"?',
    "command = null": f'task config: option "command" is missing: {COMMAND}',
    'command = ["sh"]': unlike("command", "string required"),
    'command = { a = "b" }': unlike("command", "string required"),
    'command = "bin/true"': f'task config: option "command" is "bin/true": {COMMAND}',
    'command = ""': f'task config: option "command" is "": {COMMAND}',
    'command = "${NO_SUCH}"': 'failed to parse config: Unknown variable: There is no variable named "NO_SUCH".',
    'args = "one"': unlike("args", "list of string required"),
    "args = 7": unlike("args", "list of string required"),
    'args = [["nested"]]': unlike("args", "element 0: string required"),
    'args = { a = "b" }': unlike("args", "element 0: string required"),
    'args { a = "b" }': unlike("args", "element 0: string required"),
    "args = [null]": 'task config: option "args", item 1, is null: must be text',
    'unveil = "r:/etc/hosts"': unlike("unveil", "list of string required"),
    'unveil { r = "/etc" }': unlike("unveil", "element 0: string required"),
    'unveil = ["q:/etc"]': f'task config: option "unveil", item 1, is "q:/etc": "q" is not a mode: {MODES}',
    'unveil = ["?r:/etc"]': f'task config: option "unveil", item 1, is "?r:/etc": {MARK}',
    "unveil = [null]": 'task config: option "unveil", item 1, is null: must be text',
    "oom_score_adj = -1": 'task config: option "oom_score_adj" is -1: must be a whole number from 0 to 1000',
    "oom_score_adj = 1.5": 'task config: option "oom_score_adj" is 1.5: must be a whole number from 0 to 1000',
    'oom_score_adj = "high"': unlike("oom_score_adj", "a number is required"),
    "oom_score_adj = [1]": unlike("oom_score_adj", "number required"),
    "oom_score_adj = true": unlike("oom_score_adj", "number required"),
    'private_tmp = "yes"': unlike("private_tmp", "a bool is required"),
    "private_tmp = 1": unlike("private_tmp", "bool required"),
    'user_files = "yes"': unlike("user_files", "a bool is required"),
    'user_files = ["root"]': unlike("user_files", "bool required"),
    'shm_size = "64 MB"': f'task config: option "shm_size" is "64 MB": {SIZE}',
    'shm_size = ""': f'task config: option "shm_size" is "": {SIZE}',
    "shm_size = 64": f'task config: option "shm_size" is "64": {SIZE}',
    "shm_size = -1": f'task config: option "shm_size" is "-1": {SIZE}',
    'shm_size = ["64m"]': unlike("shm_size", "string required"),
    'work_dir = ""': 'task config: option "work_dir" is "": must be the path of a ',
    'work_dir = ["local"]': unlike("work_dir", "string required"),
    'signal_to = "all"': f'task config: option "signal_to" is "all": {TARGET}',
    'signal_to = ""': f'task config: option "signal_to" is "": {TARGET}',
    "signal_to = 9": f'task config: option "signal_to" is "9": {TARGET}',
    'signal_to = ["process"]': unlike("signal_to", "string required"),
    'cap_add = "net_raw"': unlike("cap_add", "list of string required"),
    'cap_add = ["fly"]': f'task config: option "cap_add", item 1, is "fly": {CAPABILITY}',
    'cap_drop = "all"': unlike("cap_drop", "list of string required"),
    'cap_drop = ["fly"]': f'task config: option "cap_drop", item 1, is "fly": {CAPABILITY}',
    "pids_limit = -1": 'task config: option "pids_limit" is -1: must be a whole number from 0 to 4194304',
    'pids_limit = "many"': unlike("pids_limit", "a number is required"),
    'oom_group = "yes"': unlike("oom_group", "a bool is required"),
    "oom_group = 1": unlike("oom_group", "bool required"),
    "tcp_bind = 80": unlike("tcp_bind", "list of number required"),
    'tcp_bind = ["http"]': unlike("tcp_bind", "a number is required"),
    "tcp_bind = [65536]": f'task config: option "tcp_bind", item 1, is 65536: {PORT}',
    "tcp_bind = [null]": f'task config: option "tcp_bind", item 1, is null: {PORT}',
    "tcp_connect = [-1]": f'task config: option "tcp_connect", item 1, is -1: {PORT}',
    "tcp_connect = [1.5]": f'task config: option "tcp_connect", item 1, is 1.5: {PORT}',
    "udp_bind = 53": unlike("udp_bind", "list of number required"),
    "udp_bind = [65536]": f'task config: option "udp_bind", item 1, is 65536: {PORT}',
    "udp_connect = [-1]": f'task config: option "udp_connect", item 1, is -1: {PORT}',
    'syscalls = "bpf"': unlike("syscalls", "list of string required"),
    'syscalls = ["everything"]': 'task config: option "syscalls", item 1, is "everything": must be one of accounting, bpf, ',
    'ulimit = "nofile=1"': f'task config: option "ulimit" is "nofile=1": {MAP}',
    "ulimit = 5": f'task config: option "ulimit" is 5: {MAP}',
    'ulimit = ["nofile"]': f'task config: option "ulimit", item 1, is "nofile": {MAP}',
    'ulimit = [{ core = "0" }, "cpu"]': f'task config: option "ulimit", item 2, is "cpu": {MAP}',
    'ulimit = { files = "1" }': 'task config: option "ulimit" is "files" = "1": the name must be one of as, core, cpu, ',
    'ulimit { files = "1" }': 'task config: option "ulimit" is "files" = "1": the name must be one of as, core, cpu, ',
    'ulimit = { nofile = "2:1" }':
        'task config: option "ulimit" is "nofile" = "2:1": the soft limit must not be above the hard one',
    "ulimit = { nofile = -2 }": f'task config: option "ulimit" is "nofile" = "-2": {LIMIT}',
    'ulimit = { nofile = "" }': f'task config: option "ulimit" is "nofile" = "": {LIMIT}',
    "ulimit = { nofile = 1.5 }": f'task config: option "ulimit" is "nofile" = 1.5: {PAIR}',
    # A number without an exact value in binary reaches the plugin as text.
    "ulimit = { nofile = 0.1 }": f'task config: option "ulimit" is "nofile" = "0.1": {LIMIT}',
    "ulimit = { nofile = true }": f'task config: option "ulimit" is "nofile" = true: {PAIR}',
    'ulimit = { nofile = ["1"] }': f'task config: option "ulimit" is "nofile" = ["1"]: {PAIR}',
    'ulimit = { nofile = { soft = "1" } }': f'task config: option "ulimit" is "nofile" = [{{"soft" = "1"}}]: {PAIR}',
    'ulimit "nofile" { soft = "1" }': f'task config: option "ulimit" is "nofile" = [{{"soft" = "1"}}]: {PAIR}',
    'ulimit { core = "1" }\nulimit { core = "2" }': 'task config: option "ulimit" is "core" = "2": is given twice',
}
WRONG_PLUGIN = {
    'unveil_defaults = "yes"': unlike("unveil_defaults", "a bool is required"),
    "unveil_defaults = 1": unlike("unveil_defaults", "bool required"),
    "unveil_defaults = [true]": unlike("unveil_defaults", "bool required"),
    'unveil_by_task = "no"': unlike("unveil_by_task", "a bool is required"),
    'unveil_paths = "r:/etc"': unlike("unveil_paths", "list of string required"),
    'unveil_paths { r = "/etc" }': unlike("unveil_paths", "element 0: string required"),
    'unveil_paths = ["/etc"]':
        f'plugin config: option "unveil_paths", item 1, is "/etc": there is no colon: {MODES}, for example r:/etc/mime.types',
    'unveil_paths = ["q:/etc"]': f'plugin config: option "unveil_paths", item 1, is "q:/etc": "q" is not a mode: {MODES}',
    'unveil_paths = ["r??:/etc"]': f'plugin config: option "unveil_paths", item 1, is "r??:/etc": {MARK}',
    "executor_path = []": unlike("executor_path", "string required"),
    'executor_path = "relative"': 'plugin config: option "executor_path" is "relative": must be the absolute path of a file',
    'state_dir = "relative"': 'plugin config: option "state_dir" is "relative": must be the absolute path of a ',
    "state_dir = 7": 'plugin config: option "state_dir" is "7": must be the absolute path of a ',
    'orphan_grace = "30s"': unlike("orphan_grace", "a number is required"),
    "orphan_grace = -1": 'plugin config: option "orphan_grace" is -1: must be a whole number from 0 to 86400',
    "orphan_grace = 1.5": 'plugin config: option "orphan_grace" is 1.5: must be a whole number from 0 to 86400',
    'standby_executor = "on"': unlike("standby_executor", "a bool is required"),
    'allow_caps = "net_raw"': unlike("allow_caps", "list of string required"),
    'allow_caps = ["net raw"]': 'plugin config: option "allow_caps", item 1, is "net raw": must be the name of a Linux capability',
    'landlock_min_abi = "new"': unlike("landlock_min_abi", "a number is required"),
    "landlock_min_abi = 0": 'plugin config: option "landlock_min_abi" is 0: must be a whole number from 1 to ',
    'abstract_sockets = "yes"': unlike("abstract_sockets", "a bool is required"),
    "pathname_sockets = 5": unlike("pathname_sockets", "bool required"),
    'denial_events = "yes"': unlike("denial_events", "a bool is required"),
    'log_denials = "yes"': unlike("log_denials", "a bool is required"),
    'quiet_paths = "/etc"': unlike("quiet_paths", "list of string required"),
    'quiet_paths = ["etc"]': 'plugin config: option "quiet_paths", item 1, is "etc": must be an absolute path',
    "memory_swap = 5": unlike("memory_swap", "bool required"),
    'seccomp = "off"': unlike("seccomp", "a bool is required"),
    'allow_syscalls = ["everything"]': 'plugin config: option "allow_syscalls", item 1, is "everything": must be one of ',
    'allow_ulimits = "nofile"': unlike("allow_ulimits", "list of string required"),
    'allow_ulimits = ["files"]': 'plugin config: option "allow_ulimits", item 1, is "files": must be one of as, core, cpu, ',
    "denied_host_uids = [0]": unlike("denied_host_uids", "string required"),
    'denied_host_uids = "root"': 'plugin config: option "denied_host_uids" is "root": must be ids or ranges of ids',
    'denied_host_gids = "5-"': 'plugin config: option "denied_host_gids" is "5-": must be ids or ranges of ids',
    'dynamic_user_min = "many"': unlike("dynamic_user_min", "a number is required"),
    "dynamic_user_min = 999": 'plugin config: option "dynamic_user_min" is 999: must be a whole number from 1000 to ',
    "dynamic_user_max = 1.5": 'plugin config: option "dynamic_user_max" is 1.5: must be a whole number from 1000 to ',
    "of_the_future = 1": 'failed to parse config: Invalid label: No argument or block type is named "of_the_future".',
}


@pytest.mark.parametrize("text", WRONG_TASK)
def test_wrong_task_option(host: AgentHost, permissive: Plugin, text: str) -> None:
    command = "" if "mand" in text or not text else 'command = "true"\n'
    task = task_of(host, permissive, command + text)
    assert refusal_of_task(task).startswith(WRONG_TASK[text])
    assert not task.was_started


@pytest.mark.parametrize("text", WRONG_PLUGIN)
def test_wrong_plugin_option(permissive: Plugin, text: str) -> None:
    assert refusal_of_config(permissive, text).startswith(WRONG_PLUGIN[text])


def test_every_option_has_a_wrong_value() -> None:
    for known, wrong in (({*TASK, "ulimit"}, WRONG_TASK), (set(PLUGIN), WRONG_PLUGIN)):
        assert known <= {text.split()[0] for text in wrong if text}


def test_a_map_of_a_job_in_json(host: AgentHost, permissive: Plugin) -> None:
    """A job in JSON may have a map where HCL gives a list."""
    task = host.task(permissive, host.program("confined"), ["limits="])
    task.set_config(msgpack.packb({**task.config, "ulimit": {"nofile": "20:30"}}))
    assert limits(task)[f"limit{resource.RLIMIT_NOFILE}"] == "20 30"


def test_texts_that_look_like_references(host: AgentHost, permissive: Plugin) -> None:
    """Escaped in the job, they reach the task unchanged."""
    task = host.task(permissive, "/bin/sh", ["-c", 'x=1; echo ${x} "%{y}" "$${z}"'.replace('"$${z}"', '"$"')])
    assert task.run() == ExitResult(0) and task.lines() == ['1 %{y} $']
