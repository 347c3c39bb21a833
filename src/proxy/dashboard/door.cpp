#include "proxy/dashboard/door.hpp"

#include <algorithm>
#include <utility>

#include "proxy/dashboard/files.hpp"
#include "proxy/front/route.hpp"

namespace trireme::proxy::dashboard {

namespace {

constexpr std::string_view html = "text/html; charset=utf-8";
constexpr std::string_view plain = "text/plain; charset=utf-8";

http::Headers safe_headers() {
  return {
      {"Content-Security-Policy",
       "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
       "form-action 'none'; frame-ancestors 'none'"},
      {"X-Content-Type-Options", "nosniff"},
      {"X-Frame-Options", "DENY"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Resource-Policy", "same-origin"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
      {"Cache-Control", "no-store"},
  };
}

/// A page of words; none of them come from outside.
std::string words_page(std::string_view title, std::string_view words) {
  return std::string(
             "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
             "<link rel=\"icon\" href=\"/dashboard/icon.svg\">\n"
             "<link rel=\"stylesheet\" href=\"/dashboard/style.css\">\n<title>Trireme: ")
      .append(title)
      .append("</title>\n<main class=\"words\">\n<h1>")
      .append(title)
      .append("</h1>\n")
      .append(words)
      .append("</main>\n</html>\n");
}

constexpr std::string_view how_to_enter =
    "<p>The address that <code>trireme run --dashboard</code> prints opens this page once; then a cookie of this "
    "browser does. "
    "For another browser, or after the cookie is gone, take the present address from the file "
    "<code>dashboard.url</code> in the run directory:</p>\n<pre>cat RUN/dashboard.url</pre>\n"
    "<p>Where your end of an ssh tunnel has another port, put that in place of the one in the address.</p>\n";

}  // namespace

const File* find_file(std::string_view path) {
  const auto all = files();
  const auto found = std::find_if(all.begin(), all.end(), [path](const File& file) { return file.path == path; });
  return found != all.end() ? &*found : nullptr;
}

Door::Door(http::Loop& loop, const RunInfo& run, DashboardOptions options)
    : run_(run),
      options_(std::move(options)),
      viewers_(
          loop, [this](std::size_t viewers, bool fresh) { options_.on_viewers(viewers, fresh); }, options_.stall) {}

void Door::handle(std::unique_ptr<http::Exchange> exchange) {
  const http::RequestHead& head = exchange->head();
  const Verdict verdict = judge(head, exchange->peer(), options_.keys, run_);
  if (verdict == Verdict::refused) return refuse(*exchange, verdict);
  if (head.method != "GET" && head.method != "HEAD") {
    http::Headers headers = safe_headers();
    headers.push_back({"Allow", "GET, HEAD"});
    return exchange->respond(405, plain, "this path is only for GET\n", std::move(headers));
  }
  if (verdict == Verdict::redeem) return redeem(*exchange);

  std::string_view path = path_of(head.target).substr(std::string_view("/dashboard").size());
  if (path.empty()) path = "/";
  const bool is_file = path != "/" && path != "/events";
  if (verdict != Verdict::open && !is_file) return refuse(*exchange, verdict);
  if (path == "/events") {
    if (viewers_.full()) {
      http::Headers headers = safe_headers();
      headers.push_back({"Retry-After", "10"});
      return exchange->respond(503, plain, "as many pages as there may be are open\n", std::move(headers));
    }
    if (head.method == "HEAD") return exchange->respond(200, "text/event-stream", {}, safe_headers());
    return viewers_.add(std::move(exchange), safe_headers());
  }
  const File* file = find_file(path);
  if (file == nullptr) return exchange->respond(404, plain, "there is nothing at this path\n", safe_headers());
  exchange->respond(200, std::string(file->type) + (file->type.starts_with("text/") ? "; charset=utf-8" : ""),
                    file->content, safe_headers());
}

void Door::redeem(http::Exchange& exchange) {
  // HEAD is what previews of links ask: it uses up nothing.
  http::Headers headers = safe_headers();
  headers.push_back({"Location", "/dashboard"});
  if (exchange.head().method == "GET") {
    headers.push_back({"Set-Cookie", set_cookie(options_.keys, run_)});
    options_.keys.once = options_.next_key();
  }
  exchange.respond(303, plain, "see /dashboard\n", std::move(headers));
}

void Door::refuse(http::Exchange& exchange, Verdict verdict) {
  if (verdict == Verdict::refused) {
    return exchange.respond(403, html,
                            words_page("Not from here",
                                       "<p>The dashboard is for the user of this run, at <code>127.0.0.1</code> or "
                                       "<code>localhost</code>, and not for pages of other sites.</p>\n"),
                            safe_headers());
  }
  const std::string_view title = verdict == Verdict::wrong_key ? "This address has been used" : "A key is needed";
  exchange.respond(403, html, words_page(title, how_to_enter), safe_headers());
}

}  // namespace trireme::proxy::dashboard
