# A service that ends in good order: kill_signal is the signal that it understands as "finish", and
# kill_timeout the time it gets for that. Only a task that takes longer is killed.
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

      # The driver's own default is SIGINT.
      kill_signal  = "SIGTERM"
      kill_timeout = "20s"

      config {
        command = "/bin/sh"
        args    = ["${NOMAD_TASK_DIR}/worker.sh"]

        # When the host runs out of memory, this task is to go before others.
        oom_score_adj = 500

        # Soft and hard limit of open files.
        ulimit = { nofile = "256:4096" }
      }

      template {
        destination = "local/worker.sh"
        data        = <<-EOT
          finish() {
              echo "asked to finish"
              # What is under way is brought to its end here.
              sleep 0.2
              echo "finished"
              exit 0
          }
          trap finish TERM
          echo "serving, with up to $(ulimit -n) open files"
          while :; do
              # A signal interrupts wait at once, and sleep alone only at its end.
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
