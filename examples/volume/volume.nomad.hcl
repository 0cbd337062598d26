# A volume of the host: what is in it stays when the job is gone. The client has to offer it, with
# host_volume "counters" { path = "/srv/counters" } in its client block, and the task's user must be able to
# write there: here that is everybody, since without a user the task has a uid that nobody else has.
#
# It prints:
#   this volume was counted up to 1
# It exits with 0.

job "volume" {
  type = "batch"

  group "count" {
    volume "counters" {
      type      = "host"
      source    = "counters"
      read_only = false
    }

    task "count" {
      driver = "exec2"

      volume_mount {
        volume      = "counters"
        destination = "${NOMAD_TASK_DIR}/counters"
      }

      config {
        command = "sh"
        args    = ["-c", "echo x >>visits; echo this volume was counted up to $(wc -l <visits)"]

        # The volume is unveiled by being mounted; a work_dir is not.
        work_dir = "local/counters"
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
