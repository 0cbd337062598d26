# A service that reloads its configuration. When the template changes, Nomad renders the file and sends
# change_signal to the task's process group; the task continues.
#
# It prints:
#   greeting is hello from service exec2-reload
#   greeting is hello from service exec2-reload
# It exits with 143.

job "reload" {
  type = "service"

  group "server" {
    task "server" {
      driver      = "exec2"
      kill_signal = "SIGTERM"

      config {
        command = "/bin/bash"
        args    = ["-c", <<-EOT
          load() { . "$NOMAD_TASK_DIR/settings"; echo "greeting is $GREETING"; }
          trap load HUP
          load
          while :; do sleep infinity & wait; done
        EOT
        ]
      }

      env {
        SERVICE = "exec2-reload"
      }

      template {
        destination   = "local/settings"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        data          = <<-EOT
          GREETING="hello from service {{ env "SERVICE" }}"
        EOT
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
