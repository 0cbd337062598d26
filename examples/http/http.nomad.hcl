# A web server in the sandbox. run.sh shows the same without Nomad.
# The client needs unveil_by_task = true in the plugin's configuration (../exec2.hcl).
#
# To "GET / HTTP/1.0" at port http it answers "<h1>Hello from the sandbox</h1>".
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

        # Python's server reads the types of files there. It is not one of the default paths.
        unveil = ["r:/etc/mime.types"]
      }

      # Python buffers its output when stdout is a pipe, as here.
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
