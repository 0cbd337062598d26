# A service that shuts down cleanly. Nomad stops it with kill_signal, and it has kill_timeout to finish.
# After that it is killed.
#
# It prints:
#   serving, with up to 256 open files
#   asked to finish
#   finished
# It exits with 0.

job "service" {
  type = "service"

  group "worker" {
    task "worker" {
      driver = "exec2"

      # The driver's default is SIGINT.
      kill_signal  = "SIGTERM"
      kill_timeout = "20s"

      config {
        command = "/bin/sh"
        args    = ["${NOMAD_TASK_DIR}/worker.sh"]

        # When the host runs out of memory, the kernel kills this task before others.
        oom_score_adj = 500

        # The soft and the hard limit of open files.
        ulimit = { nofile = "256:4096" }
      }

      template {
        destination = "local/worker.sh"
        data        = <<-EOT
          finish() {
              echo "asked to finish"
              # Finish the work in progress here.
              sleep 0.2
              echo "finished"
              exit 0
          }
          trap finish TERM
          echo "serving, with up to $(ulimit -n) open files"
          while :; do
              # A signal interrupts wait at once. Without wait, the shell handles it after sleep.
              sleep 3600 &
              wait
          done
        EOT
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
