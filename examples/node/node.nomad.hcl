# A Node.js service (Debian's package nodejs), which ends when its last request is answered.
#
# To "GET / HTTP/1.0" at port http it answers "Hello from the sandbox".
#
# It prints:
#   up
#   finished
# It exits with 0.

job "node" {
  type = "service"

  group "web" {
    network {
      mode = "host"
      port "http" {}
    }

    task "server" {
      driver       = "exec2"
      kill_signal  = "SIGTERM"
      kill_timeout = "20s"

      config {
        command = "node"
        args    = ["local/server.js"]
      }

      template {
        destination = "local/server.js"
        data        = <<-EOT
          const server = require("http").createServer((request, response) => response.end("Hello from the sandbox\n"));
          process.on("SIGTERM", () => server.close(() => console.log("finished")));
          server.listen(process.env.NOMAD_PORT_http, "127.0.0.1", () => console.log("up"));
        EOT
      }

      resources {
        cpu    = 1000
        memory = 128
      }
    }
  }
}
