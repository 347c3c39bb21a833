#include "proxy/front/front_door.hpp"

#include <array>
#include <charconv>
#include <random>
#include <utility>

#include "core/defaults.hpp"
#include "proxy/endpoints_json.hpp"
#include "proxy/policies/hash64.hpp"
#include "proxy/policies/prefix_hashes.hpp"

namespace trireme::proxy {

namespace {

constexpr std::string_view json_type = "application/json";

/// Random, so that no other rank's are the same.
std::string request_id_beginning() {
  std::random_device device;
  std::string text;
  for (int digit = 0; digit < 16; ++digit) text += "0123456789abcdef"[device() & 0xf];
  return text + "-";
}

bool is_encoded(const http::Headers& headers) {
  const auto encoding = http::find(headers, "Content-Encoding");
  return encoding && !http::iequals(*encoding, "identity");
}

bool is_multipart(const http::Headers& headers) {
  constexpr std::string_view beginning = "multipart/";
  return http::iequals(http::find(headers, "Content-Type").value_or("").substr(0, beginning.size()), beginning);
}

/// The policy needs to see the body of a request to a service by its path, and may find something there.
bool wants_body(PolicyKind policy, const http::RequestHead& head) {
  const Needs needs = needs_of(policy);
  if (needs == Needs::nothing || head.body.kind == http::Body::Kind::none || is_encoded(head.headers)) return false;
  if (needs == Needs::session && http::find(head.headers, "X-Session-Id")) return false;
  return http::find(head.headers, "Content-Type").value_or("").starts_with(json_type);
}

const std::string& model_of(const BodyScan& scan, Dialect dialect) {
  return scan.model().empty() && dialect == Dialect::ollama ? scan.name() : scan.model();
}

Affinity affinity_of(Needs needs, const http::Headers& headers, const BodyScan& scan, std::string_view body) {
  Affinity affinity;
  if (needs == Needs::session) {
    const std::string_view session = http::find(headers, "X-Session-Id").value_or(scan.user());
    if (!session.empty()) affinity.session = hash64(session, 0);
  } else {
    std::array<std::string_view, BodyScan::max_texts> texts;
    std::size_t count = 0;
    for (const BodyScan::Place& place : scan.text()) texts[count++] = body.substr(place.begin, place.size);
    affinity.prefix = prefix_hashes(std::span(texts).first(count));
  }
  return affinity;
}

}  // namespace

FrontDoor::FrontDoor(http::Loop& loop, const RunInfo& run, FrontHost& host)
    : loop_(loop), run_(run), host_(host), request_id_beginning_(request_id_beginning()) {}

void FrontDoor::handle(std::unique_ptr<http::Exchange> exchange) {
  const http::RequestHead& head = exchange->head();
  Arrival arrival{.route = route_of(head.target), .wishes = {}, .at = mono_now()};
  const Route& route = arrival.route;
  if (route.kind == Route::Kind::dashboard && host_.open_dashboard(exchange)) return;
  if (const auto denial = deny(head, exchange->peer(), route.control, run_)) {
    http::Headers headers;
    if (denial->status == 401) headers.push_back({"WWW-Authenticate", "Bearer"});
    return refuse(*exchange, route.dialect, denial->status, denial->what, {}, std::move(headers));
  }
  if (route.kind == Route::Kind::unknown) {
    return refuse(*exchange, route.dialect, 404,
                  "there is nothing at this path; models are under /v1 and /api, services at /services/NAME/");
  }
  if (route.kind == Route::Kind::dashboard) {
    return refuse(*exchange, route.dialect, 404,
                  "there is no dashboard here: rank 0 serves it if the run is started with --dashboard");
  }
  if (route.kind == Route::Kind::runtime) return host_.ask_pilot(std::move(exchange));
  if (route.kind != Route::Kind::service && route.kind != Route::Kind::by_model) return answer_here(*exchange, route);

  auto wishes = wishes_of(head.headers);
  if (!wishes) return refuse(*exchange, route.dialect, 400, wishes.error().what);
  arrival.wishes = *std::move(wishes);
  if (route.kind == Route::Kind::service) return by_service(std::move(exchange), arrival);
  by_model(std::move(exchange), arrival);
}

void FrontDoor::answer_here(http::Exchange& exchange, const Route& route) {
  const std::string& method = exchange.head().method;
  if (method != "GET" && method != "HEAD") {
    return refuse(exchange, route.dialect, 405, "this path is only for GET", {}, {{"Allow", "GET, HEAD"}});
  }
  switch (route.kind) {
    case Route::Kind::openai_models:
      return exchange.respond(200, json_type, catalog_.openai_list());
    case Route::Kind::openai_model: {
      const std::string name = percent_decoded(route.name);
      const Catalog::Entry* entry = catalog_.find(route.dialect, name);
      if (entry != nullptr) return exchange.respond(200, json_type, catalog_.openai_model(*entry));
      return refuse(exchange, route.dialect, 404, catalog_.no_such_model(route.dialect, name), "model_not_found");
    }
    case Route::Kind::ollama_tags:
      return exchange.respond(200, json_type, catalog_.ollama_tags());
    case Route::Kind::ollama_running:
      return exchange.respond(200, json_type, catalog_.ollama_running());
    case Route::Kind::ollama_version:
      return exchange.respond(200, json_type, "{\"version\":\"" TRIREME_VERSION "\"}\n");
    case Route::Kind::greeting:
      return exchange.respond(200, "text/plain; charset=utf-8", "Trireme is running\n");
    case Route::Kind::health:
      return exchange.respond(200, "text/plain; charset=utf-8", "ok\n");
    case Route::Kind::metrics:
      return exchange.respond(200, "text/plain; version=0.0.4; charset=utf-8", host_.metrics_text());
    default:
      return exchange.respond(200, json_type, endpoints_json(host_.table()));
  }
}

void FrontDoor::by_service(std::unique_ptr<http::Exchange> exchange, Arrival arrival) {
  const Service* service = host_.table().find(arrival.route.name);
  if (service == nullptr) {
    return refuse(*exchange, arrival.route.dialect, 404,
                  "there is no service " + std::string(arrival.route.name) + " in this run");
  }
  arrival.service = service->endpoint.index;
  scan_.reset();
  const http::RequestHead& head = exchange->head();
  if (wants_body(service->endpoint.policy, head)) {
    if (!exchange->body_complete()) return search(std::move(exchange), arrival, BodySearch::Manner::lenient);
    scan_.feed(exchange->body());
  }
  start(std::move(exchange), arrival, *service, scan_, std::nullopt, {}, {});
}

void FrontDoor::by_model(std::unique_ptr<http::Exchange> exchange, const Arrival& arrival) {
  const Dialect dialect = arrival.route.dialect;
  const http::RequestHead& head = exchange->head();
  const bool known = head.body.kind == http::Body::Kind::length;
  scan_.reset();
  // A form is looked at where it matters what is in it.
  const auto only = catalog_.only_service(dialect);
  const bool form = is_form(head.headers) && (!only || catalog_.renames(*only));
  const bool unseen = is_multipart(head.headers) && !form;
  if (head.body.kind == http::Body::Kind::none || (known && head.body.length == 0) || unseen) {
    return found(std::move(exchange), arrival, scan_, nullptr, {}, {});
  }
  if (is_encoded(head.headers)) {
    return refuse(*exchange, dialect, 415, "the body is encoded, so its model cannot be read; send it as plain JSON");
  }
  if (form) return by_form(std::move(exchange), arrival);
  if (known && head.body.length > defaults::max_request_held) {
    return refuse(*exchange, dialect, 413, BodySearch::too_long);
  }
  if (!exchange->body_complete()) return search(std::move(exchange), arrival, BodySearch::Manner::strict);
  if (scan_.feed(exchange->body()) == BodyScan::State::complete) {
    return found(std::move(exchange), arrival, scan_, nullptr, {}, {});
  }
  refuse(*exchange, dialect, 400, scan_.failure().empty() ? BodySearch::cut_short : scan_.failure());
}

void FrontDoor::by_form(std::unique_ptr<http::Exchange> exchange, const Arrival& arrival) {
  const Dialect dialect = arrival.route.dialect;
  const auto boundary = boundary_of(exchange->head().headers);
  if (!boundary) return refuse(*exchange, dialect, 400, "the Content-Type of the form has no boundary");
  if (!exchange->body_complete()) return search(std::move(exchange), arrival, BodySearch::Manner::form);
  FormScan form(*boundary);
  if (form.look(exchange->body()) == BodyScan::State::complete) {
    return found(std::move(exchange), arrival, scan_, &form, {}, {});
  }
  refuse(*exchange, dialect, 400, form.failure().empty() ? BodySearch::form_cut_short : form.failure());
}

void FrontDoor::search(std::unique_ptr<http::Exchange> exchange, const Arrival& arrival, BodySearch::Manner manner) {
  auto search = std::make_unique<BodySearch>(loop_, std::move(exchange), manner, held_together_,
                                             arrival.wishes.deadline, static_cast<BodySearchOwner&>(*this));
  BodySearch& started = *search;
  searches_.emplace(&started, Search{std::move(search), arrival});
  started.start();
}

void FrontDoor::found(std::unique_ptr<http::Exchange> exchange, const Arrival& arrival, const BodyScan& scan,
                      const FormScan* form, std::string body, HeldBytes held) {
  const Dialect dialect = arrival.route.dialect;
  const EndpointTable& table = host_.table();
  const std::string& model = form != nullptr ? form->model() : model_of(scan, dialect);
  const Catalog::Entry* entry = catalog_.find(dialect, model);
  const Service* service = entry != nullptr ? table.find(entry->service) : nullptr;
  if (model.empty()) {
    if (const auto only = catalog_.only_service(dialect)) service = table.find(*only);
    if (service == nullptr) {
      std::string text = catalog_.model_missing(dialect);
      const bool cut = form != nullptr && form->state() != BodyScan::State::complete;
      if (form != nullptr) text += "; a form names it in a field `model`";
      if (cut) text += ", which was not in its first 32 MiB: send it before the file, or the form to /services/NAME/";
      return refuse(*exchange, dialect, cut ? 413 : 400, text, "model_missing");
    }
  } else if (service == nullptr) {
    return refuse(*exchange, dialect, 404, catalog_.no_such_model(dialect, model), "model_not_found");
  }
  std::optional<Rename> rename;
  if (entry != nullptr && !entry->model.upstream.empty() && entry->model.upstream != model) {
    const std::string& name = entry->model.upstream;
    rename = form != nullptr        ? Rename{form->model_place(), name}
             : scan.model().empty() ? Rename{scan.name_place(), escape(name)}
                                    : Rename{scan.model_place(), escape(name)};
  }
  start(std::move(exchange), arrival, *service, scan, rename, std::move(body), std::move(held));
}

void FrontDoor::start(std::unique_ptr<http::Exchange> exchange, const Arrival& arrival, const Service& service,
                      const BodyScan& scan, const std::optional<Rename>& rename, std::string body, HeldBytes held) {
  http::RequestHead& head = exchange->head();
  const auto given = request_id_of(head.headers);
  request_id_.clear();
  if (given) {
    request_id_ = *given;
  } else {
    append_request_id(request_id_);
  }
  const Demand demand{.service = service.endpoint.index,
                      .priority = arrival.wishes.priority,
                      .arrived = arrival.at,
                      .deadline = arrival.at + arrival.wishes.deadline.count()};
  Affinity affinity;
  if (const Needs needs = needs_of(service.endpoint.policy); needs != Needs::nothing) {
    affinity = affinity_of(needs, head.headers, scan, body.empty() ? exchange->body() : std::string_view(body));
  }
  const Dialect dialect = arrival.route.dialect;
  if (rename) {
    if (body.empty()) {
      body = exchange->body();
      exchange->take(body.size());
    }
    body.replace(rename->place.begin, rename->place.size, rename->text);
  }
  const bool ollama = dialect == Dialect::ollama ||
                      (service.endpoint.api == ServiceApi::ollama && arrival.route.target.starts_with("/api/"));
  std::string target = upstream_target(arrival.route);  // before the head goes, whose target it views
  http::RequestHead upstream = upstream_head(std::move(head), std::move(target), request_id_);
  if (!body.empty() && exchange->body_complete()) {
    upstream.body = {http::Body::Kind::length, body.size() + exchange->body().size()};
  } else if (rename && upstream.body.kind == http::Body::Kind::length) {
    upstream.body.length = upstream.body.length - rename->place.size + rename->text.size();
  }
  host_.start({.exchange = std::move(exchange),
               .head = std::move(upstream),
               .body = std::move(body),
               .held = std::move(held),
               .demand = demand,
               .dialect = ollama ? Dialect::ollama : Dialect::openai,
               .stream = scan.stream(),
               .affinity = std::move(affinity)});
}

void FrontDoor::refuse(http::Exchange& exchange, Dialect dialect, int status, std::string_view message,
                       std::string_view code, http::Headers headers) {
  ++refused_[status];
  exchange.respond(status, json_type, error_body(dialect, status, message, code), std::move(headers));
}

void FrontDoor::on_found(BodySearch& search) {
  const Arrival arrival = searches_.at(&search).arrival;
  if (arrival.service) {
    start(search.take_exchange(), arrival, *host_.table().find(*arrival.service), search.scan(), std::nullopt,
          search.take_body(), search.take_held());
  } else {
    found(search.take_exchange(), arrival, search.scan(), search.form(), search.take_body(), search.take_held());
  }
  bury(search);
}

void FrontDoor::on_refused(BodySearch& search, int status, std::string_view message) {
  http::Headers headers;
  if (status == 429) headers.push_back({"Retry-After", "1"});
  const auto exchange = search.take_exchange();
  refuse(*exchange, searches_.at(&search).arrival.route.dialect, status, message, {}, std::move(headers));
  bury(search);
}

void FrontDoor::on_gone(BodySearch& search) {
  bury(search);
}

void FrontDoor::bury(BodySearch& search) {
  const auto found = searches_.find(&search);
  loop_.bury(std::move(found->second.body));
  searches_.erase(found);
}

void FrontDoor::append_request_id(std::string& out) {
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), ++request_count_, 16).ptr;
  out.append(request_id_beginning_).append(std::string_view(digits.data(), end));
}

}  // namespace trireme::proxy
