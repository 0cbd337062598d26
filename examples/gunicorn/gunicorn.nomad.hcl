# A Python service under gunicorn (Debian's package gunicorn), which loads new code without losing a request.
# Its master process starts new workers on SIGHUP and lets the old ones finish what they are at. A worker that gets the
# signal itself dies of it, so signals go to the master alone.
#
# To "GET / HTTP/1.0" at port http it answers "Hello from the sandbox".
#
# It prints:
#   a worker has loaded the code
#   a worker has loaded the code
# It exits with 0.

job "gunicorn" {
  type = "service"

  group "web" {
    network {
      mode = "host"
      port "http" {}
    }

    task "server" {
      driver      = "exec2"
      kill_signal = "SIGTERM"

      config {
        command = "gunicorn"
        args    = ["--bind", "127.0.0.1:${NOMAD_PORT_http}", "--workers", "1", "application:application"]
        # gunicorn imports the application from here.
        work_dir = "local"
        # Otherwise a signal goes to every process of the group, as most shells send Ctrl-C.
        signal_to = "process"
      }

      env {
        GREETING = "Hello from the sandbox"
      }

      template {
        destination   = "local/application.py"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        data          = <<-EOT
          print("a worker has loaded the code", flush=True)

          def application(environ, start_response):
              start_response("200 OK", [("Content-Type", "text/plain")])
              return [b"{{ env "GREETING" }}\n"]
        EOT
      }

      resources {
        cpu    = 200
        memory = 128
      }
    }
  }
}
