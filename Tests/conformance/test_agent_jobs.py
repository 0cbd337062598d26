"""The tests' own reader of job files: it reads HCL, and refuses what it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import jobs

HEAD = "# It prints:\n#   one line\n#\n#   and *\n# It exits with 3.\n"
JOB = """
job "j" {
  type = "batch"
  group "g" {
    task "t" {
      driver = "exec2"
      config {
        command = "a\\tb"
        args = ["${NOMAD_TASK_DIR}/x", <<-EOT
          first \\n
            second
        EOT
        ]
      }
      %s
    }
  }
}
"""


def job_file(directory: Path, block: str = "", head: str = HEAD) -> Path:
    path = directory / "j.nomad.hcl"
    path.write_text(head + JOB % block)
    return path


def test_texts_and_expectations(tmp_path: Path) -> None:
    [job] = jobs.tasks(job_file(tmp_path))
    assert job.config["command"] == "a\tb"
    assert job.config["args"] == ["${NOMAD_TASK_DIR}/x", "first \\n\n  second\n"]
    assert (job.prints, job.exits_with, job.job_type) == (["one line", "", "and *"], 3, "batch")
    assert jobs.interpolated(job.config["args"][0], {"NOMAD_TASK_DIR": "/t"}.__getitem__) == "/t/x"
    nothing: dict[str, str] = {}
    with pytest.raises(KeyError):
        jobs.interpolated("${NO_SUCH}", nothing.__getitem__)
    with pytest.raises(AssertionError):
        jobs.interpolated("${attr.kernel.name}", nothing.__getitem__)


@pytest.mark.parametrize("block", ['lifecycle { hook = "prestart" }', 'kill_timeout = "soon"',
                                   'template {\n destination = "local/x"\n data = ""\n change_signal = "SIGHUP"\n }'])
def test_what_is_not_known_is_refused(tmp_path: Path, block: str) -> None:
    with pytest.raises(AssertionError):
        jobs.tasks(job_file(tmp_path, block))


def test_several_tasks(tmp_path: Path) -> None:
    text = ('# Task first prints nothing.\n# It exits with 0.\n#\n# To "PING" at port db it answers "+PONG".\n# Task second prints:\n'
            '#   up\n# It exits with 1.\njob "j" {\n  group "g" {\n'
            '    task "first" {\n driver = "exec2"\n lifecycle { hook = "prestart" }\n config {}\n }\n'
            '    task "second" {\n driver = "exec2"\n config {}\n }\n  }\n}\n')
    path = tmp_path / "j.nomad.hcl"
    path.write_text(text)
    first, second = jobs.tasks(path)
    assert (first.hook, first.prints, first.exits_with, first.answers) == ("prestart", [], 0, [])
    assert (second.hook, second.prints, second.exits_with) == (None, ["up"], 1)
    assert second.answers == [("PING", "db", "+PONG")]
    for wrong in (text.replace("Task second", "Task third"), text.replace('at port db it', 'it'), text.replace("lifecycle { hook = \"prestart\" }", "")):
        path.write_text(wrong)
        with pytest.raises(AssertionError):
            jobs.tasks(path)


def test_a_job_that_does_not_say_how_it_goes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        jobs.tasks(job_file(tmp_path, head=""))


def test_templates(tmp_path: Path) -> None:
    template = jobs.Template("local/x", 'a {{ env "B" }}', 0o644, None)
    assert template.rendered({"B": "c"}) == "a c"
    with pytest.raises(AssertionError):
        jobs.Template("local/x", '{{ key "B" }}', 0o644, None).rendered({})


def test_what_is_no_hcl(tmp_path: Path) -> None:
    (tmp_path / "x.hcl").write_text("job {")
    with pytest.raises(ValueError, match="not HCL"):
        jobs.read(tmp_path / "x.hcl")
