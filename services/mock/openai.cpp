// OpenAI's API: chat completions, completions and embeddings; streams are server-sent events that end with [DONE].
#include <ctime>

#include "services/mock/question.hpp"

namespace trireme::mock {
namespace {

std::string event(const Json& json) {
  return "data: " + dump(json) + "\n\n";
}

Json usage(const Question& question) {
  const std::size_t prompt = question.job.prompt_tokens;
  const std::size_t output = question.job.output_tokens;
  Json json{{"prompt_tokens", prompt}, {"total_tokens", prompt + output}};
  if (question.inputs.empty()) json["completion_tokens"] = output;
  return json;
}

class OpenAi : public Dialect {
 public:
  std::string_view stream_type() const override { return "text/event-stream"; }

  std::string error(int status, std::string_view what) const override {
    const char* const type = status < 500 ? "invalid_request_error" : "server_error";
    return dump({{"error", {{"message", what}, {"type", type}, {"param", nullptr}, {"code", status}}}});
  }

  std::string ending(const Question& question) const override {
    Json last = begin(question, stream_object());
    last["choices"] = Json::array({choice(nullptr, "length")});
    std::string out = event(last);
    if (question.usage) {
      Json numbers = begin(question, stream_object());
      numbers["choices"] = Json::array();
      numbers["usage"] = usage(question);
      out += event(numbers);
    }
    return out + "data: [DONE]\n\n";
  }

 protected:
  virtual const char* stream_object() const = 0;
  /// The only choice of a piece; null for one without content.
  virtual Json choice(Json content, const char* reason) const = 0;

  static Result<Question> question_of(const Json& json) {
    Question question;
    question.model = json["model"].get<std::string>();
    question.stream = flag_at(json, "stream", false);
    question.usage = json.contains("stream_options") && flag_at(json["stream_options"], "include_usage", false);
    question.seed = count_at(json, "seed").value_or(0);
    return question;
  }

  static std::size_t output_of(const Json& json, const ModelOptions& model) {
    if (const auto tokens = count_at(json, "max_completion_tokens")) return *tokens;
    return count_at(json, "max_tokens").value_or(model.output_tokens);
  }

  static Json begin(const Question& question, const char* object) {
    return {{"id", "mock-" + std::to_string(question.seed)},
            {"object", object},
            {"created", std::time(nullptr)},
            {"model", question.model}};
  }
};

class Chat final : public OpenAi {
  Result<Question> read(std::string_view body, const ModelOptions& model) const override {
    auto json = parse_object(body);
    if (!json) return json.error();
    if (!json->contains("messages") || !(*json)["messages"].is_array()) {
      return Error{.what = "the body has no list of messages"};
    }
    auto question = question_of(*json);
    if (question) set_prompt(*question, prompt_text((*json)["messages"]), output_of(*json, model), model);
    return question;
  }

  std::string token(const Question& question, std::size_t index) const override {
    Json delta{{"content", token_text(question.seed, index)}};
    if (index == 0) delta["role"] = "assistant";
    Json piece = begin(question, stream_object());
    piece["choices"] = Json::array({choice(delta, nullptr)});
    return event(piece);
  }

  std::string whole(const Question& question, const ModelOptions&) const override {
    Json json = begin(question, "chat.completion");
    const std::string text = answer_text(question.seed, question.job.output_tokens);
    json["choices"] = Json::array({{{"index", 0},
                                    {"message", {{"role", "assistant"}, {"content", text}}},
                                    {"logprobs", nullptr},
                                    {"finish_reason", "length"}}});
    json["usage"] = usage(question);
    return dump(json);
  }

  const char* stream_object() const override { return "chat.completion.chunk"; }

  Json choice(Json content, const char* reason) const override {
    Json json{{"index", 0}, {"delta", content.is_null() ? Json::object() : content}, {"finish_reason", nullptr}};
    if (reason != nullptr) json["finish_reason"] = reason;
    return json;
  }
};

class Completion final : public OpenAi {
  Result<Question> read(std::string_view body, const ModelOptions& model) const override {
    auto json = parse_object(body);
    if (!json) return json.error();
    if (!json->contains("prompt")) return Error{.what = "the body has no prompt"};
    auto question = question_of(*json);
    if (question) set_prompt(*question, prompt_text((*json)["prompt"]), output_of(*json, model), model);
    return question;
  }

  std::string token(const Question& question, std::size_t index) const override {
    Json piece = begin(question, stream_object());
    piece["choices"] = Json::array({choice(token_text(question.seed, index), nullptr)});
    return event(piece);
  }

  std::string whole(const Question& question, const ModelOptions&) const override {
    Json json = begin(question, "text_completion");
    json["choices"] = Json::array({choice(answer_text(question.seed, question.job.output_tokens), "length")});
    json["usage"] = usage(question);
    return dump(json);
  }

  const char* stream_object() const override { return "text_completion"; }

  Json choice(Json content, const char* reason) const override {
    Json json{{"text", content.is_null() ? Json("") : content},
              {"index", 0},
              {"logprobs", nullptr},
              {"finish_reason", nullptr}};
    if (reason != nullptr) json["finish_reason"] = reason;
    return json;
  }
};

class Embeddings final : public OpenAi {
  Result<Question> read(std::string_view body, const ModelOptions&) const override {
    auto json = parse_object(body);
    if (!json) return json.error();
    if (!json->contains("input")) return Error{.what = "the body has no input"};
    auto question = question_of(*json);
    if (!question) return question;
    question->stream = false;
    set_inputs(*question, (*json)["input"]);
    return question;
  }

  std::string token(const Question&, std::size_t) const override { return {}; }

  std::string whole(const Question& question, const ModelOptions& model) const override {
    Json data = Json::array();
    for (const std::string& input : question.inputs) {
      data.push_back(
          {{"object", "embedding"}, {"index", data.size()}, {"embedding", embedding(input, model.embedding_size)}});
    }
    return dump({{"object", "list"}, {"data", data}, {"model", question.model}, {"usage", usage(question)}});
  }

  const char* stream_object() const override { return "list"; }
  Json choice(Json, const char*) const override { return {}; }
};

}  // namespace

const Dialect* openai_dialect(std::string_view path) {
  static const Chat chat;
  static const Completion completion;
  static const Embeddings embeddings;
  if (path == "/v1/chat/completions") return &chat;
  if (path == "/v1/completions") return &completion;
  if (path == "/v1/embeddings") return &embeddings;
  return nullptr;
}

std::string openai_page(std::string_view path, const ModelOptions& model) {
  if (path != "/v1/models") return {};
  Json data = Json::array();
  for (const std::string& name : model.names) {
    data.push_back({{"id", name}, {"object", "model"}, {"created", 0}, {"owned_by", "trireme"}});
  }
  return dump({{"object", "list"}, {"data", data}});
}

}  // namespace trireme::mock
