#!/usr/bin/python3
"""Tasks over a reboot of the host: two boots of a virtual machine that share the directory of the state.

  reboot.py                 boots twice, with the halves below as commands; exit status 0: all is well
  reboot.py before DIRECTORY   starts tasks, notes their handles, and leaves them running
  reboot.py after DIRECTORY    recovers them
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
REASON = "the host was rebooted while the task ran"
SLOWNESS = "15"


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def before(directory: Path) -> None:
    from agent import AgentHost, ExitResult

    host = AgentHost()
    plugin = host.launch({"state_dir": str(directory / "state")})
    act = host.program("act")
    tasks = {
        "running": host.task(plugin, act, ["out=up", "pause="]).start(),
        # No host asks for this one again.
        "forgotten": host.task(plugin, act, ["out=up", "pause="]).start(),
        "ended": host.task(plugin, act, ["exit=9"]).start(),
    }
    assert tasks["ended"].wait() == ExitResult(9)
    stranger = directory / "state" / "not-a-task"
    stranger.mkdir()
    (stranger / "file").write_text("another's")
    notes = {
        "boot": boot_id(),
        "tasks": {
            name: {"id": task.id, "handle": task.handle.SerializeToString().hex(), "started": task.inspect().task.started_at.seconds}
            for name, task in tasks.items()},
    }
    (directory / "notes.json").write_text(json.dumps(notes))
    os.sync()
    print(f"reboot: 3 tasks in boot {notes['boot']}, of which 2 run", flush=True)
    # The power goes while they run.
    os._exit(0)


def after(directory: Path) -> None:
    from agent import AgentHost, messages
    from agent.expect import Code, refused
    from agent.timing import scaled, wait_until

    notes = json.loads((directory / "notes.json").read_text())
    assert boot_id() != notes["boot"], "this is the same boot"
    state = directory / "state"
    assert len(os.listdir(state)) == 4, os.listdir(state)
    host = AgentHost()
    plugin = host.launch({"state_dir": str(state)})
    # At the start: those of an earlier boot that no host can learn anything from any more.
    name = {which: facts["id"].replace("/", "+") for which, facts in notes["tasks"].items()}
    wait_until(lambda: name["forgotten"] not in os.listdir(state), 20, "the forgotten task's state directory removed")

    def recover(which: str) -> None:
        facts = notes["tasks"][which]
        handle = messages.driver.TaskHandle.FromString(bytes.fromhex(facts["handle"]))
        plugin.driver.RecoverTask(messages.driver.RecoverTaskRequest(task_id=facts["id"], handle=handle), timeout=scaled(30))

    def wait(which: str) -> Any:
        facts = notes["tasks"][which]
        recover(which)
        status = plugin.driver.InspectTask(messages.driver.InspectTaskRequest(task_id=facts["id"]), timeout=scaled(30)).task
        assert status.state == messages.driver.EXITED
        assert status.started_at.seconds == facts["started"]
        return plugin.driver.WaitTask(messages.driver.WaitTaskRequest(task_id=facts["id"]), timeout=scaled(30))

    # The agent then starts it anew, and counts no failure.
    with refused(REASON, notes["tasks"]["running"]["id"], code=Code.NOT_FOUND):
        recover("running")
    # What had ended before, and whose record is on disk, is still known.
    known = wait("ended")
    assert (known.err, known.result.exit_code, known.result.signal) == ("", 9, 0), known
    for which in ("running", "ended"):
        task_id = notes["tasks"][which]["id"]
        plugin.driver.StopTask(messages.driver.StopTaskRequest(task_id=task_id), timeout=scaled(30))
        plugin.driver.DestroyTask(messages.driver.DestroyTaskRequest(task_id=task_id), timeout=scaled(30))
    assert os.listdir(state) == ["not-a-task"], os.listdir(state)
    assert (state / "not-a-task" / "file").read_text() == "another's"
    said = [entry for entry in plugin.log if "not-a-task" in str(entry)]
    assert said, f"nothing is logged of a directory that is no task's: {plugin.log}"
    faults = host.close()
    assert not faults, faults
    print(f"reboot: the ended task recovered, the other gone, in boot {boot_id()}", flush=True)


def boot_twice() -> int:
    with tempfile.TemporaryDirectory(prefix="exec2-reboot-", dir="/var/tmp") as directory:
        for half in ("before", "after"):
            command = [
                str(REPOSITORY / "Tests" / "vm" / "run"), "--timeout", "420", "--share", directory,
                "--env", f"EXEC2_SLOW={SLOWNESS}", "--env", "PYTHONDONTWRITEBYTECODE=1"]
            if "EXEC2_PLUGIN" in os.environ:
                command += ["--env", f"EXEC2_PLUGIN={os.environ['EXEC2_PLUGIN']}"]
            status = subprocess.run([*command, "--", sys.executable, __file__, half, directory]).returncode
            if status != 0:
                print(f"reboot: the half '{half}' failed with status {status}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) == 3:
        {"before": before, "after": after}[sys.argv[1]](Path(sys.argv[2]))
    else:
        sys.exit(boot_twice())
