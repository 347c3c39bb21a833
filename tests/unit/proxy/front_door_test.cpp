// Clients of the two APIs at real proxies with real servers behind them.
#include "proxy/front/front_door.hpp"

#include <nlohmann/json.hpp>

#include "backend.hpp"
#include "client.hpp"
#include "cluster.hpp"
#include "proxy/front/catalog.hpp"
#include "support.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;
using nlohmann::json;

namespace {

ServiceEndpoint service_with(std::uint32_t index, std::string name, ServiceApi api, std::vector<Model> models,
                             std::uint16_t port, Rank rank = 0) {
  ServiceEndpoint endpoint;
  endpoint.index = {index};
  endpoint.name = std::move(name);
  endpoint.api = api;
  endpoint.models = std::move(models);
  ReplicaEndpoint replica = replica_at(0, rank, port);
  replica.id.service = {index};
  endpoint.replicas = {replica};
  return endpoint;
}

Answer post(const std::string& url, std::string body, std::vector<std::string> headers = {}) {
  headers.emplace_back("Content-Type: application/json");
  return ask(url, {.method = "POST", .headers = std::move(headers), .body = std::move(body)});
}

EndpointTable table_of(std::vector<ServiceEndpoint> services) {
  EndpointTable table;
  table.apply({.number = 1, .changed = std::move(services)});
  return table;
}

}  // namespace

TEST_CASE("front door: the model in the body says which service, on this node and on another") {
  Backend gpt("gpt");
  Backend llama("llama");
  Cluster cluster(2);
  cluster.publish({service_with(0, "gpt", ServiceApi::openai, {{"gpt-4", ""}}, gpt.port(), 0),
                   service_with(1, "local", ServiceApi::ollama, {{"llama3:latest", ""}}, llama.port(), 1)});
  for (const Rank rank : {0, 1}) {
    Answer answer = post(cluster.url(rank, "/v1/chat/completions?x=1"), R"({"model":"gpt-4","messages":[]})");
    CHECK(answer.body.starts_with("gpt\nPOST /v1/chat/completions?x=1\n"));
    answer = post(cluster.url(rank, "/v1/rerank"), R"({"model":"llama3"})");
    CHECK(answer.body.starts_with("llama\nPOST /v1/rerank\n"));
    answer = post(cluster.url(rank, "/api/chat"), R"({"messages":[],"model":"llama3"})");
    CHECK(answer.body.starts_with("llama\nPOST /api/chat\n"));
    answer = post(cluster.url(rank, "/api/show"), R"({"name":"llama3:latest"})");
    CHECK(answer.body.starts_with("llama\nPOST /api/show\n"));
    // Only one service speaks Ollama's API, so a request that names no model is for it.
    CHECK(ask(cluster.url(rank, "/api/blobs/x")).body.starts_with("llama\nGET /api/blobs/x\n"));
  }
}

TEST_CASE("front door: a body comes through unchanged, in one piece or in many, but for a mapped name") {
  Backend backend;
  Cluster cluster(2);
  cluster.publish(
      {service_with(0, "gpt", ServiceApi::openai, {{"small", ""}, {"big \"one\"", "big-2026\\x"}}, backend.port())});
  const std::string filler(700'000, 'x');
  for (const Rank rank : {0, 1}) {
    for (const std::string& text : {std::string("short"), filler}) {
      const std::string plain = R"({ "messages": ")" + text + R"(" , "model":"small", "z":1e0 } )";
      CHECK(post(cluster.url(rank, "/v1/echo"), plain).body == plain);
      const std::string mapped = R"({ "messages": ")" + text + R"(" , "model":"big \u0022one\"", "z":1e0 } )";
      const std::string expected = R"({ "messages": ")" + text + R"(" , "model":"big-2026\\x", "z":1e0 } )";
      CHECK(post(cluster.url(rank, "/v1/echo"), mapped).body == expected);
      Asked pieces{.method = "POST", .headers = {"Content-Type: application/json"}};
      pieces.upload = [&, at = std::size_t{0}](std::size_t room) mutable {
        const std::string piece = mapped.substr(std::min(at, mapped.size()), std::min<std::size_t>(room, 5000));
        at += piece.size();
        return piece;
      };
      CHECK(ask(cluster.url(rank, "/v1/echo"), pieces).body == expected);
    }
    // A service by its own path sees the client's bytes.
    const std::string mapped = R"({"model":"big \"one\""})";
    CHECK(post(cluster.url(rank, "/services/gpt/v1/echo"), mapped).body == mapped);
  }
}

TEST_CASE("front door: a held body larger than what is kept for retries survives a refusal and a dead replica") {
  Backend backend;
  Cluster cluster(2);
  ServiceEndpoint endpoint = service_with(0, "gpt", ServiceApi::openai, {{"m", ""}}, closed_port(), 1);
  ReplicaEndpoint second = replica_at(1, 1, backend.port());
  endpoint.replicas.push_back(second);
  endpoint.retry = RetryKind::always;
  cluster.publish({endpoint});
  const std::string body = R"({"model":"m","x":")" + std::string(3'000'000, 'x') + R"("})";
  for (int i = 0; i < 4; ++i) CHECK(post(cluster.url(0, "/v1/echo"), body).body == body);
}

TEST_CASE("front door: a form's field `model` says which service, before its file and behind it") {
  Backend ears("ears");
  Backend other("other");
  Cluster cluster(2);
  cluster.publish(
      {service_with(0, "ears", ServiceApi::openai, {{"whisper-1", ""}, {"big", "bigger-ears"}}, ears.port()),
       service_with(1, "other", ServiceApi::openai, {{"gpt", ""}}, other.port(), 1)});
  const std::string head = "--xy\r\nContent-Disposition: form-data; name=";
  const auto form = [&](const std::string& model, std::size_t size, bool first) {
    const std::string file = head + "\"file\"; filename=\"a\"\r\n\r\n" + std::string(size, 'a') + "\r\n";
    const std::string field = model.empty() ? "" : head + "\"model\"\r\n\r\n" + model + "\r\n";
    return (first ? field + file : file + field) + "--xy--\r\n";
  };
  const auto ask_with = [&](Rank rank, const char* path, const std::string& body) {
    return ask(
        cluster.url(rank, path),
        {.method = "POST", .headers = {"Content-Type: multipart/form-data; boundary=xy", "Expect:"}, .body = body});
  };
  for (const Rank rank : {0, 1}) {
    for (const std::size_t size : {10u, 3'000'000u}) {
      for (const bool first : {true, false}) {
        CAPTURE(rank);
        CAPTURE(size);
        CAPTURE(first);
        CHECK(ask_with(rank, "/v1/audio/transcriptions", form("whisper-1", size, first)).body.starts_with("ears\n"));
        CHECK(ask_with(rank, "/v1/audio/transcriptions", form("gpt", size, first)).body.starts_with("other\n"));
        CHECK((ask_with(rank, "/v1/echo", form("big", size, first)).body == form("bigger-ears", size, first)));
      }
      CHECK(ask_with(rank, "/v1/audio/transcriptions", form("nobody", size, true)).status == 404);
      const Answer unnamed = ask_with(rank, "/v1/audio/transcriptions", form("", size, true));
      CHECK(unnamed.status == 400);
      CHECK_MESSAGE(unnamed.body.find("a form names it in a field `model`") != std::string::npos, unnamed.body);
    }
  }
  CHECK(ask_with(0, "/v1/echo", "--xy\r\n").status == 400);
  CHECK(ask_with(0, "/v1/echo", "--xyz").status == 400);

  // One that is longer than what is held goes on, if its model is in what is.
  const std::size_t more = defaults::max_request_held + 1'000'000;
  CHECK((ask_with(0, "/v1/echo", form("big", more, true)).body == form("bigger-ears", more, true)));
  const Answer late = ask_with(0, "/v1/echo", form("big", more, false));
  CHECK(late.status == 413);
  CHECK_MESSAGE(late.body.find("send it before the file") != std::string::npos, late.body);

  // Where there is one service alone, forms are for it; what they call its models matters where it has names of its own.
  Cluster alone(1);
  const auto only = [&](std::vector<Model> models) {
    alone.publish({service_with(0, "ears", ServiceApi::openai, std::move(models), ears.port())});
  };
  const std::string unnamed = form("", 10, true);
  const std::string named = form("big", 10, true);
  const auto ask_alone = [&](const std::string& body) {
    return ask(alone.url(0, "/v1/echo"),
               {.method = "POST", .headers = {"Content-Type: multipart/form-data; boundary=xy"}, .body = body})
        .body;
  };
  only({{"other", ""}});
  CHECK(ask_alone(unnamed) == unnamed);
  CHECK(ask_alone(named) == named);
  only({{"big", "bigger-ears"}});
  CHECK(ask_alone(unnamed) == unnamed);
  CHECK(ask_alone(named) == form("bigger-ears", 10, true));
}

TEST_CASE("front door: a body that is looked at for its prompt keeps its length, whatever it is") {
  Backend backend;
  Cluster cluster(2);
  ServiceEndpoint endpoint = service_with(0, "llama", ServiceApi::openai, {}, backend.port());
  endpoint.policy = PolicyKind::prefix;
  cluster.publish({endpoint});
  for (const Rank rank : {0, 1}) {
    for (const int more : {-100'000, -1, 0, 1, 10, 100'000, 300'000}) {
      CAPTURE(rank);
      CAPTURE(more);
      const std::string body = R"({"prompt":")" + std::string(defaults::replay_limit - 13 + more, 'x') + R"("})";
      CHECK((post(cluster.url(rank, "/services/llama/echo"), body, {"Expect:"}).body == body));
    }
  }
}

TEST_CASE("front door: the lists hold every model, in each API's shape") {
  Backend backend;
  Cluster cluster(1);
  cluster.publish({service_with(0, "gpt", ServiceApi::openai, {{"org/gpt-4", "x"}}, backend.port()),
                   service_with(1, "local", ServiceApi::ollama, {{"llama3", ""}}, backend.port()),
                   service_with(2, "web", ServiceApi::http, {}, backend.port())});
  const json models = json::parse(ask(cluster.url(0, "/v1/models")).body);
  CHECK(models["object"] == "list");
  REQUIRE(models["data"].size() == 2);
  CHECK(models["data"][0]["id"] == "org/gpt-4");
  CHECK(models["data"][0]["object"] == "model");
  CHECK(json::parse(ask(cluster.url(0, "/v1/models/org/gpt-4")).body)["id"] == "org/gpt-4");
  CHECK(json::parse(ask(cluster.url(0, "/v1/models/org%2Fgpt-4")).body)["id"] == "org/gpt-4");
  CHECK(ask(cluster.url(0, "/v1/models/none")).status == 404);
  for (const auto* path : {"/api/tags", "/api/ps"}) {
    const json tags = json::parse(ask(cluster.url(0, path)).body);
    REQUIRE(tags["models"].size() == 1);
    CHECK(tags["models"][0]["name"] == "llama3");
  }
  CHECK(json::parse(ask(cluster.url(0, "/api/version")).body)["version"].is_string());
  CHECK(ask(cluster.url(0, "/"), {.method = "HEAD"}).status == 200);
  CHECK(post(cluster.url(0, "/api/tags"), "{}").status == 405);
}

TEST_CASE("front door: refusals have the API's own shape, whatever the reason") {
  Backend backend;
  Cluster cluster(1, {.socket = {}, .identify = [](int) { return http::Peer::unknown; }});
  const std::vector<std::string> token{"Authorization: Bearer inference-token"};
  ServiceEndpoint gpt = service_with(0, "gpt", ServiceApi::openai, {{"gpt-4", ""}}, backend.port());
  ServiceEndpoint local = service_with(1, "local", ServiceApi::ollama, {{"llama3", ""}}, closed_port());
  ServiceEndpoint dead = service_with(2, "gone", ServiceApi::openai, {{"gone", ""}}, 0);
  dead.replicas.clear();
  dead.dead = true;
  cluster.publish({gpt, local, dead});

  const auto openai = [&](int status, const std::string& body, std::vector<std::string> headers) {
    const Answer answer = post(cluster.url(0, "/v1/chat/completions"), body, std::move(headers));
    CHECK(answer.status == status);
    json error = json::parse(answer.body)["error"];
    CHECK(error["message"].is_string());
    CHECK(error["type"].is_string());
    CHECK(error.contains("param"));
    CHECK(error.contains("code"));
    return error;
  };
  const auto ollama = [&](int status, const std::string& body, std::vector<std::string> headers) {
    const Answer answer = post(cluster.url(0, "/api/chat"), body, std::move(headers));
    CHECK(answer.status == status);
    const json error = json::parse(answer.body);
    REQUIRE(error["error"].is_string());
    return error["error"].get<std::string>();
  };
  CHECK(openai(401, "{}", {})["code"] == "invalid_api_key");
  ollama(401, "{}", {});
  const json unknown = openai(404, R"({"model":"gpt-5"})", token);
  CHECK(unknown["code"] == "model_not_found");
  CHECK(unknown["param"] == "model");
  CHECK(unknown["message"] == "model 'gpt-5' not found; there are: gpt-4, llama3, gone");
  CHECK(ollama(404, R"({"model":"x"})", token) == "model 'x' not found; there are: llama3");
  CHECK(ollama(404, R"({"model":"gpt-4"})", token).find("/v1") != std::string::npos);
  CHECK(openai(400, R"({"messages":[]})", token)["code"] == "model_missing");
  openai(400, R"({"model":"gpt-4","model":"x"})", token);
  openai(400, "not json", token);
  openai(400, "", token);
  ollama(400, "{", token);
  openai(415, "xx", {token[0], "Content-Encoding: gzip"});
  openai(503, R"({"model":"gone"})", token);
  openai(400, R"({"model":"gpt-4"})", {token[0], "X-Trireme-Priority: urgent"});
  CHECK_FALSE(ollama(502, R"({"model":"llama3"})", token).empty());

  Asked large{.method = "POST", .headers = {token[0], "Content-Type: application/json"}};
  large.upload = [sent = std::size_t{0}](std::size_t room) mutable {
    if (sent > (40u << 20)) return std::string();
    sent += room;
    return std::string(room, ' ');
  };
  const Answer too_large = ask(cluster.url(0, "/v1/chat/completions"), large);
  CHECK((too_large.status == 413 || too_large.status == 0));  // the client may not read before it has sent
  Socket announced(cluster.port(0));
  announced.write("POST /v1/embeddings HTTP/1.1\r\nHost: x\r\n" + token[0] + "\r\nContent-Length: 99999999\r\n\r\n");
  CHECK(announced.read_until("}}").starts_with("HTTP/1.1 413 "));
}

TEST_CASE("front door: a client that leaves, or is slow beyond its deadline, holds nothing") {
  Backend backend;
  Cluster cluster(1);
  cluster.publish({service_with(0, "gpt", ServiceApi::openai, {{"m", ""}}, backend.port())});
  {
    Socket leaves(cluster.port(0));
    leaves.write("POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"model\"");
  }
  Socket slow(cluster.port(0));
  slow.write("POST /v1/echo HTTP/1.1\r\nHost: x\r\nX-Trireme-Deadline: 0.05\r\nContent-Length: 1000\r\n\r\n{\"model\"");
  CHECK(slow.read_until("}}").starts_with("HTTP/1.1 408 "));
  CHECK(post(cluster.url(0, "/v1/echo"), R"({"model":"m"})").status == 200);
}

TEST_CASE("catalog: a model whose service is over may be another's") {
  ServiceEndpoint gone = service_with(0, "gone", ServiceApi::openai, {{"m", ""}}, 1);
  gone.dead = true;
  gone.replicas.clear();
  Catalog catalog;
  catalog.apply(table_of({gone}));
  CHECK(catalog.find(Dialect::openai, "m")->dead);
  CHECK(catalog.only_service(Dialect::openai) == ServiceIndex{0});
  catalog.apply(table_of({gone, service_with(1, "next", ServiceApi::openai, {{"m", ""}}, 2)}));
  REQUIRE(catalog.find(Dialect::openai, "m") != nullptr);
  CHECK(catalog.find(Dialect::openai, "m")->service == ServiceIndex{1});
  CHECK(catalog.only_service(Dialect::openai) == ServiceIndex{1});
}

TEST_CASE("catalog: Ollama's default tag, first come first served, and no model of what is no model server") {
  Catalog catalog;
  catalog.apply(table_of({service_with(0, "a", ServiceApi::ollama, {{"llama3", ""}, {"phi:latest", ""}}, 1),
                          service_with(1, "b", ServiceApi::openai, {{"gpt", ""}, {"llama3", ""}}, 1),
                          service_with(2, "c", ServiceApi::http, {{"web", ""}}, 1)}));
  const auto service = [&](Dialect dialect, std::string_view name) {
    const Catalog::Entry* entry = catalog.find(dialect, name);
    return entry == nullptr ? -1 : static_cast<int>(entry->service.value);
  };
  for (const Dialect dialect : {Dialect::openai, Dialect::ollama}) {
    for (const auto* name : {"llama3", "llama3:latest", "phi", "phi:latest"}) CHECK(service(dialect, name) == 0);
    for (const auto* name : {"", "llama3:8b", "web", ":latest"}) CHECK(service(dialect, name) == -1);
  }
  CHECK(service(Dialect::openai, "gpt") == 1);
  CHECK(service(Dialect::openai, "gpt:latest") == -1);
  CHECK(service(Dialect::ollama, "gpt") == -1);
  CHECK_FALSE(catalog.only_service(Dialect::openai).has_value());
  CHECK(catalog.only_service(Dialect::ollama) == ServiceIndex{0});
}

TEST_CASE("refusals are JSON whatever they quote") {
  const json body = json::parse(error_body(Dialect::openai, 429, "\"quoted\" \xff"));
  CHECK(body["error"]["type"] == "rate_limit_error");
  CHECK(body["error"]["code"] == "rate_limit_exceeded");
  CHECK(body["error"]["message"].get<std::string>().starts_with("\"quoted\""));
  CHECK(json::parse(error_body(Dialect::ollama, 500, "\"quoted\""))["error"] == "\"quoted\"");
}
