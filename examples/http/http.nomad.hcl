# A web server in the sandbox: what run.sh shows without Nomad.
# The client needs unveil_by_task = true in the plugin's configuration (../exec2.hcl).
#
# It prints:
#   Serving HTTP on 127.0.0.1 port * (http://127.0.0.1:*/) ...
#
#   Keyboard interrupt received, exiting.
# It exits with 0.

job "http" {
  group "web" {
    network {
      mode = "host"
      port "http" {}
    }

    task "server" {
      driver = "exec2"

      config {
        command = "python3"
        args = [
          "-m", "http.server", "${NOMAD_PORT_http}",
          "--bind", "127.0.0.1",
          "--directory", "${NOMAD_TASK_DIR}",
        ]

        # Python's server reads the types of files there, and nothing of it is unveiled by default.
        unveil = ["r:/etc/mime.types"]
      }

      # Otherwise Python keeps its lines back when stdout is a pipe, as it is here.
      env {
        PYTHONUNBUFFERED = "1"
      }

      template {
        destination = "local/index.html"
        data        = "<h1>Hello from the sandbox</h1>\n"
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
