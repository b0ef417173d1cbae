// What a servlet container (Tomcat) tells a servlet. Usage: java -cp ... Echo.java PORT FOLDER
import jakarta.servlet.http.Cookie;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.StringJoiner;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;

public class Echo {
  static String quoted(String value) {
    if (value == null) return "\"\"";
    return '"' + value.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
  }

  static String object(Map<String, String> values) {
    StringJoiner joined = new StringJoiner(",", "{", "}");
    values.forEach((name, value) -> joined.add(quoted(name) + ":" + value));
    return joined.toString();
  }

  static class Teller extends HttpServlet {
    private final String handler;

    Teller(String handler) { this.handler = handler; }

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
      Map<String, String> seen = new LinkedHashMap<>();
      for (String name : Collections.list(request.getHeaderNames())) {
        seen.put(name, quoted(String.join(",", Collections.list(request.getHeaders(name)))));
      }
      Map<String, String> cookies = new LinkedHashMap<>();
      Cookie[] sent = request.getCookies();
      for (Cookie cookie : sent == null ? new Cookie[0] : sent) {
        cookies.putIfAbsent(cookie.getName(), quoted(cookie.getValue()));
      }
      String path = request.getPathInfo();
      Map<String, String> told = new LinkedHashMap<>();
      told.put("handler", quoted(handler));
      told.put("method", quoted(request.getMethod()));
      told.put("path", quoted(request.getServletPath() + (path == null ? "" : path)));
      told.put("host", quoted(request.getServerName()));
      told.put("scheme", quoted(request.getScheme()));
      told.put("client", quoted(request.getRemoteAddr()));
      told.put("seen", object(seen));
      told.put("cookies", object(cookies));
      response.setContentType("application/json");
      response.getOutputStream().print(object(told));
    }
  }

  public static void main(String[] arguments) throws Exception {
    Tomcat tomcat = new Tomcat();
    tomcat.setBaseDir(arguments[1]);
    tomcat.setHostname("127.0.0.1");
    tomcat.setPort(Integer.parseInt(arguments[0]));
    tomcat.getConnector().setProperty("address", "127.0.0.1");
    Context context = tomcat.addContext("", arguments[1]);
    Tomcat.addServlet(context, "admin", new Teller("admin"));
    Tomcat.addServlet(context, "other", new Teller("other"));
    context.addServletMappingDecoded("/assets2/@admin/*", "admin");
    context.addServletMappingDecoded("/*", "other");
    tomcat.start();
    tomcat.getServer().await();
  }
}
