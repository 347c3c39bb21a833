// Ollama's API: generate, chat and embed; streams are lines of JSON, and streaming is what happens unless it is refused.
#include "core/units.hpp"
#include "services/mock/question.hpp"

namespace trireme::mock {
namespace {

class Ollama : public Dialect {
 public:
  std::string_view stream_type() const override { return "application/x-ndjson"; }
  std::string error(int, std::string_view what) const override { return dump({{"error", what}}); }

  std::string token(const Question& question, std::size_t index) const override {
    return dump(piece(question, token_text(question.seed, index), false)) + "\n";
  }
  std::string ending(const Question& question) const override { return dump(piece(question, "", true)) + "\n"; }
  std::string whole(const Question& question, const ModelOptions&) const override {
    return dump(piece(question, answer_text(question.seed, question.job.output_tokens), true));
  }

 protected:
  virtual void put_text(Json& json, const std::string& text) const = 0;

  static Question question_of(const Json& json) {
    Question question;
    question.model = json["model"].get<std::string>();
    question.stream = flag_at(json, "stream", true);
    if (json.contains("options")) question.seed = count_at(json["options"], "seed").value_or(0);
    return question;
  }

  static std::size_t output_of(const Json& json, const ModelOptions& model) {
    const auto tokens = json.contains("options") ? count_at(json["options"], "num_predict") : std::nullopt;
    return tokens.value_or(model.output_tokens);
  }

 private:
  Json piece(const Question& question, const std::string& text, bool done) const {
    Json json{{"model", question.model}, {"created_at", format_wall_time(wall_now())}};
    put_text(json, text);
    json["done"] = done;
    if (done) {
      json["done_reason"] = "length";
      json["prompt_eval_count"] = question.job.prompt_tokens;
      json["eval_count"] = question.job.output_tokens;
    }
    return json;
  }
};

class Generate final : public Ollama {
  Result<Question> read(std::string_view body, const ModelOptions& model) const override {
    auto json = parse_object(body);
    if (!json) return json.error();
    Question question = question_of(*json);
    const std::string prompt = json->contains("prompt") ? prompt_text((*json)["prompt"]) : "";
    set_prompt(question, prompt, output_of(*json, model), model);
    return question;
  }
  void put_text(Json& json, const std::string& text) const override { json["response"] = text; }
};

class OllamaChat final : public Ollama {
  Result<Question> read(std::string_view body, const ModelOptions& model) const override {
    auto json = parse_object(body);
    if (!json) return json.error();
    Question question = question_of(*json);
    const std::string prompt = json->contains("messages") ? prompt_text((*json)["messages"]) : "";
    set_prompt(question, prompt, output_of(*json, model), model);
    return question;
  }
  void put_text(Json& json, const std::string& text) const override {
    json["message"] = {{"role", "assistant"}, {"content", text}};
  }
};

class Embed final : public Ollama {
  Result<Question> read(std::string_view body, const ModelOptions&) const override {
    auto json = parse_object(body);
    if (!json) return json.error();
    if (!json->contains("input")) return Error{.what = "the body has no input"};
    Question question = question_of(*json);
    question.stream = false;
    set_inputs(question, (*json)["input"]);
    return question;
  }
  std::string whole(const Question& question, const ModelOptions& model) const override {
    Json list = Json::array();
    for (const std::string& input : question.inputs) list.push_back(embedding(input, model.embedding_size));
    return dump({{"model", question.model}, {"embeddings", list}, {"prompt_eval_count", question.job.prompt_tokens}});
  }
  void put_text(Json&, const std::string&) const override {}
};

Json details() {
  return {{"format", "gguf"}, {"family", "mock"}, {"parameter_size", "8B"}, {"quantization_level", "Q4_0"}};
}

}  // namespace

const Dialect* ollama_dialect(std::string_view path) {
  static const Generate generate;
  static const OllamaChat chat;
  static const Embed embed;
  if (path == "/api/generate") return &generate;
  if (path == "/api/chat") return &chat;
  if (path == "/api/embed") return &embed;
  return nullptr;
}

const Dialect* dialect_at(std::string_view path) {
  const Dialect* const dialect = openai_dialect(path);
  return dialect != nullptr ? dialect : ollama_dialect(path);
}

std::string ollama_page(std::string_view path, const ModelOptions& model) {
  if (path == "/api/version") return dump({{"version", TRIREME_VERSION}});
  if (path == "/api/show") {
    return dump({{"details", details()}, {"model_info", Json::object()}, {"capabilities", {"completion"}}});
  }
  const bool running = path == "/api/ps";
  if (!running && path != "/api/tags") return {};
  Json models = Json::array();
  for (const std::string& name : model.names) {
    Json entry{{"name", name}, {"model", name}, {"size", 0}, {"digest", "mock"}, {"details", details()}};
    if (running) {
      entry["expires_at"] = format_wall_time(wall_now() + 3'600'000'000'000);
      entry["size_vram"] = 0;
    } else {
      entry["modified_at"] = format_wall_time(wall_now());
    }
    models.push_back(std::move(entry));
  }
  return dump({{"models", models}});
}

}  // namespace trireme::mock
