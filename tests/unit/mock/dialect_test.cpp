#include "services/mock/dialect.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "services/mock/text.hpp"

using namespace trireme::mock;
using nlohmann::json;

namespace {

const ModelOptions model{.names = {"small", "large"}};

Question ask(const char* path, const std::string& body) {
  auto question = dialect_at(path)->read(body, model);
  REQUIRE(question);
  return *question;
}

/// The objects of a stream of server-sent events; its last line must be [DONE].
std::vector<json> events(const std::string& stream) {
  std::vector<json> out;
  bool done = false;
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t end = stream.find("\n\n", at);
    REQUIRE(end != std::string::npos);
    const std::string line = stream.substr(at, end - at);
    REQUIRE(line.starts_with("data: "));
    CHECK_FALSE(done);
    done = line == "data: [DONE]";
    if (!done) out.push_back(json::parse(line.substr(6)));
    at = end + 2;
  }
  CHECK(done);
  return out;
}

std::string stream(const char* path, const Question& question) {
  std::string out;
  for (std::size_t i = 0; i < question.job.output_tokens; ++i) out += dialect_at(path)->token(question, i);
  return out + dialect_at(path)->ending(question);
}

}  // namespace

TEST_CASE("openai: a chat's stream says what its whole answer says") {
  const char* path = "/v1/chat/completions";
  const Question question =
      ask(path, R"({"model":"small","max_tokens":5,"stream":true,"stream_options":{"include_usage":true},
    "messages":[{"role":"user","content":[{"type":"text","text":"row, row"}]}]})");
  CHECK(question.stream);
  CHECK(question.job.output_tokens == 5);
  CHECK(question.job.prompt_tokens > 0);
  std::string text;
  const auto pieces = events(stream(path, question));
  for (const json& piece : pieces) {
    CHECK(piece["object"] == "chat.completion.chunk");
    for (const json& choice : piece["choices"]) text += choice["delta"].value("content", "");
  }
  CHECK(pieces.front()["choices"][0]["delta"]["role"] == "assistant");
  CHECK(pieces.back()["usage"]["completion_tokens"] == 5);
  const json whole = json::parse(dialect_at(path)->whole(question, model));
  CHECK(whole["choices"][0]["message"]["content"] == text);
  CHECK(whole["usage"]["total_tokens"] == question.job.prompt_tokens + 5);
}

TEST_CASE("openai: completions, embeddings, models") {
  const Question question = ask("/v1/completions", R"({"model":"small","prompt":"row"})");
  CHECK_FALSE(question.stream);
  CHECK(question.job.output_tokens == model.output_tokens);
  CHECK(json::parse(dialect_at("/v1/completions")->whole(question, model))["choices"][0]["text"] ==
        answer_text(question.seed, model.output_tokens));

  const Question inputs = ask("/v1/embeddings", R"({"model":"small","input":["one","two"]})");
  const json list = json::parse(dialect_at("/v1/embeddings")->whole(inputs, model));
  CHECK(list["data"].size() == 2);
  CHECK(list["data"][1]["embedding"].size() == model.embedding_size);
  CHECK(json::parse(openai_page("/v1/models", model))["data"][1]["id"] == "large");
}

TEST_CASE("ollama: lines of JSON, streamed unless refused") {
  const char* path = "/api/chat";
  const Question question =
      ask(path, R"({"model":"small","options":{"num_predict":3},"messages":[{"role":"user","content":"row"}]})");
  CHECK(question.stream);
  std::string text;
  const std::string lines = stream(path, question);
  json last;
  for (std::size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1) {
    last = json::parse(lines.substr(at, lines.find('\n', at) - at));
    text += last["message"]["content"];
  }
  CHECK(last["done"] == true);
  CHECK(last["eval_count"] == 3);
  CHECK(json::parse(dialect_at(path)->whole(question, model))["message"]["content"] == text);
  CHECK_FALSE(ask("/api/generate", R"({"model":"small","prompt":"row","stream":false})").stream);
  CHECK(json::parse(
            dialect_at("/api/embed")->whole(ask("/api/embed", R"({"model":"small","input":"a"})"), model))["embeddings"]
            .size() == 1);
  for (const char* page : {"/api/tags", "/api/ps"}) CHECK(json::parse(ollama_page(page, model))["models"].size() == 2);
  CHECK(json::parse(ollama_page("/api/version", model)).contains("version"));
}

TEST_CASE("dialects: what is no request is an error in the API's own shape") {
  for (const char* path :
       {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/api/generate", "/api/chat", "/api/embed"}) {
    for (const char* body : {"", "[]", "{}", R"({"model":7})", "{\"model\":"}) {
      CAPTURE(path);
      CAPTURE(body);
      CHECK_FALSE(dialect_at(path)->read(body, model));
    }
    CHECK(json::parse(dialect_at(path)->error(400, "no")).contains("error"));
  }
  CHECK(dialect_at("/v1/nothing") == nullptr);
}
