# A batch job: a script of the job reads a file of its own and ends. It needs no rule, since a task reaches its own
# directories and the host's programs.
#
# It prints:
#   3 lines, 13 words
#   the result is in /alloc/data/result
# It exits with 0.

job "count" {
  type = "batch"

  group "count" {
    # Nomad retries a failed task twice on this client, and does not reschedule it to another.
    restart {
      attempts = 2
      interval = "10m"
      delay    = "15s"
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    task "count" {
      driver = "exec2"

      config {
        command = "${NOMAD_TASK_DIR}/count.sh"
        args    = ["${NOMAD_TASK_DIR}/poem.txt"]
      }

      template {
        destination = "local/count.sh"
        perms       = "755"
        data        = <<-EOT
          #!/bin/sh
          set -eu
          wc -l -w <"$1" | { read -r lines words; echo "$lines lines, $words words"; } >"$NOMAD_ALLOC_DIR/data/result"
          cat "$NOMAD_ALLOC_DIR/data/result"
          echo "the result is in /alloc/data/result"
        EOT
      }

      template {
        destination = "local/poem.txt"
        data        = <<-EOT
          A task is run,
          its work is done,
          and nothing of it stays.
        EOT
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
