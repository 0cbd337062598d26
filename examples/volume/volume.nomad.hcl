# A host volume, whose contents outlive the job. The client needs
# host_volume "counters" { path = "/srv/counters" } in its client block. The task's user must be able to write
# there: make it writable for everybody, since a job without a user runs as a dynamic user.
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

        # Mounting a volume unveils it. Naming a work_dir does not unveil it.
        work_dir = "local/counters"
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
