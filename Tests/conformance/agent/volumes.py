"""Volumes and devices as the agent hands them to a task."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from agent import messages
from agent.task import Task


def add_volume(task: Task, source: Path | str, destination: Path | str, *, readonly: bool = False, propagation: str = "", label: str = "") -> Task:
    """Adds the mount that the agent sends for a `volume_mount`, of host and CSI volumes alike."""
    task.request.task.mounts.append(messages.driver.Mount(
        host_path=str(source), task_path=str(destination), readonly=readonly, propagation_mode=propagation, selinux_label=label))
    return task


def add_device(task: Task, source: Path | str, destination: Path | str = "", permissions: str = "rw") -> Task:
    """Adds the device that the agent sends for a device plugin's answer."""
    task.request.task.devices.append(messages.driver.Device(
        host_path=str(source), task_path=str(destination or source), cgroup_permissions=permissions))
    return task


def make_node(path: Path, major: int, minor: int) -> Path:
    """Makes a character device whose mode lets everybody open it."""
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(major, minor))
    path.chmod(0o666)
    return path
