"""Tasks that do nothing, so that only the cost of the task itself is measured."""

from __future__ import annotations

import grpc

from agent import AgentHost, Plugin, Task, messages


def quiet_task(host: AgentHost, plugin: Plugin) -> Task:
    """A task without limits and logs."""
    task = host.task(plugin, "/bin/sleep", ["100000"], bind_mounts=False)
    task.request.task.stdout_path = task.request.task.stderr_path = "/dev/null"
    task.stdout.leave()
    task.stderr.leave()
    return task


def destruction(plugin: Plugin, task: Task) -> grpc.Future:
    """DestroyTask, without waiting for the answer."""
    task._destroyed = True
    request = messages.driver.DestroyTaskRequest(task_id=task.id, force=True)
    return plugin.driver.DestroyTask.future(request, timeout=120)
