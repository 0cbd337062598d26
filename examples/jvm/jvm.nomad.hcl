# A Java service (Debian's package openjdk-17-jre-headless), which sizes its heap by the task's memory and finishes what it
# is at when it is stopped.
#
# To "GET / HTTP/1.0" at port http it answers "Hello from the sandbox".
#
# It prints:
#   up
#   finished
# It exits with 143.

job "jvm" {
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
        command = "java"
        # Half of the task's memory for the heap, where the default is a quarter.
        args = ["-XX:MaxRAMPercentage=50", "local/Service.java", "${NOMAD_PORT_http}"]
      }

      template {
        destination = "local/Service.java"
        data        = <<-EOT
          import com.sun.net.httpserver.HttpServer;
          import java.net.InetSocketAddress;
          import java.util.concurrent.Executors;

          public class Service {
              public static void main(String[] words) throws Exception {
                  var address = new InetSocketAddress("127.0.0.1", Integer.parseInt(words[0]));
                  var server = HttpServer.create(address, 0);
                  server.createContext("/", exchange -> {
                      var body = "Hello from the sandbox\n".getBytes();
                      exchange.sendResponseHeaders(200, body.length);
                      exchange.getResponseBody().write(body);
                      exchange.close();
                  });
                  server.setExecutor(Executors.newFixedThreadPool(4));
                  Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                      server.stop(1);
                      System.out.println("finished");
                  }));
                  System.out.println("up");
                  server.start();
              }
          }
        EOT
      }

      resources {
        cpu    = 2000
        memory = 384
      }
    }
  }
}
