"""Directories of the host that no task reaches, whatever is unveiled: other allocations, the driver's state, sockets.

They are known by their file system and their path within it, so that no other way leads to them either.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, Plugin, Task, messages, mounts
from agent.exec import output
from agent.expect import refused, result
from agent.volumes import add_volume

Launch = Callable[..., Plugin]
State = messages.driver.FingerprintResponse
users = pytest.mark.parametrize("user", ["nomad-80000", "nobody", "root"])
# How a rule or a volume names a directory.
ways = pytest.mark.parametrize("way", ["path", "symlink", "second mount"])


@pytest.fixture
def plugin(launch: Launch) -> Plugin:
    return launch({"unveil_by_task": True})


@pytest.fixture(autouse=True)
def open_to_everybody(host: AgentHost) -> Iterator[None]:
    """The way to the allocations: no mode keeps a task from them."""
    host.data.chmod(0o755)
    yield
    host.data.chmod(0o700)


@pytest.fixture
def lead(places: Path) -> Iterator[Callable[[str, Path], Path]]:
    """A path that leads to a directory by one of the ways."""
    mounted = []

    def path(way: str, directory: Path) -> Path:
        if way == "path":
            return directory
        place = places / "way"
        if way == "symlink":
            place.symlink_to(directory)
        else:
            place.mkdir()
            mounts.bind(directory, place)
            mounted.append(place)
        return place

    yield path
    for place in mounted:
        mounts.unmount(place)


def shell(host: AgentHost, plugin: Plugin, script: str, **options: Any) -> Task:
    return host.task(plugin, "sh", ["-c", script], **options)


def write(task: Task) -> None:
    """Something in a directory of the task that every user may read."""
    (task.alloc_dir / "alloc" / "data").mkdir(exist_ok=True)
    (task.alloc_dir / "alloc" / "data" / "mine").write_text("of another\n")


@users
@ways
def test_below_what_is_unveiled_they_are_empty(
        plugin: Plugin, host: AgentHost, lead: Callable[[str, Path], Path], user: str, way: str) -> None:
    """Seen where rules were compared as text: a symlink, or a second mount of the file system, showed them."""
    other = shell(host, plugin, "sleep 300", name="other").start()
    write(other)
    above = lead(way, host.root)
    alloc = host.data.relative_to(host.root) / "alloc"
    state = plugin.state_dir.relative_to(host.root)
    task = shell(
        host, plugin, f"ls -A {above}/{alloc} {above}/{state} {above}/{host.alloc_mounts.relative_to(host.root)}; "
        f"test -d {above}/{alloc} && cat {above}/{alloc}/{other.alloc_id}/alloc/data/mine || echo none",
        user=user, unveil=[f"rwc:{above}"])
    said = result(task)
    assert other.alloc_id not in said and "of another" not in said and said.endswith("none\n"), said
    assert output(task_again := shell(host, plugin, "sleep 300", user=user, unveil=[f"r:{above}"]).start(),
                  "sh", "-c", f"cat {above}/{alloc}/{other.alloc_id}/alloc/data/mine 2>/dev/null || echo none") == "none\n"
    task_again.stop()
    other.stop()


@users
@ways
def test_below_what_an_operator_unveils_they_are_empty(
        launch: Launch, host: AgentHost, lead: Callable[[str, Path], Path], user: str, way: str) -> None:
    """Seen while the template's own mounts were looked for at places that they had not yet: none was covered."""
    above = lead(way, host.root)
    plugin = launch({"unveil_paths": [host.programs_rule, f"rwc:{above}"]})
    other = shell(host, plugin, "true", name="other")
    write(other)
    alloc = host.data.relative_to(host.root) / "alloc"
    state = plugin.state_dir.relative_to(host.root)
    task = shell(
        host, plugin, f"ls -A {above}/{alloc} {above}/{state} {above}/{host.alloc_mounts.relative_to(host.root)}; "
        f"cat {above}/{alloc}/{other.alloc_id}/alloc/data/mine || echo none; echo x > {above}/{alloc}/x || echo none", user=user)
    said = result(task)
    assert other.alloc_id not in said and said.endswith("none\nnone\n"), said
    assert not (host.data / "alloc" / "x").exists()


@ways
@pytest.mark.parametrize("which", ["state directory", "sockets", "allocations", "an allocation"])
def test_a_rule_of_an_operator_that_leads_into_one_makes_the_driver_unhealthy(
        launch: Launch, host: AgentHost, lead: Callable[[str, Path], Path], way: str, which: str) -> None:
    """With the rule as it is written, and the directory. Seen before: the driver was healthy, and each start failed with
    where the path leads."""
    plugin = launch(configure=False)
    plugin.state_dir.mkdir(parents=True)
    elsewhere = shell(host, plugin, "true", name="elsewhere")
    inside = {"state directory": plugin.state_dir, "sockets": Path("/run/nomad-driver-exec2/.sockets"),
              "allocations": host.data / "alloc", "an allocation": elsewhere.alloc_dir / "alloc"}[which]
    hidden = {"state directory": plugin.state_dir, "sockets": Path("/run/nomad-driver-exec2")}.get(which, host.data / "alloc")
    rule = f"r:{lead(way, inside)}"
    plugin.begin({**plugin.config, "unveil_paths": [host.programs_rule, rule]})
    said = f'it leads into {hidden}, which no task reaches'
    if "allocation" in which:
        # Which they are, a request tells.
        assert said not in plugin.fingerprint().health_description
    named = [f'named by the plugin option unveil_paths: "{rule}"'] if way == "path" else []
    with refused("cannot show the task", "a directory that no task reaches", *named):
        host.task(plugin, "true").start()
    given = plugin.fingerprint()
    assert said in given.health_description and f'"{rule}"' in given.health_description
    assert given.health != State.HEALTHY


@ways
@pytest.mark.parametrize("below", [False, True])
def test_a_rule_that_leads_into_one_is_refused(
        plugin: Plugin, host: AgentHost, lead: Callable[[str, Path], Path], way: str, below: bool) -> None:
    """A task that found nothing there would not tell its operator why."""
    other = shell(host, plugin, "true", name="other")
    write(other)
    place = lead(way, other.alloc_dir / "alloc" if below else host.data / "alloc")
    task = shell(host, plugin, f"cat {place}/data/mine", user="root", unveil=[f"rwc:{place}"])
    with refused("cannot show the task", "Permission denied", "a directory that no task reaches"):
        task.start()


@ways
def test_an_operators_rule_that_leads_into_one_is_refused(
        launch: Launch, host: AgentHost, lead: Callable[[str, Path], Path], way: str) -> None:
    place = lead(way, host.data / "alloc")
    plugin = launch({"unveil_paths": [host.programs_rule, f"r:{place}"]})
    with refused("Permission denied", "a directory that no task reaches"):
        shell(host, plugin, "true").start()


@ways
def test_a_volume_that_is_one_is_refused(
        plugin: Plugin, host: AgentHost, lead: Callable[[str, Path], Path], way: str) -> None:
    task = shell(host, plugin, "ls /data", user="root")
    add_volume(task, lead(way, host.data / "alloc"), "/data")
    with refused("cannot show the task /data", "Permission denied", "a directory that no task reaches"):
        task.start()


@users
@ways
def test_in_a_volume_they_are_empty(
        plugin: Plugin, host: AgentHost, lead: Callable[[str, Path], Path], user: str, way: str) -> None:
    """Seen before: a host volume above the client's data showed every allocation, logs and all."""
    other = shell(host, plugin, "true", name="other")
    write(other)
    alloc = host.data.relative_to(host.root) / "alloc"
    task = shell(host, plugin, f"test -d /data/{alloc} && ls -A /data/{alloc} /data/{plugin.state_dir.relative_to(host.root)}", user=user)
    add_volume(task, lead(way, host.root), "/data")
    said = result(task)
    assert other.alloc_id not in said and task.alloc_id not in said
    # The host's own view, and the next volume's, are what they were.
    assert (other.alloc_dir / "alloc" / "data" / "mine").read_text() == "of another\n"


def test_a_task_directory_of_the_jobs_choice_shows_no_other(plugin: Plugin, host: AgentHost) -> None:
    """Seen before: with a rule for the client's mounts, an own NOMAD_TASK_DIR led to other tasks' directories."""
    other = shell(host, plugin, "true", name="other")
    write(other)
    task = shell(
        host, plugin, f"cat {other.directory}/alloc/data/mine || echo none", user="root", env={"NOMAD_TASK_DIR": "/x"},
        unveil=[f"r:{host.alloc_mounts.parent}"])
    assert result(task) == "none\n"


# What /proc/self/mountinfo tells

MANY = 12
# Where the root gets a place for a volume, each entry of it is a mount.
LINES = {"job": 70, "operator": 70, "volume": 90}


def mount_table(host: AgentHost) -> list[str]:
    """The agent's mounts, with all that the kernel says of them."""
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {host.root}" in line]


@pytest.fixture
def other_mounts(host: AgentHost) -> Iterator[Callable[[Path, Path | None], None]]:
    """Bind mounts, and without a source file systems of their own."""
    made: list[Path] = []

    def mount(target: Path, source: Path | None) -> None:
        target.mkdir(exist_ok=True)
        if source:
            mounts.bind(source, target)
        else:
            mounts.mount("tmpfs", target, "mode=0755")
        made.append(target)

    yield mount
    for target in reversed(made):
        mounts.unmount(target)


@pytest.fixture(params=["private", "shared"])
def propagation(request: pytest.FixtureRequest, host: AgentHost) -> Iterator[str]:
    """The mount of the agent's directories. Under systemd every mount is shared."""
    mounts.bind(host.root, host.root)
    mounts.propagate(host.root, shared=request.param == "shared")
    yield request.param
    host.clean_tasks()
    while points := mounts.below(host.root):
        mounts.unmount(Path(points[-1]))


@pytest.mark.parametrize("by", ["job", "operator", "volume"])
def test_mounts_of_other_allocations_are_not_listed(
        propagation: str, launch: Launch, host: AgentHost, places: Path,
        other_mounts: Callable[[Path, Path | None], None], by: str) -> None:
    """Seen before: they were covered, and their names stood in mountinfo."""
    rule = f"r:{host.root}"
    plugin = launch({"unveil_by_task": True, "unveil_paths": [host.programs_rule, *([rule] if by == "operator" else [])]})
    others = [shell(host, plugin, "true", name=f"other{number}", bind_mounts=True) for number in range(MANY)]
    # A file system of its own, as that of secrets is, and one below it.
    secrets = others[0].directory / "secrets"
    other_mounts(secrets, None)
    other_mounts(secrets / "deep", None)
    # Outside of the hidden directories: another mount of an allocation's directory.
    second = places / "second"
    other_mounts(second, others[1].alloc_dir)
    (second / "x").write_text("of another\n")
    above = Path("/data") if by == "volume" else host.root
    task = shell(
        host, plugin, f"cat /proc/self/mountinfo; ls {above / second.relative_to(host.root)}; echo own > local/x && echo end",
        user="root", unveil=[rule] if by == "job" else None)
    if by == "volume":
        add_volume(task, host.root, "/data")
    before = mount_table(host)
    lines = result(task).splitlines()
    assert lines.pop() == "end" and len(lines) < LINES[by], "\n".join(lines)
    for other in others:
        assert not [line for line in lines if other.alloc_id in line]
    assert not [line for line in lines if line == "x"]
    # Nothing of it has come to the host.
    task.destroy()
    assert len(before) > 4 * MANY and mount_table(host) == before
    assert (secrets / "deep").is_mount() and (second / "x").read_text() == "of another\n"
